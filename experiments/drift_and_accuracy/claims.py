"""Claims about whether covariate shift and performance go together, over eight nets."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.source import VERSUS, ours
from experiments.drift_and_accuracy.correlation import with_accuracy

_NETS = (
    "Over eight nets, plain, with batch norm, noisy batch norm, two kinds of noise without batch norm, and the l1, l2 and "
    "l-infinity norms,"
)
_WEAK = "a rank correlation above -0.5 counts as none"
_WHERE = "in the deepest layer followed, after the normaliser where there is one,"
_SET = (
    "batch norm and the other norms set the mean and the spread of their outputs, whatever the weights before them do, so "
    "that this speaks for neither side"
)
# W1 of two sorted samples of a normal unit, drawn: 0.22 for 64 values, 0.16 for 128; standardised, 0.14 and 0.10.
_DOUBT = (
    "each measurement is of another batch, which alone moves a dense unit about as far as the nets with batch norm or an lp "
    "norm move at preset cpu"
)

CLAIMS = claims(
    "covariate shift",
    "2026-11-29",
    "neither",
    headline_training=Claim(
        f"{_NETS} the drift of the distributions of pre-activations between measurements, {_WHERE} has no strong negative rank "
        "correlation with training accuracy.",
        VERSUS,
        with_accuracy(TRAIN_ACCURACY.at_end(50)).above(-0.5),
        remark=f"{_WEAK}; {_SET}",
        in_doubt=_DOUBT,
    ),
    headline_test=Claim(
        f"{_NETS} the drift of the distributions of pre-activations between measurements, {_WHERE} has no strong negative rank "
        "correlation with test accuracy.",
        VERSUS,
        with_accuracy(TEST_ACCURACY.at_end()).above(-0.5),
        remark=f"{_WEAK}; test accuracy is measured with running statistics, which lower it in noisy nets; {_SET}",
        in_doubt=_DOUBT,
    ),
    headline_variance=Claim(
        f"{_NETS} the change of the variances of pre-activations between measurements, in absolute units, {_WHERE} has no "
        "strong negative rank correlation with training accuracy.",
        ours("absolute changes depend on the scale of the units"),
        with_accuracy(TRAIN_ACCURACY.at_end(50), "variance").above(-0.5),
        caveat_of="headline_training",
        remark=f"{_WEAK}; {_SET}",
    ),
)

"""Claims about whether covariate shift and performance go together, over eight nets."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.source import VERSUS, ours
from experiments.drift_and_accuracy.correlation import with_accuracy

_NETS = (
    "over the plain net, batch norm, noisy batch norm, two kinds of noise without batch norm, and the l1, l2 and l-infinity "
    "norms"
)
_WEAK = "a rank correlation of -0.5 and more is called none"

CLAIMS = claims(
    "covariate shift",
    "2026-11-29",
    headline_training=Claim(
        f"Less covariate shift, as the drift of layer inputs, does not go with better training accuracy, {_NETS}.",
        VERSUS,
        with_accuracy(TRAIN_ACCURACY.at_end(50)).above(-0.5),
        remark=_WEAK,
    ),
    headline_test=Claim(
        f"Less covariate shift, as the drift of layer inputs, does not go with better test accuracy, {_NETS}.",
        VERSUS,
        with_accuracy(TEST_ACCURACY.at_end()).above(-0.5),
        remark=f"{_WEAK}; tests are with running statistics, which suit noisy nets less",
    ),
    headline_variance=Claim(
        f"Steadier variances of layer inputs, in absolute units, do not go with better training accuracy, {_NETS}.",
        ours("absolute shifts depend on how large activations are"),
        with_accuracy(TRAIN_ACCURACY.at_end(50), "variance").above(-0.5),
        caveat_of="headline_training",
        remark=_WEAK,
    ),
)

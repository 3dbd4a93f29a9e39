"""Claims about batch norm with noise: its activations are less stable than without batch norm, and it trains nearly as well."""

from collections.abc import Callable

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import Moment, before_activation, over_layers
from experiments._evidence.quantities import CHANCE, RECALIBRATED_ACCURACY, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.source import SANTURKAR, ours
from experiments._evidence.statistic import Statistic

_PAPER, _FIG_8 = SANTURKAR.at("Sec. 2.1, Fig. 2"), SANTURKAR.at("Appendix, Fig. 8a")
_OURS = ours("a control")
_SCALED = ours("a control: the noise has a fixed size, so its effect depends on the scale of the units")
_END, _LATER = TRAIN_ACCURACY.at_end(50), "2026-11-29"
_EVERY = "in every layer followed"
_OUTPUTS = "pre-activations, after batch norm and its noise,"
_DRAWN = (
    "the bias, the scale and the drawn noise of noisy batch norm set the mean and the variance of its output, whatever the "
    "weights before it do: the row checks what the noise does to distributions"
)
_PREMISE = (
    "an argument against only if distributions are less stable with noisy batch norm than in the plain net. Our data bear that "
    "out in part, so that this counts for neither side: at preset cpu_long, their means change more in every layer followed, "
    "their variances more in all but the first; relative to their standard deviation, the distributions move further in all "
    "but the deepest"
)


def _ratio(choose: Callable, moment: Moment, relative: bool = False) -> Statistic:
    """Divide the drift of pre-activations with noisy batch norm by the plain net's, in the layer `choose` picks."""
    return before_activation(over_layers(choose, "noisy_batch", "plain", moment, relative=relative))


# The distributions of activations are disturbed by the noise, not by any layer's update.
CLAIMS = claims(
    "distributions",
    "2026-11-21",
    noisy_early=Claim(
        "Over steps 80 to 1,000, noise after batch norm changes the training accuracy by less than 3 points.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 1000).minus("noisy_batch", "batch_norm").within(0.03),
        "69 % and 70 %, or -1 point",
        speaks="against",
    ),
    noisy_late=Claim(
        "Over steps 4,501 to 5,500, noise after batch norm changes the training accuracy by less than 3 points.",
        _PAPER,
        TRAIN_ACCURACY.at(5500, average=1000).minus("noisy_batch", "batch_norm").within(0.03),
        "97.1 % and 98.4 %, or -1.3 points",
        speaks="against",
    ),
    noisy_test=Claim(
        "Tested without the noise, with running statistics of noisy training, the net with noisy batch norm ends more than 3 "
        "points below the one with batch norm in test accuracy.",
        ours("Santurkar et al. 2018 show training accuracy only"),
        TEST_ACCURACY.at_end().minus("noisy_batch", "batch_norm").below(-0.03),
        caveat_of="noisy_early",
        speaks="neither",
    ),
    noisy_test_recalibrated=Claim(
        "Tested without the noise, with statistics recomputed without it, the net with noisy batch norm ends within 3 points "
        "of the one with batch norm in test accuracy.",
        ours("a control: whether running statistics of noisy training explain the loss of test accuracy"),
        RECALIBRATED_ACCURACY.at_end().minus("noisy_batch", "batch_norm").within(0.03),
        caveat_of="noisy_early",
        since=_LATER,
        speaks="against",
    ),
    noisy_above_plain=Claim(
        "Over steps 80 to 3,000, the training accuracy is higher with noisy batch norm than in the plain, noise-free net.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 3000).minus("noisy_batch", "plain").above(0),
        "69 % and 40 % before step 1,000, 85 % and 64 % from 1,000 to 2,500, or +29 and +21 points",
        remark=_PREMISE,
        speaks="neither",
    ),
    noisy_above_plain_part=Claim(
        "Over steps 80 to 1,000, the training accuracy is higher with noisy batch norm than in the plain, noise-free net.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 1000).minus("noisy_batch", "plain").above(0),
        "69 % and 40 %, or +29 points",
        remark=_PREMISE,
        repeats="noisy_above_plain",
        since=_LATER,
        speaks="neither",
    ),
    noisy_plain_stops=Claim(
        "With the noise of noisy batch norm on the pre-activations of its hidden layers, the plain net ends at a training "
        "accuracy below 20 %, twice that of chance.",
        SANTURKAR.at("Sec. 2.1, text"),
        _END.each("noise").below(2 * CHANCE),
        "'prevents it from training entirely'",
        remark="at an eighth of the width the noise delays training: 23 % after 1,000 steps (preset cpu), 64 % after 5,500",
        speaks="neither",
    ),
    noisy_plain_scaled=Claim(
        "With the noise of noisy batch norm, scaled by each unit's standard deviation, on the pre-activations of its hidden "
        "layers, the plain net ends at a training accuracy above 20 %, twice that of chance.",
        _OURS,
        _END.each("relative_noise").above(2 * CHANCE),
        caveat_of="noisy_plain_stops",
        speaks="neither",
    ),
    noisy_plain_scaled_cost=Claim(
        "At the end, noise scaled by each unit's standard deviation costs the plain net more training accuracy than noise "
        "costs the net with batch norm.",
        _OURS,
        (_END.minus("plain", "relative_noise") - _END.minus("batch_norm", "noisy_batch")).above(0),
        speaks="neither",
    ),
    noisy_mean=Claim(
        f"In absolute units, the means of {_OUTPUTS} change more between measurements with noisy batch norm than in the "
        f"plain net, {_EVERY}.",
        _FIG_8,
        _ratio(min, "mean").above(1),
        "0.27 / 0.032, 0.27 / 0.065 and 0.35 / 0.014 in layers 2, 9 and 13, or 4 times and more",
        remark=_DRAWN,
        speaks="neither",
    ),
    noisy_mean_relative=Claim(
        f"Relative to each unit's standard deviation, the means of {_OUTPUTS} change less between measurements with noisy "
        f"batch norm than in the plain net, {_EVERY}.",
        _SCALED,
        _ratio(max, "mean", relative=True).between(0, 1),
        caveat_of="noisy_mean",
        remark=_DRAWN,
        speaks="neither",
    ),
    noisy_variance=Claim(
        f"In absolute units, the variances of {_OUTPUTS} change more between measurements with noisy batch norm than in the "
        f"plain net, {_EVERY}.",
        _FIG_8,
        _ratio(min, "variance").above(1),
        "0.17 / 0.015, 0.18 / 0.021 and 0.20 / 0.007 in layers 2, 9 and 13, or 9 times and more",
        remark=_DRAWN,
        speaks="neither",
    ),
    noisy_variance_relative=Claim(
        f"Relative to their size, the variances of {_OUTPUTS} change less between measurements with noisy batch norm than in "
        f"the plain net, {_EVERY}.",
        _SCALED,
        _ratio(max, "variance", relative=True).between(0, 1),
        caveat_of="noisy_variance",
        remark=_DRAWN,
        speaks="neither",
    ),
    noisy_distance=Claim(
        f"Relative to their standard deviation, the distributions of {_OUTPUTS} move further between measurements with noisy "
        f"batch norm than in the plain net, {_EVERY}.",
        ours("the whole distribution, of which the published figure shows two moments"),
        _ratio(min, "wasserstein").above(1),
        caveat_of="noisy_mean",
        remark=_DRAWN,
        since=_LATER,
        speaks="neither",
    ),
)

"""Claims about batch norm with noise: its activations are less stable than without batch norm, and it trains nearly as well."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import over_layers
from experiments._evidence.quantities import CHANCE, RECALIBRATED_ACCURACY, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.source import SANTURKAR, ours

_PAPER, _FIG_8 = SANTURKAR.at("Sec. 2.1, Fig. 2"), SANTURKAR.at("Appendix, Fig. 8a")
_OURS = ours("control of bnjax")
_SCALED = ours("control of bnjax: how large the noise is depends on how large activations are")
_END, _LATER = TRAIN_ACCURACY.at_end(50), "2026-11-29"
_EVERY = "in every layer that is followed"

CLAIMS = claims(
    "covariate shift",
    "2026-11-21",
    noisy_early=Claim(
        "Over steps 80 to 1,000, noise after batch norm changes the training accuracy by less than 3 points.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 1000).minus("noisy_batch", "batch_norm").within(0.03),
        "69 % and 70 %, or -1 point",
    ),
    noisy_late=Claim(
        "Around step 5,000, noise after batch norm changes the training accuracy by less than 3 points.",
        _PAPER,
        TRAIN_ACCURACY.at(5500, average=1000).minus("noisy_batch", "batch_norm").within(0.03),
        "97.1 % and 98.4 %, or -1.3 points",
    ),
    noisy_test=Claim(
        "Tested without the noise, with running statistics of noisy activations, noisy batch norm is more than 3 points behind "
        "batch norm.",
        ours("found here; Santurkar et al. 2018 show training accuracy alone"),
        TEST_ACCURACY.at_end().minus("noisy_batch", "batch_norm").below(-0.03),
        caveat_of="noisy_early",
    ),
    noisy_test_recalibrated=Claim(
        "Tested without the noise, with statistics that are taken again without it, noisy batch norm is less than 3 points "
        "from batch norm.",
        ours("control of bnjax: whether running statistics of noisy activations alone are what tests suffer from"),
        RECALIBRATED_ACCURACY.at_end().minus("noisy_batch", "batch_norm").within(0.03),
        caveat_of="noisy_early",
        since=_LATER,
    ),
    noisy_above_plain=Claim(
        "Over steps 80 to 3,000, the training accuracy is higher with noisy batch norm than in the plain net without noise.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 3000).minus("noisy_batch", "plain").above(0),
        "69 % and 40 % before step 1,000, 85 % and 64 % from 1,000 to 2,500, or +29 and +21 points",
    ),
    noisy_above_plain_part=Claim(
        "Over steps 80 to 1,000, the training accuracy is higher with noisy batch norm than in the plain net without noise.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 1000).minus("noisy_batch", "plain").above(0),
        "69 % and 40 %, or +29 points",
        since=_LATER,
    ),
    noisy_plain_stops=Claim(
        "The noise of noisy batch norm, added to the plain net, keeps its training accuracy below twice that of a guess to the "
        "end.",
        SANTURKAR.at("Sec. 2.1, text"),
        _END.each("noise").below(2 * CHANCE),
        "'prevents it from training entirely'",
    ),
    noisy_plain_scaled=Claim(
        "Noise in units of each unit's own standard deviation, as after batch norm, lets the plain net reach a training "
        "accuracy of more than twice that of a guess by the end.",
        _OURS,
        _END.each("relative_noise").above(2 * CHANCE),
        caveat_of="noisy_plain_stops",
    ),
    noisy_plain_scaled_cost=Claim(
        "By the end, noise in units of each unit's own standard deviation costs the plain net more training accuracy than "
        "noise costs the net with batch norm.",
        _OURS,
        (_END.minus("plain", "relative_noise") - _END.minus("batch_norm", "noisy_batch")).above(0),
    ),
    noisy_mean=Claim(
        f"The means of activations are less stable with noisy batch norm than in the plain net, {_EVERY}.",
        _FIG_8,
        over_layers(min, "noisy_batch", "plain", "mean").above(1),
        "0.27 / 0.032, 0.27 / 0.065 and 0.35 / 0.014, or 4 times and more",
    ),
    noisy_mean_relative=Claim(
        "In units of each unit's own standard deviation, the means of activations are no less stable with noisy batch norm "
        f"than in the plain net, {_EVERY}.",
        _SCALED,
        over_layers(max, "noisy_batch", "plain", "mean", relative=True).between(0, 1),
        caveat_of="noisy_mean",
    ),
    noisy_variance=Claim(
        f"The variances of activations are less stable with noisy batch norm than in the plain net, {_EVERY}.",
        _FIG_8,
        over_layers(min, "noisy_batch", "plain", "variance").above(1),
        "0.17 / 0.015, 0.18 / 0.021 and 0.20 / 0.007, or 9 times and more",
    ),
    noisy_variance_relative=Claim(
        "In units of each unit's own variance, the variances of activations are no less stable with noisy batch norm than in "
        f"the plain net, {_EVERY}.",
        _SCALED,
        over_layers(max, "noisy_batch", "plain", "variance", relative=True).between(0, 1),
        caveat_of="noisy_variance",
    ),
    noisy_distance=Claim(
        "In units of what a unit's values are spread over, distributions of activations move further from one measurement to "
        f"the next with noisy batch norm than in the plain net, {_EVERY}.",
        ours("of the whole distribution, which the published moments describe in part"),
        over_layers(min, "noisy_batch", "plain", "wasserstein").above(1),
        caveat_of="noisy_mean",
        since=_LATER,
    ),
)

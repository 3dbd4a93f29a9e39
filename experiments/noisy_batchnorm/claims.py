"""Claims about batch norm with noise: its activations are less stable than without batch norm, and it trains nearly as well."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import over_layers
from experiments._evidence.quantities import CHANCE, TEST_ACCURACY, TRAIN_ACCURACY

_PAPER, _FIG_8 = "Santurkar et al. 2018, Sec. 2.1, Fig. 2", "Santurkar et al. 2018, Appendix, Fig. 8a"
_OURS = "control of bnjax"
_END = TRAIN_ACCURACY.at_end(50)

CLAIMS = claims(
    noisy_early=Claim(
        "Noise after batch norm hardly hurts the training with it.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 1000).minus("noisy_batch", "batch_norm").within(0.03),
        "69 % and 70 %, or -1 point",
    ),
    noisy_late=Claim(
        "After 5,000 steps, too, noise after batch norm hardly hurts.",
        _PAPER,
        TRAIN_ACCURACY.at(5500, average=1000).minus("noisy_batch", "batch_norm").within(0.03),
        "97.1 % and 98.4 %, or -1.3 points",
    ),
    noisy_test=Claim(
        "Tested without the noise, with running statistics of noisy activations, the net is far behind batch norm.",
        "found here; the paper shows training accuracy alone",
        TEST_ACCURACY.at_end().minus("noisy_batch", "batch_norm").below(-0.03),
        caveat_of="noisy_early",
    ),
    noisy_above_plain=Claim(
        "Batch norm with noise learns faster than no batch norm without any.",
        _PAPER,
        TRAIN_ACCURACY.median(80, 3000).minus("noisy_batch", "plain").above(0),
        "69 % and 40 % before step 1,000, 85 % and 64 % from 1,000 to 2,500, or +29 and +21 points",
    ),
    noisy_plain_stops=Claim(
        "The same noise on the plain net keeps it from learning anything.",
        "Santurkar et al. 2018, Sec. 2.1, text",
        _END.each("noise").below(2 * CHANCE),
        "'prevents it from training entirely'",
        remark="twice the accuracy of a guess is asked for",
    ),
    noisy_plain_scaled=Claim(
        "Noise in units of each unit's own standard deviation, as after batch norm, lets the plain net learn.",
        _OURS,
        _END.each("relative_noise").above(2 * CHANCE),
        caveat_of="noisy_plain_stops",
        remark="twice the accuracy of a guess is asked for",
    ),
    noisy_plain_scaled_cost=Claim(
        "Scaled noise costs the plain net more than noise costs the net with batch norm.",
        _OURS,
        (_END.minus("plain", "relative_noise") - _END.minus("batch_norm", "noisy_batch")).above(0),
    ),
    noisy_mean=Claim(
        "The means of activations are less stable with noisy batch norm than without batch norm.",
        _FIG_8,
        over_layers(min, "noisy_batch", "plain", "mean").above(1),
        "0.27 / 0.032, 0.27 / 0.065 and 0.35 / 0.014, or 4 times and more",
    ),
    noisy_mean_relative=Claim(
        "In units of each unit's own standard deviation they are not less stable.",
        _OURS,
        over_layers(max, "noisy_batch", "plain", "mean", relative=True).between(0, 1),
        caveat_of="noisy_mean",
    ),
    noisy_variance=Claim(
        "So are the variances.",
        _FIG_8,
        over_layers(min, "noisy_batch", "plain", "variance").above(1),
        "0.17 / 0.015, 0.18 / 0.021 and 0.20 / 0.007, or 9 times and more",
    ),
    noisy_variance_relative=Claim(
        "In units of each unit's own variance they are not less stable.",
        _OURS,
        over_layers(max, "noisy_batch", "plain", "variance", relative=True).between(0, 1),
        caveat_of="noisy_variance",
    ),
)

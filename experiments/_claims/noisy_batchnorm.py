"""Claims about batch norm with noise: it is less stable than no batch norm, and trains nearly as well as batch norm."""

import math

from experiments._claims.claim import PERCENT, POINTS, TIMES, Claim
from experiments._claims.measures import CHANCE, at_step, difference, each, final, median_of
from experiments._numbers.drift import over_layers

_PAPER = "Santurkar et al. 2018, Sec. 2.1, Fig. 2"
_FIG_8 = "Santurkar et al. 2018, Appendix, Fig. 8a"
_OURS = "control of bnjax"


def _counted(*nets: str) -> tuple[str, ...]:
    """Name arms as they are in the data."""
    return tuple(f"arms/{net}" for net in nets)


def _accuracy(first: int, last: int):
    """Measure training accuracy, the median over the steps between two."""
    return median_of("train", "accuracy", first, last, if_diverged=CHANCE)


_final = final("train", num_steps=50)

CLAIMS = (
    Claim(
        name="noisy_early",
        statement="Noise after batch norm hardly hurts the training with it.",
        source=_PAPER,
        statistic="training accuracy, median over steps 80 to 1,000: noisy BN - BN; within 3 points of 0",
        published="69 % and 70 %, or -1 point",
        measure=difference("noisy_batch", "batch_norm", _accuracy(80, 1000)),
        supported=(-0.03, 0.03),
        format=POINTS,
        arms=_counted("batch_norm", "noisy_batch"),
    ),
    Claim(
        name="noisy_late",
        statement="After 5,000 steps, too, noise after batch norm hardly hurts.",
        source=_PAPER,
        statistic="training accuracy, mean of steps 4,500 to 5,500: noisy BN - BN; within 3 points of 0",
        published="97.1 % and 98.4 %, or -1.3 points",
        measure=difference("noisy_batch", "batch_norm", at_step("train", 5500, num_steps=1000)),
        supported=(-0.03, 0.03),
        format=POINTS,
        arms=_counted("batch_norm", "noisy_batch"),
    ),
    Claim(
        name="noisy_test",
        statement="Tested without the noise, with running statistics of noisy activations, the net is far behind batch norm.",
        source="found here; the paper shows training accuracy alone",
        statistic="accuracy on all test images at the end: noisy BN - BN; more than 3 points behind",
        published="-",
        measure=difference("noisy_batch", "batch_norm", final("test")),
        supported=(-math.inf, -0.03),
        format=POINTS,
        arms=_counted("batch_norm", "noisy_batch"),
        caveat_of="noisy_early",
    ),
    Claim(
        name="noisy_above_plain",
        statement="Batch norm with noise learns faster than no batch norm without any.",
        source=_PAPER,
        statistic="training accuracy, median over steps 80 to 3,000: noisy BN - plain",
        published="69 % and 40 % before step 1,000, 85 % and 64 % from 1,000 to 2,500, or +29 and +21 points",
        measure=difference("noisy_batch", "plain", _accuracy(80, 3000)),
        supported=(0, math.inf),
        format=POINTS,
        arms=_counted("plain", "noisy_batch"),
    ),
    Claim(
        name="noisy_plain_stops",
        statement="The same noise on the plain net keeps it from learning anything.",
        source="Santurkar et al. 2018, Sec. 2.1, text",
        statistic="training accuracy of the plain net with noise, mean of the last 50 steps; below twice that of a guess",
        published="'prevents it from training entirely'",
        measure=each("noise", _final),
        supported=(-math.inf, 2 * CHANCE),
        format=PERCENT,
        arms=_counted("noise"),
    ),
    Claim(
        name="noisy_plain_scaled",
        statement="Noise in units of each unit's own standard deviation, as after batch norm, lets the plain net learn.",
        source=_OURS,
        statistic="its training accuracy with that noise, mean of the last 50 steps; above twice that of a guess",
        published="-",
        measure=each("relative_noise", _final),
        supported=(2 * CHANCE, math.inf),
        format=PERCENT,
        arms=_counted("relative_noise"),
        caveat_of="noisy_plain_stops",
    ),
    Claim(
        name="noisy_plain_scaled_cost",
        statement="Scaled noise costs the plain net more than noise costs the net with batch norm.",
        source=_OURS,
        statistic="training accuracy at the end, mean of 50 steps, lost by scaled noise - lost by noise after BN",
        published="-",
        measure=lambda data: [
            lost - lost_with_batch_norm
            for lost, lost_with_batch_norm in zip(
                difference("plain", "relative_noise", _final)(data),
                difference("batch_norm", "noisy_batch", _final)(data),
                strict=True,
            )
        ],
        supported=(0, math.inf),
        format=POINTS,
        arms=_counted("plain", "batch_norm", "noisy_batch", "relative_noise"),
    ),
    Claim(
        name="noisy_mean",
        statement="The means of activations are less stable with noisy batch norm than without batch norm.",
        source=_FIG_8,
        statistic="|change of a unit's mean| between measurements, medians over units and steps: noisy BN / plain, smallest of "
        "all layers",
        published="0.27 / 0.032, 0.27 / 0.065 and 0.35 / 0.014, or 4 times and more",
        measure=over_layers("noisy_batch", "plain", min, "mean", "successive"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_counted("plain", "noisy_batch"),
    ),
    Claim(
        name="noisy_mean_relative",
        statement="In units of each unit's own standard deviation they are not less stable.",
        source=_OURS,
        statistic="the same, each change divided by the unit's standard deviation before; largest of all layers",
        published="-",
        measure=over_layers("noisy_batch", "plain", max, "mean", "successive", True),
        supported=(0, 1),
        format=TIMES,
        arms=_counted("plain", "noisy_batch"),
        caveat_of="noisy_mean",
    ),
    Claim(
        name="noisy_variance",
        statement="So are the variances.",
        source=_FIG_8,
        statistic="|change of a unit's variance| between measurements, medians over units and steps: noisy BN / plain, "
        "smallest of all layers",
        published="0.17 / 0.015, 0.18 / 0.021 and 0.20 / 0.007, or 9 times and more",
        measure=over_layers("noisy_batch", "plain", min, "variance", "successive"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_counted("plain", "noisy_batch"),
    ),
    Claim(
        name="noisy_variance_relative",
        statement="In units of each unit's own variance they are not less stable.",
        source=_OURS,
        statistic="the same, each change divided by the unit's variance before; largest of all layers",
        published="-",
        measure=over_layers("noisy_batch", "plain", max, "variance", "successive", True),
        supported=(0, 1),
        format=TIMES,
        arms=_counted("plain", "noisy_batch"),
        caveat_of="noisy_variance",
    ),
)

"""Claims about networks of sigmoids on MNIST, with and without batch norm."""

import math

import numpy as np

from experiments._claims.claim import POINTS, TIMES, Claim, Format
from experiments._claims.measures import Run, RunMeasure, at_step, curve, difference, each, ratio
from experiments._numbers import curves

_IOFFE = "Ioffe & Szegedy 2015, Sec. 4.1"
_HUBER = "Huber 2020"
_COUNTED = ("ioffe/plain", "ioffe/batch_norm")
_HUBER_COUNTED = ("huber/plain", "huber/huber")
_FROM = "from step 500 on"


def first_test_at(level: float) -> RunMeasure:
    """Find the first test at which accuracy reaches a level; infinity where none does."""

    def measure(run: Run) -> float:
        steps, values = curve(run, "test", "accuracy")
        reached = steps[values >= level]
        return float(reached[0]) if reached.size else math.inf

    return measure


def of_units(name: str, way: str = "batch") -> RunMeasure:
    """Take the median over units of a statistic that each unit has; infinity where the run diverged.

    Args:
        name: range, variation, roughness, spread or relative_range.
        way: of normalising: running or batch; without a normaliser there is one only.
    """
    return lambda run: _statistic(run, way, "of_units", name)


def of_layer(name: str, way: str = "running") -> RunMeasure:
    """Take a statistic of the percentiles over images and units together; infinity where the run diverged."""
    return lambda run: _statistic(run, way, "of_layer", name)


def percentiles(probe: dict, way: str) -> dict:
    """Take the percentiles that are normalised in a way; without a normaliser there is one only."""
    return probe.get(way, probe["running"])


def _statistic(run: Run, way: str, part: str, name: str) -> float:
    """Take a statistic; None is one of too few steps."""
    if run["diverged_at"] is not None:
        return math.inf
    value = percentiles(run["percentiles"], way)[part][name]
    return math.nan if value is None else value


def spread(probe: dict) -> np.ndarray:
    """Take half the distance of the layer's outer percentiles at each step."""
    layer = curves.array(probe["running"]["layer"])
    return (layer[:, 2] - layer[:, 0]) / 2


def spread_range(run: Run) -> float:
    """Subtract the layer's smallest spread from the largest; not at step 0, where running statistics are of no batch."""
    steps, values = curve(run, "percentiles", spread)
    values = values[(steps > 0) & np.isfinite(values)]
    return float(np.ptp(values)) if values.size else math.nan


def first_spread(run: Run) -> float:
    """Take the layer's spread at the first measurement after step 0."""
    steps, values = curve(run, "percentiles", spread)
    return float(values[steps > 0][0]) if steps[-1:] > 0 else math.nan


CLAIMS = (
    Claim(
        name="mnist_early_accuracy",
        statement="Early on, after 4,000 steps, the test accuracy is more than 2 points higher with batch norm.",
        source=f"{_IOFFE}, Fig. 1a",
        statistic="test accuracy after 4,000 steps: BN - plain",
        published="95.3 - 73.2 %, or 22 points",
        measure=difference("batch_norm", "plain", at_step("test", 4000), "ioffe"),
        supported=(0.02, math.inf),
        format=POINTS,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_steps",
        statement="With batch norm the net reaches a test accuracy of 95 % in fewer steps.",
        source=f"{_IOFFE}, Fig. 1a, read off",
        statistic="steps to the first test with an accuracy of 95 %: plain / BN",
        published="15,000 / 4,000, or 3.8 times",
        measure=ratio("plain", "batch_norm", first_test_at(0.95), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_accuracy",
        statement="At the end, after 50,000 steps, the test accuracy is still more than 0.2 points higher with batch norm.",
        source=f"{_IOFFE}, Fig. 1a, read off",
        statistic="test accuracy after 50,000 steps: BN - plain",
        published="98.2 - 97.25 %, or 0.95 points",
        measure=difference("batch_norm", "plain", at_step("test", 50_000), "ioffe"),
        supported=(0.002, math.inf),
        format=Format("+z.2f", "points", 100),
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_stable_range",
        statement="The distribution of what goes into a sigmoid moves less far with batch norm.",
        source=f"{_IOFFE}, Fig. 1b and 1c, read off",
        statistic=f"largest - smallest median of a unit of the last hidden layer {_FROM}, normalised in batches, median over "
        "units: plain / BN",
        published="1.34 / 0.33, or 4 times, of one unit",
        measure=ratio("plain", "batch_norm", of_units("range"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_stable_range_running",
        statement="As running averages normalise it, in evaluation, it moves less far with batch norm, too.",
        source="a control of ours: running averages that keep 0.99 lag behind weights that move fast",
        statistic="the same, normalised by running averages: plain / BN",
        published="-",
        measure=ratio("plain", "batch_norm", of_units("range", "running"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="mnist_stable_range",
    ),
    Claim(
        name="mnist_stable_relative",
        statement="It moves less far with batch norm in units of its own width, too.",
        source=f"{_IOFFE}, Fig. 1b and 1c, computed from what can be read off",
        statistic="the same, divided by half the mean distance of a unit's 15th and 85th percentiles: plain / BN",
        published="1.1 / 0.20, or 6 times, of one unit",
        measure=ratio("plain", "batch_norm", of_units("relative_range"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_stable_variation",
        statement="Back and forth together, it moves less with batch norm.",
        source=f"{_IOFFE}, Fig. 1b and 1c",
        statistic="sum of absolute changes of a unit's median from one measurement to the next, per 1,000 steps "
        f"{_FROM}, normalised in batches, median over units: plain / BN",
        published="-",
        measure=ratio("plain", "batch_norm", of_units("variation"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_stable_variation_running",
        statement="As running averages normalise it, in evaluation, it moves less with batch norm, too.",
        source="a control of ours: running averages that keep 0.99 lag behind weights that move fast",
        statistic="the same, normalised by running averages: plain / BN",
        published="-",
        measure=ratio("plain", "batch_norm", of_units("variation", "running"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="mnist_stable_variation",
    ),
    Claim(
        name="mnist_smooth",
        statement="It moves more smoothly with batch norm: its median is less noisy.",
        source=f"{_HUBER}, on Fig. 1 of Ioffe & Szegedy 2015",
        statistic="standard deviation of a unit's median minus its moving average over 1,000 steps, "
        f"{_FROM}, normalised in batches, median over units: plain / BN",
        published="-",
        measure=ratio("plain", "batch_norm", of_units("roughness"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="mnist_smooth_running",
        statement="As running averages normalise it, in evaluation, it is less noisy with batch norm, too.",
        source="a control of ours: running averages that keep 0.99 lag behind weights that move fast",
        statistic="the same, normalised by running averages: plain / BN",
        published="-",
        measure=ratio("plain", "batch_norm", of_units("roughness", "running"), "ioffe"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="mnist_smooth",
    ),
    Claim(
        name="mnist_huber_early_accuracy",
        statement="In Huber's setting too, the test accuracy is higher with (his) batch norm after 1,000 steps.",
        source=f"{_HUBER}, Fig. 2 and notebook, where it is called training accuracy",
        statistic="test accuracy after 1,000 steps: Huber's BN - plain",
        published="78.6 - 73.6 %, or 5.0 points",
        measure=difference("huber", "plain", at_step("test", 1000), "huber"),
        supported=(0, math.inf),
        format=POINTS,
        arms=_HUBER_COUNTED,
    ),
    Claim(
        name="mnist_huber_accuracy",
        statement="In Huber's setting too, the test accuracy is higher with (his) batch norm at the end, after 10,000 steps.",
        source=f"{_HUBER}, Fig. 2 and notebook",
        statistic="test accuracy after 10,000 steps: Huber's BN - plain",
        published="91.3 - 87.8 %, or 3.5 points",
        measure=difference("huber", "plain", at_step("test", 10_000), "huber"),
        supported=(0, math.inf),
        format=POINTS,
        arms=_HUBER_COUNTED,
    ),
    Claim(
        name="mnist_huber_spread",
        statement="The batch norm of that replication makes the inputs of the sigmoids too wide at first, by the root of the "
        "batch's size less one.",
        source="code of Huber 2020: the variance is divided by the batch's size once too often; Fig. 3",
        statistic="half the distance of the layer's 15th and 85th percentiles after 50 steps; within 10 % of 1.04 times the "
        "root of 59, which normally distributed values would have",
        published="7.9",
        measure=each("huber", first_spread, "huber"),
        supported=(0.9 * 1.0364 * 59**0.5, 1.1 * 1.0364 * 59**0.5),
        arms=("huber/huber",),
        caveat_of="mnist_huber_accuracy",
    ),
    Claim(
        name="mnist_huber_mended",
        statement="Without that mistake, batch norm still has the higher test accuracy in that setting.",
        source="a control of ours",
        statistic="test accuracy after 10,000 steps: BN - plain",
        published="-",
        measure=difference("batch_norm", "plain", at_step("test", 10_000), "huber"),
        supported=(0, math.inf),
        format=POINTS,
        arms=("huber/plain", "huber/batch_norm"),
        caveat_of="mnist_huber_accuracy",
    ),
    Claim(
        name="mnist_huber_smooth",
        statement="In Huber's setting, the distribution over all units moves more smoothly with (his) batch norm.",
        source=f"{_HUBER}, Fig. 3 and 4",
        statistic="standard deviation of the median over images and units minus its moving average over 1,000 steps, "
        f"{_FROM}: plain / Huber's BN",
        published="-",
        measure=ratio("plain", "huber", of_layer("roughness"), "huber"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_HUBER_COUNTED,
    ),
    Claim(
        name="mnist_huber_moves",
        statement="In Huber's setting it is with (his) batch norm that the distribution over all units changes its width.",
        source=f"{_HUBER}, Fig. 3 and 4, read off",
        statistic="largest - smallest half distance of the layer's 15th and 85th percentiles after step 0: Huber's BN / plain",
        published="from 7.9 to 1.9, against almost constant 9.4",
        measure=ratio("huber", "plain", spread_range, "huber"),
        supported=(1, math.inf),
        format=TIMES,
        arms=_HUBER_COUNTED,
        caveat_of="mnist_huber_smooth",
    ),
)

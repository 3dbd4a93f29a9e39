"""What claims measure: a number per run, and how the runs of one arm, or of two, become the values of a claim.

A measure of a run is a function of it. `each`, `ratio` and `difference` make of it what a claim needs, a function of the data:

    measure=ratio("plain", "batch_norm", median_of("probe", loss_range, last=3000))

Runs of the same seed are paired. What a run that diverged counts as is said at each measure; NaN is what cannot be measured,
such as steps that the configuration never reaches.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments import _curves

Run = dict[str, Any]
RunMeasure = Callable[[Run], float]
DataMeasure = Callable[[dict[str, Any]], list[float]]
# Accuracy of a guess: every data set here has ten classes.
CHANCE = 0.1


def each(arm: str, measure: RunMeasure) -> DataMeasure:
    """Measure every run of an arm."""
    return lambda data: [measure(run) for run in data["arms"][arm]]


def difference(arm: str, other: str, measure: RunMeasure) -> DataMeasure:
    """Measure one arm minus another, seed by seed; infinity minus infinity is NaN."""
    return lambda data: [measure(run) - measure(partner) for run, partner in pairs(data, arm, other)]


def ratio(arm: str, other: str, measure: RunMeasure) -> DataMeasure:
    """Measure one arm as a multiple of another, seed by seed."""
    return lambda data: [divide(measure(run), measure(partner)) for run, partner in pairs(data, arm, other)]


def pairs(data: dict[str, Any], arm: str, other: str) -> list[tuple[Run, Run]]:
    """Pair the runs of two arms by their seed; a seed that only one of them has is left out."""
    partners = {run["seed"]: run for run in data["arms"][other]}
    return [(run, partners[run["seed"]]) for run in data["arms"][arm] if run["seed"] in partners]


def divide(numerator: float, denominator: float) -> float:
    """Divide; by zero it is infinite, and 0/0 and infinity by infinity are NaN."""
    if denominator == 0:
        return math.nan if numerator == 0 else math.copysign(math.inf, numerator)
    return math.nan if math.isinf(numerator) and math.isinf(denominator) else numerator / denominator


def median_of(
    kind: str,
    value: str | Callable[[dict], np.ndarray],
    first: float = 0,
    last: float = math.inf,
    if_diverged: float = math.inf,
) -> RunMeasure:
    """Take the median of a curve over the steps from `first` to `last`, both included.

    Args:
        kind: train, test or probe.
        value: name of a curve of that kind, or a function of all of them that returns one number per step.
        first: step at which to begin.
        last: step at which to end.
        if_diverged: what a value counts as that is not finite, and so every value after the run diverged: infinity, for
            quantities that are the better the smaller they are. A run that diverged before the first step has this value.

    Returns:
        A function of a run; NaN where a run that did not diverge has no such step.
    """

    def measure(run: Run) -> float:
        steps, values = curve(run, kind, value)
        chosen = values[(steps >= first) & (steps <= last)]
        if not chosen.size:
            return if_diverged if run["diverged_at"] is not None else math.nan
        return float(np.median(np.where(np.isfinite(chosen), chosen, if_diverged)))

    return measure


def final(kind: str, name: str = "accuracy", window: int = 1, if_diverged: float = CHANCE) -> RunMeasure:
    """Average the last values of a curve; of a run that diverged it is `if_diverged`, the accuracy of a guess."""

    def measure(run: Run) -> float:
        if run["diverged_at"] is not None:
            return if_diverged
        _, values = curve(run, kind, name)
        return float(np.mean(values[-window:])) if values.size else math.nan

    return measure


def at_step(kind: str, step: int, name: str = "accuracy", window: int = 50, if_diverged: float = CHANCE) -> RunMeasure:
    """Average the last `window` values of a curve up to a step; NaN where the curve ends before it.

    Of a run that diverged before that step it is `if_diverged`.
    """

    def measure(run: Run) -> float:
        if run["diverged_at"] is not None and run["diverged_at"] <= step:
            return if_diverged
        steps, values = curve(run, kind, name)
        if not steps.size or steps[-1] + 1 < step:  # the last training step of 5,000 is number 4,999
            return math.nan
        return float(np.mean(values[steps <= step][-window:]))

    return measure


def steps_to(level: float, every: int = 1) -> RunMeasure:
    """Find the first step at which the median of the last 5 logs of training accuracy reaches a level.

    Args:
        level: accuracy, from 0 to 1.
        every: steps between two logs; the paper's are 100 apart.

    Returns:
        A function of a run; infinity where the level is never reached, also because the run diverged.
    """

    def measure(run: Run) -> float:
        steps, values = curve(run, "train", "accuracy")
        steps, values = steps[::every], values[::every]
        if len(values) < 5:
            return math.inf
        medians = np.median(np.lib.stride_tricks.sliding_window_view(values, 5), axis=1)
        reached = steps[4:][medians >= level]
        return float(reached[0]) if reached.size else math.inf

    return measure


def curve(run: Run, kind: str, value: str | Callable[[dict], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and values of a curve; what is not finite is NaN; empty where nothing was recorded."""
    curves = run[kind]
    if not curves or not curves["step"]:
        return np.array([]), np.array([])
    return np.array(curves["step"]), _curves.array(curves[value]) if isinstance(value, str) else value(curves)


def loss_range(probe: dict) -> np.ndarray:
    """Take the largest minus the smallest loss of each scan."""
    return _curves.highest_loss(probe) - _curves.lowest_loss(probe)

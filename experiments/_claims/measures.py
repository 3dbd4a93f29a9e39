"""What claims measure: a number per run, and how the runs of one arm, or of two, become the values of a claim.

A measure of a run is a function of it. `each`, `ratio` and `difference` make of it what a claim needs, a function of the data:

    measure=ratio("plain", "batch_norm", median_of("landscape", loss_range, last=3000))

Runs of the same seed are paired. What a run that diverged counts as is said at each measure; NaN is what cannot be measured,
such as steps that the configuration never reaches.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims.claim import AtLeast, AtMost, Bound
from experiments._numbers import curves

Run = dict[str, Any]
RunMeasure = Callable[[Run], float]
# Name of a curve, or a function of all curves of a kind that returns one number per step.
Value = str | Callable[[dict], np.ndarray]
DataMeasure = Callable[[dict[str, Any]], list[float]]
# Accuracy of a guess: every data set here has ten classes.
CHANCE = 0.1


def each(arm: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Measure every run of an arm."""
    return lambda data: [measure(run) for run in data[group][arm]]


def difference(arm: str, other: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Measure one arm minus another, seed by seed; infinity minus infinity is NaN."""
    return lambda data: [
        measure(run) - measure(partner) for run, partner in pairs(data[group][arm], data[group][other])
    ]


def ratio(arm: str, other: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Measure one arm as a multiple of another, seed by seed."""
    return lambda data: [
        divide(measure(run), measure(partner)) for run, partner in pairs(data[group][arm], data[group][other])
    ]


def pairs(runs: list[Run], others: list[Run]) -> list[tuple[Run, Run]]:
    """Pair the runs of two arms by their seed; a seed that only one of them has is left out."""
    partners = {run["seed"]: run for run in others}
    return [(run, partners[run["seed"]]) for run in runs if run["seed"] in partners]


def divide(numerator: float, denominator: float) -> float:
    """Divide; by zero it is infinite, and 0/0 and infinity by infinity are NaN, and so is what two bounds leave open."""
    if isinstance(numerator, Bound) or isinstance(denominator, Bound):
        return _divide_bounds(numerator, denominator)
    if denominator == 0:
        return math.nan if numerator == 0 else math.copysign(math.inf, numerator)
    return math.nan if math.isinf(numerator) and math.isinf(denominator) else numerator / denominator


def _divide_bounds(numerator: float, denominator: float) -> float:
    """Divide numbers that are not negative, where of one at least only a bound is known."""
    if isinstance(numerator, Bound) and isinstance(denominator, Bound):
        return math.nan
    is_larger = isinstance(numerator, AtLeast) or isinstance(denominator, AtMost)
    return (AtLeast if is_larger else AtMost)(divide(float(numerator), float(denominator)))


def median_of(
    kind: str,
    value: Value,
    first: float = 0,
    last: float = math.inf,
    final_share: float = 1.0,
    if_diverged: float = math.inf,
) -> RunMeasure:
    """Take the median of a curve over the steps from `first` to `last`, both included.

    Args:
        kind: train, test, or the name of a probe.
        value: name of a curve of that kind, or a function of all of them that returns one number per step.
        first: step at which to begin.
        last: step at which to end.
        final_share: of these steps, how many at the end are taken.
        if_diverged: what a value counts as that is not finite, and so every value after the run diverged: infinity, for
            quantities that are the better the smaller they are. A run that diverged before the first step has this value.

    Returns:
        A function of a run; NaN where a run that did not diverge has no such step.
    """

    def measure(run: Run) -> float:
        steps, values = curve(run, kind, value)
        chosen = values[(steps >= first) & (steps <= last)]
        chosen = chosen[len(chosen) - math.ceil(final_share * len(chosen)) :]
        if not chosen.size:
            return if_diverged if run["diverged_at"] is not None else math.nan
        return float(np.median(np.where(np.isfinite(chosen), chosen, if_diverged)))

    return measure


def final(kind: str, name: Value = "accuracy", num_steps: int = 1, if_diverged: float = CHANCE) -> RunMeasure:
    """Average a curve over its last steps; of a run that diverged it is `if_diverged`, the accuracy of a guess."""

    def measure(run: Run) -> float:
        if run["diverged_at"] is not None:
            return if_diverged
        ends, values = ends_of(run, kind, name)
        return _average(ends, values, ends[-1], num_steps) if ends.size else math.nan

    return measure


def at_step(
    kind: str, step: int, name: Value = "accuracy", num_steps: int = 50, if_diverged: float = CHANCE
) -> RunMeasure:
    """Average a curve over the last `num_steps` up to a step, or take the last value; NaN where the curve ends before.

    Of a run that diverged before that step it is `if_diverged`.
    """

    def measure(run: Run) -> float:
        if run["diverged_at"] is not None and run["diverged_at"] <= step:
            return if_diverged
        ends, values = ends_of(run, kind, name)
        return _average(ends, values, step, num_steps) if ends.size and ends[-1] >= step else math.nan

    return measure


def highest(kind: str, name: Value = "accuracy", if_diverged: float = CHANCE) -> RunMeasure:
    """Find a curve's largest value; of a run that diverged before it had any it is `if_diverged`."""

    def measure(run: Run) -> float:
        _, values = curve(run, kind, name)
        return float(max(values, default=math.nan if run["diverged_at"] is None else if_diverged))

    return measure


def steps_to(level: float, every: int = 1, within: int = 0) -> RunMeasure:
    """Count the steps until the median of the last 5 logs of training accuracy reaches a level.

    Args:
        level: accuracy, from 0 to 1.
        every: least number of steps between two logs, each of which is the mean of the steps that a point of the curve stands
            for; the paper's logs are 100 apart, and of one step.
        within: a run of fewer steps that does not reach the level, and does not diverge, tells nothing: NaN.

    Returns:
        A function of a run; `AtLeast` its steps where it has not reached the level, and infinity where it diverged before.
    """

    def measure(run: Run) -> float:
        ends, values = ends_of(run, "train", "accuracy")
        is_short = not ends.size or ends[-1] < within
        never = math.inf if run["diverged_at"] is not None else math.nan if is_short else AtLeast(ends[-1])
        stride = max(1, every // _window(run, "train"))
        ends, values = ends[::stride], values[::stride]
        if len(values) < 5:
            return never
        medians = np.median(np.lib.stride_tricks.sliding_window_view(values, 5), axis=1)
        reached = ends[4:][medians >= level]
        return float(reached[0]) if reached.size else never

    return measure


def where_trained(num_steps: int, measure: RunMeasure) -> RunMeasure:
    """Measure runs that were to take so many steps; it is NaN of those that were not."""

    def measured(run: dict) -> float:
        ends, _ = ends_of(run, "train", "loss")
        is_long = run["diverged_at"] is not None or (ends.size and ends[-1] >= num_steps)
        return measure(run) if is_long else math.nan

    return measured


def curve(run: Run, kind: str, value: Value) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and values of a curve; what is not finite is NaN; empty where nothing was recorded."""
    found = run[kind]
    if not found.get("step"):
        return np.array([]), np.array([])
    return np.array(found["step"]), curves.array(found[value]) if isinstance(value, str) else value(found)


def ends_of(run: Run, kind: str, value: Value) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve with the number of steps that had been taken when each value was complete."""
    steps, values = curve(run, kind, value)
    return steps + _window(run, kind), values


def _window(run: Run, kind: str) -> int:
    """Count the training steps of which a point of a curve is the mean; what is not of training is of one moment, 0 steps."""
    return run[kind].get("window", 1) if kind == "train" else 0


def _average(ends: np.ndarray, values: np.ndarray, step: float, num_steps: int) -> float:
    """Average what belongs to the last steps up to one, at least one value; NaN where there is none."""
    chosen = (ends <= step) & (ends > step - num_steps)
    chosen = chosen if chosen.any() else ends == ends[ends <= step].max(initial=-1)
    return float(np.mean(values[chosen])) if chosen.any() else math.nan


def edge_of_stability(config: dict[str, Any]) -> float:
    """Return 2 / learning rate, the curvature beyond which gradient descent is unstable; of Adam it is not known, NaN."""
    return math.nan if config.get("optimizer") == "adam" else 2 / config["learning_rate"]


def in_edges(arm: str, measure: RunMeasure, group: str = "arms", net: str = "vgg") -> DataMeasure:
    """Measure every run of an arm in units of the edge of stability of its kind of net."""
    return lambda data: [x / edge_of_stability(data["config"][net]) for x in each(arm, measure, group)(data)]


def loss_range(probe: dict) -> np.ndarray:
    """Take the largest minus the smallest loss of each scan."""
    return curves.highest_loss(probe) - curves.lowest_loss(probe)


def nets(setting: str, group: str = "arms") -> tuple[str, str]:
    """Name the arms of a setting: with batch norm, and without."""
    return f"{group}/batch_norm_{setting}", f"{group}/plain_{setting}"


def shift(layer: int, name: str = "difference", **steps: Any) -> RunMeasure:
    """Take the median of a layer's covariate shift over some steps; a cosine that is not there is not known."""
    missing = {"if_diverged": math.nan} if name == "cosine" else {}
    return median_of("shift", curves.of_layer(f"layer_{layer}", name), **steps, **missing)


def times(setting: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Measure the net with batch norm of a setting as a multiple of the one without, seed by seed."""
    return ratio(f"batch_norm_{setting}", f"plain_{setting}", measure, group)

"""How fast and how well nets learn: a few numbers per net, each the median over its seeds."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments._claims import measures
from experiments._claims.claim import AtLeast

Run = dict[str, Any]


class Range(NamedTuple):
    """A number per seed: the smallest, the median and the largest, NaN where there is none."""

    low: float
    middle: float
    high: float


def _has_recalibrated(run: Run) -> bool:
    """Tell whether a run was tested a second time."""
    return "recalibrated_accuracy" in run["test"]


def _recalibrated(run: Run) -> float:
    """Take the last test with recalibrated statistics; NaN of a run that has none and did not diverge."""
    is_known = _has_recalibrated(run) or run["diverged_at"] is not None
    return measures.final("test", "recalibrated_accuracy")(run) if is_known else math.nan


def _steps_to(level: float) -> Callable[[Run], float]:
    """Count the steps to a training accuracy; infinitely many where a run has not come to it."""
    measure = measures.steps_to(level)

    def measured(run: Run) -> float:
        found = measure(run)
        return math.inf if isinstance(found, AtLeast) else found

    return measured


# Median of 5 points of the training curve; the last 50 steps; the last and the best of all tests; the last one once more.
MEASURES: dict[str, Callable[[Run], float]] = {
    "steps to 50 %": _steps_to(0.5),
    "steps to 80 %": _steps_to(0.8),
    "train": measures.final("train", "accuracy", 50),
    "test": measures.final("test"),
    "best test": measures.highest("test"),
    "recalibrated": _recalibrated,
}


def over_runs(runs: list[Run], measure: Callable[[Run], float]) -> Range:
    """Measure every run; infinity is a number like others."""
    values = [value for value in map(measure, runs) if not math.isnan(value)]
    return Range(min(values), float(np.median(values)), max(values)) if values else Range(*[math.nan] * 3)


def table(arms: Mapping[str, list[Run]]) -> list[str]:
    """Write a row for each net, medians over seeds, and below what a column means that is not always there.

    Args:
        arms: the runs of each net, by what the table calls it.
    """
    width = max(map(len, arms)) + 2
    again = any(_has_recalibrated(run) for runs in arms.values() for run in runs)
    shown = {title: measure for title, measure in MEASURES.items() if again or title != "recalibrated"}
    rows = [f"{'':{width}}" + "".join(f"{title:>15}" for title in shown)]
    for name, runs in arms.items():
        values = [over_runs(runs, measure).middle for measure in shown.values()]
        cells = [steps(x) if "steps" in title else percent(x) for title, x in zip(shown, values, strict=True)]
        rows.append(f"{name:{width}}" + "".join(f"{cell:>15}" for cell in cells))
    return [
        *rows,
        *["Recalibrated: the last test once more, with statistics taken anew from training examples."] * again,
    ]


def steps(value: float) -> str:
    """Write a number of steps; infinitely many are more than were taken."""
    return "-" if math.isnan(value) else "not reached" if math.isinf(value) else f"{value:,.0f}"


def percent(value: float) -> str:
    """Write a share."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"

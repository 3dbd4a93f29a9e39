"""A quantity at every step, over the seeds of a net."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Runs, recorded

MANY = 8  # runs: the outermost of this many say little about the others


class Curve(NamedTuple):
    """A quantity at some steps: a low, the middle and a high quantile over seeds, (steps,) each."""

    step: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def levels(num_runs: int) -> tuple[float, float, float]:
    """Choose the quantiles of a band and its line: the quartiles of many runs, or the smallest and largest of few."""
    return (0.25, 0.5, 0.75) if num_runs >= MANY else (0.0, 0.5, 1.0)


def over_seeds(
    runs: Runs, quantity: Quantity, smooth: Callable[[np.ndarray], np.ndarray] = lambda values: values
) -> Curve:
    """Join the runs of a net; a diverged run counts up to its last step, and non-finite values are ignored.

    Args:
        runs: one per seed.
        quantity: a recorded quantity.
        smooth: is applied to the values of each run first.

    If the data file keeps only quartiles of the runs, these are returned, and nothing is smoothed.
    """
    known = runs[0].get("quartiles", {}).get(quantity.words) if runs else None
    if known is not None:
        return Curve(*(np.array(known[name]) for name in Curve._fields))
    at: dict[int, list[float]] = {}
    for run in runs:
        steps, values = quantity.curve(run)
        for step, value in zip(steps.tolist(), smooth(values) if len(values) else values, strict=True):
            if np.isfinite(value):
                at.setdefault(step, []).append(value)
    steps = np.array(sorted(at))
    counts = np.array([len(at[step]) for step in steps])
    quantiles = np.empty((3, len(steps)))
    for count in np.unique(counts):
        chosen = counts == count
        quantiles[:, chosen] = np.quantile([at[step] for step in steps[chosen]], levels(len(runs)), axis=1)
    return Curve(steps, *quantiles)


def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Average each value with up to `window` - 1 values before it."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    first = np.maximum(np.arange(len(values)) - window + 1, 0)
    return (total[1:] - total[first]) / (np.arange(len(values)) - first + 1)


def num_points(runs: Runs, num_steps: int) -> int:
    """Return the number of points on the runs' training curves that correspond to a number of steps."""
    return max(1, num_steps // recorded(runs[0], "train").get("window", 1)) if runs else 1

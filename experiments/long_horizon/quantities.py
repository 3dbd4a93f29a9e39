"""Quantities some steps ahead. The first measurement, at initialisation, is left out."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Data, Recorded, Run, array, recorded
from experiments._evidence.statistic import NotInDataError, Statistic
from experiments._evidence.value import median

LEAST = 1e-3  # height relative to the loss below which there is no barrier
FIRST = 1  # step from which measurements count
FAR, MIDDLE, NEXT = 100, 10, 1  # steps ahead that claims are about
_AHEAD = "1 step ahead", "{} steps ahead"


class Ahead(NamedTuple):
    """A quantity at each number of steps ahead.

    Attributes:
        of: maps a run's record to an array, (measurements, numbers of steps).
        words: its description.
        format: unit and digits.
        if_diverged: see `Quantity`.
    """

    of: Callable[[Recorded], np.ndarray]
    words: str
    format: Format = Format()
    if_diverged: float = math.inf


def _relative(name: str) -> Callable[[Recorded], np.ndarray]:
    """Divide by the loss at the start."""
    return lambda record: array(record[name]) / array(record["start_loss"])[:, None]


def _stale(record: Recorded) -> np.ndarray:
    """Return the share of a barrier that fresh statistics remove; NaN where there is no barrier."""
    mixed, fresh = (_relative(f"barrier_{name}")(record) for name in ("mixed", "recalibrated"))
    return 1 - fresh / np.where(mixed > LEAST, mixed, np.nan)


_BARRIER = "loss barrier on the way to the weights ahead, in units of the loss,"
QUANTITIES: dict[str, Ahead] = {
    "frozen": Ahead(
        _relative("frozen_loss"), "loss as many learning rates along the frozen gradient, over that before", TIMES
    ),
    "path": Ahead(_relative("path_loss"), "loss after as many training steps, over that before", TIMES),
    "cosine": Ahead(
        lambda record: array(record["cosine"]), "cosine of the gradients now and then", Format("z.2f"), math.nan
    ),
    "largest": Ahead(
        lambda record: array(record["largest_smoothness"]), "largest change of the gradient per distance, step by step"
    ),
    "mean": Ahead(
        lambda record: array(record["mean_smoothness"]), "mean change of the gradient per distance, step by step"
    ),
    "recalibrated": Ahead(_relative("barrier_recalibrated"), f"{_BARRIER} with fresh statistics", PERCENT),
    "mixed": Ahead(_relative("barrier_mixed"), f"{_BARRIER} with interpolated running statistics", PERCENT),
    "start": Ahead(_relative("barrier_start"), f"{_BARRIER} with the running statistics of the start", PERCENT),
    "end": Ahead(_relative("barrier_end"), f"{_BARRIER} with the running statistics of the end", PERCENT),
    "stale": Ahead(_stale, "share of the barrier that fresh statistics remove", PERCENT, math.nan),
}


@cache
def ahead(name: str, place: int, steps: int) -> Quantity:
    """Return a quantity at a number of steps ahead; `place` is its index among them."""
    found = QUANTITIES[name]
    words = f"{found.words}, {_AHEAD[steps != 1].format(steps)}"
    return Quantity("horizon", lambda record: found.of(record)[:, place], words, found.format, found.if_diverged)


def steps_ahead(data: Data) -> list[int]:
    """List the numbers of steps ahead in the data."""
    return [*data["config"]["probes"]["horizon"]["steps_ahead"]]


def at(name: str, steps: int, build: Callable[[Quantity], Statistic]) -> Statistic:
    """Build a statistic of a quantity at a number of steps ahead, wherever the data include that number."""

    def of(data: Data) -> Any:
        known = steps_ahead(data)
        if steps not in known:
            raise NotInDataError(f"needs measurements {_AHEAD[steps != 1].format(steps)}")
        return build(ahead(name, known.index(steps), steps)).of(data)

    return replace(build(ahead(name, 0, steps)), of=of)


def by_steps(run: Run, name: str) -> np.ndarray:
    """Return the median of a quantity from step `FIRST` on, (numbers of steps,); empty if there are no measurements."""
    record = recorded(run, "horizon")
    counted = np.array(record.get("step", [])) >= FIRST
    return np.array([*map(median, QUANTITIES[name].of(record)[counted].T)]) if counted.any() else np.array([])


SHARPNESS = Quantity("batch_sharpness", "sharpness", "batch sharpness", if_diverged=math.nan)


def in_edges(rate: float) -> Quantity:
    """Return the batch sharpness in units of 2 / learning rate, the stability limit of gradient descent."""
    words = f"batch sharpness, in units of 2 / {rate:g}, the learning rate"
    return replace(SHARPNESS, value=lambda record: array(record["sharpness"]) * rate / 2, words=words, format=TIMES)

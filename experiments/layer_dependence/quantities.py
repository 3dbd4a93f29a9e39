"""Quantities of the dependence between layers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Data, Recorded, Run, array, recorded
from experiments._evidence.statistic import NotInDataError, Statistic
from experiments._evidence.value import median

RATE, RELATIVE = 1.0, 3e-3  # step sizes in claims: a multiple of the learning rate, and relative to the weights
UNRESOLVED = 0.1  # rounding error above which R counts as unknown
PLACES: Mapping[str, str] = {
    "unnormalised": "before the normaliser",
    "preactivations": "after the normaliser",
    "activations": "after the activation",
}
STEPS: Mapping[str, str] = {
    "step_multiples": "at a step of {:g} times the learning rate",
    "relative_steps": "at a step of {:g} times the length of all parameters",
}


def column(data: Data, kind: str, size: float) -> int:
    """Return the index of a step size among those in the data; `kind` is the name of the probe's field that lists it.

    Raises:
        NotInDataError: if it was not measured.
    """
    settings = data["config"]["probes"]["layer_dependence"]
    if size not in settings[kind]:
        raise NotInDataError(f"needs R {STEPS[kind].format(size)}")
    return [*settings[kind]].index(size) + (len(settings["step_multiples"]) if kind == "relative_steps" else 0)


@cache
def interaction(place: int, kind: str, size: float, name: str = "ratio") -> Quantity:
    """Return |R|, or its second-order approximation, at a step size; NaN where losses are too coarse for it."""

    def values(record: Recorded) -> np.ndarray:
        found, rounding = (np.abs(array(record[which])[:, place]) for which in (name, "rounding"))
        return np.where(rounding < UNRESOLVED, found, np.nan)

    words = f"|R|{' to the second order' * (name != 'ratio')} {STEPS[kind].format(size)}"
    return Quantity("layer_dependence", values, words, Format(unit="of the first-order change"), math.nan)


def at_step(build: Callable[[Quantity], Statistic], kind: str, size: float, name: str = "ratio") -> Statistic:
    """Build a statistic of |R| at a step size, wherever the data list it."""

    def of(data: Data) -> Any:
        return build(interaction(column(data, kind, size), kind, size, name)).of(data)

    return replace(build(interaction(0, kind, size, name)), of=of)


SHARE = Quantity(
    "layer_dependence", "share", "share of the second-order terms that is between layers", PERCENT, math.nan
)


@cache
def blocks(layer: int) -> Quantity:
    """Return the share of blocks with other layers in the sum of the norms of a layer's Hessian blocks."""

    def values(record: Recorded) -> np.ndarray:
        norms = np.sqrt(array(record["block_squares"]))
        return 1 - norms[:, layer - 1] / norms.sum(axis=1)

    words = "share of the norms of a middle layer's blocks of the Hessian that is with other layers"
    return Quantity("layer_dependence", values, words, PERCENT, math.nan)


def of_blocks(build: Callable[[Quantity], Statistic]) -> Statistic:
    """Build a statistic of the Hessian blocks of the layer configured in the data."""

    def of(data: Data) -> Any:
        return build(blocks(data["config"]["probes"]["layer_dependence"]["layer"])).of(data)

    return replace(build(blocks(1)), of=of)


@cache
def control(place: str, name: str) -> Quantity:
    """Return how far updates move the moments of units, the median over hidden layers."""
    words, form = {
        "earlier_gain": ("change of units' moments per step of earlier layers", Format()),
        "relative_gain": ("relative change of units' moments per relative step of earlier layers", TIMES),
        "earlier_share": ("earlier layers' part of the change of units' moments", PERCENT),
    }[name]
    return Quantity(
        "moment_control",
        lambda record: np.array([median(row) for row in array(record[f"{place}_{name}"])]),
        f"{words}, {PLACES[place]}, median over hidden layers",
        form,
        math.nan,
    )


def by_layer(run: Run, name: str) -> np.ndarray:
    """Return the median of a gain over training, (layers,), with NaN for layer 1, where it is unknown."""
    values = array(recorded(run, "moment_control").get(name, []))
    return np.array([math.nan, *map(median, values.T)]) if values.size else np.array([])


def split(run: Run, place: int) -> np.ndarray:
    """Return one of the kept matrices of shares, by its index over training; empty if there are none."""
    kept = recorded(run, "layer_dependence").get("split", {}).get("shares", [])
    return array(kept[min(place, len(kept) - 1)]) if kept else np.array([])

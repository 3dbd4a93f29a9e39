"""Quantities of scales and biases: the size of scales, absolute and in units of sigma, and gains by depth."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format, listing
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    LOSS_RANGE,
    RECALIBRATED_ACCURACY,
    SMOOTHNESS,
    TEST_ACCURACY,
)
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, Recorded, Run, array, layer_number, recorded
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join, largest, smallest
from experiments._evidence.value import median
from experiments._nets import NETS
from experiments.scale_and_bias import depth, initial

TEST, RECALIBRATED = TEST_ACCURACY.at_end(), RECALIBRATED_ACCURACY.at_end()
# Quantities of the landscape, keyed by name in tables; smaller is smoother.
LANDSCAPE: Mapping[str, Quantity] = {
    "loss range": LOSS_RANGE,
    "gradient change": GRADIENT_CHANGE,
    "smoothness": SMOOTHNESS,
}


def _over_layers(
    name: str, reduce: Callable[[np.ndarray, np.ndarray], np.ndarray], words: str, form: Format
) -> Quantity:
    """Reduce the records of all layers, (layers, measurements), to a number per measurement; empty without layers."""

    def values(record: Recorded) -> np.ndarray:
        layers = record["layers"].values()
        rows, units = (array([layer[each] for layer in layers]) for each in (name, "units"))
        return reduce(rows, units) if rows.size else np.array([])

    return Quantity("scales", values, words, form, if_diverged=np.nan)


def _mean_over_units(rows: np.ndarray, units: np.ndarray) -> np.ndarray:
    return (rows * units).sum(axis=0) / units.sum(axis=0)


def _median_of_layers(rows: np.ndarray, _units: np.ndarray) -> np.ndarray:
    return np.array([median(column) for column in rows.T.tolist()])


SMALL = _over_layers("small", _mean_over_units, "share of units with |scale| < 0.01", PERCENT)
SCALE = _over_layers("scale", _median_of_layers, "median |scale|, median of layers", Format())
RATIO = _over_layers("ratio", _median_of_layers, "median |scale| / sigma, median of layers", TIMES)


def by_layer(name: str, at: int) -> Callable[[Run], np.ndarray]:
    """Return a function that reads a run's record of each layer's scales at one measurement, (layers,).

    Args:
        name: of the recorded quantity.
        at: the measurement, 0 for the first one and -1 for the last.
    """

    def of(run: Run) -> np.ndarray:
        layers = recorded(run, "scales").get("layers", {})
        return array([layers[layer][name][at] for layer in sorted(layers, key=layer_number)])

    return of


def scales_of(data: Data, field: str = "scales") -> list[float]:
    """List the initial scales, or the fixed ones, ascending."""
    return sorted(data["config"][field])


def blocks_of(data: Data) -> list[int]:
    """List the residual blocks in a stage, ascending."""
    return sorted(data["config"]["blocks"])


def gain_by_depth(measure: Measure) -> Statistic:
    """Return a measure of the deepest minus the shallowest residual network, with only scale and bias trained."""
    return _by_depth(measure, lambda values: values[-1] - values[0], "deepest - shallowest ResNet")


def smallest_gain_by_depth(measure: Measure) -> Statistic:
    """Return the smallest difference of a measure between a residual network and the next shallower one."""
    return _by_depth(
        measure, lambda values: min(np.diff(values)), "smallest gain from one ResNet to the next deeper one"
    )


def of_shallowest(measure: Measure) -> Statistic:
    """Return a measure of the shallowest residual network, with only scale and bias trained."""
    return _by_depth(measure, lambda values: values[0], "shallowest ResNet")


def _by_depth(measure: Measure, reduce: Callable[[Any], float], who: str) -> Statistic:
    """Reduce a measure of the residual networks, from the shallowest to the deepest, to a number, seed by seed."""

    def of(data: Data) -> BySeed:
        each = [measure.each("norms_only", depth(blocks), "resnet") for blocks in blocks_of(data)]
        return join(each, lambda *values: float(reduce(values))).of(data)

    def arms(data: Data) -> list[str]:
        if "blocks" not in data.get("config", {}):
            raise NotInDataError("these data have no residual networks")
        return [f"resnet/{depth(blocks).arm('norms_only')}" for blocks in blocks_of(data)]

    form = measure.format if who == "shallowest ResNet" else measure.format.of_difference
    return Statistic(of, measure.words, f"{who}, scale and bias alone", (arms,), form, measure.until, _depths)


def _depths(data: Data) -> str:
    """Name the depths of the residual networks."""
    return f"depths of {listing([str(6 * blocks + 2) for blocks in blocks_of(data)])} layers"


def at_scale(measure: Measure, scale: float, net: str = "batch_norm") -> Statistic:
    """Measure the net of an initial scale, or of a fixed one."""
    return measure.each(net, initial(scale))


def order_of_scales(measure: Measure, *scales: float) -> Statistic:
    """Return the smallest ratio of a measure between an initial scale and the next smaller one."""
    pairs = pairwise(scales)
    return smallest(*(at_scale(measure, high) / at_scale(measure, low) for low, high in pairs))


def spread_of_scales(measure: Measure, net: str, *scales: float) -> Statistic:
    """Return the largest minus the smallest of a measure over nets of several scales."""
    each = [at_scale(measure, scale, net) for scale in scales]
    found = largest(*each) - smallest(*each)
    what = f"largest - smallest {measure.words}, scales {', '.join(f'{scale:g}' for scale in scales)}"
    return Statistic(found.of, what, NETS[net].short, found.arms, found.format, found.until)

"""Quantities of two copies of a net that take the same steps, and of the gradients of their layers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Run, array, recorded
from experiments._evidence.statistic import Statistic
from experiments._evidence.value import Missing
from experiments._nets import UNNAMED, Setting

SMALL = Format("z.2g")
EPSILON = Setting("epsilon", "epsilon 1e-5")
CONSTANT = Setting("constant", "the learning rate kept instead")
MOMENTUM = Setting("momentum", "with momentum")
ALL = Setting("all", "L2 penalty on all parameters")

DIFFERENCE = Quantity(
    "pair", "difference", "largest distance between both copies' weights, each over its length", SMALL, math.nan
)
LENGTHS = {
    name: Quantity("pair", name, "length of the first layer's weights", if_diverged=math.nan)
    for name in ("length_penalty", "length_instead")
}
COSINE, SCALING, GROWTH = (
    "|cosine| of gradient and weights",
    "|3 g(3 w) - g(w)| / |g(w)|",
    "|growth of |w|² / sum of rate² |g|² - 1|",
)
_NAMES = {COSINE: "cosine", SCALING: "scaling", GROWTH: "growth"}


def by_layer(words: str) -> Callable[[Run], np.ndarray]:
    """Return a function that reads a quantity of each layer of a run; empty if it was not measured."""
    return lambda run: array(recorded(run, "layers").get(_NAMES[words], []))


def over_layers(words: str, choose: Callable[[Any], Any] = np.max) -> Measure:
    """Measure the layer in which a quantity is the largest, by `np.max`, or the smallest, by `np.min`."""

    def of(run: Run) -> float:
        values = by_layer(words)(run)
        if not values.size:
            return Missing(f"not measured: {words}")
        return float(choose(values)) if np.isfinite(values).all() else Missing(f"not finite: {words}")

    return Measure(of, f"{words}, {'largest' if choose is np.max else 'smallest'} of all layers", SMALL)


def each(measure: Measure, net: str, at: Setting = UNNAMED) -> Statistic:
    """Measure every draw of a net; its set-up names batch, learning rate and penalty."""
    return replace(measure.each(net, at), part=lambda data: _part(data["config"]))


def _part(config: Mapping[str, Any]) -> str:
    batch, rate, penalty = (config[name] for name in ("batch_size", "learning_rate", "weight_decay"))
    return f"SGD, learning rate {rate:g}, L2 penalty {penalty:g}, batch {batch}, float64"

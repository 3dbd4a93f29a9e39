"""The quantities that several experiments share, each defined once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from experiments._evidence.format import PERCENT, Format
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import array
from experiments._evidence.value import Missing

CHANCE = 0.1  # accuracy of a guess: every data set here has ten classes

TRAIN_ACCURACY = Quantity("train", "accuracy", "training accuracy", PERCENT, CHANCE)
TEST_ACCURACY = Quantity("test", "accuracy", "test accuracy", PERCENT, CHANCE)
RECALIBRATED_ACCURACY = Quantity("test", "recalibrated_accuracy", "recalibrated test accuracy", PERCENT, CHANCE)
TRAIN_LOSS = Quantity("train", "loss", "training loss")
TEST_LOSS = Quantity("test", "loss", "test loss", Format(unit="nats"))


def scan(name: str, reduce: Callable[..., Any], words: str) -> Quantity:
    """Return a quantity of scans along the gradient: a reduction over the points of each scan."""
    return Quantity("landscape", lambda scans: reduce(array(scans[name]), axis=1), words)


LOWEST_LOSS = scan("loss", np.min, "smallest loss of a scan")
HIGHEST_LOSS = scan("loss", np.max, "largest loss of a scan")
LOSS_RANGE = scan("loss", np.ptp, "largest - smallest loss of a scan")
LEAST_CHANGE = scan("gradient_distance", np.min, "smallest l2 change of the gradient in a scan")
# Gradient predictiveness: the smaller, the better the gradient at the start predicts that of the other points.
GRADIENT_CHANGE = scan("gradient_distance", np.max, "largest l2 change of the gradient in a scan")
GRADIENT_NORM = Quantity("landscape", "gradient_norm", "l2 norm of the gradient by all parameters")
SMOOTHNESS = scan("smoothness", np.max, "effective smoothness")


def change_at(point: int) -> Quantity:
    """Return the change of the gradient at one point of each scan; points are counted from the smallest step on."""
    words = f"l2 change of the gradient at point {point} of a scan"
    return Quantity("landscape", lambda scans: array(scans["gradient_distance"])[:, point], words)


def along_random(quantity: Quantity) -> Quantity:
    """Return a quantity of scans along random directions."""
    return replace(quantity, kind="random_direction", words=f"{quantity.words} along a random direction")


def of_layer(kind: str, layer: str, name: str, words: str, **fields: Any) -> Quantity:
    """Return a quantity of one layer; `fields` are further fields of `Quantity`."""
    words = f"{words}, {layer.replace('_', ' ')}"
    return Quantity(kind, lambda record: array(record["layers"][layer][name]), words, **fields)


# Definition 2.1 of Santurkar et al. 2018: G is the gradient by a layer's weights, and G' the one after the layers before it
# have taken their step.
SHIFT: Mapping[str, str] = {
    "difference": "|G - G'|",
    "relative_difference": "|G - G'| / |G|",
    "cosine": "cosine of G and G'",
}
# The cosine of a run that diverged is not known.
SHIFT_FIELDS: Mapping[str, dict[str, Any]] = {"cosine": {"format": Format("+z.3f"), "if_diverged": math.nan}}


def shift(layer: int, name: str = "difference", **fields: Any) -> Quantity:
    """Return a quantity of one layer's covariate shift; `fields` are further fields of `Quantity`."""
    return of_layer("shift", f"layer_{layer}", name, SHIFT[name], **SHIFT_FIELDS.get(name, {}) | fields)


def second_net(name: str = "difference", which: str = "step") -> Quantity:
    """Compare with G' of a second net with random classifier, after the step or, as a control (zero_step), without it.

    Mameli's repository measures covariate shift in this way. G and G' are as in `SHIFT`; the layer is 5 in all presets.
    """
    words = f"{SHIFT[name]}, layer 5, G' of a second net{' without the step' * (which == 'zero_step')}"
    return Quantity("dummy_shift", f"{which}_{name}", words, **SHIFT_FIELDS.get(name, {}))


# The share of this measure that is there before any layer has moved.
SECOND_NET_FLOOR = second_net(which="zero_step").median() / second_net().median()


def size(cosine: Quantity) -> Quantity:
    """Return the absolute value of a cosine."""
    return replace(cosine, value=lambda record: abs(cosine.values(record)), words=f"|{cosine.words}|")


# The gradients g' and g of successive batches, as Mameli compares them, and the same in units of their lengths.
SUCCESSIVE: Mapping[str, str] = {
    "step_sum": "|g + g'|",
    "norm": "|g|",
    "previous_norm": "|g'|",
    "step_distance": "|g - g'|",
    "relative_sum": "|g + g'| / (|g| + |g'|)",
    "step_cosine": "cosine of g and g'",
}


def successive(name: str, layer: str) -> Quantity:
    """Return a quantity of the gradients of successive batches by one layer's weights."""
    if_diverged = (
        math.nan if name in ("relative_sum", "step_cosine") else math.inf
    )  # divergence says nothing about directions
    words = f"{SUCCESSIVE[name]} of the gradients of successive batches"
    return of_layer("successive_gradients", layer, name, words, if_diverged=if_diverged)


# The landscape, as Mameli's repository defines it, and the change of the loss in units of the loss.
LOSS_AND_CHANGE = Quantity(
    "train",
    lambda train: array(train["loss"]) + array(train["loss_change"]),
    "L + |L - L before| of successive batches",
)
RELATIVE_CHANGE = Quantity(
    "train",
    lambda train: array(train["loss_change"]) / array(train["loss"]),
    "|L - L before| / L of successive batches",
    if_diverged=math.nan,
)


def edge_of_stability(config: Mapping[str, Any]) -> float:
    """Return 2 / learning rate, the curvature beyond which gradient descent is unstable; `Missing` for Adam."""
    is_known = config["optimizer"]["name"] != "adam"
    return 2 / config["optimizer"]["learning_rate"] if is_known else Missing("2 / learning rate is not known here")

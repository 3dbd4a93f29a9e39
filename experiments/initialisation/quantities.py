"""Quantities of each net at initialisation, and how they change with its width.

A run is one draw. Its `widths` are lists over the widths of a net, its `layers` lists over the layers kept of the narrowest
net, its `blocks` lists over residual blocks, and its `loss` the terms of a loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bnjax.models.shapes import VGGShape
from experiments._evidence.format import TIMES, Format
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Run, array, recorded
from experiments._evidence.statistic import Statistic
from experiments._evidence.value import Missing
from experiments._nets import UNNAMED, Setting

DIRECTIONS = Format("z#.3g", "directions")
PLAIN = Format("z.3g")
LINEAR, RELU = Setting("linear", "linear"), Setting("relu", "ReLU")
FIXED = Setting("fixed", "fixed number of examples")

RANK, OTHERS, ODD = (
    "soft rank of the last layer",
    "mean cosine of two examples in the last layer, without the odd one",
    "mean |cosine| of the odd example and another one in the last layer",
)
GAP, FIRST_GAP, SETTLED_GAP = (
    "orthogonality gap, mean of all layers",
    "orthogonality gap of the first layer",
    "orthogonality gap, mean of the layers after 20",
)
EIGENVALUE = "largest eigenvalue of the Fisher matrix"
_NAMES = {RANK: "rank", OTHERS: "others", ODD: "odd", EIGENVALUE: "eigenvalue"} | {
    GAP: "mean_gap",
    FIRST_GAP: "first_gap",
    SETTLED_GAP: "settled_gap",
}


def values(run: Run, kind: str, name: str) -> np.ndarray:
    """Return a run's measurements by width, layer or block; empty if there are none."""
    return array(recorded(run, kind).get(name, []))


def by_width(words: str) -> Callable[[Run], np.ndarray]:
    """Return a function that reads a quantity of a run at each width."""
    return lambda run: values(run, "widths", _NAMES[words])


def at_width(words: str, width: int, form: Format = PLAIN) -> Measure:
    """Measure the net of one width."""

    def of(run: Run) -> float:
        widths = recorded(run, "widths").get("width", [])
        return _number(by_width(words)(run)[widths.index(width)], words) if width in widths else _missing(words)

    return Measure(of, f"{words}, {width:,} units", form)


def of_width(words: str, choose: Callable[[Sequence[int]], int], form: Format = PLAIN) -> Measure:
    """Measure the narrowest net, chosen by `min`, or the widest one, by `max`."""

    def of(run: Run) -> float:
        widths = recorded(run, "widths").get("width", [])
        return at_width(words, choose(widths)).of(run) if widths else _missing(words)

    return Measure(of, f"{words}, {'narrowest' if choose is min else 'widest'} net", form)


def per_doubling(words: str) -> Measure:
    """Measure the factor by which a quantity changes when the width doubles: 2 to the power of its log-log slope."""

    def of(run: Run) -> float:
        widths, found = values(run, "widths", "width"), by_width(words)(run)
        if len(widths) < 2:
            return Missing("needs nets of two widths")
        return _number(growth(widths, found), words)

    return Measure(of, f"{words}, factor per doubling of the width", TIMES)


def growth(widths: np.ndarray, found: np.ndarray) -> float:
    """Return the factor per doubling of the width, from a log-log least-squares fit; NaN unless all values are > 0."""
    if not np.all(found > 0):
        return math.nan
    x, y = np.log(widths), np.log(found)
    return float(2 ** (np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)))


def _of_blocks(of: Callable[[np.ndarray], Any]) -> Callable[[Run], float]:
    """Return a function that reduces a run's ratios of branch to shortcut to a number."""

    def number(run: Run) -> float:
        ratios = values(run, "blocks", "ratio")
        return _number(of(ratios), "ratio of branch to shortcut") if ratios.size else _missing("blocks")

    return number


def _first_stage(ratios: np.ndarray) -> np.ndarray:
    """Return the ratios of the first of three stages, at the end of which zero features are appended."""
    return ratios[: len(ratios) // 3]


_BRANCH = "variance of the residual branch / of its shortcut"
BRANCH = Measure(
    _of_blocks(lambda ratios: len(_first_stage(ratios)) * _first_stage(ratios)[-1]),
    f"{_BRANCH}, times the number of the block, last block of the first stage",
    TIMES,
)
MEAN_BRANCH = Measure(
    _of_blocks(lambda ratios: _geometric_mean(_first_stage(ratios))),
    f"{_BRANCH}, geometric mean of the first stage's blocks",
    TIMES,
)
LARGEST_BRANCH = Measure(_of_blocks(np.max), f"{_BRANCH}, largest of all blocks", TIMES)


def _geometric_mean(ratios: np.ndarray) -> float:
    """Return the geometric mean; 0 if one of the numbers is."""
    return float(np.exp(np.mean(np.log(ratios)))) if np.all(ratios > 0) else 0.0


NATS = Format("z.2f", "nats")


def _of_loss(name: str, words: str, form: Format = NATS) -> Measure:
    """Measure a term of a loss."""

    def of(run: Run) -> float:
        loss = recorded(run, "loss")
        return _number(array(loss[name]), words) if name in loss else _missing(words)

    return Measure(of, words, form)


CROSS_ENTROPY = _of_loss("cross_entropy", "cross-entropy")
LENGTH = _of_loss("squared_length", "squared length of all parameters", Format("z,.0f"))
PENALTY = _of_loss("penalty", "L2 penalty")
TOTAL = _of_loss("total", "cross-entropy + L2 penalty")


def start(model: VGGShape, group: str, weight_decay: float) -> Statistic:
    """Measure a plain VGG's loss at initialisation, only in data with this net and this penalty."""
    own, net = each(TOTAL, "plain", group), vgg(vars(model))
    for field in ("depth", "head", "width"):
        own = own.where(f"{group}.model.{field}", getattr(model, field), f"a {net} at width {model.width:g}")
    own = own.where(f"{group}.weight_decay", weight_decay, f"an L2 penalty of {weight_decay:g}")
    return replace(own, who=f"{own.who} {net}")


def vgg(model: Mapping[str, Any]) -> str:
    """Name a VGG by its depth and its head."""
    depth = str(model["depth"])
    name = f"VGG-{depth}" if depth.isalpha() else f"VGG of {depth} layers"
    return f"{name}, hidden dense layers of {VGGShape(**model).features[-1]:,} units"


def each(measure: Measure, net: str, group: str, at: Setting = UNNAMED) -> Statistic:
    """Measure every draw of a net; the set-up describes the examples, which depend on the data."""
    return replace(measure.each(net, at, group), part=lambda data: _EXAMPLES[group](data["config"][group]))


_EXAMPLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "representations": lambda config: "as many examples as units",
    "orthogonality": lambda config: f"{config['batch_size']} examples close to one line",
    "fisher": lambda config: "normal inputs as long as a layer is wide",
    **dict.fromkeys(("residual", "penalty", "other_penalty"), lambda config: f"batch {config['batch_size']}"),
}


def _number(value: Any, words: str) -> float:
    return float(value) if np.isfinite(value) else Missing(f"not finite: {words}")


def _missing(words: str) -> Missing:
    return Missing(f"not measured: {words}")

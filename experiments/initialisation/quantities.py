"""The numbers that are measured of each net at initialisation, and how they change with its width.

A run's `layers` are lists over the layers that are kept, see `runs.describe`; its `fisher` is one number, and its `blocks` are
lists over the residual blocks.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments._evidence.format import TIMES, Format, listing
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Data, Run, array, recorded
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join
from experiments._evidence.value import Missing
from experiments._nets import NETS, Setting

DIRECTIONS = Format("z#.3g", "directions")
_PLAIN = Format("z.3g")


def setting(*parts: Any) -> Setting:
    """Return the setting of an activation, a width, or both, and of a batch of a fixed size."""
    words = {"linear": "linear", "relu": "ReLU", "fixed": "fixed batch"}
    named = [words.get(str(part), f"{part} units") for part in parts]
    return Setting("_".join(map(str, parts)), ", ".join(named))


def number(run: Run, kind: str, name: str, entry: int | None = None) -> float:
    """Return a number that was measured of a net; of a list, an entry."""
    values = recorded(run, kind).get(name)
    if values is None:
        return Missing(f"not measured: {name}")
    value = array(values if entry is None else values[entry])
    return float(value) if np.isfinite(value) else Missing(f"not finite: {name}")


def curve(run: Run, kind: str, name: str) -> np.ndarray:
    """Return what was measured of a net's layers or blocks."""
    return array(recorded(run, kind).get(name, []))


RANK = Measure(lambda run: number(run, "layers", "rank", -1), "soft rank of the last layer", DIRECTIONS)
OTHERS = Measure(
    lambda run: number(run, "layers", "others", -1),
    "mean cosine of two examples in the last layer, without the odd one",
)
ODD = Measure(
    lambda run: number(run, "layers", "odd", -1), "mean |cosine| of the odd example and another one in the last layer"
)
GAP = Measure(lambda run: number(run, "layers", "mean_gap"), "orthogonality gap, mean of all layers", _PLAIN)
FIRST_GAP = Measure(lambda run: number(run, "layers", "gap", 0), "orthogonality gap of the first layer", _PLAIN)
SETTLED_GAP = Measure(
    lambda run: number(run, "layers", "settled_gap"), "orthogonality gap, mean of the layers after 20", _PLAIN
)
EIGENVALUE = Measure(lambda run: number(run, "fisher", "eigenvalue"), "largest eigenvalue of the Fisher matrix", _PLAIN)


def _in_stage(run: Run) -> np.ndarray:
    """Return the ratios of the blocks of the first stage, in which no feature is added."""
    ratios = curve(run, "blocks", "ratio")
    return ratios[: len(ratios) // 3]


def _of_stage(run: Run, last: bool) -> float:
    ratios = _in_stage(run)
    if not ratios.size:
        return Missing("not measured: ratio")
    return float(len(ratios) * ratios[-1] if last else np.exp(np.mean(np.log(ratios))))


BRANCH = Measure(
    lambda run: _of_stage(run, last=True),
    "variance of the residual branch / of its shortcut, times the number of the block, last block of the first stage",
    TIMES,
)
MEAN_BRANCH = Measure(
    lambda run: _of_stage(run, last=False),
    "variance of the residual branch / of its shortcut, geometric mean of the first stage's blocks",
    TIMES,
)
LARGEST_BRANCH = Measure(
    lambda run: float(np.max(curve(run, "blocks", "ratio"))),
    "variance of the residual branch / of its shortcut, largest of all blocks",
    TIMES,
)


def per_doubling(measure: Measure, net: str, group: str, *parts: str) -> Statistic:
    """Return by what factor a measure changes if the width doubles: 2 to the power of its slope between logarithms.

    Args:
        measure: of one net.
        net: that is measured at every width.
        group: of the nets, whose configuration holds the widths.
        *parts: of the setting besides the width: the activation before it, "fixed" after it.
    """

    def at(width: int) -> Setting:
        before = [part for part in parts if part != "fixed"]
        return setting(*before, width, *[part for part in parts if part == "fixed"])

    def of(data: Data) -> BySeed:
        widths = data["config"][group]["widths"]
        if len(widths) < 2:
            raise NotInDataError("needs nets of two widths")
        return join([measure.each(net, at(width), group) for width in widths], lambda *y: growth(widths, y)).of(data)

    def arms(data: Data) -> list[str]:
        return [f"{group}/{at(width).arm(net)}" for width in data["config"][group]["widths"]]

    who = ", ".join([NETS[net].short, *(setting(part).words for part in parts)])
    return Statistic(of, f"{measure.words}, factor per doubling of the width", who, (arms,), TIMES, part=part_of(group))


def growth(widths: Any, values: Any) -> float:
    """Return the factor per doubling of the width, by least squares between logarithms; NaN unless all values are > 0."""
    if min(values) <= 0:
        return math.nan
    x, y = np.log(widths), np.log(values)
    return float(2 ** (np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)))


def of_width(measure: Measure, net: str, group: str, *parts: str, widest: bool = False) -> Statistic:
    """Return a measure of the narrowest or of the widest net."""
    choose = max if widest else min

    def at(data: Data) -> Setting:
        return setting(*parts, choose(data["config"][group]["widths"]))

    who = ", ".join(
        [NETS[net].short, *(setting(part).words for part in parts), f"{'widest' if widest else 'narrowest'} net"]
    )
    return Statistic(
        lambda data: measure.each(net, at(data), group).of(data),
        measure.words,
        who,
        (lambda data: [f"{group}/{at(data).arm(net)}"],),
        measure.format,
        part=part_of(group),
    )


def part_of(group: str) -> Any:
    """Return what names the nets of a group in its data, for the set-up of a claim."""
    return lambda data: _NAMED[group](data["config"][group])


def _listed(widths: Any) -> str:
    return listing(f"{width:,}" for width in widths)


def _representations(config: Mapping[str, Any]) -> str:
    return f"{config['depth']:,} layers of {_listed(config['widths'])} units, as many examples as units"


def _orthogonality(config: Mapping[str, Any]) -> str:
    return (
        f"linear nets, {config['depth']:,} layers of {_listed(config['widths'])} units, {config['batch_size']} examples"
    )


def _fisher(config: Mapping[str, Any]) -> str:
    return (
        f"perceptrons, {config['num_hidden']} hidden layers of {_listed(config['widths'])} ReLU units, normal inputs as long as "
        "a layer is wide"
    )


def _residual(config: Mapping[str, Any]) -> str:
    return f"batch {config['batch_size']}"


_NAMED = {
    "representations": _representations,
    "orthogonality": _orthogonality,
    "fisher": _fisher,
    "residual": _residual,
}


def columns(data: Data, group: str, nets: tuple[str, ...], *parts: str) -> dict[str, Arms]:
    """Return the runs of some nets by width, as a figure's columns."""
    found = {}
    for width in data["config"][group]["widths"]:
        runs = {net: data[group].get(setting(*parts, width).arm(net), []) for net in nets}
        found[f"{width:,}"] = runs
    return found

"""Measures for the claims about the landscape: ratios of two nets, plateaus, and bands over several learning rates."""

import math
from dataclasses import replace
from typing import Any

from experiments._evidence import quantities as q
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, array
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join
from experiments._evidence.value import Missing
from experiments._presets import UNHALVED_STEPS
from experiments.landscape.bands import band, bands

DEEP: dict[str, Any] = {"group": "deep_linear"}
OTHERWISE: dict[str, Any] = {"group": "unhalved"}
EARLY, START, COVERED, PLATEAU = (80, 3500), (80, 1000), (80, 1500), 1000


def rougher(measure: Measure, group: str = "arms") -> Statistic:
    """Divide a measure without batch norm by the same with it."""
    return measure.over("plain", "batch_norm", group=group)


def larger(measure: Measure) -> Statistic:
    """Divide a measure with batch norm by the same without it."""
    return measure.over("batch_norm", "plain")


def in_edges(statistic: Statistic, net: str) -> Statistic:
    """Express a statistic in units of the edge of stability of a kind of net."""
    return statistic.in_units_of(lambda data: q.edge_of_stability(data["config"][net]), "2 / learning rate")


def in_unhalved_edges(statistic: Statistic) -> Statistic:
    """Express a statistic of the deep linear networks whose steps are twice as long in units of their edge of stability."""
    return statistic.in_units_of(
        lambda data: q.edge_of_stability(data["config"]["deep_linear"]) / UNHALVED_STEPS,
        "2 / learning rate of the halved loss",
    )


def in_grids(statistic: Statistic, group: str) -> Statistic:
    """Express a statistic in units of 1 / the smallest step size of a group's scans."""

    def unit(data: Data) -> float:
        vgg = data["config"]["vgg"]
        multiples = {"arms": vgg["probes"]["landscape"]["step_multiples"], "short": data["config"]["short_multiples"]}
        return 1 / (vgg["optimizer"]["learning_rate"] * min(multiples[group]))

    return statistic.in_units_of(unit, "1 / smallest step of the scan")


def furthest_from_one(*statistics: Statistic) -> Statistic:
    """Return, for each seed, the value furthest from 1 among several statistics."""
    joined = join(statistics, lambda *values: max(values, key=lambda value: abs(value - 1)))
    who = " and ".join(statistic.who for statistic in statistics)
    return replace(joined, what=statistics[0].what, who=f"the further from 1 of {who}")


def saturation() -> Statistic:
    """Divide the late smoothness with the smallest step halved by that with the usual one, for runs on a plateau."""
    late = q.SMOOTHNESS.late(0.25)
    usual, short = late.each("batch_norm"), late.each("batch_norm", group="short")

    def ratio(in_edges: float, ratio: float) -> float:
        return ratio if abs(in_edges - 1) < 0.1 else Missing("no plateau at 2 / learning rate")

    who = "BN with the smallest step halved / BN with it as it was, of runs on a plateau at 2 / learning rate"
    joined = join((in_edges(usual, "vgg"), short / usual), ratio)

    def of(data: Data) -> BySeed:
        if not data.get("short"):
            raise NotInDataError("needs scans from half the smallest step on")
        return joined.of(data)

    return replace(joined, of=of, what=late.words, who=who)


def of_bands(statistic: Statistic) -> Statistic:
    """Evaluate a statistic on the bands over runs at several learning rates."""

    def of(data: Data) -> BySeed:
        if not data.get("multirun"):
            raise NotInDataError("needs runs at several learning rates")
        return statistic.of({"arms": bands(data)})

    return replace(statistic, of=of, arms=("multirun",))


FALL = replace(
    q.scan("smoothness", lambda rows, axis: rows[:, 0] / rows[:, 1], "smoothness at the smallest step / at the next"),
    if_diverged=math.nan,
)
BATCH_SHARPNESS = Quantity("batch_sharpness", "sharpness", "batch sharpness", if_diverged=math.nan)
RANGE, CHANGE, SMOOTHNESS = (quantity.median(*EARLY) for quantity in (q.LOSS_RANGE, q.GRADIENT_CHANGE, q.SMOOTHNESS))
# |g'| stands for the length of the step, learning rate x |g'|: the learning rate is the same in both nets.
STEP_SMOOTHNESS = replace(
    q.successive("step_distance", "layer_5"),
    value=lambda record: (
        array(record["layers"]["layer_5"]["step_distance"]) / array(record["layers"]["layer_5"]["previous_norm"])
    ),
    words="|g - g'| / |g'| of the gradients of successive batches, layer 5",
)
STEP_SMOOTHNESS_OF_ALL = replace(
    STEP_SMOOTHNESS,
    value=lambda record: array(record["layers"].get("all", {}).get("step_smoothness", [])),
    words="|g - g'| / distance of the gradients of successive batches, all parameters",
)
EQUAL_STEPS, EQUAL_PROGRESS = (band(kind, "width").median(*EARLY) for kind in ("same_step", "same_progress"))
END = q.SMOOTHNESS.late(0.05)
# Quantities of the deep linear networks that figures, tables and claims use.
_ALONG = (q.HIGHEST_LOSS, q.GRADIENT_CHANGE, q.SMOOTHNESS)
CURVES_OF_LINEAR_NETS = (*_ALONG, *map(q.along_random, _ALONG))
MEASURES_OF_LINEAR_NETS = (
    *(quantity.median() for quantity in _ALONG),
    *(quantity.largest(150, 700) for quantity in _ALONG[:2]),
    q.SMOOTHNESS.median(150, 700),
    q.SMOOTHNESS.median(first=PLATEAU),
    END,
)

"""Claims about gradients in deep networks at initialisation."""

import math
from collections.abc import Callable
from typing import Any

from experiments._claims.claim import TIMES, Claim
from experiments._claims.measures import DataMeasure, Run, each, ratio
from experiments._numbers.gradient_depth import growth, over_layers, second_layer, settings

_YANG = "Yang et al. 2019, mean-field theory; a run of ours before this experiment"
_PUBLISHED = 1.208


def _nets(net: str, *settings: str) -> tuple[str, ...]:
    """Name the published presets' nets of some depths and scales, as they are in the data."""
    return tuple(f"arms/{net}_{setting}" for setting in settings)


def _deepest(data: dict[str, Any], net: str, scale: float = 1.0) -> str:
    """Name the deepest net."""
    return f"{net}_{max(depth for depth, _ in settings(data))}_{scale:g}"


def _later(measure: Callable[[Run, int], float]) -> Callable[[Run], float]:
    """Measure after 100 steps; NaN where it was done at another one."""
    return lambda run: measure(run, 1) if run["gradients"]["step"][1:2] == [100] else math.nan


def _of_deepest(measure: Callable[[Run], float]) -> DataMeasure:
    """Measure the deepest net with batch norm, from weights of the usual scale."""
    return lambda data: each(_deepest(data, "batch_norm"), measure)(data)


def _farthest(data: dict[str, Any]) -> list[float]:
    """Take of each seed's growths, at all depths and scales, the one that is farthest from the published one."""
    columns = [
        [growth(run) for run in data["arms"][f"batch_norm_{depth}_{scale:g}"]] for depth, scale in settings(data)
    ]
    return [max(values, key=lambda value: abs(value - _PUBLISHED)) for values in zip(*columns, strict=True)]


def _by_scale(net: str) -> DataMeasure:
    """Measure by what factor per layer the second layer's gradient is larger where weights are twice as large."""

    def measure(data: dict[str, Any]) -> list[float]:
        deepest = max(depth for depth, _ in settings(data))
        if (deepest, 2.0) not in settings(data):
            return [math.nan]
        times = ratio(_deepest(data, net, 2.0), _deepest(data, net), second_layer)(data)
        return [value ** (1 / deepest) for value in times]

    return measure


CLAIMS = (
    Claim(
        name="depth_bounded",
        statement="Batch norm keeps gradients from exploding or vanishing with depth.",
        source='article "Batch normalization vs internal covariate shift"',
        statistic="norm of the gradient by the weights of layer 2 / of the last hidden layer, deepest net with BN, before the "
        "first step; less than a factor of ten is asked for",
        published="-",
        measure=_of_deepest(over_layers),
        supported=(0.1, 10),
        format=TIMES,
        arms=_nets("batch_norm", "50_1"),
    ),
    Claim(
        name="depth_growth",
        statement="At initialisation it lets them grow by a fifth per layer, whatever the depth and the scale of the weights.",
        source=_YANG,
        statistic="growth of that norm per hidden layer towards the input, geometric mean; of all depths and scales the one "
        "that is farthest from the published one",
        published="2.9 / 0.52, 128 / 0.52 and 5,190 / 0.59 in 10, 30 and 50 layers, or 1.208 times per layer",
        measure=_farthest,
        supported=(1.15, 1.27),
        format=TIMES,
        arms=_nets("batch_norm", "10_1", "30_1", "50_0.5", "50_1", "50_2"),
        caveat_of="depth_bounded",
    ),
    Claim(
        name="depth_later",
        statement="After 100 steps of training they grow by less than a tenth per layer in the deepest net.",
        source="not in the sources: how long the growth lasts",
        statistic="the same growth after 100 steps, deepest net",
        published="-",
        measure=_of_deepest(_later(growth)),
        supported=(0.9, 1.1),
        format=TIMES,
        arms=_nets("batch_norm", "50_1"),
        caveat_of="depth_bounded",
    ),
    Claim(
        name="depth_later_bounded",
        statement="That makes them bounded: it is a matter of initialisation.",
        source="not in the sources: how long the growth lasts",
        statistic="norm at layer 2 / at the last hidden layer after 100 steps, deepest net with BN; less than a factor of ten",
        published="-",
        measure=_of_deepest(_later(over_layers)),
        supported=(0.1, 10),
        format=TIMES,
        arms=_nets("batch_norm", "50_1"),
        caveat_of="depth_bounded",
    ),
    Claim(
        name="depth_scale_plain",
        statement="Without batch norm, gradients vanish or explode with the scale of the initial weights, layer by layer.",
        source="Ioffe & Szegedy 2015, Sec. 3.3; a run of ours before this experiment",
        statistic="norm at layer 2 from weights twice as large / from the usual ones, deepest net, per layer",
        published="7·10¹⁴ / 0.72 in 50 layers, or 2.0 times per layer",
        measure=_by_scale("plain"),
        supported=(1.8, 2.2),
        format=TIMES,
        arms=_nets("plain", "50_1", "50_2"),
    ),
    Claim(
        name="depth_scale",
        statement="With batch norm they do not.",
        source="Ioffe & Szegedy 2015, Sec. 3.3",
        statistic="the same with BN",
        published="no difference",
        measure=_by_scale("batch_norm"),
        supported=(0.95, 1.05),
        format=TIMES,
        arms=_nets("batch_norm", "50_1", "50_2"),
    ),
)

"""The tables and the findings of the loss landscape."""

import math
from typing import Any

from experiments._evidence.format import TIMES, listing
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    HIGHEST_LOSS,
    LOSS_RANGE,
    SMOOTHNESS,
    SUCCESSIVE,
    TEST_ACCURACY,
    along_random,
    successive,
)
from experiments._evidence.run import layer_names
from experiments._evidence.table import by_measure, divergences, landscape, seeds
from experiments._evidence.value import median
from experiments._evidence.verdict import judge
from experiments._nets import NETS as NAMES
from experiments.landscape.bands import NETS, band, bands, layer
from experiments.landscape.claims import CLAIMS

_RATIO = ("plain", "batch_norm")


def summarise(data: dict[str, Any]) -> str:
    """Put the numbers of each group of nets into a table, with their ratios."""
    arms, late = data["arms"], SMOOTHNESS.late(0.25)
    name = layer_names(arms["plain"], "successive_gradients")[0]
    further = {
        "smoothness, last quarter": late,
        "random: loss range": along_random(LOSS_RANGE).median(),
        "random: smoothness": along_random(SMOOTHNESS).median(),
        **{f"{SUCCESSIVE[kind]}, {name}": successive(kind, name).median() for kind in _SUCCESSIVE},
    }
    deep = {
        "largest loss": HIGHEST_LOSS.median(),
        "change of gradient": GRADIENT_CHANGE.median(),
        "effective smoothness": SMOOTHNESS.median(),
    }
    draws = seeds(data["config"]["deep_linear"], "draw")
    return "\n".join(
        [
            *landscape(arms),
            "",
            "VGG, further; g', g: gradients of successive batches",
            *by_measure(arms, further, _RATIO),
            "",
            "VGG, scanned from a smaller smallest step",
            *by_measure(data["short"], {"smoothness, last quarter": late}, _RATIO),
            "",
            f"Deep linear network, {draws}, scans along the gradient",
            *by_measure(data["deep_linear"], deep, _RATIO),
            *divergences(data["deep_linear"]),
            *_rates(data),
        ]
    )


_SUCCESSIVE = ("step_sum", "relative_sum", "step_distance")


def _rates(data: dict[str, Any]) -> list[str]:
    """Put runs that differ in their learning rates alone into a table; nothing where there are none."""
    if not data.get("multirun"):
        return []
    arms, sizes = data["multirun"], [f"{rate:g}" for rate in data["config"]["rates"]]
    rows = {
        "range of losses": band("same_step", "width").median(),
        "  equal rate x steps": band("same_progress", "width").median(),
        f"largest |g - g'|, {layer(data)}": band("gradient", "high").median(),
    }
    lines = ["", f"VGG, runs of a seed at learning rates {listing(sizes)}", *by_measure(bands(data), rows, _RATIO)]
    for size in sizes:
        at = {net: arms[f"{net}_{size}"] for net in NETS}
        lines += by_measure(at, {f"best test accuracy, {size}": TEST_ACCURACY.highest()})[1:]
    return [
        *lines,
        *divergences({f"{NAMES[net].label}, {size}": arms[f"{net}_{size}"] for net in NETS for size in sizes}),
    ]


def findings(data: dict[str, Any]) -> str:
    """Describe how much more varies without batch norm, and what the plateau of the effective smoothness is."""
    steps = (80, min(3500, data["config"]["vgg"]["num_steps"]))
    loss, change = (quantity.median(*steps).over(*_RATIO) for quantity in (LOSS_RANGE, GRADIENT_CHANGE))
    rates = ""
    if data.get("multirun"):
        width = band("same_step", "width").median().over(*_RATIO).of({"arms": bands(data)})
        rates = (
            f"; of runs at learning rates {listing(f'{rate:g}' for rate in data['config']['rates'])}, the losses at a step lie "
            f"{_times(median(width.values()))} as far apart without batch norm as with it"
        )
    return (
        f"In steps {steps[0]} to {steps[1]:,} the loss of the VGG varies {_times(_median(loss, data))} as much along the "
        f"gradient without batch norm as with it, and the gradient changes {_times(_median(change, data))} as much; at step 0, "
        f"{_times(_decided('rough_start', data))} as much with batch norm{rates}. From step 1,000 on the effective smoothness "
        f"with batch norm is {_times(_decided('smoothness_plateau', data))} 2 / learning rate, in the deep linear network "
        f"{_times(_decided('deep_linear_edge', data))}{_plateau(data)}."
    )


def _plateau(data: dict[str, Any]) -> str:
    """Describe whether the VGG has come to a plateau, and if so, where that is with another smallest step."""
    value = _decided("smoothness_saturates", data)
    if math.isnan(value):
        return "; the VGG has not come to a plateau there, so that it is open whether the smallest step of the scan sets it"
    return f"; in the VGG it ends {TIMES.number(value)} times as high where the smallest step of the scan is halved"


def _decided(name: str, data: dict[str, Any]) -> float:
    """Return the median of a claim's statistic."""
    return next(judge(claim, data).median for claim in CLAIMS if claim.name == f"landscape_{name}")


def _median(statistic: Any, data: dict[str, Any]) -> float:
    return median(statistic.of(data).values())


def _times(value: float) -> str:
    """Write how many times."""
    return "an unknown number of times" if math.isnan(value) else f"{TIMES.number(value)} times"

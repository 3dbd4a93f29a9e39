"""The tables and the findings of the loss landscape."""

import math
from typing import Any

from experiments._evidence import quantities as q
from experiments._evidence.format import TIMES, listing
from experiments._evidence.quantity import Measure
from experiments._evidence.run import all_runs, layer_names
from experiments._evidence.table import by_measure, divergences, landscape, seeds
from experiments._evidence.verdict import decided, judge
from experiments._nets import NETS as NAMES
from experiments._presets import UNHALVED
from experiments.landscape.bands import NETS, band, bands
from experiments.landscape.claims import CLAIMS

_RATIO = ("plain", "batch_norm")


def summarise(data: dict[str, Any]) -> str:
    """Put the numbers of each group of nets into a table, with their ratios."""
    arms, late = data["arms"], q.SMOOTHNESS.late(0.25)
    name, kinds = layer_names(arms["plain"], "successive_gradients")[0], ("step_sum", "relative_sum", "step_distance")
    further = {
        "smoothness, last quarter": late,
        "random: loss range": q.along_random(q.LOSS_RANGE).median(),
        "random: smoothness": q.along_random(q.SMOOTHNESS).median(),
        **{f"{q.SUCCESSIVE[kind]}, {name}": q.successive(kind, name).median() for kind in kinds},
    }
    deep = {
        "largest loss": q.HIGHEST_LOSS.median(),
        "change of gradient": q.GRADIENT_CHANGE.median(),
        "effective smoothness": q.SMOOTHNESS.median(),
    }
    draws = seeds(data["config"]["deep_linear"], "draw")
    return "\n".join(
        [
            *landscape(arms),
            "",
            "VGG, further; g', g: gradients of successive batches",
            *by_measure(arms, further, _RATIO),
            "",
            *_short(data, late),
            f"Deep linear network, {draws}, scans along the gradient",
            *by_measure(data["deep_linear"], deep, _RATIO),
            *divergences(data["deep_linear"]),
            *_unhalved(data, deep),
            *_rates(data),
        ]
    )


def _short(data: dict[str, Any], late: Measure) -> list[str]:
    """Put the runs with a smaller smallest step into a table; empty if there are no such runs."""
    if not data.get("short"):
        return []
    rows = {"smoothness, last quarter": late}
    return ["VGG, scanned from a smaller smallest step", *by_measure(data["short"], rows, _RATIO), ""]


def _unhalved(data: dict[str, Any], rows: dict[str, Measure]) -> list[str]:
    """Put the deep linear networks trained on the loss without the half into a table; empty if there are none."""
    arms = data.get("unhalved")
    if not arms:
        return []
    return ["", f"Deep linear network, {UNHALVED}", *by_measure(arms, rows, _RATIO), *divergences(arms)]


def _rates(data: dict[str, Any]) -> list[str]:
    """Put the runs that differ only in their learning rates into a table; empty if there are no such runs."""
    if not data.get("multirun"):
        return []
    arms, sizes = data["multirun"], [f"{rate:g}" for rate in data["config"]["rates"]]
    name = layer_names(all_runs(arms), "successive_gradients")[0]
    rows = {
        "range of losses": band("same_step", "width").median(),
        "  equal rate x steps": band("same_progress", "width").median(),
        f"largest |g - g'|, {name}": band("gradient", "high").median(),
    }
    lines = ["", f"VGG, runs of a seed at learning rates {listing(sizes)}", *by_measure(bands(data), rows, _RATIO)]
    for size in sizes:
        at = {net: arms[f"{net}_{size}"] for net in NETS}
        lines += by_measure(at, {f"best test accuracy, {size}": q.TEST_ACCURACY.highest()})[1:]
    named = {f"{NAMES[net].label}, {size}": arms[f"{net}_{size}"] for net in NETS for size in sizes}
    return [*lines, *divergences(named)]


def findings(data: dict[str, Any]) -> str:
    """Describe how much more loss and gradient vary without batch norm, and the plateau of the effective smoothness."""
    is_long = not math.isnan(_median("loss_range", data))
    window, part = ("80 to 3,500", "") if is_long else ("80 to 1,000", "_start")
    rates = ""
    if data.get("multirun"):
        rates = (
            f"; of runs at learning rates {listing(f'{rate:g}' for rate in data['config']['rates'])}, the losses at a step lie "
            f"{_decided('rates_loss', data, 'rates_loss_part')} as far apart without batch norm as with it"
        )
    return (
        f"In steps {window} the loss of the VGG varies {_decided(f'loss_range{part}', data)} as much along the "
        f"gradient without batch norm as with it, and the gradient changes {_decided(f'predictiveness{part}', data)} as much; "
        f"at step 0, {_decided('rough_start', data)} as much with batch norm{rates}. From step 1,000 on the effective "
        f"smoothness with batch norm is {_decided('smoothness_plateau', data)} 2 / learning rate, in the deep linear network "
        f"{_decided('deep_linear_edge', data)}{_plateau(data)}."
    )


def _plateau(data: dict[str, Any]) -> str:
    """Describe whether the VGG reached a plateau and, if measured, how halving the smallest step moves it."""
    if not data.get("short"):
        return (
            "; no scans began at half the smallest step, which would show whether that step sets the value of the VGG"
        )
    value = _median("smoothness_saturates", data)
    if math.isnan(value):
        return "; the VGG has not come to a plateau there, so that it is open whether the smallest step of the scan sets it"
    return f"; in the VGG it ends {TIMES.number(value)} times as high where the smallest step of the scan is halved"


def _median(name: str, data: dict[str, Any]) -> float:
    return next(judge(claim, data).median for claim in CLAIMS if claim.name == f"landscape_{name}")


def _decided(name: str, data: dict[str, Any], *more: str) -> str:
    return decided(CLAIMS, data, *(f"landscape_{each}" for each in (name, *more)))

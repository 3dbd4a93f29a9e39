"""The figures of what lies ahead: of each learning rate, then the planes of the gradient and the weights ahead."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bnjax.draw import style
from experiments._evidence.format import capital
from experiments._evidence.run import Arms, array, recorded, settings
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, ByLayer, Curves, Line, Plane
from experiments._nets import NETS, describe
from experiments.long_horizon.quantities import by_steps, in_edges, steps_ahead

_XLABEL = "steps or learning rates ahead"
_STEPS = (1, 2, 5, 10)  # steps marked in planes
EXPLODED = 10 * math.log(10)  # ten times the loss of a guess, in nats


def plot(data: dict[str, Any]) -> Layout:
    """Show the first learning rate."""
    return next(iter(_figures(data).values()))(data)


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out the other learning rates and, if they were measured, the planes."""
    planes = {"plane": _planes} if _measured_planes(data) else {}
    return dict(list(_figures(data).items())[1:]) | planes


def _figures(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name a function for each learning rate."""
    return {f"rate_{name}": partial(_at_rate, setting=name) for name in settings(data["arms"])}


def _at_rate(data: dict[str, Any], setting: str) -> Layout:
    """Show all look-ahead quantities at a learning rate."""
    config, arms = data["config"], settings(data["arms"])[setting]
    settings_ = config["probes"]["horizon"]
    losses = {"-": "path", "--": "frozen"}
    barriers = {"-": "recalibrated", "--": "mixed", ":": "start"}
    gradient: dict[str, Any] = {"ylabel": "cosine of the gradients", "scale": "linear", "line": 0}
    height: dict[str, Any] = {"ylabel": "height / loss at the start", "scale": "share"}
    panels = [
        [
            Accuracy(arms),
            _ahead(data, arms, losses, title="Loss ahead", ylabel="loss / loss at the start", line=1),
            _ahead(data, arms, {"-": "cosine"}, title="Gradient ahead", **gradient),
        ],
        [
            _ahead(data, arms, {"-": "largest", "--": "mean"}, title="From step to step", ylabel="|Δgradient| / |Δw|"),
            _ahead(data, arms, barriers, title="Loss barrier", **height),
            _sharpness(arms, float(setting)),
        ],
    ]
    return make_figure(
        f"{captions.network(config)}: {describe(setting)}",
        [Block("", panels)],
        [
            "loss: solid along the training, dashed along the frozen gradient",
            "step to step: solid largest, dashed mean",
        ],
        [
            "barrier: statistics at each point fresh (solid), running, interpolated (dashed), running, of the start (dotted)"
        ],
        captions.recipe(config, data["preset"], learning_rate=False),
        [
            f"measured every {config['schedule']['probe_every']} steps on the same {settings_['num_examples']:,} images",
            f"lines: medians over the training after step 0, then over {captions.seeds(config)}",
            f"bands: {captions.bands(config)}",
        ],
        captions.origin(data),
    )


def _ahead(data: dict[str, Any], arms: Arms, lines: Mapping[str, str], **look: Any) -> ByLayer:
    """Show quantities by the number of steps ahead."""
    shown = {style: (arms, partial(by_steps, name=name)) for style, name in lines.items()}
    return ByLayer(shown, steps_ahead(data), xlabel=_XLABEL, **look)


def _sharpness(arms: Arms, rate: float) -> Curves:
    """Show the batch sharpness over the training."""
    look: dict[str, Any] = {"title": "Batch sharpness", "ylabel": "in units of 2 / learning rate", "line": 1}
    return Curves(arms, [Line(in_edges(rate))], **look)


def _measured_planes(data: dict[str, Any]) -> dict[int, dict[str, Mapping[str, Any]]]:
    """Return the planes of the first run of each net: {step: {net: plane}}, at the steps at which all nets have a plane."""
    arms = next(iter(settings(data["arms"]).values()))
    planes = {net: recorded(runs[0], "plane") for net, runs in arms.items()}
    shared = set.intersection(*({*planes[net].get("step", [])} for net in planes))

    def at(found: Mapping[str, Any], step: int) -> dict[str, Any]:
        place = found["step"].index(step)
        return {name: values[place] for name, values in found.items()}

    return {step: {net: at(found, step) for net, found in planes.items()} for step in sorted(shared)}


def _planes(data: dict[str, Any]) -> Layout:
    """Show the loss on planes: a row for each step, nets side by side, all on the same colour scale."""
    config, setting = data["config"], next(iter(settings(data["arms"])))
    found, probe = _measured_planes(data), config["probes"]["plane"]
    losses = np.concatenate([np.ravel(array(plane["loss"])) for planes in found.values() for plane in planes.values()])
    known = losses[losses > 0]  # excludes NaN
    lowest, highest = (float(known.min()), float(known.max())) if known.size else (1.0, EXPLODED)
    high = min(highest, EXPLODED)
    limits = (min(lowest, 0.5 * high), high)
    ahead, of = f"{probe['steps_ahead']} steps", f"the first {probe['num_examples']:,} training images"
    rows = [
        [
            Plane(plane, _STEPS, limits, title=capital(f"{NETS[net].label}, step {step:,}"))
            for net, plane in planes.items()
        ]
        for step, planes in found.items()
    ]
    units = [
        f"{NETS[net].label} {', '.join(_short(planes[net]['distance']) for planes in found.values())}"
        for net in next(iter(found.values()))
    ]
    return make_figure(
        f"{captions.network(config)}: the loss on a plane, {describe(setting)}",
        [Block("", rows, height=5.2)],
        [f"loss and gradient of {of} in one batch, with its own statistics"],
        [
            f"upwards: the way to the weights {ahead} later, without its part along the gradient; the path is projected",
            "marks beyond the plane are not drawn",
        ],
        [f"unit of both axes: the l2 distance to the weights {ahead} later, {', '.join(units)}"],
        ["the same colours everywhere", f"losses above {high:.3g} nats have the last one" * (highest > high)],
        captions.recipe({**config, "seeds": config["seeds"][:1]}, data["preset"], learning_rate=False),
        captions.origin(data),
    )


def _short(distance: float | None) -> str:
    """Write a distance to two digits; None stands for a non-finite one."""
    return style.number(float(f"{array(distance):.2g}"))

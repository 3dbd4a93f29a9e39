"""Further figures of the loss landscape: random directions, successive batches, several rates, the deep linear network."""

import math
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence import quantities as q
from experiments._evidence.curve import rolling_mean
from experiments._evidence.format import Format, plural
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms, all_runs, layer_names, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import ARROW, SMOOTHER
from experiments._figures.panels import Band, Curves, Line
from experiments._presets import UNHALVED, UNHALVED_STEPS
from experiments.landscape.bands import band, bands

_EXPLODED = 10 * math.log(10)  # ten times the loss of a guess, in nats


def along_random(data: dict[str, Any]) -> Layout:
    """Show how much loss and gradient vary along a random direction, compared with the gradient's."""
    vgg = data["config"]["vgg"]
    row = [
        _both(data["arms"], q.LOSS_RANGE, "Range of the loss", "largest - smallest (nats)"),
        *_changes(data["arms"], vgg, "nats"),
    ]
    mark = Line2D([], [], color=style.INK, linestyle="--", label="random direction")
    title = f"{captions.network(vgg)}: along the gradient, and along a random direction of its length"
    return make_figure(title, [Block("", [row])], *_foot(data, ARROW), marks=[mark])


def _foot(data: dict[str, Any], *remarks: str) -> list[list[str]]:
    """Write the footer shared by all figures of the VGG."""
    vgg = data["config"]["vgg"]
    return [
        captions.recipe(vgg, data["preset"]),
        [f"lines: medians, bands: {captions.bands(vgg)}", *remarks],
        captions.origin(data, "training, scans and tests"),
    ]


def _both(arms: Arms, quantity: Quantity, title: str, ylabel: str, **look: Any) -> Curves:
    return Curves(arms, [Line(quantity), Line(q.along_random(quantity), "--")], title=title, ylabel=ylabel, **look)


def _changes(arms: Arms, config: dict[str, Any], unit: str, **look: Any) -> list[Curves]:
    """Show the change of the gradient, absolute and per distance, along both directions."""
    change, smoothness = f"{captions.length(config)} ({unit} / unit)", f"change / distance ({unit}/unit²)"
    return [
        _both(arms, q.GRADIENT_CHANGE, "Change of the gradient", change),
        _both(arms, q.SMOOTHNESS, SMOOTHER, smoothness, **look),
    ]


def successive(data: dict[str, Any]) -> Layout:
    """Show Mameli's measures of gradients and losses, and those of gradients relative to their lengths."""
    arms = data["arms"]
    name = layer_names(arms["plain"], "successive_gradients")[0]
    titles = {
        "step_sum": "Length of the sum",
        "norm": "Length of the gradient",
        "step_distance": "Length of the difference",
        "relative_sum": "Sum in units of the lengths",
        "step_cosine": "Turn",
    }
    unitless: dict[str, Any] = {"relative_sum": {"scale": "linear", "ylim": (0, 1)}}
    unitless["step_cosine"] = {"scale": "linear", "line": 0}
    panels = [
        Curves(
            arms,
            [Line(q.successive(kind, name))],
            title=title,
            ylabel=q.SUCCESSIVE[kind] + ", l2 (nats / unit)" * (kind not in unitless),
            **unitless.get(kind, {}),
        )
        for kind, title in titles.items()
    ]
    lines = [Line(q.LOSS_AND_CHANGE, smooth=_smooth), Line(q.TRAIN_LOSS, ":", smooth=_smooth)]
    axis: Any = {"ylabel": "nats; dotted: the loss alone", "scale": "linear", "ylim": (0, None)}
    losses = Curves(arms, lines, title="Loss + its change", **axis)
    title = f"Mameli's landscape: gradients g', g of {name.replace('_', ' ')} for successive batches"
    return make_figure(title, [Block("", [[*panels[:2], losses], panels[2:]])], *_foot(data))


def _smooth(values: np.ndarray) -> np.ndarray:
    """Smooth a curve over windows of a sixtieth of its length, without the first point, which has no change."""
    return np.concatenate([[np.nan], rolling_mean(values[1:], max(1, len(values) // 60))])


def at_rates(data: dict[str, Any]) -> Layout:
    """Show bands over runs of several learning rates."""
    joined, sizes = bands(data), data["config"]["rates"]
    # Losses are compared by differences unless one explodes, gradients by ratios.
    low, high = _ends(joined)
    scale = "log" if high > _EXPLODED else "linear"
    limits = (0.9 * low, 1.1 * high) if scale == "log" else (low - 0.05 * (high - low), high + 0.05 * (high - low))
    name = layer_names(all_runs(data["multirun"]), "successive_gradients")[0].replace("_", " ")
    looks: dict[str, Any] = {
        "same_step": {"title": "Losses at equal steps", "ylabel": captions.loss(data["config"]["vgg"])},
        "same_progress": {"title": "Losses at equal rate x steps", "xlabel": f"steps of learning rate {min(sizes):g}"},
        "gradient": {"title": "Change from step to step", "ylabel": f"|g - g'| of {name}, l2 (nats / unit)"},
    }
    for kind in ("same_step", "same_progress"):
        looks[kind] |= {"scale": scale, "ylim": limits}
    row = [Band(joined, band(kind, "low"), band(kind, "high"), **look) for kind, look in looks.items()]
    title = f"The shortcut: bands over runs at {len(sizes)} learning rates from {min(sizes):g} to {max(sizes):g}"
    foot = [captions.recipe(data["config"]["vgg"], data["preset"], learning_rate=False), _several_rates(data)]
    return make_figure(title, [Block("", [row])], *foot, captions.origin(data, "training, scans and tests"))


def _ends(joined: Arms) -> tuple[float, float]:
    """Return the smallest and the largest finite loss of all bands at the same step."""
    curves = [band("same_step", edge).curve(run)[1] for run in all_runs(joined) for edge in ("low", "high")]
    losses = np.concatenate(curves)
    known = losses[np.isfinite(losses)]
    return (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)


def _several_rates(data: dict[str, Any]) -> list[str]:
    """Describe the runs at several learning rates, and their bands."""
    window = plural(recorded(all_runs(data["multirun"])[0], "train")["window"], "step")
    return [
        f"learning rates {', '.join(f'{rate:g}' for rate in data['config']['rates'])}: loss averaged over {window}",
        "bands from the smallest to the largest of a seed's runs, medians over seeds",
    ]


def deep_linear(data: dict[str, Any]) -> Layout:
    """Show the deep linear network, whose scans span orders of magnitude."""
    config = data["config"]["deep_linear"]
    rate = Format("g").number(config["optimizer"]["learning_rate"])
    return _of_linear_nets(data, "deep_linear", config, f"learning rate {rate}")


def unhalved(data: dict[str, Any]) -> Layout:
    """Show the deep linear network trained on the loss without the half."""
    config = data["config"]["deep_linear"]
    # That of the halved loss, of which the axes are.
    twice = {
        "optimizer": {**config["optimizer"], "learning_rate": UNHALVED_STEPS * config["optimizer"]["learning_rate"]}
    }
    return _of_linear_nets(data, "unhalved", config | twice, UNHALVED)


def _of_linear_nets(data: dict[str, Any], group: str, config: dict[str, Any], reading: str) -> Layout:
    """Show scans of deep linear networks."""
    edge = {"2 / learning rate": q.edge_of_stability(config)}
    row = [
        _both(data[group], q.HIGHEST_LOSS, "Largest loss of a scan", "half the squared error"),
        *_changes(data[group], config, "loss", levels=edge),
    ]
    mark = Line2D([], [], color=style.INK, linestyle="--", label="random direction")
    return make_figure(
        f"{captions.network(config).capitalize()}, {reading}",
        [Block("", [row])],
        [captions.deep_linear(config), f"its {captions.scans(config).partition(' along')[0]}", ARROW],
        captions.origin(data, "training, scans and tests"),
        marks=[mark],
    )

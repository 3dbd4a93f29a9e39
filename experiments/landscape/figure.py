"""The figure of the loss landscape: a VGG along its gradient, and what else was called its landscape."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence import quantities as q
from experiments._evidence.curve import rolling_mean
from experiments._evidence.format import Format, plural
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms, all_runs, layer_names, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, make_figure
from experiments._figures.landscape import along_gradient
from experiments._figures.panels import Accuracy, Band, Curves, Line
from experiments.landscape.bands import band, bands
from experiments.landscape.measures import LOSS_AND_CHANGE

_EXPLODED = 10 * math.log(10)  # ten times the loss of a guess, in nats


def plot(data: dict[str, Any]) -> Figure:
    """Draw scans along the gradient and along random directions, successive gradients, and the deep linear network."""
    vgg, deep = data["config"]["vgg"], data["config"]["deep_linear"]
    rates = [_rates(data)] if data.get("multirun") else []
    return make_figure(
        "The landscape with and without batch norm",
        [_along_gradient(data), _along_random(data), _successive(data), *rates, _deep_linear(data)],
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), captions.scans(vgg)],
        [
            "shaded along the gradient: from the smallest to the largest value of a scan, medians over seeds",
            "bands of the other panels of the VGG: from the smallest to the largest seed",
        ],
        [captions.deep_linear(deep), f"its {captions.scans(deep).partition(' along')[0]}"],
        _several_rates(data) if rates else [],
        captions.origin(data, "training, scans and tests"),
        marks=[Line2D([], [], color=style.INK, linestyle="--", label="random direction")],
    )


def _along_gradient(data: dict[str, Any]) -> Block:
    """Show accuracy, loss, gradient and smoothness along minus the gradient; with the last, what may set its level."""
    config = data["config"]["vgg"]
    rate, multiples = config["optimizer"]["learning_rate"], config["probes"]["landscape"]["step_multiples"]
    levels = {
        "2 / learning rate": q.edge_of_stability(config),
        "1 / smallest step": 1 / (rate * min(multiples)),
        "1 / smallest step of dotted scans": 1 / (rate * min(data["config"]["short_multiples"])),
    }
    loss, predictiveness, smoothness = along_gradient(data["arms"], config, data["short"], levels)
    heading = f"{captions.network(config)}, learning rate {rate:g}: along minus the gradient"
    return Block(heading, [[Accuracy(data["arms"]), loss], [predictiveness, smoothness]])


def _along_random(data: dict[str, Any]) -> Block:
    """Show how much loss and gradient vary along a random direction, beside the gradient's."""
    row = [
        _both(data["arms"], q.LOSS_RANGE, "Range of the loss", "largest - smallest (nats)"),
        *_changes(data["arms"], data["config"]["vgg"], "nats"),
    ]
    return Block("Along a random direction as long as the gradient (dashed), beside it", [row])


def _both(arms: Arms, quantity: Quantity, title: str, ylabel: str, **look: Any) -> Curves:
    return Curves(arms, [Line(quantity), Line(q.along_random(quantity), "--")], title=title, ylabel=ylabel, **look)


def _changes(arms: Arms, config: dict[str, Any], unit: str, **look: Any) -> list[Curves]:
    """Show how far the gradient changes, and how far per distance, along both."""
    change, smoothness = f"{captions.length(config)} ({unit} / unit)", f"change / distance ({unit}/unit²)"
    return [
        _both(arms, q.GRADIENT_CHANGE, "Change of the gradient", change),
        _both(arms, q.SMOOTHNESS, "Effective smoothness", smoothness, **look),
    ]


def _successive(data: dict[str, Any]) -> Block:
    """Show what Mameli measures of gradients and losses, and the same in units of their own lengths."""
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
    lines = [Line(LOSS_AND_CHANGE, smooth=_smooth), Line(q.TRAIN_LOSS, ":", smooth=_smooth)]
    axis: Any = {"ylabel": "nats; dotted: the loss alone", "scale": "linear", "ylim": (0, None)}
    losses = Curves(arms, lines, title="Loss + its change", **axis)
    heading = f"Mameli's landscape: {name.replace('_', ' ')}'s gradients g', g of successive batches"
    return Block(heading, [[*panels[:2], losses], panels[2:]])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average a curve over a sixtieth of it; the first point, which has no change, is left out."""
    return np.concatenate([[np.nan], rolling_mean(values[1:], max(1, len(values) // 60))])


def _rates(data: dict[str, Any]) -> Block:
    """Show bands over runs of several learning rates."""
    joined, sizes = bands(data), data["config"]["rates"]
    # Differences of losses are compared, as long as nothing explodes; of gradients, ratios.
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
    heading = f"The replications' landscape: runs at {len(sizes)} learning rates from {min(sizes):g} to {max(sizes):g}"
    return Block(heading, [row])


def _ends(joined: Arms) -> tuple[float, float]:
    """Return the smallest and the largest finite loss of all bands at the same step."""
    curves = [band("same_step", edge).curve(run)[1] for run in all_runs(joined) for edge in ("low", "high")]
    losses = np.concatenate(curves)
    known = losses[np.isfinite(losses)]
    return (float(known.min()), float(known.max())) if known.size else (1.0, 1.0)


def _several_rates(data: dict[str, Any]) -> list[str]:
    """Describe such runs, and what their bands are."""
    window = plural(recorded(all_runs(data["multirun"])[0], "train")["window"], "step")
    return [
        f"learning rates {', '.join(f'{rate:g}' for rate in data['config']['rates'])}: loss averaged over {window}",
        "bands from the smallest to the largest of a seed's runs, medians over seeds",
    ]


def _deep_linear(data: dict[str, Any]) -> Block:
    """Show the deep linear network, whose scans span orders of magnitude."""
    config = data["config"]["deep_linear"]
    edge = {"2 / learning rate": q.edge_of_stability(config)}
    row = [
        _both(data["deep_linear"], q.HIGHEST_LOSS, "Largest loss of a scan", "half the squared error"),
        *_changes(data["deep_linear"], config, "loss", levels=edge),
    ]
    rate = Format("g").number(config["optimizer"]["learning_rate"])
    return Block(f"{captions.network(config).capitalize()}, learning rate {rate}", [row])

"""The figure of the loss landscape: a VGG along its gradient, and what else was called its landscape."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence.curve import rolling_mean
from experiments._evidence.format import Format, plural
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    HIGHEST_LOSS,
    LOSS_RANGE,
    SMOOTHNESS,
    SUCCESSIVE,
    TRAIN_LOSS,
    along_random,
    edge_of_stability,
    successive,
)
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms, all_runs, layer_names
from experiments._figures import captions
from experiments._figures.figure import Block, make_figure
from experiments._figures.landscape import along_gradient
from experiments._figures.panels import Accuracy, Band, Curves, Line
from experiments.landscape.bands import band, bands, layer
from experiments.landscape.claims import LOSS_AND_CHANGE

_EXPLODED = 10 * math.log(10)  # ten times the loss of a guess, in nats
_PER_DISTANCE = "change / distance (nats/unit²)"


def plot(data: dict[str, Any]) -> Figure:
    """Draw scans along the gradient and along random directions, successive gradients, and the deep linear network."""
    vgg, deep = data["config"]["vgg"], data["config"]["deep_linear"]
    return make_figure(
        "The landscape with and without batch norm",
        [_along_gradient(data), _along_random(data), _successive(data), *_rates(data), _deep_linear(data)],
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), captions.scans(vgg)],
        [
            "shaded along the gradient: from the smallest to the largest value of a scan, medians over seeds",
            "bands of the other panels of the VGG: from the smallest to the largest seed",
        ],
        [captions.deep_linear(deep), f"its {captions.scans(deep).partition(' along')[0]}"],
        _several_rates(data),
        captions.origin(data, "training, scans and tests"),
        marks=[Line2D([], [], color=style.INK, linestyle="--", label="random direction")],
    )


def _along_gradient(data: dict[str, Any]) -> Block:
    """Show accuracy, loss, gradient and smoothness along minus the gradient; with the last, what may set its level."""
    config, rate = data["config"]["vgg"], data["config"]["vgg"]["learning_rate"]
    levels = {
        "2 / learning rate": edge_of_stability(config),
        "1 / smallest step": 1 / (rate * min(config["step_multiples"])),
        "1 / smallest step of dotted scans": 1 / (rate * min(data["config"]["short_multiples"])),
    }
    loss, predictiveness, smoothness = along_gradient(data["arms"], config, data["short"], levels)
    heading = f"{captions.network(config)}, learning rate {rate:g}: along minus the gradient"
    return Block(heading, [[Accuracy(data["arms"]), loss], [predictiveness, smoothness]])


def _along_random(data: dict[str, Any]) -> Block:
    """Show how much loss and gradient vary along a random direction, beside the gradient's."""
    length = captions.length(data["config"]["vgg"])
    shown = (
        (LOSS_RANGE, "Range of the loss", "largest - smallest (nats)"),
        (GRADIENT_CHANGE, "Change of the gradient", f"{length} (nats / unit)"),
        (SMOOTHNESS, "Effective smoothness", _PER_DISTANCE),
    )
    row = [Curves(data["arms"], _both(quantity), title=title, ylabel=label) for quantity, title, label in shown]
    return Block("Along a random direction as long as the gradient (dashed), beside it", [row])


def _both(quantity: Quantity) -> list[Line]:
    """Draw a quantity along the gradient and along random directions."""
    return [Line(quantity), Line(along_random(quantity), "--")]


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
    panels = [
        Curves(
            arms,
            [Line(successive(kind, name))],
            title=title,
            ylabel=SUCCESSIVE[kind] + ("" if kind in _UNITLESS else ", l2 (nats / unit)"),
            scale="linear" if kind in _UNITLESS else "log",
            ylim=(0, 1) if kind == "relative_sum" else None,
            line=0 if kind == "step_cosine" else None,
        )
        for kind, title in titles.items()
    ]
    losses = Curves(
        arms,
        [Line(LOSS_AND_CHANGE, smooth=_smooth), Line(TRAIN_LOSS, ":", smooth=_smooth)],
        title="Loss + its change",
        ylabel="nats; dotted: the loss alone",
        scale="linear",
        ylim=(0, None),
    )
    heading = f"Mameli's landscape: {name.replace('_', ' ')}'s gradients g', g of successive batches"
    return Block(heading, [[*panels[:2], losses], panels[2:]])


_UNITLESS = ("relative_sum", "step_cosine")


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average a curve over a sixtieth of it; the first point, which has no change, is left out."""
    return np.concatenate([[np.nan], rolling_mean(values[1:], max(1, len(values) // 60))])


def _rates(data: dict[str, Any]) -> list[Block]:
    """Show bands over runs of several learning rates; nothing where there are none."""
    if not data.get("multirun"):
        return []
    joined, sizes = bands(data), data["config"]["rates"]
    # Differences of losses are compared, as long as nothing explodes; of gradients, ratios.
    low, high = _ends(joined)
    scale = "log" if high > _EXPLODED else "linear"
    limits = (0.9 * low, 1.1 * high) if scale == "log" else (low - 0.05 * (high - low), high + 0.05 * (high - low))
    titles = {
        "same_step": ("Losses at equal steps", captions.loss(data["config"]["vgg"]), "training step"),
        "same_progress": ("Losses at equal rate x steps", "", f"steps of learning rate {min(sizes):g}"),
        "gradient": (
            "Change from step to step",
            f"|g - g'| of {layer(data).replace('_', ' ')}, l2 (nats / unit)",
            "training step",
        ),
    }
    row = [
        Band(
            joined,
            band(kind, "low"),
            band(kind, "high"),
            title=title,
            ylabel=ylabel,
            xlabel=xlabel,
            scale="log" if kind == "gradient" else scale,
            ylim=None if kind == "gradient" else limits,
        )
        for kind, (title, ylabel, xlabel) in titles.items()
    ]
    heading = f"The replications' landscape: runs at {len(sizes)} learning rates from {min(sizes):g} to {max(sizes):g}"
    return [Block(heading, [row])]


def _ends(joined: Arms) -> tuple[float, float]:
    """Return the smallest and the largest finite loss of all bands at the same step."""
    curves = [band("same_step", edge).curve(run)[1] for run in all_runs(joined) for edge in ("low", "high")]
    losses = np.concatenate([*curves, [1.0] * (not any(np.isfinite(curve).any() for curve in curves))])
    losses = losses[np.isfinite(losses)]
    return float(losses.min()), float(losses.max())


def _several_rates(data: dict[str, Any]) -> list[str]:
    """Describe such runs, and what their bands are; nothing where there are none."""
    if not data.get("multirun"):
        return []
    run = next(iter(data["multirun"].values()))[0]
    return [
        f"learning rates {', '.join(f'{rate:g}' for rate in data['config']['rates'])}: loss averaged over "
        f"{plural(run['train']['window'], 'step')}",
        "bands from the smallest to the largest of a seed's runs, medians over seeds",
    ]


def _deep_linear(data: dict[str, Any]) -> Block:
    """Show the deep linear network, whose scans span orders of magnitude."""
    config = data["config"]["deep_linear"]
    shown = (
        (HIGHEST_LOSS, "Largest loss of a scan", "half the squared error"),
        (GRADIENT_CHANGE, "Change of the gradient", f"{captions.length(config)} (loss / unit)"),
        (SMOOTHNESS, "Effective smoothness", "change / distance (loss/unit²)"),
    )
    row = [
        Curves(
            data["deep_linear"],
            _both(quantity),
            title=title,
            ylabel=label,
            levels={"2 / learning rate": edge_of_stability(config)} if quantity is SMOOTHNESS else {},
        )
        for quantity, title, label in shown
    ]
    rate = Format("g").number(config["learning_rate"])
    return Block(f"{captions.network(config).capitalize()}, learning rate {rate}", [row])

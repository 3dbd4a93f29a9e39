"""The figure of the experiment `landscape`: a VGG along its gradient, and what else was called its landscape."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments._claims.claim import Format
from experiments._claims.measures import loss_range
from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, smoothing
from experiments._figures.curves import Arms, draw_curves, mark_diverged, name_block
from experiments._figures.landscape import draw_scans
from experiments._figures.rates import describe, draw_rates
from experiments._figures.style import INK
from experiments._numbers import curves, rates

Value = Callable[[dict], np.ndarray]
_NORM = "l2 (nats / unit)"


def landscape_rows(data: dict[str, Any]) -> Figure:
    """Draw scans along the gradient and along random directions, successive gradients, and the deep linear network."""
    config, has_rates = data["config"]["vgg"], bool(data.get("multirun"))
    with style.style():
        heights = [4.4, 4.2, 4, 4, 3.4, *[4] * has_rates, 4]
        figure = Figure(figsize=(13, 1.05 * sum(heights) + 0.6))
        # Panels are two or three columns wide.
        grid = figure.add_gridspec(len(heights), 6, height_ratios=heights)
        num_batches = smoothing(config["num_steps"])
        wide = [figure.add_subplot(grid[row, left : left + 3]) for row in (0, 1) for left in (0, 3)]
        _draw_vgg(wide, data, num_batches)
        narrow = [
            [figure.add_subplot(grid[row, left : left + 2]) for left in (0, 2, 4)] for row in range(2, len(heights))
        ]
        _draw_random(narrow[0], data)
        _draw_successive(narrow[1], narrow[2], data)
        if has_rates:
            draw_rates(narrow[3], data)
        _draw_deep_linear(narrow[-1], data)
        runs = {net: [*runs, *rates.runs_of(data, net)] for net, runs in data["arms"].items()}
        handles = [
            *explain(runs, num_batches),
            Line2D([], [], color=INK, linestyle="--", label="random direction"),
        ]
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(handles),
            fontsize=13,
            title="The landscape with and without batch norm",
            title_fontsize=18,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _draw_vgg(panels: list[Axes], data: dict[str, Any], num_batches: int) -> None:
    """Draw accuracy and what was found along the gradient; with the smoothness, what may set its level."""
    accuracy, loss, predictiveness, smoothness = panels
    config = data["config"]["vgg"]
    draw_accuracy(accuracy, data["arms"], num_batches)
    draw_scans(loss, predictiveness, smoothness, data["arms"], config)
    draw_curves(smoothness, data["short"], "landscape", curves.effective_smoothness, ":", width=1.8)
    style.log_scale(smoothness)
    rate = config["learning_rate"]
    edge = {} if config["optimizer"] == "adam" else {"2 / learning rate": 2 / rate}
    scans = {"": config["step_multiples"], " of dotted scans": data["config"]["short_multiples"]}
    ends = {f"1 / smallest step{of}": 1 / (rate * min(multiples)) for of, multiples in scans.items()}
    _draw_levels(smoothness, {**edge, **ends})
    name_block(accuracy, f"{captions.network(config)}, learning rate {rate:g}: along minus the gradient")


def _draw_levels(panel: Axes, levels: dict[str, float]) -> None:
    """Draw horizontal lines, and name them below the axis; equal ones are one line with all their names."""
    words = []
    for level in dict.fromkeys(levels.values()):
        panel.axhline(level, color=INK, linestyle=(0, (6, 4)), linewidth=1.1, zorder=1.5)
        names = ", ".join(name for name, value in levels.items() if value == level)
        words.append(f"grey, {style.number(level)}: {names}")
    panel.set_xlabel("\n".join(["training step", *words]))


def _draw_random(panels: list[Axes], data: dict[str, Any]) -> None:
    """Draw how much loss and gradient vary along a random direction, beside the gradient's."""
    _draw_both(
        panels,
        data["arms"],
        (
            (loss_range, "Range of the loss", "largest - smallest (nats)"),
            (
                curves.farthest_gradient,
                "Change of the gradient",
                f"{captions.length(data['config']['vgg'])} (nats / unit)",
            ),
            (curves.effective_smoothness, "Effective smoothness", "change / distance (nats/unit²)"),
        ),
    )
    name_block(panels[0], "Along a random direction as long as the gradient (dashed), beside it")


def _draw_deep_linear(panels: list[Axes], data: dict[str, Any]) -> None:
    """Draw the deep linear network, whose scans span orders of magnitude."""
    config = data["config"]["deep_linear"]
    _draw_both(
        panels,
        data["deep_linear"],
        (
            (curves.highest_loss, "Largest loss of a scan", "half the squared error"),
            (curves.farthest_gradient, "Change of the gradient", f"{captions.length(config)} (loss / unit)"),
            (curves.effective_smoothness, "Effective smoothness", "change / distance (loss/unit²)"),
        ),
    )
    _draw_levels(panels[2], {"2 / learning rate": 2 / config["learning_rate"]})
    mark_diverged(panels[0], data["deep_linear"])
    rate = Format("g").number(config["learning_rate"])
    name_block(panels[0], f"{captions.network(config).capitalize()}, learning rate {rate}")


def _draw_both(panels: list[Axes], arms: Arms, quantities: tuple[tuple[Value, str, str], ...]) -> None:
    """Draw quantities of the scans, along the gradient and along random directions."""
    for panel, (value, title, label) in zip(panels, quantities, strict=True):
        draw_curves(panel, arms, "landscape", value, width=1.8)
        draw_curves(panel, arms, "random_direction", value, "--", width=1.8)
        panel.set(title=title, xlabel="training step", ylabel=label)
        style.log_scale(panel)


def _draw_successive(upper: list[Axes], lower: list[Axes], data: dict[str, Any]) -> None:
    """Draw what the seed repository measures of gradients and losses in a row, and the same in honest units below."""
    layer = next(iter(next(iter(data["arms"].values()))[0]["successive_gradients"]["layers"]))
    panels = zip(
        [*upper[:2], *lower],
        (
            ("step_sum", "Length of the sum", f"|g + g'|, {_NORM}"),
            ("norm", "Length of the gradient", f"|g|, {_NORM}"),
            ("step_distance", "Length of the difference", f"|g - g'|, {_NORM}"),
            ("relative_sum", "Sum in units of the lengths", "|g + g'| / (|g| + |g'|)"),
            ("step_cosine", "Turn", "cosine of g and g'"),
        ),
        strict=True,
    )
    for panel, (name, title, label) in panels:
        draw_curves(panel, data["arms"], "successive_gradients", curves.of_layer(layer, name), width=1.8)
        panel.set(title=title, ylabel=label)
    for panel in (*upper[:2], lower[0]):
        style.log_scale(panel)
    lower[1].set(ylim=(0, 1))
    lower[2].axhline(0, color=INK, linewidth=0.8)
    draw_curves(upper[2], data["arms"], "train", _smooth(curves.loss_and_change), width=1.8)
    draw_curves(upper[2], data["arms"], "train", _smooth(curves.named("loss")), ":", width=1.8)
    upper[2].set(title="Loss + its change", ylabel="nats; dotted: the loss alone", ylim=(0, None))
    for panel in (*upper, *lower):
        panel.set_xlabel("training step")
    words = f"{layer.replace('_', ' ')}'s gradients g', g of successive batches"
    name_block(upper[0], f"The seed repository's landscape: {words}")


def _smooth(value: Value) -> Value:
    """Average a curve over a sixtieth of it; the first point, which has no change, is left out."""

    def smoothed(train: dict) -> np.ndarray:
        values = value(train)
        mean = curves.rolling_mean(values[1:], max(1, len(values) // 60))
        return np.concatenate([[np.nan], mean])

    return smoothed


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    vgg, deep_linear = data["config"]["vgg"], data["config"]["deep_linear"]
    return [
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), captions.scans(vgg)],
        ["shaded along the gradient: from the smallest to the largest value of a scan, medians over seeds"],
        ["bands of the other panels of the VGG: from the smallest to the largest seed"],
        [captions.deep_linear(deep_linear)],
        [f"its {captions.scans(deep_linear).partition(' along')[0]}"],
        describe(data),
        captions.origin(data, "training, scans and tests"),
    ]

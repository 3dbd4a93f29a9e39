"""The figure of `gradient_depth`: the size of gradients by layer, and by what factor it grows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments._figures import captions, style
from experiments._figures.style import COLOURS, INK
from experiments._numbers.curves import LABELS
from experiments._numbers.gradient_depth import growth, norms, settings

_LINES = ("-", "--", ":", "-.")
_NETS = ("plain", "batch_norm")


def gradient_depth_figure(data: dict[str, Any]) -> Figure:
    """Draw the gradient by layer of the deepest nets, at initialisation and later, and its growth in nets of all depths."""
    scales = sorted({scale for _, scale in settings(data)})
    lines = dict(zip(sorted(scales, key=lambda scale: scale != 1), _LINES, strict=False))
    with style.style():
        figure = Figure(figsize=(13, 10.5))
        panels = figure.subplots(2, 2)
        config = data["config"]
        later = config["probe_every"]
        for panel, net, record in (
            (panels[0, 0], "plain", 0),
            (panels[0, 1], "batch_norm", 0),
            (panels[1, 0], "batch_norm", 1),
        ):
            _draw_layers(panel, data, net, record, lines)
            when = f"after {later} steps" if record else "at initialisation"
            panel.set_title(f"{LABELS[net].capitalize().replace('bn', 'BN')}, {when}")
        panels[1, 0].set_ylim(panels[0, 1].get_ylim())
        _draw_growth(panels[1, 1], data)
        figure.legend(
            handles=[
                *(Patch(color=COLOURS[net], label=LABELS[net]) for net in _NETS),
                *(Line2D([], [], color=INK, linestyle=line, label=f"weights x {s:g}") for s, line in lines.items()),
                Line2D([], [], color=INK, marker="o", linestyle="", label="at initialisation"),
                Line2D(
                    [], [], color=INK, marker="o", linestyle="", markerfacecolor="white", label=f"after {later} steps"
                ),
            ],
            loc="outside upper center",
            ncols=4,
            fontsize=14,
            title=f"Perceptrons on {captions.DATASETS[config['dataset']]}: how large gradients are, layer by layer",
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _draw_layers(panel: Axes, data: dict[str, Any], net: str, record: int, lines: Mapping[float, str]) -> None:
    """Draw the gradient's norm by layer, a line per scale: medians over seeds, with bands from smallest to largest."""
    deepest = max(depth for depth, _ in settings(data))
    for scale, line in lines.items():
        found = np.array([norms(run, record) for run in data["arms"][f"{net}_{deepest}_{scale:g}"]])
        found = np.where(found > 0, found, np.nan)
        known = ~np.isnan(found).any(axis=0)
        if known.any():
            layers, found = 1 + np.flatnonzero(known), found[:, known]
            panel.plot(layers, np.median(found, axis=0), color=COLOURS[net], linestyle=line)
            panel.fill_between(layers, found.min(0), found.max(0), color=COLOURS[net], alpha=0.22, linewidth=0)
    panel.set(xlabel="layer", ylabel="norm of the gradient, l2 (nats / unit)")
    style.log_scale(panel)


def _draw_growth(panel: Axes, data: dict[str, Any]) -> None:
    """Mark the growth per layer of every net: a dot per seed, hollow ones later in training."""
    places = settings(data)
    for net in _NETS:
        for place, (depth, scale) in enumerate(places):
            for record, fill in ((0, COLOURS[net]), (1, "white")):
                values = [growth(run, record) for run in data["arms"][f"{net}_{depth}_{scale:g}"]]
                x = place + (0.12 if net == "batch_norm" else -0.12) + 0.08 * (record - 0.5)
                panel.plot([x] * len(values), values, "o", color=COLOURS[net], markerfacecolor=fill, markersize=7)
    panel.axhline(1, color=INK, linestyle=":", linewidth=1.4)
    panel.set_xticks(range(len(places)), [f"{depth} layers\nx {scale:g}" for depth, scale in places], fontsize=11)
    panel.grid(False, axis="x")
    panel.set(title="Growth per layer, towards the input", ylabel="factor per layer")


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    deepest = max(config["depths"])
    return [
        [
            f"{config['hidden'][0]} units per layer, ReLU, {config['kernel_init'].partition('_')[0].capitalize()}'s weights",
            *captions.recipe(config, data["preset"]),
        ],
        [
            f"by layer: {deepest} hidden layers, and the output behind them",
            "lines: medians over seeds, bands: smallest to largest; dots: each seed",
        ],
        captions.origin(data),
    ]

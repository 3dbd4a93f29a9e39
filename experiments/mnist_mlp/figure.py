"""The figure of networks of sigmoids on MNIST: test error, what goes into the last sigmoids, and how steady that is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments._claims.mnist_mlp import of_layer, of_units, percentiles
from experiments._figures import captions, style
from experiments._figures.curves import draw_curves, mark_diverged
from experiments._figures.style import COLOURS, INK
from experiments._numbers import curves
from experiments._numbers.curves import LABELS

Arms = Mapping[str, list[dict[str, Any]]]

# Test accuracies in per cent, read off Fig. 1a of Ioffe & Szegedy 2015, and printed in Huber's notebook.
_STEPS = {"ioffe": (4, 5, 6, 7.5, 10, 15, 20, 30, 40), "huber": range(1, 11)}
_PUBLISHED = {
    ("ioffe", "plain"): (73.2, 78.2, 83.2, 90.3, 92.6, 95.3, 96.3, 96.8, 97.2),
    ("ioffe", "batch_norm"): (95.3, 95.6, 96.0, 96.5, 96.6, 97.2, 97.5, 97.8, 98.0),
    ("huber", "plain"): (73.6, 79.6, 82.3, 84.0, 85.5, 86.1, 86.9, 87.4, 87.6, 87.8),
    ("huber", "huber"): (78.6, 84.1, 86.1, 87.8, 88.4, 89.6, 89.8, 90.2, 90.8, 91.3),
}
_SETTINGS = {"ioffe": "Ioffe & Szegedy", "huber": "Huber"}
_STATISTICS = ("range", "variation", "roughness")


def mnist_figure(data: dict[str, Any]) -> Figure:
    """Draw test error, percentiles over training, and how steady their medians are, in both settings."""
    with style.style():
        figure = Figure(figsize=(13, 16))
        panels = figure.subplots(3, 2)
        for panel, group in zip(panels[0], _SETTINGS, strict=True):
            _error(panel, data, group)
        for panel, net in zip(panels[1], data["ioffe"], strict=True):
            _unit(panel, data["ioffe"][net][0], net)
        _share_limits(panels[1])
        _layer(panels[2, 0], data["huber"])
        _steadiness(panels[2, 1], data)
        for panel in panels.flat[:5]:
            panel.set_xlabel("training step")
            panel.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
            panel.margins(x=0.01)
        figure.legend(
            handles=_legend(data),
            loc="outside upper center",
            ncols=5,
            fontsize=13,
            title=_title(data),
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _error(panel: Axes, data: dict[str, Any], group: str) -> None:
    """Draw the share of test images that are answered wrongly, and what was published."""
    draw_curves(panel, data[group], "test", lambda test: 100 - 100 * curves.array(test.get("accuracy", [])), width=1.8)
    mark_diverged(panel, data[group])
    if data["config"][group]["dataset"] == "mnist":
        for net in data[group]:
            published = 100 - np.array(_PUBLISHED.get((group, net), []))
            steps = 1000 * np.array(_STEPS[group][: len(published)])
            panel.plot(steps, published, "s", color=COLOURS[net], markerfacecolor="white", markersize=7, zorder=4)
    panel.set(title=f"Test error, {_SETTINGS[group]}", ylabel="wrong answers (%)")
    panel.set_xlim(0, data["config"][group]["num_steps"])
    style.log_scale(panel)


def _unit(panel: Axes, run: dict[str, Any], net: str) -> None:
    """Draw percentiles of one unit of one net, normalised in batches, and the median that running averages make of it."""
    steps, colour = run["percentiles"]["step"], COLOURS[net]
    low, middle, high = curves.array(percentiles(run["percentiles"], "batch")["unit"]).T
    panel.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
    if "batch" in run["percentiles"]:
        panel.plot(steps, curves.array(run["percentiles"]["running"]["unit"])[:, 1], color=INK, linewidth=0.8)
    panel.plot(steps, middle, color=colour, linewidth=1.8)
    panel.set(title=f"A typical unit {LABELS[net]}", ylabel="input of the sigmoid")


def _share_limits(panels: Any) -> None:
    """Give panels the same vertical limits."""
    limits = [panel.get_ylim() for panel in panels]
    for panel in panels:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _layer(panel: Axes, arms: Arms) -> None:
    """Draw percentiles over images and units together, of each net, normalised by running averages."""
    for level, width in enumerate((1.3, 2.2, 1.3)):

        def values(probe: dict, level: int = level) -> np.ndarray:
            return curves.array(probe["running"]["layer"])[:, level]

        draw_curves(panel, arms, "percentiles", values, width=width)
    panel.set(title="All units together, Huber", ylabel="input of the sigmoids")


def _steadiness(panel: Axes, data: dict[str, Any]) -> None:
    """Draw a row per setting and statistic of the median."""
    rows = {}
    for first, group, measure, what in ((0, "ioffe", of_units, "a unit"), (4, "huber", of_layer, "all units together")):
        head = {"transform": panel.get_yaxis_transform(), "ha": "center", "va": "center", "fontsize": 12, "color": INK}
        panel.text(0.5, first - 0.75, f"{what}, {_SETTINGS[group]}", **head)
        for row, name in enumerate(_STATISTICS, first):
            rows[row] = name
            for i, (net, runs) in enumerate(data[group].items()):
                place = row + 0.26 * (i - (len(data[group]) - 1) / 2)
                _dot(panel, place, net, [measure(name, "running")(run) for run in runs], "white")
                if all("batch" in run["percentiles"] for run in runs) or net == "plain":
                    _dot(panel, place, net, [measure(name, "batch")(run) for run in runs], COLOURS[net])
    panel.set_yticks(list(rows), list(rows.values()))
    panel.set(title="How the median moves", xlabel="in units of the input of the sigmoid", ylim=(7.4, -1.1))
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(style.number)
    ways = {"in batches": INK, "by running averages": "white"}
    handles = [
        Line2D([], [], color=INK, marker="o", markerfacecolor=fill, linestyle="", label=way)
        for way, fill in ways.items()
    ]
    panel.legend(handles=handles, loc="lower center", ncols=2, fontsize=11, columnspacing=1.2, handletextpad=0.3)


def _dot(panel: Axes, place: float, net: str, values: list[float], fill: str) -> None:
    """Draw a dot at the median, and a line from the smallest to the largest seed; what is 0 or not finite is left out."""
    known = [value for value in values if 0 < value < np.inf]
    if known:
        panel.plot([min(known), max(known)], [place] * 2, color=COLOURS[net], linewidth=2)
        panel.plot(
            np.median(known), place, "o", color=COLOURS[net], markerfacecolor=fill, markersize=9, markeredgewidth=1.8
        )


def _legend(data: dict[str, Any]) -> list[Any]:
    """Explain colours, bands and marks."""
    nets = dict.fromkeys(net for group in _SETTINGS for net in data[group])
    handles: list[Any] = [Patch(color=COLOURS[net], label=LABELS[net]) for net in nets]
    if any(data["config"][group]["dataset"] == "mnist" for group in _SETTINGS):
        handles.append(Line2D([], [], color=INK, marker="s", markerfacecolor="white", linestyle="", label="published"))
    if any(run["diverged_at"] is not None for group in _SETTINGS for runs in data[group].values() for run in runs):
        handles.append(Line2D([], [], color=INK, marker="X", markersize=12, linestyle="", label="diverged"))
    return handles


def _title(data: dict[str, Any]) -> str:
    """Name what was trained."""
    config = data["config"]["ioffe"]
    widths = "-".join(map(str, config["hidden"]))
    return f"MLP {widths} of {config['activation']}s on {captions.DATASETS[config['dataset']]}, with and without batch norm"


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    recipes = [
        [
            f"{_SETTINGS[group]}: {captions.recipe(config, data['preset'])[-1]}",
            f"inputs '{config['preprocessing']}'",
            f"weights N(0, {config['kernel_scale']:g}²)",
        ]
        for group, config in data["config"].items()
    ]
    return [
        *recipes,
        [
            "percentiles 15, 50 and 85 on the same test images throughout; a typical unit has the middle range of all medians"
        ],
        [
            "with BN: as batches normalise, or as running averages do (thin dark line, and the panel of all units together)"
        ],
        [
            "from step 500 on; variation: per 1,000 steps; roughness: standard deviation around the average over 1,000 steps"
        ],
        [f"preset {data['preset']}", captions.seeds(data["config"]["ioffe"]), *captions.origin(data)],
    ]

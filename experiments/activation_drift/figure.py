"""The figure of the experiment `activation_drift`: distributions over training, and how far their moments move."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments._claims.measures import median_of
from experiments._figures import captions, style
from experiments._figures.curves import draw_curves, mark_diverged
from experiments._figures.ridges import BINS, draw_ridges
from experiments._figures.style import COLOURS, INK
from experiments._numbers import curves
from experiments._numbers import drift as drift_numbers
from experiments._numbers.curves import LABELS

# Title, moment, since when, and whether in the unit's own units.
_OVER_TRAINING: tuple[tuple[Any, ...], ...] = (
    ("Mean, in {} steps", "mean", "successive", False),
    ("Mean, from the start", "mean", "cumulative", False),
)
_SUMMARY: tuple[tuple[Any, ...], ...] = (
    ("in {} steps", "successive", False),
    ("in {} steps, own units", "successive", True),
    ("from the start", "cumulative", False),
    ("from the start, own units", "cumulative", True),
)


def activation_drift_figure(data: dict[str, Any]) -> Figure:
    """Draw ridges, percentiles and shifts over training, a column per layer; below, every shift of every layer and seed."""
    arms, every = data["arms"], data["config"]["probe_every"]
    layers = drift_numbers.layer_names([run for runs in arms.values() for run in runs])
    with style.style(), mpl.rc_context({"axes.titlesize": 14}):
        figure = Figure(figsize=(13, 25))
        parts: Any = figure.subfigures(2, 1, height_ratios=(2.7, 1))
        upper, lower = parts
        panels = upper.subplots(5, max(1, len(layers)), squeeze=False, height_ratios=(1.3, 1.3, 1, 0.9, 0.9))
        for column, layer in zip(panels.T, layers, strict=False):
            for panel, (arm, runs) in zip(column[:2], arms.items(), strict=False):
                _ridges(panel, runs[0], layer, arm)
            _percentiles(column[2], arms, layer)
            for panel, (title, *moved) in zip(column[3:], _OVER_TRAINING, strict=True):
                _over_training(panel, arms, layer, *moved)
                panel.set(title=f"{title.format(every)}: layer {drift_numbers.number(layer)}", ylabel="|change|")
        _summary(lower.subplots(2, 4), arms, layers, every)
        handles = _legend(arms)
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(handles),
            fontsize=13,
            title=f"{captions.network(data['config'])}: {drift_numbers.subject(data['config'])} the nonlinearities",
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _ridges(panel: Axes, run: dict[str, Any], layer: str, arm: str) -> None:
    """Draw the distributions of one unit of a run."""
    draw_ridges(panel, run["drift"]["layers"].get(layer, {}).get("shapes"), COLOURS[arm])
    words = LABELS[arm][:1].upper() + LABELS[arm][1:]
    panel.set(title=f"{words}: layer {drift_numbers.number(layer)}", xlabel="input")


def _percentiles(panel: Axes, arms: dict[str, list[dict]], layer: str) -> None:
    """Draw the 15th, 50th and 85th percentile of one unit over training, of the first seed."""
    for arm, runs in arms.items():
        drift = runs[0]["drift"]
        if layer not in drift["layers"]:
            continue
        low, middle, high = curves.array(drift["layers"][layer]["percentiles"]).T
        panel.fill_between(drift["step"], low, high, color=COLOURS[arm], alpha=0.25, linewidth=0)
        panel.plot(drift["step"], middle, color=COLOURS[arm])
        for edge in (low, high):
            panel.plot(drift["step"], edge, color=COLOURS[arm], linewidth=1)
    panel.set(title=f"15, 50, 85 %: layer {drift_numbers.number(layer)}", ylabel="input", xlabel="training step")
    panel.margins(x=0.01)


def _over_training(panel: Axes, arms: dict[str, list[dict]], layer: str, *moved: Any) -> None:
    """Draw a shift over training: the median over units and seeds, and the range over seeds."""
    found = {arm: [run for run in runs if layer in run["drift"]["layers"]] for arm, runs in arms.items()}
    draw_curves(panel, found, "drift", drift_numbers.shift(layer, *moved))
    mark_diverged(
        panel, {arm: runs for arm, runs in arms.items() if any(run["diverged_at"] is not None for run in runs)}
    )
    panel.set(xlabel="training step")
    style.log_scale(panel)


def _summary(panels: Any, arms: dict[str, list[dict]], layers: list[str], every: int) -> None:
    """Draw every seed's shift of both moments, layer by layer: a dot per seed, a bar at the median."""
    for row, moment in zip(panels, ("mean", "variance"), strict=True):
        for panel, (title, since, relative) in zip(row, _SUMMARY, strict=True):
            for (arm, runs), side in zip(arms.items(), (-0.17, 0.17), strict=False):
                for x, layer in enumerate(layers):
                    measure = median_of("drift", drift_numbers.shift(layer, moment, since, relative), first=1)
                    values = [measure(run) for run in runs if layer in run["drift"]["layers"]]
                    panel.plot(
                        [x + side] * len(values), values, "o", color=COLOURS[arm], markersize=6, alpha=0.55, mew=0
                    )
                    panel.plot(x + side + np.array([-0.12, 0.12]), [np.median(values)] * 2, color=COLOURS[arm])
            panel.set_title(f"{moment.capitalize()},\n{title.format(every)}", fontsize=13)
            panel.set(xlim=(-0.6, len(layers) - 0.4), xlabel="layer")
            panel.set_xticks(range(len(layers)), [str(drift_numbers.number(layer)) for layer in layers])
            panel.grid(False, axis="x")
            style.log_scale(panel)
    panels[0, 0].set_ylabel("median |change|")
    panels[1, 0].set_ylabel("median |change|")


def _legend(arms: dict[str, list[dict]]) -> list[Any]:
    """Explain colours and marks."""
    handles: list[Any] = [Patch(color=COLOURS[arm], label=LABELS[arm]) for arm in arms]
    handles.append(Line2D([], [], color=INK, marker="o", linestyle="", markersize=6, label="one seed"))
    if any(run["diverged_at"] is not None for runs in arms.values() for run in runs):
        handles.append(Line2D([], [], color=INK, marker="X", markersize=12, linestyle="", label="diverged"))
    return handles


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    tests = [
        f"{LABELS[arm]} {100 * curves.final(runs, 'test', 'accuracy'):.1f} %" for arm, runs in data["arms"].items()
    ]
    return [
        captions.recipe(config, data["preset"]),
        [captions.images(config), f"test accuracy {', '.join(tests)}", f"measured every {config['probe_every']} steps"],
        [
            f"on training batches, {captions.place(config)}, normalised with BN",
            f"ridges ({BINS} bins, rebuilt from 40 quantiles) and percentiles: one unit, first seed",
        ],
        [
            f"shifts: medians over {config['drift_units']} units; lines: with range over seeds; dots: medians over steps",
            "own units: the unit's standard deviation, or variance, before",
        ],
        captions.origin(data),
    ]

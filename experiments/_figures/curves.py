"""Curves of many runs over training, as lines and bands, and the names of blocks of panels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments._figures import style
from experiments._figures.style import COLOURS, INK
from experiments._numbers import curves

Arms = Mapping[str, list[dict[str, Any]]]
Value = Callable[[dict], np.ndarray]


def draw_curves(panel: Axes, arms: Arms, kind: str, value: Value, line: str = "-", width: float = 2.2) -> None:
    """Draw a quantity of each net, its median over seeds, and a band that `captions.bands` describes.

    Args:
        panel: to draw on.
        arms: the runs of each net.
        kind: train, or the name of a probe; a net of which that was not measured is left out.
        value: takes from what was measured one number per step.
        line: style of the lines.
        width: of the lines, in points.
    """
    for net, runs in arms.items():
        if not all(kind in run for run in runs):
            continue
        curve = curves.over_seeds(runs, kind, value, curves.levels(len(runs)))
        panel.plot(curve.step, curve.middle, line, color=COLOURS[net], linewidth=width)
        panel.fill_between(curve.step, curve.low, curve.high, color=COLOURS[net], alpha=0.2, linewidth=0)
    panel.margins(x=0.01)


def draw_band(panel: Axes, arms: Arms, kind: str, low: Value, high: Value) -> None:
    """Shade what lies between two quantities, medians over seeds, and draw both."""
    for net, runs in arms.items():
        bottom, top = (curves.over_seeds(runs, kind, edge) for edge in (low, high))
        panel.fill_between(bottom.step, bottom.middle, top.middle, color=COLOURS[net], alpha=0.4, linewidth=0)
        for edge in (bottom, top):
            panel.plot(edge.step, edge.middle, color=COLOURS[net], linewidth=1)
    panel.margins(x=0.01)


def log_scale_small(panel: Axes) -> None:
    """Make the vertical axis of a small panel logarithmic, with so few labels that they do not touch."""
    style.log_scale(panel)
    low, high = panel.get_ylim()
    if panel.get_yscale() == "log" and 8 * low < high < 50 * low:
        panel.yaxis.set_minor_formatter(
            lambda y, _: style.number(y) if round(y / 10 ** np.floor(np.log10(y))) == 3 else ""
        )


def mark_diverged(panel: Axes, arms: Arms) -> None:
    """Put a cross where a run diverged, at the foot of the panel."""
    for net, runs in arms.items():
        for step in (run["diverged_at"] for run in runs if run["diverged_at"] is not None):
            place = panel.get_xaxis_transform()
            panel.plot(step, 0.03, "X", color=COLOURS[net], markersize=12, transform=place, clip_on=False, zorder=5)


def name_block(panel: Axes, name: str) -> None:
    """Write a block's name above the title of its first panel, as long as it is; room is made by a space as high."""
    for text, height, in_layout in ((name, 34, False), (" ", 44, True)):
        panel.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, height),
            textcoords="offset points",
            fontsize=17,
            fontweight="bold",
            color=INK,
            in_layout=in_layout,
        )

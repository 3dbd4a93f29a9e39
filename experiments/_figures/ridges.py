"""Distributions over training, one behind the other: the first step at the back, the last in front."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments._numbers import drift as drift_numbers
from experiments._numbers.curves import array

BINS = 64
_MAX_RIDGES = 20
_HEIGHT = 4.5  # of the highest bin, in distances of two ridges


def draw_ridges(
    panel: Axes, shapes: dict[str, Any] | None, colour: str, limits: tuple[float, float] | None = None
) -> None:
    """Draw a unit's distributions as histograms, each as high as any other.

    Args:
        panel: to draw on.
        shapes: steps, and the unit's quantiles at each, as `drift_numbers.published` keeps them; without any nothing is drawn.
        colour: of the ridges.
        limits: where the first bin begins and the last one ends; by default, around all values.
    """
    panel.set(ylabel="training step")
    panel.grid(False)
    steps, quantiles = finite_shapes(shapes)
    if not len(steps):
        return
    chosen = np.unique(np.linspace(0, len(steps) - 1, _MAX_RIDGES).round().astype(int))
    steps, quantiles = steps[chosen], quantiles[chosen]
    edges = np.linspace(*(limits or around(quantiles)), BINS + 1)
    spacing = np.ptp(steps) / max(1, len(steps) - 1) or 1.0
    for depth, (step, row) in enumerate(zip(steps, quantiles, strict=True), start=2):
        shares = drift_numbers.histogram(row, edges)
        top = step - _HEIGHT * spacing * shares / (shares.max() or 1.0)
        middles = (edges[1:] + edges[:-1]) / 2
        panel.fill_between(middles, step, top, color=colour, alpha=0.85, linewidth=0, zorder=depth)
        panel.plot(middles, top, color="white", linewidth=0.9, zorder=depth)
    panel.set(xlim=(edges[0], edges[-1]), ylim=(steps[-1] + 0.6 * spacing, steps[0] - (_HEIGHT + 0.3) * spacing))
    ticks = MaxNLocator(4, integer=True).tick_values(steps[0], steps[-1])
    panel.set_yticks([tick for tick in ticks if steps[0] <= tick <= steps[-1]])
    panel.xaxis.set_major_locator(MaxNLocator(5))


def finite_shapes(shapes: dict[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which all quantiles are finite, and these."""
    if not shapes or not shapes["step"]:
        return np.array([]), np.empty((0, 0))
    quantiles = array(shapes["quantiles"])
    finite = np.isfinite(quantiles).all(1)
    return np.array(shapes["step"])[finite], quantiles[finite]


def around(quantiles: np.ndarray) -> tuple[float, float]:
    """Choose limits around all values, with room for what lies outside the outermost quantiles."""
    low, high = float(quantiles.min()), float(quantiles.max())
    margin = 0.15 * (high - low) or 1.0
    return low - margin, high + margin

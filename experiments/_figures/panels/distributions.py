"""Panels of distributions: percentiles and ridges over training, and histograms."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bnjax.draw import style
from experiments._evidence.drift import histogram
from experiments._evidence.run import Arms, Run, array
from experiments._figures.panels.panel import Panel
from experiments._nets import NETS

BINS = 64  # of a ridge
_MAX_RIDGES = 20
_HEIGHT = 4.5  # of the highest bin, in units of the distance between two ridges


@dataclass(frozen=True)
class Percentiles(Panel):
    """Three percentiles over training, of the first seed.

    Attributes:
        of: maps a run to steps (records,) and percentiles (records, 3), ascending.
        beside: another set of percentiles, whose middle one is drawn as a thin dark line.
    """

    arms: Arms
    of: Callable[[Run], tuple[Any, np.ndarray]]
    beside: Callable[[Run], tuple[Any, np.ndarray]] | None = None

    def draw_data(self, axes: Axes) -> None:
        """Shade from the lowest to the highest percentile."""
        for net, runs in self.arms.items():
            colour = NETS[net].colour
            steps, levels = self.of(runs[0])
            if not len(steps):
                continue
            axes.fill_between(steps, levels[:, 0], levels[:, 2], color=colour, alpha=0.25, linewidth=0)
            if self.beside:
                others, beside = self.beside(runs[0])
                axes.plot(others, beside[:, 1], color=style.INK, linewidth=0.8)
            axes.plot(steps, levels[:, 1], color=colour, linewidth=1.8)
            axes.plot(steps, levels[:, [0, 2]], color=colour, linewidth=1)


@dataclass(frozen=True)
class Histogram(Panel):
    """Shares in bins on a logarithmic axis, one line per series: its words, its colour and counts, (bins,)."""

    series: Mapping[str, tuple[Any, np.ndarray]]
    edges: np.ndarray

    def draw_data(self, axes: Axes) -> None:
        """Draw the share of all counts in each bin."""
        for label, (colour, counts) in self.series.items():
            axes.stairs(counts / counts.sum(), self.edges, color=colour, linewidth=2.6, label=label)
        axes.set_xscale("log")
        axes.set(xlim=(self.edges[0], self.edges[-1]), ylim=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.tick_params(axis="x", pad=8)  # so that the first label does not touch the other axis's
        axes.legend(loc="upper left", fontsize=12)


@dataclass(frozen=True)
class Ridges(Panel):
    """A unit's distributions over training, one above the other: the first step at the back, the last in front.

    Attributes:
        shapes: steps and the unit's quantiles at each, as data files keep them; nothing is drawn without any.
        limits: where the first bin begins and the last one ends; by default, around all values.
    """

    net: str
    shapes: Mapping[str, Any] | None
    limits: tuple[float, float] | None = None

    @property
    def nets(self) -> Arms:
        """The one net."""
        return {self.net: []}

    def draw_data(self, axes: Axes) -> None:
        """Draw histograms, each as high as any other."""
        axes.grid(False)
        steps, quantiles = _finite_shapes(self.shapes)
        if not len(steps):
            return
        chosen = np.unique(np.linspace(0, len(steps) - 1, _MAX_RIDGES).round().astype(int))
        steps, quantiles = steps[chosen], quantiles[chosen]
        edges = np.linspace(*(self.limits or _around(quantiles)), BINS + 1)
        spacing = np.ptp(steps) / max(1, len(steps) - 1) or 1.0
        middles = (edges[1:] + edges[:-1]) / 2
        for depth, (step, row) in enumerate(zip(steps, quantiles, strict=True), start=2):
            shares = histogram(row, edges)
            top = step - _HEIGHT * spacing * shares / (shares.max() or 1.0)
            axes.fill_between(middles, step, top, color=NETS[self.net].colour, alpha=0.85, linewidth=0, zorder=depth)
            axes.plot(middles, top, color="white", linewidth=0.9, zorder=depth)
        axes.set(xlim=(edges[0], edges[-1]), ylim=(steps[-1] + 0.6 * spacing, steps[0] - (_HEIGHT + 0.3) * spacing))
        ticks = MaxNLocator(4, integer=True).tick_values(steps[0], steps[-1])
        shown = [tick for tick in ticks if steps[0] <= tick <= steps[-1]]
        axes.set_yticks(shown, [f"{tick:,.0f}" for tick in shown])
        axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))


def _finite_shapes(shapes: Mapping[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which all quantiles are finite, and the quantiles."""
    if not shapes or not shapes["step"]:
        return np.array([]), np.empty((0, 0))
    quantiles = array(shapes["quantiles"])
    finite = np.isfinite(quantiles).all(1)
    return np.array(shapes["step"])[finite], quantiles[finite]


def shared_limits(shapes: Iterable[Mapping[str, Any] | None]) -> tuple[float, float] | None:
    """Choose limits around the distributions of several panels, so that widths can be compared; None without any."""
    found = [quantiles for _, quantiles in map(_finite_shapes, shapes) if quantiles.size]
    return _around(np.concatenate([quantiles.ravel() for quantiles in found])) if found else None


def _around(quantiles: np.ndarray) -> tuple[float, float]:
    """Choose limits around all quantiles, with room for values beyond the outermost ones."""
    low, high = float(quantiles.min()), float(quantiles.max())
    margin = 0.15 * (high - low) or 1.0
    return low - margin, high + margin

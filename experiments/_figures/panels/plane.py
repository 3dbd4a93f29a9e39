"""Panels of the loss on a plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MultipleLocator

from bnjax.draw import style
from bnjax.draw.grid import Grid, Scale
from bnjax.draw.plane import draw_contours
from experiments._evidence.run import array
from experiments._figures.panels.panel import Panel, mark

_DARK = "#111111"
_LINES, _TICKS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7), (1, 1.5, 2, 3, 5)  # multiples of powers of ten


@dataclass(frozen=True)
class Plane(Panel):
    """The loss on a plane through the weights of a net, the path of its training, and steps along minus the gradient.

    Attributes:
        plane: a measurement of the probe `plane`.
        steps: marked steps along minus the gradient, in learning rates.
        limits: the smallest and the largest loss that colours distinguish, both > 0.
    """

    plane: Mapping[str, Any]
    steps: Sequence[int]
    limits: tuple[float, float]
    xlabel: str = field(default="along minus the gradient", kw_only=True)
    ylabel: str = field(default="towards the weights ahead", kw_only=True)

    @property
    def height(self) -> float:
        """The height on a narrow screen, about its width."""
        return 5.0

    @property
    def marks(self) -> list[Line2D]:
        """The marks on the plane."""
        words = ", ".join(map(str, self.steps))
        return [
            mark("path of the training", "o", "-", color=_DARK, markerfacecolor=_DARK, markersize=3.5),
            mark("weights now", "o", color=_DARK, markersize=9),
            mark("weights ahead", "*", color=_DARK, markersize=14),
            mark(f"{words} learning rates along minus the gradient", "D", color=_DARK, markersize=6),
        ]

    def draw_data(self, axes: Axes) -> None:
        """Draw contours, and the marks above them."""
        xs, ys, loss, path = (array(self.plane[name]) for name in ("xs", "ys", "loss", "path"))
        low, high = self.limits
        grid = Grid(xs, ys, np.where(np.isfinite(loss), loss, np.nan))
        along = np.array(self.steps) * float(array(self.plane["step_length"]))
        along = along[along <= xs[-1]]
        if np.isnan(grid.z).any():
            style.hatch_missing(axes)
        if np.isfinite(grid.z).any():
            scale = Scale(LogNorm(low, high), _multiples(_LINES, low, high), is_log=True)
            bar = draw_contours(axes, grid, scale, avoid=np.concatenate([path, [[x, 0.0] for x in along]]))
            bar.set_ticks(_multiples(_TICKS, low, high).tolist())
            bar.set_label("loss (nats)")
        outline: Any = {"path_effects": [Stroke(linewidth=3.4, foreground="white"), Normal()], "color": _DARK}
        axes.plot(*path.T, "o-", linewidth=1.4, markersize=3.5, zorder=4, **outline)
        look: Any = {"linestyle": "", "color": _DARK, "markerfacecolor": "white", "clip_on": False}
        axes.plot(along, 0 * along, marker="D", markersize=6, zorder=5, **look)
        axes.plot(*path[0], marker="o", markersize=9, zorder=6, **look)
        axes.plot(*path[-1], marker="*", markersize=14, zorder=6, **look)
        axes.grid(visible=False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.5))
        axes.set(xlim=xs[[0, -1]], ylim=ys[[0, -1]], aspect="equal")


def _multiples(factors: Sequence[float], low: float, high: float) -> np.ndarray:
    """List multiples of powers of ten between two positive numbers."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    found = np.ravel(10.0 ** powers[:, None] * np.array(factors))
    return found[(found > low) & (found < high)]

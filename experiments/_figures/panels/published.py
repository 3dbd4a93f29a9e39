"""Panels of published ranges, and of scans by their step sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bnjax.draw import style
from experiments._evidence.curve import over_seeds
from experiments._evidence.quantities import change_at
from experiments._evidence.run import Run, Runs
from experiments._figures.panels.panel import Panel, Scale
from experiments._nets import NETS


class Window(NamedTuple):
    """A range that a source shows over a window of training steps."""

    first: int
    last: int
    low: float
    high: float


@dataclass(frozen=True)
class Windows(Panel):
    """Published ranges of each net, one per window of training steps; a range of equal ends is a line.

    Attributes:
        windows: windows of each net.
        until: the last step that is drawn.
    """

    windows: Mapping[str, Sequence[Window]]
    until: int
    scale: Scale = field(default="log", kw_only=True)

    @property
    def nets(self) -> dict[str, list[Run]]:
        """The nets, none of which has runs."""
        return {net: [] for net in self.windows}

    def draw_data(self, axes: Axes) -> None:
        """Draw a band through the windows that begin before the last step."""
        for net, windows in self.windows.items():
            shown = [window for window in windows if window.first < self.until]
            steps = [min(step, self.until) for window in shown for step in window[:2]]
            low, high = (np.repeat([window[end] for window in shown], 2) for end in (2, 3))
            axes.fill_between(steps, low, high, color=NETS[net].colour, alpha=0.4, linewidth=0)
            for edge in (low, high):
                axes.plot(steps, edge, color=NETS[net].colour, linewidth=1 if (low < high).any() else 2.2)
        axes.set_xlim(-0.01 * self.until, 1.01 * self.until)


@dataclass(frozen=True)
class BySize(Panel):
    """The change of the gradient against the step size of a scan: a line per scan, coloured by its training step.

    Each line is the median over seeds. Santurkar et al. 2018 show it in Fig. 11.

    Attributes:
        net: the net whose scans are drawn.
        runs: its runs.
        sizes: step sizes of the scans.
    """

    net: str
    runs: Runs
    sizes: Sequence[float]
    xlabel: str = field(default="step size along the gradient", kw_only=True)
    scale: Scale = field(default="log", kw_only=True)

    @property
    def shown(self) -> list[Run]:
        """The runs of the net."""
        return [*self.runs]

    @property
    def nets(self) -> dict[str, Runs]:
        """None: colours are steps."""
        return {}

    def draw_data(self, axes: Axes) -> None:
        """Draw the scans at the steps that all runs have, and a scale of colours."""
        curves = [over_seeds(self.runs, change_at(point)) for point in range(len(self.sizes))]
        steps = sorted(set.intersection(*(set(curve.step.tolist()) for curve in curves)))
        colours = ScalarMappable(Normalize(0, max([1, *steps])), style.sequential())
        for step in steps:
            values = [curve.middle[curve.step == step][0] for curve in curves]
            axes.plot(self.sizes, values, "-", color=colours.to_rgba(step), linewidth=1.3)
        axes.set_xscale("log")
        axes.set_xticks(self.sizes, [style.number(size) for size in self.sizes])
        axes.xaxis.set_minor_formatter("")
        bar = axes.get_figure().colorbar(colours, ax=axes, pad=0.02)  # pyright: ignore[reportOptionalMemberAccess]
        bar.set_label("training step", fontsize=12)
        bar.ax.yaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")

"""The base class of panels: titles, axes, levels, published values, and marks that the figure's legend must explain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

from bnjax.draw import style
from experiments._evidence.run import Arms, Run, all_runs
from experiments._nets import NETS

Scale = Literal["linear", "log", "percent", "share", "points"]


class Published(NamedTuple):
    """Published values, which a panel shows as faint marks: places and values by net."""

    source: str
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The base class of panels.

    Attributes:
        scale: of the values: linear, log, percent from 0, share for percent of any range, or points for differences of shares.
        ylim: limits of the axis of values, which is vertical, or horizontal if values lie along it.
        labelled: multiples of powers of ten that a logarithmic vertical axis labels besides the powers.
        levels: values at which lines are drawn, by their words, which are written below the axis.
        line: a dotted line at a value with a meaning of its own, such as 1 for a ratio.
        published: values of a source.
    """

    title: str = ""
    ylabel: str = ""
    xlabel: str = "training step"
    scale: Scale = "linear"
    ylim: tuple[float | None, float | None] | None = None
    labelled: Sequence[int] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    line: float | None = None
    published: Published | None = None

    @property
    def nets(self) -> Arms:
        """The nets that are shown, for the legend."""
        return getattr(self, "arms", {})

    @property
    def axis(self) -> str:
        """The axis of the values, x or y."""
        return "y"

    @property
    def height(self) -> float:
        """The height on a narrow screen, in inches."""
        return 3.0 if self.title else 2.5

    @property
    def shown(self) -> list[Run]:
        """The runs that are shown."""
        return all_runs(self.nets)

    @property
    def marks(self) -> list[Line2D]:
        """Marks that the figure's legend explains besides the colours of the nets."""
        marks = []
        if self.published:
            marks.append(mark(f"published: {self.published.source}", "s", alpha=0.6, markersize=7))
        if any(run["diverged_at"] is not None for run in self.shown):
            marks.append(mark("diverged", "X", markersize=12, markerfacecolor=style.INK))
        return marks

    def draw(self, axes: Axes) -> None:
        """Draw data, published values, axes and titles."""
        axes.margins(x=0.01)
        axes.set(title=self.title, ylabel=self.ylabel, xlabel=self.xlabel)
        self.draw_data(axes)
        if isinstance(axes.xaxis.get_major_formatter(), ScalarFormatter) and self.xlabel in ("training step", ""):
            is_long = axes.get_xlim()[1] >= 9000  # full labels would touch
            axes.xaxis.set_major_formatter(lambda step, _: f"{step / 1000:g}k" if is_long and step else f"{step:,.0f}")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if self.published:
            for net, (places, values) in self.published.points.items():
                look = {"color": NETS[net].colour, "markerfacecolor": "white", "markersize": 7, "alpha": 0.6}
                axes.plot(places, values, "s", zorder=4, **look)
        if self.line is not None:
            self._rule(axes, self.line, ":", 1.4)
        self._draw_levels(axes)
        if self.scale == "percent":  # from 0 to a little above the highest
            top = min(1.02, max(0.3, 1.05 * getattr(axes.dataLim, f"{self.axis}1")))
            axes.set(**{f"{self.axis}lim": (0, top)})
            getattr(axes, f"{self.axis}axis").set_major_formatter(PercentFormatter(1, decimals=0))
        elif self.scale == "share":
            getattr(axes, f"{self.axis}axis").set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
        elif self.scale == "points":
            getattr(axes, f"{self.axis}axis").set_major_formatter(
                lambda share, _: f"{100 * share:+.3g}" if share else "0"
            )
        elif self.scale == "log" and self.axis == "y":
            if self.ylim:  # the limits decide which values are labelled
                axes.set(ylim=self.ylim)
            self.label_values(axes)
        elif self.scale == "log" and axes.dataLim.x1 > 0:  # else there is nothing to draw
            axes.set_xscale("log")
            axes.margins(x=0.05)
            style.label_powers(axes, "x")
        if self.ylim:
            axes.set(**{f"{self.axis}lim": self.ylim})

    def label_values(self, axes: Axes) -> None:
        """Label a logarithmic vertical axis at as many values as fit between its limits."""
        if self.scale == "log" and self.axis == "y":
            style.log_scale(axes)
            if self.labelled and axes.get_yscale() == "log":
                style.label_between(axes, self.labelled)

    def draw_data(self, axes: Axes) -> None:
        """Draw the data."""
        raise NotImplementedError

    def _rule(self, axes: Axes, value: float, linestyle: Any, linewidth: float, **look: Any) -> None:
        rule = axes.axvline if self.axis == "x" else axes.axhline
        rule(value, color=style.INK, linestyle=linestyle, linewidth=linewidth, **look)

    def _draw_levels(self, axes: Axes) -> None:
        """Draw lines at some values, and name them below the axis; equal values share one line."""
        words = []
        for level in dict.fromkeys(level for level in self.levels.values() if np.isfinite(level)):
            self._rule(axes, level, (0, (6, 4)), 1.1, zorder=1.5)
            names = ", ".join(name for name, value in self.levels.items() if value == level)
            words.append(f"grey, {style.number(level)}: {names}")
        if words:
            axes.set_xlabel("\n".join([self.xlabel, *words]))


def mark_diverged(axes: Axes, arms: Arms) -> None:
    """Draw a cross at the foot of the panel at each step where a run diverged."""
    for net, runs in arms.items():
        for step in (run["diverged_at"] for run in runs if run["diverged_at"] is not None):
            look = {"color": NETS[net].colour, "markersize": 12, "clip_on": False, "zorder": 5}
            axes.plot(step, 0.03, "X", transform=axes.get_xaxis_transform(), **look)


def mark(label: str, marker: str, line: Any = "", **look: Any) -> Line2D:
    """Make a legend's entry; hollow by default."""
    looks = {"color": style.INK, "markerfacecolor": "white", "markersize": 8, **look}
    return Line2D([], [], marker=marker, linestyle=line, label=label, **looks)

"""The panel of numbers per net, in columns or rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence.quantities import CHANCE
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, Run, all_runs
from experiments._evidence.value import Bound, quantiles, spread
from experiments._figures.panels.panel import Panel, Scale, mark
from experiments._nets import NETS

OfColumn = Callable[[str], Measure]


@dataclass(frozen=True)
class Dots(Panel):
    """Numbers per net, in columns: the median over seeds, and a line from the smallest to the largest.

    A bound is drawn as a triangle that points towards the true number; infinite numbers are drawn at the edge of the panel.

    Attributes:
        arms: the nets, in the order in which they are drawn side by side.
        columns: the runs of each net, by the column's label.
        measures: one or two measures by their words in the panel's legend; the first has full markers, the second hollow ones.
            A function maps a column's label to the measure.
        horizontal: draw columns as rows, from top to bottom.
        each: draw a dot per seed, and a bar at the median; at the foot, a cross if a run diverged and has no number.
        joined: draw a line from column to column.
        linked: draw a faint line from net to net for each seed, one column per net.
        shaded: a quantity for each column; the range of the middle 80 % of its values over steps is shaded.
        chance: the share that a guess reaches; by default, the accuracy.
        headings: words above some rows, by the label of the row below.
    """

    arms: Arms
    columns: Mapping[str, Arms]
    measures: Mapping[str, Measure | OfColumn]
    xlabel: str = field(default="", kw_only=True)
    scale: Scale = field(default="log", kw_only=True)
    horizontal: bool = False
    each: bool = False
    joined: bool = False
    linked: bool = False
    shaded: Callable[[str], Quantity] | None = None
    chance: float = CHANCE
    headings: Mapping[str, str] = field(default_factory=dict)

    @property
    def axis(self) -> str:
        """The axis of the values."""
        return "x" if self.horizontal else "y"

    @property
    def height(self) -> float:
        """The height on a narrow screen, with room for names of two lines beside the rows."""
        return 1.2 + 0.45 * len(self.columns) if self.horizontal else super().height

    @property
    def shown(self) -> list[Run]:
        """The runs of all columns."""
        return [run for arms in self.columns.values() for net in self.arms for run in arms.get(net, [])]

    @property
    def marks(self) -> list[Line2D]:
        """A triangle, if some number is only a bound."""
        found = [
            _of(measure, label).of(run)
            for measure in self.measures.values()
            for label, arms in self.columns.items()
            for net in self.arms
            for run in arms.get(net, [])
        ]
        return [*super().marks, *[mark("not reached", "^")] * any(isinstance(value, Bound) for value in found)]

    def draw_data(self, axes: Axes) -> None:
        """Draw the numbers of every net, column and measure."""
        if self.linked:
            self._link(axes)
        axes.margins(y=0.1)
        for rank, net in enumerate(self.arms):
            for side, measure in enumerate(self.measures.values()):
                places = np.arange(len(self.columns)) + self._beside(rank, side)
                self._draw(axes, net, places, measure, side)
                if self.shaded and side == 0:
                    self._shade(axes, net, places, self.shaded)
        self._label(axes)
        if self.scale == "percent" and not self.horizontal:
            look: Any = {"ha": "left", "va": "top", "fontsize": 11, "color": style.INK}
            axes.axhline(self.chance, color=style.INK, linestyle=":", linewidth=1.4)
            axes.text(0.01, self.chance, "guessing", transform=axes.get_yaxis_transform(), **look)
        if len(self.measures) > 1:
            line, looks = "-" * self.joined, zip(self.measures, _LOOKS, strict=False)
            marks = [mark(label, marker, line, markerfacecolor=fill or style.INK) for label, (marker, fill) in looks]
            style.legend_above(axes, marks)

    def _beside(self, rank: int, side: int) -> float:
        """Return the offset of a net's marks from the middle of a column."""
        if self.joined:
            return 0.07 * (rank - (len(self.arms) - 1) / 2)
        if self.linked:
            return 0.0
        if all(len(arms) < 2 for arms in self.columns.values()):  # colours identify the columns
            return 0.09 * (side - (len(self.measures) - 1) / 2)
        distance = min(0.28, 0.8 / len(self.arms))
        return distance * (rank - (len(self.arms) - 1) / 2) + 0.09 * (side - (len(self.measures) - 1) / 2)

    def _draw(self, axes: Axes, net: str, places: np.ndarray, measure: Measure | OfColumn, side: int) -> None:
        colour, (marker, fill) = NETS[net].colour, _LOOKS[side]
        look = {"color": colour, "markerfacecolor": fill or colour, "markersize": 8, "markeredgewidth": 1.8}
        middles = []
        for place, (label, arms) in zip(places, self.columns.items(), strict=True):
            runs = arms.get(net, [])
            values = [_of(measure, label).of(run) for run in runs]
            low, middle, high = spread(values)
            middles.append(middle)
            if self.each:
                self._plot(axes, [place] * len(values), values, marker, **{**look, "alpha": 0.6, "markersize": 6})
                half = 0.3 if self.linked else 0.12
                self._plot(axes, place + np.array([-half, half]), [middle] * 2, "-", color=colour)
                lost = [run for run, value in zip(runs, values, strict=True) if np.isnan(value)]
                if any(run["diverged_at"] is not None for run in lost):
                    axes.plot(place, 0.03, "X", transform=axes.get_xaxis_transform(), color=colour, markersize=12)
                continue
            self._plot(axes, [place] * 2, [low, high], "-", color=colour, linewidth=2.5)
            is_bound = isinstance(middle, Bound) or np.isinf(middle)
            self._plot(axes, [place], [middle], "^" if is_bound else marker, **look)
            if any(run["diverged_at"] is not None for run in runs):
                self._plot(axes, [place], [middle], "X", color=colour, markersize=12)
        if self.joined:
            self._plot(axes, places, middles, "--" if side else "-", color=colour, linewidth=1.6)

    def _plot(self, axes: Axes, places: Any, values: Any, look: str, **more: Any) -> None:
        """Plot values over places, or places over values."""
        finite = np.array([value if np.isfinite(value) else np.nan for value in map(float, values)])
        axes.plot(*((finite, places) if self.horizontal else (places, finite)), look, **more)
        if len(values) == 1 and np.isinf(values[0]) and not self.horizontal:
            axes.plot(places, [0.96], look, transform=axes.get_xaxis_transform(), clip_on=False, **more)

    def _link(self, axes: Axes) -> None:
        """Draw a line per seed through the columns, each of which has one net."""
        measure = next(iter(self.measures.values()))
        found = [
            {run["seed"]: _of(measure, label).of(run) for run in all_runs(arms)} for label, arms in self.columns.items()
        ]
        for seed in sorted({seed for column in found for seed in column}):
            values = [column.get(seed, np.nan) for column in found]
            self._plot(axes, np.arange(len(found)), values, "-", color="#bbbbbb", linewidth=0.9, zorder=1)

    def _shade(self, axes: Axes, net: str, places: np.ndarray, of: Callable[[str], Quantity]) -> None:
        """Shade the range of the middle 80 % of the values over steps."""
        for place, (label, arms) in zip(places, self.columns.items(), strict=True):
            values = np.concatenate([[np.nan], *(of(label).curve(run)[1] for run in arms.get(net, []))])
            if np.isfinite(values).any():
                low, high = quantiles(values[np.isfinite(values)], (0.1, 0.9))
                axes.vlines(place, low, high, color=NETS[net].colour, linewidth=9, alpha=0.25)

    def _label(self, axes: Axes) -> None:
        """Label the columns, and separate them."""
        labels, last = list(self.columns), len(self.columns) - 0.5
        if self.horizontal:
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(last, -0.5 - 0.5 * bool(self.headings))
            for label, words in self.headings.items():
                place = {"transform": axes.get_yaxis_transform(), "ha": "center", "va": "center", "fontsize": 12}
                axes.text(0.5, labels.index(label) - 0.5, words, color=style.INK, **place)
            return
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, last)
        axes.grid(False, axis="x")
        for rank in range(1, len(labels)) if not self.joined and not self.linked else []:
            axes.axvline(rank - 0.5, color=style.FAINT, linewidth=1)


# Marker and fill of the first and the second measure; None is the colour of the net.
_LOOKS: tuple[tuple[str, str | None], ...] = (("o", None), ("s", "white"))


def _of(measure: Measure | OfColumn, label: str) -> Measure:
    """Return the measure of a column."""
    return measure if isinstance(measure, Measure) else measure(label)

"""Panels of one number against another, for each run or each net."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, PercentFormatter

from bnjax.draw import style
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Run, all_runs
from experiments._evidence.value import Spread, spread
from experiments._figures.panels.panel import Panel, mark
from experiments._nets import NETS

_MARKERS = "osD^"  # for the first, second ... net of the same colour
_NAMES = 0.72  # where names begin, as a share of the axis
_FOR_NAMES = 0.65  # room for them, as a share of the range of the points
_MARGIN = 0.06  # above and below the points, likewise


@dataclass(frozen=True)
class Scatter(Panel):
    """One number of each run against another, a mark per seed; runs with a non-finite number are left out.

    Nets that have the same colour have different marks.

    Attributes:
        arms: the nets.
        across: the number along the horizontal axis, which is logarithmic.
        up: the number along the vertical axis.
    """

    arms: Arms
    across: Measure
    up: Measure

    @property
    def nets(self) -> Arms:
        """None: the legend shows each net's mark."""
        return {}

    @property
    def shown(self) -> list[Run]:
        """The runs of all nets."""
        return all_runs(self.arms)

    @property
    def marks(self) -> list[Line2D]:
        """The mark of each net."""
        looks: Any = {net: {"color": NETS[net].colour, "markerfacecolor": NETS[net].colour} for net in self.arms}
        return [
            *super().marks,
            *(mark(NETS[net].label, marker, **looks[net]) for net, marker in self._markers().items()),
        ]

    def draw_data(self, axes: Axes) -> None:
        """Draw a mark for each run."""
        for net, marker in self._markers().items():
            points = [(self.across.of(run), self.up.of(run)) for run in self.arms[net]]
            known = [point for point in points if all(map(math.isfinite, point)) and point[0] > 0]
            places, values = zip(*known, strict=True) if known else ((), ())
            axes.plot(places, values, marker, color=NETS[net].colour, markersize=9, alpha=0.85, markeredgecolor="white")
        axes.set_xscale("log")
        axes.margins(x=0.08)
        axes.xaxis.set_major_formatter(style.number)
        axes.xaxis.set_minor_formatter("")

    def _markers(self) -> dict[str, str]:
        colours = [NETS[net].colour for net in self.arms]
        return {net: _MARKERS[colours[:place].count(colours[place])] for place, net in enumerate(self.arms)}


@dataclass(frozen=True)
class Named(Panel):
    """One number of each net against another, medians over seeds, with names; faint lines are ranges over seeds.

    Names are stacked beside the points, in the order of these, with a line to each. A triangle at the edge is infinite; a net
    with a missing number is left out.

    Attributes:
        runs: the nets.
        across: the number along the horizontal axis, which is logarithmic.
        up: the number along the vertical axis.
        families: nets of one colour, by the words of the legend.
    """

    runs: Arms
    across: Measure
    up: Measure
    families: Mapping[str, Sequence[str]]

    @property
    def height(self) -> float:
        """The height on a narrow screen, with room for the stacked names."""
        return 1.5 + 0.26 * len(self.runs)

    @property
    def marks(self) -> list[Line2D]:
        """The families of nets that are shown, and the mark of infinite numbers."""
        looks = zip(self.families.items(), style.CYCLE, strict=False)
        found = [
            mark(words, "o", color=look, markerfacecolor=look)
            for (words, nets), look in looks
            if {*nets} & {*self.runs}
        ]
        is_infinite = any(math.isinf(x.middle) or math.isinf(y.middle) for x, y in self._points().values())
        return [*found, *[mark("infinite in most seeds", ">", markerfacecolor=style.INK)] * is_infinite]

    def draw_data(self, axes: Axes) -> None:
        """Draw a point for each net, and its name."""
        points = self._points()
        left, right = _ends(math.log10(x) for across, _ in points.values() for x in across if 0 < x < math.inf)
        bottom, top = _ends(y for _, up in points.values() for y in up if math.isfinite(y))
        width, height = right - left, top - bottom
        edge = 10 ** (right + 0.12 * width)
        axes.set_xscale("log")
        axes.set_xlim(10 ** (left - 0.08 * width), 10 ** (right + _FOR_NAMES * width))
        axes.set_ylim(bottom - _MARGIN * height, top + _MARGIN * height)
        ordered = sorted(points, key=lambda net: points[net][1].middle)
        shares = [(min(points[net][1].middle, top) - bottom) / height for net in ordered]
        colours = dict(zip(self.families, style.CYCLE, strict=False))
        for net, share in zip(
            ordered, _apart([(share + _MARGIN) / (1 + 2 * _MARGIN) for share in shares]), strict=True
        ):
            (x_low, x, x_high), (y_low, y, y_high) = points[net]
            colour: Any = {"color": next(colours[words] for words, nets in self.families.items() if net in nets)}
            place, marker = (min(x, edge), min(y, top)), ">" if math.inf in (x, y) else "o"
            axes.plot([min(x_low, edge), min(x_high, edge)], [place[1]] * 2, alpha=0.35, linewidth=1.4, **colour)
            axes.plot([place[0]] * 2, [min(y_low, top), min(y_high, top)], alpha=0.35, linewidth=1.4, **colour)
            axes.plot(*place, marker, markersize=9, markeredgecolor="white", zorder=3, **colour)
            line = {"arrowstyle": "-", "linewidth": 0.7, "alpha": 0.6, "shrinkA": 0, "shrinkB": 4, **colour}
            axes.annotate("", place, (_NAMES - 0.015, share), "data", "axes fraction", arrowprops=line)
            look: Any = {"transform": axes.transAxes, "fontsize": 11, "va": "center_baseline", **colour}
            axes.text(_NAMES, share, NETS[net].short, **look)
        if self.up.format.unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_formatter(style.number)
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.xaxis.set_minor_formatter(style.number if width < 1.3 else "")

    def _points(self) -> dict[str, tuple[Spread, Spread]]:
        """Return both numbers of each net that has them."""
        found = {
            net: [spread(map(each.of, runs)) for each in (self.across, self.up)] for net, runs in self.runs.items()
        }
        return {net: (x, y) for net, (x, y) in found.items() if x.middle > 0 and not math.isnan(y.middle)}


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of the axis for some values; they differ even if all values are equal or there are none."""
    values = [*values] or [0.0]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.1, high + 0.1)


def _apart(shares: Sequence[float], gap: float = 0.068) -> list[float]:
    """Move ascending places as little as needed to keep the gap between them, and inside the axis if there is room."""
    gap = min(gap, 0.96 / max(1, len(shares) - 1))
    placed: list[float] = []
    for share in shares:
        placed.append(max(share, placed[-1] + gap if placed else 0.02))
    limit = 0.98
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed

"""The panel of one number of each run against another."""

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence.format import listing
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms
from experiments._figures.panels.panel import Panel, mark
from experiments._nets import NETS

_MARKERS = "osD^"  # of the first, second ... net of a colour


@dataclass(frozen=True)
class Scatter(Panel):
    """One number of each run against another, a mark per seed; runs of which one of them is not finite are left out.

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
    def marks(self) -> list[Line2D]:
        """The marks of nets whose colour another one has already."""
        by_marker: dict[str, list[str]] = {}
        for net, marker in self._markers().items():
            by_marker.setdefault(marker, []).append(NETS[net].label)
        own = [mark(listing(labels), marker) for marker, labels in by_marker.items() if marker != _MARKERS[0]]
        return [*super().marks, *own]

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

"""Panels of quantities over training, or over the layers of a net."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from bnjax.draw import style
from experiments._evidence import curve
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms, Run, all_runs, num_steps
from experiments._evidence.value import spread
from experiments._figures.panels.panel import Panel, Scale, mark, mark_diverged
from experiments._nets import NETS

_MOST_LABELS = 8  # numbers along a panel that get a label each


@dataclass(frozen=True)
class Accuracy(Panel):
    """Accuracy over training: batches, averaged (lines), and all test examples (dots)."""

    arms: Arms
    title: str = field(default="Accuracy", kw_only=True)
    ylabel: str = field(default="accuracy", kw_only=True)
    scale: Scale = field(default="percent", kw_only=True)

    @property
    def marks(self) -> list[Line2D]:
        """Lines and dots."""
        batches = Line2D([], [], color=style.INK, label=f"training, mean of {self._num_batches} batches")
        return [batches, mark("test", "o", "--", markerfacecolor=style.INK, linewidth=1), *super().marks]

    @property
    def _num_batches(self) -> int:
        """Number of batches that are averaged: a sixtieth of the training."""
        return max(1, max(map(num_steps, all_runs(self.arms)), default=1) // 60)

    def draw_data(self, axes: Axes) -> None:
        """Draw both accuracies of each net."""
        for net, runs in self.arms.items():
            colour, window = NETS[net].colour, curve.num_points(runs, self._num_batches)
            train = curve.over_seeds(runs, TRAIN_ACCURACY, partial(curve.rolling_mean, window=window))
            draw_curve(axes, train, colour, width=2.2)
            test = curve.over_seeds(runs, TEST_ACCURACY)
            errors = [test.middle - test.low, test.high - test.middle]
            axes.errorbar(test.step, test.middle, errors, fmt="o--", linewidth=1, color=colour)
        mark_diverged(axes, self.arms)


class Line(NamedTuple):
    """A quantity over training, and how its line looks.

    Attributes:
        look: matplotlib's format of lines and markers.
        arms: nets of the line; by default the panel's.
        smooth: is applied to the values of each run.
        label: in a legend of the panel.
        has_band: draw the band over seeds too.
    """

    quantity: Quantity
    look: str = "-"
    arms: Arms | None = None
    width: float = 1.8
    smooth: Callable[[np.ndarray], np.ndarray] = lambda values: values
    label: str = ""
    has_band: bool = True


@dataclass(frozen=True)
class Curves(Panel):
    """Quantities over training: the median over seeds, and a band that `captions.bands` describes.

    Steps that span orders of magnitude may be drawn at equal distances.
    """

    arms: Arms
    lines: Sequence[Line]
    scale: Scale = field(default="log", kw_only=True)
    places: Sequence[int] = ()

    def draw_data(self, axes: Axes) -> None:
        """Draw every line of every net."""
        for line in self.lines:
            for net, runs in (self.arms if line.arms is None else line.arms).items():
                found = curve.over_seeds(runs, line.quantity, line.smooth)
                if self.places:
                    found = found._replace(step=np.array([self.places.index(step) for step in found.step]))
                draw_curve(axes, found, NETS[net].colour, line.look, line.width, has_band=line.has_band)
        if self.places:
            axes.set_xticks(range(len(self.places)), [f"{step:,}" for step in self.places])
        else:
            mark_diverged(axes, self.arms)
        labelled = [(line.label, line.look, line.look.rstrip("-:.")) for line in self.lines if line.label]
        if labelled:
            handles = [mark(label, m, look.removeprefix(m), markerfacecolor=style.INK) for label, look, m in labelled]
            axes.legend(handles=handles, fontsize=12)


@dataclass(frozen=True)
class Band(Panel):
    """The area between two quantities over training, medians over seeds."""

    arms: Arms
    low: Quantity
    high: Quantity
    scale: Scale = field(default="log", kw_only=True)

    def draw_data(self, axes: Axes) -> None:
        """Shade the area and draw both edges."""
        for net, runs in self.arms.items():
            low, high = (curve.over_seeds(runs, edge) for edge in (self.low, self.high))
            step, in_low, in_high = np.intersect1d(low.step, high.step, return_indices=True)
            axes.fill_between(
                step, low.middle[in_low], high.middle[in_high], color=NETS[net].colour, alpha=0.4, linewidth=0
            )
            for edge in (low, high):
                axes.plot(edge.step, edge.middle, color=NETS[net].colour, linewidth=1)
        mark_diverged(axes, self.arms)


@dataclass(frozen=True)
class ByLayer(Panel):
    """Numbers of each layer, from 1 at the input: medians over seeds, and bands from the smallest to the largest.

    Attributes:
        lines: nets and a function that maps a run to an array (layers,), by format of the line.
        places: numbers of the layers, or other numbers in their place, on a logarithmic axis; if empty, 1, 2, 3 ...
    """

    lines: Mapping[str, tuple[Arms, Callable[[Run], np.ndarray]]]
    places: Sequence[float] = ()
    xlabel: str = field(default="layer", kw_only=True)
    scale: Scale = field(default="log", kw_only=True)

    @property
    def nets(self) -> Arms:
        """The nets of all lines."""
        return {net: runs for arms, _ in self.lines.values() for net, runs in arms.items()}

    def draw_data(self, axes: Axes) -> None:
        """Draw the layers whose numbers are known in all runs."""
        for look, (arms, of) in self.lines.items():
            for net, runs in arms.items():
                rows = np.array([row for row in map(of, runs) if len(row)])
                known = np.isfinite(rows).all(axis=0)
                if rows.size and known.any():
                    levels = np.transpose([spread(column) for column in rows[:, known].T])
                    found = curve.Curve(np.array(self.places or 1 + np.arange(rows.shape[1]))[known], *levels)
                    draw_curve(axes, found, NETS[net].colour, look, width=2.2)
        if self.places:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(style.number)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if 0 < len(self.places) <= _MOST_LABELS:
            axes.margins(x=0.05)
            axes.set_xticks(self.places, [f"{place:,}" for place in self.places])
            axes.xaxis.set_minor_locator(NullLocator())


def draw_curve(
    axes: Axes, found: curve.Curve, colour: str, look: str = "-", width: float = 1.8, *, has_band: bool = True
) -> None:
    """Draw a line and a band around it; draw nothing for an empty curve."""
    if not len(found.step):
        return
    axes.plot(found.step, found.middle, look, color=colour, linewidth=width, markersize=7)
    if has_band:
        axes.fill_between(found.step, found.low, found.high, color=colour, alpha=0.2, linewidth=0)

"""How far the distributions of activations have moved: the median and the range over a layer's units, over training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from bnjax import probes
from experiments._figures import style
from experiments._figures.style import COLOURS, Quantity

QUANTITIES = (
    Quantity("relative_mean", "Mean", "|change| / standard deviation"),
    Quantity("relative_variance", "Variance", "|change| / variance"),
    Quantity("relative_wasserstein", "Distance W1", "W1 / standard deviation"),
)


def drift_figure(result: probes.Drift | probes.Shift, steps: Sequence[int] | None = None) -> Figure:
    """Draw the relative shifts of a layer: of a drift, from step to step above those from the first step.

    Args:
        result: with at most one leading axis, of steps.
        steps: training steps, one per shift; of a drift, all whose statistics were stacked. None counts them.

    Raises:
        ValueError: if the result is stacked more than once.
    """
    rows = _rows(result, steps)
    with style.style():
        figure = Figure(figsize=(13, 3.6 * len(rows) + 1))
        panels = figure.subplots(len(rows), 3, squeeze=False)
        for row, (since, shift, at) in zip(panels, rows, strict=True):
            for panel, quantity in zip(row, QUANTITIES, strict=True):
                draw_shift(panel, shift, quantity, at)
                panel.set_title(f"{quantity.title}{since}")
                panel.set_xlabel("index in the stack" if steps is None else "training step")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
        first = rows[0][1]
        missing = int(np.sum(~np.isfinite(np.atleast_2d(first.relative_mean)).any(0)))
        words = [f"{first.mean.shape[-1]} units", f"{missing} without a value" if missing else ""]
        style.write_foot(figure, words)
    return figure


def draw_shift(
    panel: Axes, shift: probes.Shift, quantity: Quantity = QUANTITIES[2], steps: Sequence[int] | None = None
) -> None:
    """Draw the median over units of a shift's size, and a band from the smallest to the largest.

    Units without a finite value at a step are left out there.

    Args:
        panel: where.
        shift: (steps, units), or (units,).
        quantity: one of `QUANTITIES`.
        steps: training steps; None counts them.
    """
    values = np.atleast_2d(np.abs(np.asarray(getattr(shift, quantity.name), float)))
    low, middle, high = np.transpose([_spread(row) for row in values])
    at = np.arange(len(values)) if steps is None else np.asarray(steps)
    marker = "o" if len(at) <= 25 else ""
    panel.plot(at, middle, color=COLOURS["batch_norm"], marker=marker, markersize=5, label="median of the units")
    panel.fill_between(at, low, high, color=COLOURS["batch_norm"], alpha=0.25, linewidth=0, label="smallest to largest")
    if len(at) == 1:
        panel.vlines(at, low, high, color=COLOURS["batch_norm"], linewidth=2)
    panel.set(title=quantity.title, ylabel=quantity.label)
    margin = 0.05 * np.ptp(at) or 0.5
    panel.set(xlim=(np.min(at) - margin, np.max(at) + margin))  # also where no unit has a value
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True) if len(at) > 1 else FixedLocator(at.tolist()))


def _rows(
    result: probes.Drift | probes.Shift, steps: Sequence[int] | None
) -> list[tuple[str, probes.Shift, Sequence[int] | None]]:
    """List the rows of panels: what they are since, the shifts, and their steps."""
    shape = np.shape(result.cumulative.mean if isinstance(result, probes.Drift) else result.mean)
    if len(shape) > 2:
        raise ValueError(f"shifts must be stacked at most once, over steps, to be drawn; got shape {shape}.")
    if not isinstance(result, probes.Drift):
        return [("", result, steps)]
    later = range(1, len(result.cumulative.mean)) if steps is None else steps[1:]
    return [(", step to step", result.successive, later), (", since the first", result.cumulative, steps)]


def _spread(values: np.ndarray) -> np.ndarray:
    """Return the smallest, the middle and the largest of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, (0, 0.5, 1)) if finite.size else np.full(3, np.nan)

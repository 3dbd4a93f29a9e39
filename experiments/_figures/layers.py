"""Layer by layer over training: heat maps of gradients and of covariate shift, and percentiles of activations."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, MaxNLocator

from bnjax import probes
from experiments._figures import style
from experiments._figures.style import COLOURS, DIVERGING, INK, SEQUENTIAL

_FURTHEST = 1e6  # between the largest and the smallest value that are told apart
_MOST_UNITS = 6


class Quantity(NamedTuple):
    """What a panel shows: a field or property of a result; the colour bar's label; whether it is a cosine."""

    name: str
    title: str
    label: str
    is_cosine: bool = False


GRADIENTS = (
    Quantity("norm", "Gradient", "|g|, l2 (loss / unit)"),
    Quantity("update_ratio", "Update beside weights", "|u| / |w|"),
    Quantity("step_distance", "Change from step to step", "|g - previous g|, l2 (loss / unit)"),
    Quantity("step_cosine", "Turn from step to step", "cosine of g and previous g", is_cosine=True),
)
SHIFTS = (
    Quantity("difference", "Covariate shift", "|G - G'|, l2 (loss / unit)"),
    Quantity("relative_difference", "Relative to the gradient", "|G - G'| / |G|"),
    Quantity("cosine", "Turn of the gradient", "cosine of G and G'", is_cosine=True),
    Quantity("first_order", "First-order prediction", "|Σ H u|, l2 (loss / unit)"),
)


def layers_figure(
    result: probes.GradientStatistics | probes.CovariateShift, steps: Sequence[int] | None = None
) -> Figure:
    """Draw what was measured in each layer: heat maps over training where results are stacked, dots where not.

    Args:
        result: one, or a stack of them with one leading axis.
        steps: training steps of the stack; None counts its entries.

    Raises:
        ValueError: if the result is stacked more than once.
    """
    quantities = SHIFTS if isinstance(result, probes.CovariateShift) else GRADIENTS
    shown = [quantity for quantity in quantities if np.isfinite(getattr(result, quantity.name)).any()]
    shown = shown or [quantities[0]]
    rows, columns = {1: (1, 1), 2: (1, 2), 3: (3, 1), 4: (2, 2)}[len(shown)]
    with style.style():
        size = (12.5 if columns == 2 else 8.5, rows * max(2.4, 0.3 * len(result.layers) + 1.3) + 0.4)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.04))
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for panel, quantity in zip(panels.flat, shown, strict=True):
            draw_layers(panel, getattr(result, quantity.name), result.layers, quantity, steps)
        if isinstance(result, probes.CovariateShift):
            style.write_foot(figure, [style.describe_objective(result.objective)])
    return figure


def draw_layers(
    panel: Axes, values: Any, layers: Sequence[str], quantity: Quantity, steps: Sequence[int] | None = None
) -> None:
    """Draw one quantity of every layer, the input's side at the top.

    Cosines are on a diverging map from -1 to 1; all else is on a sequential one, logarithmic where values are far apart. What
    is not finite is hatched.

    Args:
        panel: where; its figure gets a colour bar.
        values: (steps, layers), a heat map, or (layers,), dots.
        layers: their names.
        quantity: what the values are.
        steps: training steps; None counts them.

    Raises:
        ValueError: if values have more axes.
    """
    values = np.asarray(values, float)
    if values.ndim > 2:
        raise ValueError(f"a result must be stacked at most once, over steps, to be drawn; got shape {values.shape}.")
    if values.ndim == 1:
        _draw_dots(panel, values, quantity)
    else:
        _draw_map(panel, values, quantity, steps)
    panel.set_title(quantity.title)
    panel.set_yticks(np.arange(len(layers)), list(layers))
    panel.tick_params(axis="y", length=0, labelsize=11)
    panel.set_ylim(len(layers) - 0.5, -0.5)


def _draw_map(panel: Axes, values: np.ndarray, quantity: Quantity, steps: Sequence[int] | None) -> None:
    """Draw a heat map, steps to the right."""
    norm = _norm(values, quantity.is_cosine)
    colours = (DIVERGING if quantity.is_cosine else SEQUENTIAL).with_extremes(under="white", bad="none")
    is_below = np.isfinite(values) & (values < (norm.vmin or 0))
    # NOTE: a logarithmic scale would take zero, which lies below it, for a number that is missing.
    drawn = np.where(is_below, (norm.vmin or 1) / 2, values) if isinstance(norm, LogNorm) else values
    at = np.arange(len(values)) if steps is None else np.asarray(steps)
    edges, rows = _edges(at), np.arange(values.shape[1] + 1) - 0.5
    style.hatch_missing(panel)
    mesh = panel.pcolormesh(edges, rows, np.ma.masked_invalid(drawn.T), cmap=colours, norm=norm, rasterized=True)
    extend = "min" if is_below.any() else "neither"
    bar = panel.figure.colorbar(mesh, ax=panel, label=quantity.label, extend=extend, pad=0.02, aspect=15)
    bar.ax.yaxis.set_major_formatter(style.number)
    bar.minorticks_off()
    panel.set(xlabel="training step" if steps is not None else "index in the stack", xlim=edges[[0, -1]])
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _draw_dots(panel: Axes, values: np.ndarray, quantity: Quantity) -> None:
    """Draw a dot per layer."""
    panel.plot(values, np.arange(len(values)), "o", color=COLOURS["batch_norm"], markersize=7)
    panel.set(xlabel=quantity.label)
    if quantity.is_cosine:
        panel.set_xlim(-1.05, 1.05)
    elif style.is_wide(values):
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(style.number)


def _norm(values: np.ndarray, is_cosine: bool) -> Normalize:
    """Choose a scale of colours, logarithmic where values are far apart."""
    finite = values[np.isfinite(values)]
    if is_cosine or not finite.size:
        return Normalize(-1 if is_cosine else 0, 1)
    positive = finite[finite > 0]
    if finite.min() >= 0 and style.is_wide(positive):
        return LogNorm(max(positive.min(), positive.max() / _FURTHEST), positive.max())
    low, high = min(finite.min(), 0), finite.max()
    return Normalize(low, high if high > low else low + 1)


def _edges(steps: np.ndarray) -> np.ndarray:
    """Find the edges of cells around steps, half-way between them."""
    if len(steps) == 1:
        return steps[0] + np.array([-0.5, 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def activations_figure(statistics: probes.ActivationStatistics, steps: Sequence[int] | None = None) -> Figure:
    """Draw percentiles over training, a panel for each of the first six units.

    Args:
        statistics: one, or a stack of them with one leading axis.
        steps: training steps of the stack; None counts its entries.

    Raises:
        ValueError: if statistics are stacked more than once.
    """
    if statistics.mean.ndim > 2:
        raise ValueError(
            f"statistics must be stacked at most once, over steps, to be drawn; got shape {statistics.mean.shape}."
        )
    num_units = statistics.mean.shape[-1]
    num = min(num_units, _MOST_UNITS)
    rows, columns = -(-num // 3), min(num, 3)
    with style.style():
        figure = Figure(figsize=(4.1 * columns + 0.6 if columns > 1 else 7, 3.3 * rows + 1))
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for unit, panel in enumerate(panels.flat[:num]):
            draw_percentiles(panel, statistics, unit, steps)
            panel.label_outer()
        for panel in panels.flat[num:]:
            panel.remove()
        levels = np.ravel(np.asarray(statistics.percentile_levels))[: statistics.percentiles.shape[-1]]
        words = "percentiles " + ", ".join(f"{level:g}" for level in levels)
        values = f"{style.span(statistics.num_values, 6)} values per unit"
        left_out = f"the first {num} of {num_units} units" if num < num_units else ""
        style.write_foot(figure, [words, values, left_out])
    return figure


def draw_percentiles(
    panel: Axes, statistics: probes.ActivationStatistics, unit: int, steps: Sequence[int] | None = None
) -> None:
    """Draw the percentiles of one unit, a line each, shaded from the lowest to the highest.

    Args:
        panel: where.
        statistics: one, or a stack of them.
        unit: position among the units that were measured.
        steps: training steps; None counts them.
    """
    levels = statistics.percentiles.shape[-1]
    values = np.asarray(statistics.percentiles, float).reshape(-1, statistics.mean.shape[-1], levels)[:, unit]
    at = np.arange(len(values)) if steps is None else np.asarray(steps)
    marker = "o" if len(values) <= 25 else ""
    ranks = np.argsort(np.ravel(np.asarray(statistics.percentile_levels))[:levels])
    for rank in ranks:
        is_middle = rank == ranks[len(ranks) // 2]
        width = 2.2 if is_middle else 1.0
        panel.plot(at, values[:, rank], color=COLOURS["batch_norm"], linewidth=width, marker=marker, markersize=4)
    lowest, highest = values[:, ranks[0]], values[:, ranks[-1]]
    panel.fill_between(at, lowest, highest, color=COLOURS["batch_norm"], alpha=0.2, linewidth=0)
    panel.axhline(0, color=INK, linewidth=0.8)
    name = np.ravel(np.asarray(statistics.units))[unit]
    panel.set(title=f"unit {name}", ylabel="activation")
    panel.set(xlabel="training step" if steps is not None else "index in the stack")
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True) if len(at) > 1 else FixedLocator(at.tolist()))

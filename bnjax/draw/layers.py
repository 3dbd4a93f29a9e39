"""Layer by layer over training: heat maps of gradients and of covariate shift, and percentiles of activations."""

from collections.abc import Sequence

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, INK, Axes, Figure, Normalize, Quantity

Layered = probes.GradientStatistics | probes.CovariateShift

_FURTHEST = 1e6  # between the largest and the smallest value whose colours differ
_MOST_UNITS = 6

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


def layers_figure(result: Layered, steps: Sequence[int] | None = None) -> Figure:
    """Draw all quantities of each layer: heat maps over training for a stack, dots for a single result."""
    quantities = _quantities(result)
    shown = [quantity for quantity in quantities if np.isfinite(getattr(result, quantity.name)).any()]
    shown = shown or [quantities[0]]
    rows, columns = {1: (1, 1), 2: (1, 2), 3: (3, 1), 4: (2, 2)}[len(shown)]
    height = rows * max(2.4, 0.3 * len(result.layers) + 1.3) + 0.4
    with style.new_figure(12.5 if columns == 2 else 8.5, height) as figure:
        figure.set_layout_engine("constrained", wspace=0.06, hspace=0.04)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for ax, quantity in zip(panels.flat, shown, strict=True):
            draw_layers(ax, result, quantity.name, steps)
        if isinstance(result, probes.CovariateShift):
            style.write_foot(figure, [style.describe_objective(result.objective)])
        return figure


@checked()
def draw_layers(ax: Axes, result: Layered, quantity: str | None = None, steps: Sequence[int] | None = None) -> None:
    """Draw one quantity of every layer, with the input's side at the top.

    Cosines are on a diverging map from -1 to 1; all else is on a sequential one, logarithmic where values are far apart.
    Values that are not finite are hatched.

    Args:
        ax: the axis to draw on; its figure gets a colour bar.
        result: arrays of shape (steps, layers), a heat map, or (layers,), dots.
        quantity: "norm", "update_ratio", "step_distance" or "step_cosine" of gradient statistics; "difference",
            "relative_difference", "cosine" or "first_order" of a covariate shift; None is the first of these.
        steps: training steps; None counts them.

    Raises:
        ValueError: if the quantity is another one, or the result is stacked more than once.

    Example:
        >>> w = {"one": jnp.ones(2), "two": jnp.ones(3)}
        >>> draw.draw_layers(Figure().subplots(), probes.gradient_statistics(w, None, w, w), "update_ratio")
    """
    quantities = _quantities(result)
    picked = style.pick(quantities, quantity or quantities[0].name)
    values = np.asarray(getattr(result, picked.name), float)
    style.check_stack("a result", values)
    if values.ndim == 1:
        _draw_dots(ax, values, picked)
    else:
        _draw_map(ax, values, picked, steps)
    ax.set_title(picked.title)
    ax.set_yticks(np.arange(len(result.layers)), list(result.layers))
    ax.tick_params(axis="y", length=0, labelsize=11)
    ax.set_ylim(len(result.layers) - 0.5, -0.5)


def _quantities(result: Layered) -> tuple[Quantity, ...]:
    return SHIFTS if isinstance(result, probes.CovariateShift) else GRADIENTS


def _draw_map(ax: Axes, values: np.ndarray, quantity: Quantity, steps: Sequence[int] | None) -> None:
    """Draw a heat map, with steps to the right."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    norm = _norm(values, quantity.is_cosine)
    colours = colormaps["RdBu"] if quantity.is_cosine else style.sequential()
    colours = colours.with_extremes(under="white", bad="none")
    is_below = np.isfinite(values) & (values < (norm.vmin or 0))
    # NOTE: LogNorm masks zeros as missing; they are drawn as half the smallest value on the scale, in the colour below it.
    drawn = np.where(is_below, (norm.vmin or 1) / 2, values) if isinstance(norm, LogNorm) else values
    at = style.label_steps(ax, len(values), steps, num_ticks=6)
    edges, rows = _edges(at), np.arange(values.shape[1] + 1) - 0.5
    style.hatch_missing(ax)
    mesh = ax.pcolormesh(edges, rows, np.ma.masked_invalid(drawn.T), cmap=colours, norm=norm, rasterized=True)
    extend = "min" if is_below.any() else "neither"
    bar = ax.figure.colorbar(mesh, ax=ax, label=quantity.label, extend=extend, pad=0.02, aspect=15)
    bar.ax.yaxis.set_major_formatter(style.number)
    bar.minorticks_off()
    ax.set(xlim=edges[[0, -1]])


def _draw_dots(ax: Axes, values: np.ndarray, quantity: Quantity) -> None:
    ax.plot(values, np.arange(len(values)), "o", color=CYCLE[0], markersize=7)
    ax.set(xlabel=quantity.label)
    if quantity.is_cosine:
        ax.set_xlim(-1.05, 1.05)
    elif style.is_wide(values):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(style.number)


def _norm(values: np.ndarray, is_cosine: bool) -> Normalize:
    """Choose a scale of colours, logarithmic where values are far apart."""
    from matplotlib import colors

    finite = values[np.isfinite(values)]
    if is_cosine or not finite.size:
        return colors.Normalize(-1 if is_cosine else 0, 1)
    positive = finite[finite > 0]
    if finite.min() >= 0 and style.is_wide(positive):
        return colors.LogNorm(max(positive.min(), positive.max() / _FURTHEST), positive.max())
    low, high = min(finite.min(), 0), finite.max()
    return colors.Normalize(low, high if high > low else low + 1)


def _edges(steps: np.ndarray) -> np.ndarray:
    """Return the edges of cells around steps, half-way between them."""
    if len(steps) == 1:
        return steps[0] + np.array([-0.5, 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def activations_figure(statistics: probes.ActivationStatistics, steps: Sequence[int] | None = None) -> Figure:
    """Draw percentiles over training, with a panel for each of the first six units."""
    style.check_stack("statistics", statistics.mean)
    num_units = statistics.mean.shape[-1]
    num = min(num_units, _MOST_UNITS)
    rows, columns = -(-num // 3), min(num, 3)
    with style.new_figure(4.1 * columns + 0.6 if columns > 1 else 7, 3.3 * rows + 1) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for unit, ax in enumerate(panels.flat[:num]):
            draw_percentiles(ax, statistics, unit, steps)
            ax.label_outer()
        for ax in panels.flat[num:]:
            ax.remove()
        words = "percentiles " + ", ".join(f"{level:g}" for level in _levels(statistics))
        values = f"{style.span(statistics.num_values, 6)} values per unit"
        left_out = f"the first {num} of {num_units} units" if num < num_units else ""
        style.write_foot(figure, [words, values, left_out])
        return figure


@checked()
def draw_percentiles(
    ax: Axes, statistics: probes.ActivationStatistics, unit: int = 0, steps: Sequence[int] | None = None
) -> None:
    """Draw the percentiles of one unit, a line each, shaded from the lowest to the highest.

    Args:
        ax: the axis to draw on.
        statistics: percentiles of shape (units, levels), or (steps, units, levels).
        unit: position among the units that were measured.
        steps: training steps; None counts them.

    Example:
        >>> statistics = probes.activation_statistics(jnp.arange(20.0).reshape(10, 2))
        >>> draw.draw_percentiles(Figure().subplots(), statistics, unit=1)
    """
    levels, num_units = _levels(statistics), statistics.mean.shape[-1]
    if not -num_units <= unit < num_units:
        raise ValueError(f"unit must be one of the {num_units} that were measured, counted from 0, got {unit}.")
    values = np.asarray(statistics.percentiles, float).reshape(-1, statistics.mean.shape[-1], len(levels))[:, unit]
    at = style.label_steps(ax, len(values), steps)
    marker = "o" if len(values) <= 25 else ""
    ranks = np.argsort(levels)
    for rank in ranks:
        width = 2.2 if rank == ranks[len(ranks) // 2] else 1.0
        ax.plot(at, values[:, rank], color=CYCLE[0], linewidth=width, marker=marker, markersize=4)
    ax.fill_between(at, values[:, ranks[0]], values[:, ranks[-1]], color=CYCLE[0], alpha=0.2, linewidth=0)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set(title=f"unit {np.ravel(np.asarray(statistics.units))[unit]}", ylabel="activation")


def _levels(statistics: probes.ActivationStatistics) -> np.ndarray:
    """Return the levels of the percentiles, which every entry of a stack repeats."""
    return np.ravel(np.asarray(statistics.percentile_levels))[: statistics.percentiles.shape[-1]]

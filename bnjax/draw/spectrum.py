"""Curvature: the spectral density of a Hessian, its extreme eigenvalues and its trace, and the sharpness of batches."""

from typing import Any

import numpy as np

from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, INK, Axes, Figure
from bnjax.probes.curvature import EigenPairs, SpectralDensity, Trace
from bnjax.probes.sharpness import BatchSharpness

_EIGENVALUE = "eigenvalue of the Hessian (loss / unit²)"


def density_figure(result: SpectralDensity) -> Figure:
    """Draw a spectral density."""
    with style.new_figure(11, 5.6) as figure:
        draw_density(figure.subplots(), result)
        num_probes, num_nodes = result.nodes.shape[-2:]
        words = f"{num_probes} probes of {num_nodes} products, smoothed with width {style.span(result.width)}"
        style.write_foot(figure, [_block(result), words], [style.describe_objective(result.objective)])
        return figure


@checked()
def draw_density(ax: Axes, result: SpectralDensity) -> None:
    """Draw the density of eigenvalues on a logarithmic axis, its standard error as a band and its nodes as ticks.

    A dotted line is the height of the peak that a single eigenvalue leaves; the axis ends a hundredth below it.

    Args:
        ax: the axis to draw on.
        result: a density of shape (points,), or several stacked, (runs, points), in a colour each.

    Example:
        >>> density = probes.curvature.spectral_density(lambda w: jnp.sum(w**4), jnp.arange(3.0), key=jax.random.key(0))
        >>> draw.draw_density(Figure().subplots(), density)
    """
    from matplotlib.lines import Line2D

    grid, density, error = (style.rows(values) for values in (result.grid, result.density, result.standard_error))
    nodes = np.asarray(result.nodes, float).reshape(len(grid), -1)
    single = 1 / (float(np.max(result.dimension)) * float(np.max(result.width)) * np.sqrt(2 * np.pi))
    floor = single / 100
    tick = {"marker": "|", "linestyle": "", "markersize": 9, "markeredgewidth": 0.8, "alpha": 0.6, "clip_on": False}
    for run in range(len(grid)):
        color, label = CYCLE[run % len(CYCLE)], f"run {run}" if len(grid) > 1 else "_density"
        ax.plot(grid[run], density[run], color=color, linewidth=1.6, label=label)
        if np.isfinite(error[run]).all():
            band = (np.maximum(density[run] + sign * error[run], floor / 10) for sign in (-1, 1))
            ax.fill_between(grid[run], *band, color=color, alpha=0.25, linewidth=0)
        # The nodes of the quadrature are ticks below the axis.
        below = np.full_like(nodes[run], -0.025)
        ax.plot(nodes[run], below, color=color, transform=ax.get_xaxis_transform(), label="_nodes", **tick)
    ax.tick_params(axis="x", pad=12)
    ax.set(title="Spectral density", xlabel=_EIGENVALUE, ylabel="density (per unit of eigenvalue)")
    if not np.isfinite(density).any():
        style.hatch_missing(ax)
        return
    ax.axhline(single, color=INK, linestyle=":", linewidth=1.2, label="height of one eigenvalue")
    ax.set_yscale("log")
    ax.set_ylim(floor, 3 * np.nanmax(density))
    ax.yaxis.set_major_formatter(style.number)
    handles = ax.get_legend_handles_labels()[0]
    handles.insert(-1, Line2D([], [], color=CYCLE[0], marker="|", linestyle="", markersize=9, label="nodes"))
    if np.isfinite(error).all():
        handles.insert(-1, ax.fill_between([], [], color=CYCLE[0], alpha=0.25, label="± standard error"))
    style.legend_above(ax, handles)


def eigenvalues_figure(pairs: EigenPairs) -> Figure:
    """Draw eigenvalues above their residuals."""
    with style.new_figure(9, 7) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        draw_eigenvalues(upper, pairs)
        draw_residuals(lower, pairs)
        upper.set(xlabel="")
        products = f"{style.span(pairs.num_matvecs, 6)} products"
        style.write_foot(figure, [_block(pairs), products, style.describe_objective(pairs.objective)])
        return figure


@checked()
def draw_eigenvalues(ax: Axes, pairs: EigenPairs) -> None:
    """Draw eigenvalues as stems, full where they converged, with their residuals as error bars.

    Args:
        ax: the axis to draw on.
        pairs: eigenvalues of shape (pairs,), or several stacked, (runs, pairs), side by side.

    Example:
        >>> pairs = probes.curvature.top_eigenpairs(lambda w: jnp.sum(w**4), jnp.arange(3.0), key=jax.random.key(0), num=2)
        >>> draw.draw_eigenvalues(Figure().subplots(), pairs)
    """
    ax.axhline(0, color=INK, linewidth=1)
    places, values = _draw_dots(ax, pairs, pairs.eigenvalues)
    ax.vlines(places, 0, values, color=CYCLE[0], linewidth=2)
    bars: dict[str, Any] = {"fmt": "none", "ecolor": INK, "capsize": 4, "elinewidth": 1}
    ax.errorbar(places, values, np.ravel(pairs.residuals), label="± residual |Hv - λv|", **bars)
    ax.set(title=f"Eigenvalues: {pairs.which}", ylabel=_EIGENVALUE)
    style.legend_above(ax)


@checked()
def draw_residuals(ax: Axes, pairs: EigenPairs) -> None:
    """Draw residuals on a logarithmic axis, full where the pair converged.

    Args:
        ax: the axis to draw on.
        pairs: residuals of shape (pairs,), or several stacked, (runs, pairs), side by side.

    Example:
        >>> pairs = probes.curvature.top_eigenpairs(lambda w: jnp.sum(w**4), jnp.arange(3.0), key=jax.random.key(0), num=2)
        >>> draw.draw_residuals(Figure().subplots(), pairs)
    """
    _draw_dots(ax, pairs, pairs.residuals)
    style.log_scale(ax)
    ax.set(ylabel="|Hv - λv|")


def _draw_dots(ax: Axes, pairs: EigenPairs, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw dots, full where a pair converged, runs side by side; return their places and values."""
    runs, num = style.rows(values).shape
    beside = (np.arange(runs) - (runs - 1) / 2) * 0.6 / runs
    places, values = np.ravel(np.arange(1, num + 1) + beside[:, None]), np.ravel(np.asarray(values, float))
    converged = np.ravel(pairs.converged)
    look: dict[str, Any] = {"color": CYCLE[0], "markersize": 8, "zorder": 4}
    for chosen, word, face in ((converged, "converged", CYCLE[0]), (~converged, "not converged", "white")):
        label = word if chosen.any() else "_nothing"
        ax.plot(places[chosen], values[chosen], "o", markerfacecolor=face, label=label, **look)
    ax.set(xlabel="rank of the pair", xlim=(0.4, num + 0.6))
    ax.set_xticks(np.arange(1, num + 1, max(1, num // 20)))
    return places, values


def trace_figure(result: Trace) -> Figure:
    """Draw the samples of a trace, their mean and its standard error."""
    with style.new_figure(9, 4.6) as figure:
        draw_trace(figure.subplots(), result)
        style.write_foot(figure, [_block(result), style.describe_objective(result.objective)])
        return figure


@checked()
def draw_trace(ax: Axes, result: Trace) -> None:
    """Draw the samples of a trace, their mean as a line and its standard error as a band.

    Args:
        ax: the axis to draw on.
        result: samples of shape (probes,), or several traces stacked, (runs, probes), one after the other.

    Example:
        >>> trace = probes.curvature.trace(lambda w: jnp.sum(w**4), jnp.arange(3.0), key=jax.random.key(0))
        >>> draw.draw_trace(Figure().subplots(), trace)
    """
    _draw_samples(ax, result.samples, result.trace, result.standard_error)
    ax.set(title="Trace of the Hessian", xlabel="sample", ylabel="vᵀHv (loss / unit²)")
    style.legend_above(ax)


def sharpness_figure(result: BatchSharpness) -> Figure:
    """Draw the sharpness of each batch, their mean and its standard error."""
    with style.new_figure(9, 4.6) as figure:
        draw_sharpness(figure.subplots(), result)
        style.write_foot(figure, [style.describe_objective(result.objective)])
        return figure


@checked()
def draw_sharpness(ax: Axes, result: BatchSharpness) -> None:
    """Draw the sharpness of each batch along its own gradient, their mean as a line and its standard error as a band.

    Args:
        ax: the axis to draw on.
        result: samples of shape (batches,), or several stacked, (runs, batches), one after the other.

    Example:
        >>> sharpness = probes.batch_sharpness([lambda w: jnp.sum(w**4), lambda w: jnp.sum(w**2)], jnp.arange(3.0))
        >>> draw.draw_sharpness(Figure().subplots(), sharpness)
    """
    _draw_samples(ax, result.samples, result.sharpness, result.standard_error)
    ax.set(title="Batch sharpness", xlabel="batch", ylabel="gᵀHg / |g|² (loss / unit²)")
    style.legend_above(ax)


def _draw_samples(ax: Axes, *values: Any) -> None:
    """Draw samples, means and standard errors."""
    samples, means, errors = (np.ravel(np.asarray(each, float)) for each in values)
    ax.plot(np.arange(samples.size), samples, "o", color=CYCLE[0], markersize=5, label="samples")
    each = samples.size // means.size
    for run, (mean, error) in enumerate(zip(means, errors, strict=True)):
        ends = np.array([run * each - 0.5, (run + 1) * each - 0.5])
        ax.plot(ends, [mean, mean], color=INK, label="_mean" if run else "mean ± standard error")
        ax.fill_between(ends, mean - error, mean + error, color=INK, alpha=0.2, linewidth=0)


def _block(result: SpectralDensity | EigenPairs | Trace) -> str:
    """Write whose Hessian it is, and of how many parameters."""
    which = "all parameters" if result.pattern is None else f"parameters '{result.pattern}'"
    return f"{which}: {int(np.max(result.dimension)):,}"

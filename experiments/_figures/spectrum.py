"""Curvature: the spectral density of a Hessian, its extreme eigenvalues and its trace."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnjax import probes
from experiments._figures import style
from experiments._figures.style import CYCLE, INK

EIGENVALUE = "eigenvalue of the Hessian (loss / unit²)"


def density_figure(result: probes.curvature.SpectralDensity) -> Figure:
    """Draw a spectral density."""
    with style.style():
        figure = Figure(figsize=(11, 5.6))
        draw_density(figure.subplots(), result)
        num_probes, num_nodes = result.nodes.shape[-2:]
        words = f"{num_probes} probes of {num_nodes} products, smoothed with width {style.span(result.width)}"
        style.write_foot(figure, [_block(result), words], [style.describe_objective(result.objective)])
    return figure


def draw_density(panel: Axes, result: probes.curvature.SpectralDensity) -> None:
    """Draw the density of eigenvalues on a logarithmic axis, its standard error as a band and its nodes as ticks.

    A dotted line is the height of the peak that a single eigenvalue leaves; the axis ends a hundredth below it.
    """
    width = np.ravel(np.asarray(result.width, float))
    grid, density, error = (_rows(values) for values in (result.grid, result.density, result.standard_error))
    nodes = np.asarray(result.nodes, float).reshape(len(grid), -1)
    single = 1 / (_dimension(result) * width.max() * np.sqrt(2 * np.pi))
    floor = single / 100
    for run, colour in zip(range(len(grid)), _colours(len(grid)), strict=True):
        panel.plot(grid[run], density[run], color=colour, linewidth=1.6, label=_run(run, len(grid)))
        if np.isfinite(error[run]).all():
            band = (np.maximum(density[run] + sign * error[run], floor / 10) for sign in (-1, 1))
            panel.fill_between(grid[run], *band, color=colour, alpha=0.25, linewidth=0)
        panel.plot(
            *(nodes[run], np.full_like(nodes[run], -0.025), "|"),
            color=colour,
            markersize=9,
            markeredgewidth=0.8,
            alpha=0.6,
            transform=panel.get_xaxis_transform(),
            clip_on=False,
            label="_nodes",
        )
    panel.tick_params(axis="x", pad=12)
    panel.set(title="Spectral density", xlabel=EIGENVALUE, ylabel="density (per unit of eigenvalue)")
    if not np.isfinite(density).any():
        style.hatch_missing(panel)
        return
    panel.axhline(single, color=INK, linestyle=":", linewidth=1.2, label="height of one eigenvalue")
    panel.set_yscale("log")
    panel.set_ylim(floor, 3 * np.nanmax(density))
    panel.yaxis.set_major_formatter(style.number)
    handles = panel.get_legend_handles_labels()[0]
    handles.insert(-1, Line2D([], [], color=CYCLE[0], marker="|", linestyle="", markersize=9, label="nodes"))
    if np.isfinite(error).all():
        handles.insert(-1, panel.fill_between([], [], color=CYCLE[0], alpha=0.25, label="± standard error"))
    style.legend_above(panel, handles)


def eigenvalues_figure(pairs: probes.curvature.EigenPairs) -> Figure:
    """Draw eigenvalues above their residuals."""
    with style.style():
        figure = Figure(figsize=(9, 7))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        draw_eigenvalues(upper, pairs)
        draw_residuals(lower, pairs)
        upper.set(xlabel="")
        products = f"{style.span(pairs.num_matvecs, 6)} products"
        style.write_foot(figure, [_block(pairs), products, style.describe_objective(pairs.objective)])
    return figure


def draw_eigenvalues(panel: Axes, pairs: probes.curvature.EigenPairs) -> None:
    """Draw eigenvalues as stems, full where they converged, with their residuals as error bars."""
    places, values, residuals, converged = _stems(pairs)
    panel.axhline(0, color=INK, linewidth=1)
    panel.vlines(places.ravel(), 0, values.ravel(), color=CYCLE[0], linewidth=2)
    panel.errorbar(places.ravel(), values.ravel(), residuals.ravel(), fmt="none", ecolor=INK, capsize=4, elinewidth=1)
    _draw_flags(panel, places, values, converged)
    panel.set(title=f"Eigenvalues: {pairs.which}", ylabel=EIGENVALUE)
    _label_ranks(panel, values.shape[1])
    filled, empty = ({"color": CYCLE[0], "markerfacecolor": colour} for colour in (CYCLE[0], "white"))
    flags = [("converged", filled, converged.any()), ("not converged", empty, not converged.all())]
    marks = [Line2D([], [], marker="o", linestyle="", label=word, **look) for word, look, shown in flags if shown]
    style.legend_above(panel, [*marks, Line2D([], [], color=INK, marker="_", label="± residual |Hv - λv|")])


def draw_residuals(panel: Axes, pairs: probes.curvature.EigenPairs) -> None:
    """Draw residuals on a logarithmic axis, full where the pair converged."""
    places, _, residuals, converged = _stems(pairs)
    _draw_flags(panel, places, residuals, converged)
    style.log_scale(panel)
    panel.set(ylabel="|Hv - λv|")
    _label_ranks(panel, residuals.shape[1])


def trace_figure(result: probes.curvature.Trace) -> Figure:
    """Draw the samples of a trace, their mean and its standard error."""
    with style.style():
        figure = Figure(figsize=(9, 4.6))
        panel = figure.subplots()
        samples, means, errors = (
            np.asarray(v, float).reshape(-1) for v in (result.samples, result.trace, result.standard_error)
        )
        panel.plot(np.arange(samples.size), samples, "o", color=CYCLE[0], markersize=5, label="samples")
        each = samples.size // means.size
        for run, (mean, error) in enumerate(zip(means, errors, strict=True)):
            ends = np.array([run * each - 0.5, (run + 1) * each - 0.5])
            panel.plot(ends, [mean, mean], color=INK, label="_mean" if run else "mean ± standard error")
            panel.fill_between(ends, mean - error, mean + error, color=INK, alpha=0.2, linewidth=0)
        panel.set(title="Trace of the Hessian", xlabel="sample", ylabel="vᵀHv (loss / unit²)")
        style.legend_above(panel)
        style.write_foot(figure, [_block(result), style.describe_objective(result.objective)])
    return figure


def _stems(pairs: probes.curvature.EigenPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List places on the axis, eigenvalues, residuals and flags, (runs, pairs) each; runs stand side by side."""
    values, residuals = (_rows(array) for array in (pairs.eigenvalues, pairs.residuals))
    runs, num = values.shape
    beside = (np.arange(runs) - (runs - 1) / 2) * 0.6 / runs
    return np.arange(1, num + 1) + beside[:, None], values, residuals, np.asarray(pairs.converged).reshape(runs, num)


def _draw_flags(panel: Axes, places: np.ndarray, values: np.ndarray, converged: np.ndarray) -> None:
    """Draw dots, full where a pair converged."""
    for chosen, face in ((converged, CYCLE[0]), (~converged, "white")):
        panel.plot(places[chosen], values[chosen], "o", color=CYCLE[0], markerfacecolor=face, markersize=8, zorder=4)


def _label_ranks(panel: Axes, num: int) -> None:
    """Count the pairs on the horizontal axis."""
    panel.set(xlabel="rank of the pair", xlim=(0.4, num + 0.6))
    panel.set_xticks(np.arange(1, num + 1, max(1, num // 20)))


def _block(result: Any) -> str:
    """Say which Hessian it was."""
    which = "all parameters" if result.pattern is None else f"parameters '{result.pattern}'"
    return f"{which}: {_dimension(result):,}"


def _dimension(result: Any) -> int:
    """Count the parameters, of which each of several runs has as many."""
    return int(np.max(np.asarray(result.dimension)))


def _rows(values: Any) -> np.ndarray:
    """Make one row per run."""
    array = np.asarray(values, float)
    return array.reshape(-1, array.shape[-1])


def _colours(num: int) -> list[str]:
    """Give each run a colour."""
    return [CYCLE[i % len(CYCLE)] for i in range(num)]


def _run(run: int, num: int) -> str:
    """Name a run where there are several."""
    return f"run {run}" if num > 1 else "_density"

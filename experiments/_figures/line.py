"""Scans along a line: the loss, and what becomes of the gradient, with bands over repeated scans."""

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnjax import probes
from experiments._figures import style
from experiments._figures.style import COLOURS, INK, Quantity

QUANTITIES = (
    Quantity("loss", "Loss along the line", "loss"),
    Quantity("gradient_distance", "Change of the gradient", "|g(w + ηd) - g(w)|, {norm} (loss / unit)"),
    Quantity("gradient_cosine", "Turn of the gradient", "cosine of g(w + ηd) and g(w)"),
    Quantity("smoothness", "Smoothness (smaller is smoother)", "gradient change / distance (loss / unit²)"),
)


def line_figure(scan: probes.LineScan) -> Figure:
    """Draw all that a scan measured; stacked scans become bands."""
    shown = [QUANTITIES[0], *(quantity for quantity in QUANTITIES[1:] if is_measured(scan, quantity))]
    rows, columns = {1: (1, 1), 2: (1, 2)}.get(len(shown), (2, 2))
    with style.style():
        figure = Figure(figsize=(9 if columns == 1 else 12, 4.4 * rows + 0.9))
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for panel, quantity in zip(panels.flat, shown, strict=False):
            draw_line(panel, scan, quantity)
            panel.tick_params(labelbottom=True)
        for panel in panels.flat[len(shown) :]:
            panel.remove()
        entries = {label: handle for panel in figure.axes for handle, label in zip(*_legend(panel), strict=True)}
        if entries:
            figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
        num = len(_rows(scan.loss))
        points = f"{scan.loss.shape[-1]} point{'s' * (scan.loss.shape[-1] > 1)}"
        words = f"{num} scans of {points}" if num > 1 else points
        style.write_foot(figure, [words, style.describe_objective(scan.objective)])
    return figure


def is_measured(scan: probes.LineScan, quantity: Quantity) -> bool:
    """Tell whether there is anything to draw."""
    return bool(np.isfinite(getattr(scan, quantity.name)).any())


def draw_line(
    panel: Axes, scan: probes.LineScan, quantity: Quantity = QUANTITIES[0], *, colour: str = COLOURS["batch_norm"]
) -> None:
    """Draw one quantity over the step size.

    Stacked scans become their mean, a dark band of one standard error to either side and a light one from the smallest to the
    largest, or thin lines where their step sizes differ.
    Values that are not finite are crosses along the upper edge. For step sizes of many magnitudes the axis is logarithmic.

    Args:
        panel: where.
        scan: one scan, or several stacked.
        quantity: one of `QUANTITIES`.
        colour: of line and band.
    """
    sizes, values = _rows(scan.step_sizes), _rows(getattr(scan, quantity.name))
    if quantity.name == "smoothness":  # which the start itself does not have
        values = np.where(sizes == 0, np.nan, values)
    order = np.argsort(sizes, axis=1, kind="stable")
    sizes, values = (np.take_along_axis(array, order, axis=1) for array in (sizes, values))
    has_log_steps = _is_geometric(sizes)
    if np.all(sizes == sizes[:1]):
        _draw_band(panel, sizes[0], values, colour, keep_zero=quantity.name != "smoothness")
    else:
        for size, value in zip(sizes, values, strict=True):
            panel.plot(size, value, color=colour, linewidth=1, alpha=0.7, label="_one scan")
    if quantity.name == "loss":
        _mark_start(panel, _rows(scan.start_loss[..., None])[:, 0], has_log_steps)
    if quantity.name == "gradient_cosine":
        panel.set_ylim(min(-0.1, np.nanmin(values, initial=0) - 0.05), 1.05)
    elif style.is_wide(np.append(values, scan.start_loss if quantity.name == "loss" else np.nan)) and (
        has_log_steps or quantity.name != "gradient_distance"
    ):
        style.log_scale(panel)
    if has_log_steps:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(style.number)
    length = style.span(scan.direction_norm)
    norm = style.LENGTHS[scan.norm]
    panel.set(
        title=quantity.title,
        ylabel=quantity.label.format(norm=norm),
        xlabel=f"step size η (1 is a distance of {length}, {norm})",
    )


def _draw_band(panel: Axes, sizes: np.ndarray, values: np.ndarray, colour: str, keep_zero: bool) -> None:
    """Draw mean, standard error and range of repetitions, and a cross where one of them is not finite."""
    kept = np.full(sizes.shape, True) if keep_zero else sizes != 0
    sizes, band = sizes[kept], probes.band(jnp.asarray(values[:, kept]))
    marker = "o" if len(sizes) <= 25 else ""
    label = f"mean of {band.num} scans" if band.num > 1 else "_one scan"
    panel.plot(sizes, band.mean, color=colour, marker=marker, markersize=5, label=label)
    if band.num > 1:
        panel.fill_between(
            sizes, band.low, band.high, color=colour, alpha=0.2, linewidth=0, label="smallest to largest"
        )
        low, high = band.mean - band.standard_error, band.mean + band.standard_error
        panel.fill_between(sizes, low, high, color=colour, alpha=0.45, linewidth=0, label="± standard error")
    if len(sizes) == 1:
        panel.vlines(sizes, band.low, band.high, color=colour, linewidth=2)
    lost = ~np.isfinite(band.mean)
    if lost.any():
        top = np.full(lost.sum(), 0.97)
        panel.plot(
            *(sizes[lost], top, "X"),
            color=INK,
            markersize=9,
            transform=panel.get_xaxis_transform(),
            label="not finite",
        )


def _mark_start(panel: Axes, losses: np.ndarray, has_log_steps: bool) -> None:
    """Mark the loss at step size 0, a dotted line where that is infinitely far away."""
    mean = losses.mean()
    if has_log_steps:
        panel.axhline(mean, color=INK, linestyle=":", linewidth=1.5, label="start")
        return
    if len(losses) > 1:
        panel.vlines([0], losses.min(), losses.max(), color=INK, linewidth=1.5, zorder=4)
    panel.plot(
        [0], [mean], "o", color=INK, markerfacecolor="white", markersize=8, markeredgewidth=2, zorder=5, label="start"
    )


def _legend(panel: Axes) -> tuple[list, list]:
    """List a panel's handles and labels."""
    return panel.get_legend_handles_labels()


def _rows(values: object) -> np.ndarray:
    """Make one row per scan."""
    array = np.asarray(values, float)
    return array.reshape(-1, array.shape[-1])


def _is_geometric(sizes: np.ndarray) -> bool:
    """Tell whether step sizes are positive and spread over magnitudes, as a geometric series is."""
    return bool(sizes.min() > 0 and np.median(sizes) < (sizes.min() + sizes.max()) / 5)

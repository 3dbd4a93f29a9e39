"""Scans along a line: the loss and the change of the gradient, with bands over repeated scans."""

import jax.numpy as jnp
import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.style import CYCLE, INK, Axes, Figure, Quantity

QUANTITIES = (
    Quantity("loss", "Loss along the line", "loss"),
    Quantity("gradient_distance", "Change of the gradient", "|g(w + ηd) - g(w)|, {norm} (loss / unit)"),
    Quantity("gradient_cosine", "Turn of the gradient", "cosine of g(w + ηd) and g(w)", is_cosine=True),
    Quantity("smoothness", "Smoothness (smaller is smoother)", "gradient change / distance (loss / unit²)"),
)


def line_figure(scan: probes.LineScan) -> Figure:
    """Draw everything that a scan measured; stacked scans become bands."""
    measured = [quantity for quantity in QUANTITIES[1:] if np.isfinite(getattr(scan, quantity.name)).any()]
    shown = [QUANTITIES[0], *measured]
    rows, columns = {1: (1, 1), 2: (1, 2)}.get(len(shown), (2, 2))
    with style.new_figure(9 if columns == 1 else 12, 4.4 * rows + 0.9) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for ax, quantity in zip(panels.flat, shown, strict=False):
            draw_line(ax, scan, quantity.name)
            ax.tick_params(labelbottom=True)
        for ax in panels.flat[len(shown) :]:
            ax.remove()
        legends = [ax.get_legend_handles_labels() for ax in figure.axes]
        entries = {label: handle for legend in legends for handle, label in zip(*legend, strict=True)}
        if entries:
            figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
        num, num_points = style.rows(scan.loss).shape
        words = f"{num} scans of " * (num > 1) + f"{num_points} point" + "s" * (num_points > 1)
        style.write_foot(figure, [words, style.describe_objective(scan.objective)])
        return figure


@checked(color=None)  # Matplotlib's error lists valid colours
def draw_line(ax: Axes, scan: probes.LineScan, quantity: str = "loss", *, color: str = CYCLE[0]) -> None:
    """Draw one quantity over the step size.

    Stacked scans become their mean, a dark band of one standard error to either side and a light one from the smallest to the
    largest, or thin lines where their step sizes differ.
    Values that are not finite are crosses along the upper edge. For step sizes of many magnitudes the axis is logarithmic.

    Args:
        ax: the axis to draw on.
        scan: one scan, arrays of shape (points,), or several stacked, (..., points).
        quantity: "loss", "gradient_distance", "gradient_cosine" or "smoothness".
        color: of line and band.

    Raises:
        ValueError: if the quantity is another one.

    Example:
        >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3))
        >>> draw.draw_line(Figure().subplots(), scan, "gradient_distance")
    """
    name, title, label, is_cosine = style.pick(QUANTITIES, quantity)
    sizes, values = style.rows(scan.step_sizes), style.rows(getattr(scan, name))
    if name == "smoothness":  # which the start itself does not have
        values = np.where(sizes == 0, np.nan, values)
    order = np.argsort(sizes, axis=1, kind="stable")
    sizes, values = (np.take_along_axis(array, order, axis=1) for array in (sizes, values))
    # Step sizes that are positive and spread over magnitudes, as in a geometric series.
    has_log_steps = bool(sizes.min() > 0 and np.median(sizes) < (sizes.min() + sizes.max()) / 5)
    if np.all(sizes == sizes[:1]):
        kept = (sizes[0] != 0) | (name != "smoothness")
        _draw_band(ax, sizes[0, kept], values[:, kept], color)
    else:
        for size, value in zip(sizes, values, strict=True):
            ax.plot(size, value, color=color, linewidth=1, alpha=0.7, label="_one scan")
    if name == "loss":
        _mark_start(ax, np.ravel(np.asarray(scan.start_loss, float)), has_log_steps)
    if is_cosine:
        ax.set_ylim(min(-0.1, np.nanmin(values, initial=0) - 0.05), 1.05)
    elif (has_log_steps or name != "gradient_distance") and style.is_wide(
        np.append(values, scan.start_loss if name == "loss" else np.nan)
    ):
        style.log_scale(ax)
    if has_log_steps:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(style.number)
    norm = style.LENGTHS[scan.norm]
    xlabel = f"step size η (1 is a distance of {style.span(scan.direction_norm)}, {norm})"
    ax.set(title=title, ylabel=label.format(norm=norm), xlabel=xlabel)


def barrier_figure(barrier: probes.Barrier) -> Figure:
    """Draw the line from one net to another."""
    with style.new_figure(9, 5.3) as figure:
        ax = figure.subplots()
        draw_barrier(ax, barrier)
        num, num_points = style.rows(barrier.loss).shape
        words = (
            f"{num} ways of " * (num > 1) + f"{num_points} points over a distance of {style.span(barrier.distance)}, l2"
        )
        style.write_foot(figure, [words, style.describe_objective(barrier.objective)])
        return figure


@checked(color=None)  # Matplotlib's error lists valid colours
def draw_barrier(ax: Axes, barrier: probes.Barrier, *, color: str = CYCLE[0]) -> None:
    """Draw the loss between two nets, the straight line between their losses, and the barrier's height.

    Args:
        ax: the axis to draw on.
        barrier: one way, or several stacked.
        color: of the loss.

    Example:
        >>> barrier = probes.barrier(lambda w: -jnp.sum(jnp.cos(w)), jnp.zeros(2), jnp.full(2, 6.0))
        >>> draw.draw_barrier(Figure().subplots(), barrier)
    """
    ways = zip(*(style.rows(values) for values in (barrier.step_sizes, barrier.loss, barrier.base)), strict=True)
    for i, (steps, loss, base) in enumerate(ways):
        ax.plot(steps, loss, "o-" if len(steps) <= 25 else "-", color=color, markersize=5, label="_" * (i > 0) + "loss")
        ax.plot(steps, base, ":", color=INK, linewidth=1.5, label="_" * (i > 0) + "straight line between the ends")
        top = int(np.argmax(np.where(np.isfinite(loss), loss - base, -np.inf)))
        ax.vlines(steps[top], base[top], loss[top], color=INK, linewidth=1.5, zorder=4)
    title = f"Barrier of {style.span(barrier.height)}"
    ax.set(title=title, xlabel="way from the first net (0) to the second (1)", ylabel="loss")
    ax.legend()


def _draw_band(ax: Axes, sizes: np.ndarray, values: np.ndarray, color: str) -> None:
    """Draw mean, standard error and range of repetitions, and a cross where one of them is not finite."""
    band = probes.band(jnp.asarray(values))
    marker = "o" if len(sizes) <= 25 else ""
    label = f"mean of {band.num} scans" if band.num > 1 else "_one scan"
    ax.plot(sizes, band.mean, color=color, marker=marker, markersize=5, label=label)
    if band.num > 1:
        fill = {"color": color, "linewidth": 0}
        ax.fill_between(sizes, band.low, band.high, alpha=0.2, label="smallest to largest", **fill)
        low, high = band.mean - band.standard_error, band.mean + band.standard_error
        ax.fill_between(sizes, low, high, alpha=0.45, label="± standard error", **fill)
    if len(sizes) == 1:
        ax.vlines(sizes, band.low, band.high, color=color, linewidth=2)
    lost = ~np.isfinite(band.mean)
    if lost.any():
        top = {"transform": ax.get_xaxis_transform(), "label": "not finite"}
        ax.plot(sizes[lost], np.full(lost.sum(), 0.97), "X", color=INK, markersize=9, **top)


def _mark_start(ax: Axes, losses: np.ndarray, has_log_steps: bool) -> None:
    """Mark the loss at step size 0, with a dotted line where that is infinitely far away."""
    mean = losses.mean()
    if has_log_steps:
        ax.axhline(mean, color=INK, linestyle=":", linewidth=1.5, label="start")
        return
    if len(losses) > 1:
        ax.vlines([0], losses.min(), losses.max(), color=INK, linewidth=1.5, zorder=4)
    ring = {"markerfacecolor": "white", "markersize": 8, "markeredgewidth": 2}
    ax.plot([0], [mean], "o", color=INK, zorder=5, label="start", **ring)

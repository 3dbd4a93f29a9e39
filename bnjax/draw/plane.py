"""Scans of a plane: labelled contours, with the centre, or with the path that led to it."""

from typing import Any

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.grid import Grid, Scale, is_strip, make_grid, make_scale, mean_plane
from bnjax.draw.style import CYCLE, Axes, Figure
from bnjax.draw.surface import draw_surface
from bnjax.probes.directions import PrincipalAxes


def plane_figure(scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> Figure:
    """Draw a plane as contours and as a surface, with the path of its principal axes if these are given.

    Stacked planes are drawn as their mean. A row, a column or a plane without a finite loss has no surface.
    """
    scan, num = mean_plane(scan)
    has_surface = len(scan.xs) > 1 and len(scan.ys) > 1 and bool(np.isfinite(scan.loss).any())
    grid = make_grid(scan)
    # The axes' height over their width.
    height = float(np.clip(np.ptp(grid.y) / np.ptp(grid.x), 0.7, 1.15)) if not is_strip(grid) else 1.0
    with style.new_figure(*((12.5, 1.7 + 4.8 * height) if has_surface else (8, 6.5))) as figure:
        cells = figure.add_gridspec(1, 1 + has_surface)
        ax = figure.add_subplot(cells[0])
        draw_plane(ax, scan, axes)
        if has_surface:
            draw_surface(figure.add_subplot(cells[1], projection="3d"), scan, axes)
        points = f"{len(scan.xs)} x {len(scan.ys)} points"
        angle = f"directions at {np.degrees(np.arccos(np.clip(float(scan.cosine), -1, 1))):.0f}°"
        stacked = f"mean of {num} planes" if num > 1 else ""
        style.write_foot(figure, [stacked, points, angle, style.describe_objective(scan.objective)])
        figure.draw_without_rendering()  # NOTE: before it is drawn, a surface has no size in the layout.
        return figure


def path_figure(axes: PrincipalAxes) -> Figure:
    """Draw the path of principal axes alone."""
    with style.new_figure(8, 6.5) as figure:
        draw_path(figure.subplots(), axes)
        return figure


@checked()
def draw_path(ax: Axes, axes: PrincipalAxes) -> None:
    """Draw the path of principal axes, its start and its end, to scale.

    Args:
        ax: the axis to draw on.
        axes: their path has the shape (points, 2), distances from its end.

    Example:
        >>> axes = probes.directions.principal([jnp.array([4.0, 2.0]), jnp.array([1.0, 1.0]), jnp.zeros(2)])
        >>> draw.draw_path(Figure().subplots(), axes)
    """
    ax.set_title("Path in the plane of its principal axes")
    style.legend_above(ax, _draw_path(ax, np.asarray(axes.path, float), "end"))
    ax.set_aspect("equal")
    _label_axes(ax, axes)


@checked()
def draw_plane(ax: Axes, scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> None:
    """Draw contours of the loss, in units of distance along both directions.

    Levels are logarithmic where losses are positive and far apart. Losses that are not finite are hatched. Scales are equal
    unless the plane is more than four times as long as wide.

    Args:
        ax: the axis to draw on; a colour bar is drawn beside it.
        scan: losses of shape (xs, ys), or several stacked, (..., xs, ys), whose mean is drawn.
        axes: the principal axes that it was scanned along, whose path is drawn.

    Raises:
        ValueError: if stacked planes have different coordinates.

    Example:
        >>> places = jnp.linspace(-1, 1, 5)
        >>> scan = probes.scan_plane(lambda w: jnp.sum(w**2), jnp.ones(2), *jnp.eye(2), places, places)
        >>> draw.draw_plane(Figure().subplots(), scan)
    """
    scan, _ = mean_plane(scan)
    grid = make_grid(scan)
    scale = make_scale(grid.z)
    handles = [] if np.isfinite(grid.z).all() else [style.hatch_missing(ax)]
    path = np.zeros((1, 2)) if axes is None else np.asarray(axes.path, float)
    if min(grid.z.shape) > 1 and np.isfinite(grid.z).any():
        draw_contours(ax, grid, scale, avoid=path)
    else:
        x, y = np.meshgrid(grid.x, grid.y, indexing="ij")
        # NOTE: Matplotlib reads three or four numbers in a row as one colour.
        ax.scatter(x.ravel(), y.ravel(), c=grid.z.ravel(), cmap=style.sequential(), norm=scale.norm)
    if np.ptp(grid.x) and np.ptp(grid.y):
        ax.set(xlim=grid.x[[0, -1]], ylim=grid.y[[0, -1]], aspect="auto" if is_strip(grid) else "equal")
        ax.tick_params(pad=7)  # so that the first numbers do not meet in the corner
    loss = f"loss {style.number(float(scan.start_loss))}"
    if axes is None:
        handles.append(_mark(ax, (0, 0), "o", f"centre: {loss}", size=9))
        for label, norm in (("xlabel", scan.norm_x), ("ylabel", scan.norm_y)):
            ax.set(**{label: f"distance along {label[0]}, l2 (coordinate 1 is {float(norm):.3g})"})
    else:
        handles += _draw_path(ax, path, f"end: {loss}")
        _label_axes(ax, axes)
    ax.set_title("The loss on the plane")
    style.legend_above(ax, handles)


def draw_contours(ax: Axes, grid: Grid, scale: Scale, avoid: np.ndarray) -> Any:
    """Fill between many levels, and draw and label a few, away from the places to avoid; return the colour bar beside it."""
    from matplotlib.cm import ScalarMappable

    x, y = np.meshgrid(grid.x, grid.y, indexing="ij")
    low, high = np.array([scale.norm.vmin, scale.norm.vmax], float)
    fill = np.geomspace(low, high, 200) if scale.is_log else np.linspace(low, high, 200)
    colours = {"cmap": style.sequential(), "norm": scale.norm}
    ax.contourf(x, y, np.clip(grid.z, fill[0], fill[-1]), levels=fill, **colours)
    place = ax.inset_axes((1.04, 0, 0.045, 1))
    bar = ax.figure.colorbar(ScalarMappable(**colours), cax=place, label="loss", format=style.number)
    bar.minorticks_off()
    if scale.levels.size:
        lines = ax.contour(x, y, grid.z, levels=scale.levels, colors="#222222", linewidths=0.9, alpha=0.75)
        _label_contours(ax, lines, grid, avoid)
        bar.set_ticks(scale.levels.tolist())
    return bar


def _label_contours(ax: Axes, lines: Any, grid: Grid, avoid: np.ndarray) -> None:
    """Label contours, away from the edge, from other labels and from the places to avoid."""
    low, size = np.array([grid.x[0], grid.y[0]]), np.array([np.ptp(grid.x), np.ptp(grid.y)])
    taken = list((avoid - low) / size)
    kept = []
    for text in ax.clabel(lines, fontsize=10, inline=False):
        place = (np.array(text.get_position()) - low) / size
        text.remove()
        is_inside = np.all(np.abs(place - 0.5) < 0.46)
        if is_inside and all(np.linalg.norm(place - other) > 0.06 for other in taken):
            taken.append(place)
            kept.append(tuple(place * size + low))
    lines.labelTexts.clear()
    if kept:
        ax.clabel(lines, fontsize=10, fmt=style.number, manual=kept)


def _label_axes(ax: Axes, axes: PrincipalAxes) -> None:
    """Label each axis with its share of the trajectory's variance."""
    for label, rank, share in zip(("xlabel", "ylabel"), ("1st", "2nd"), np.asarray(axes.explained), strict=True):
        ax.set(**{label: f"{rank} axis ({100 * share:.3g} % of the variance): distance, l2"})


def _draw_path(ax: Axes, path: np.ndarray, end: str) -> list[Any]:
    """Draw a trajectory, its start and its end; return their entries in a legend."""
    from matplotlib.patheffects import Normal, Stroke

    outline = [Stroke(linewidth=3.6, foreground="white"), Normal()]
    label = f"path of {len(path)} points"
    (line,) = ax.plot(*path.T, color=CYCLE[1], linewidth=1.8, path_effects=outline, zorder=4, label=label)
    if len(path) <= 200:
        ax.plot(*path.T, "o", color=CYCLE[1], markersize=3, zorder=5)
    return [line, _mark(ax, path[0], "s", "start", size=9), _mark(ax, path[-1], "*", end, size=17)]


def _mark(ax: Axes, place: Any, marker: str, label: str, size: int) -> Any:
    """Draw a marker with a white outline, which is visible on any colour, unless it lies outside of the plane."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=3.5, foreground="white")]
    look = {"color": CYCLE[1], "markeredgecolor": "white", "markeredgewidth": 1.2, "path_effects": outline, "zorder": 6}
    (handle,) = ax.plot([place[0]], [place[1]], marker, linestyle="", label=label, markersize=size, **look)
    return handle

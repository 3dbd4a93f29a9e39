"""Scans of a plane: labelled contours, with the centre, or with the path that led there."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal as Plain
from matplotlib.patheffects import Stroke, withStroke

from bnjax import probes
from bnjax.probes.directions import PrincipalAxes
from experiments._figures import style
from experiments._figures.grid import Grid, Scale, is_strip, make_grid, make_scale, mean_plane
from experiments._figures.style import COLOURS, SEQUENTIAL
from experiments._figures.surface import draw_surface

_OUTLINE = [Stroke(linewidth=3.6, foreground="white"), Plain()]


def plane_figure(scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> Figure:
    """Draw a plane as contours and as a surface, with the path of its principal axes if these are given.

    Of stacked planes their mean is drawn.

    Raises:
        ValueError: if stacked planes have different coordinates.
    """
    scan, num = mean_plane(scan)
    has_surface = len(scan.xs) > 1 and len(scan.ys) > 1 and bool(np.isfinite(scan.loss).any())
    with style.style():
        figure = Figure(figsize=(12.5, 1.7 + 4.8 * _height(make_grid(scan))) if has_surface else (8, 6.5))
        cells = figure.add_gridspec(1, 1 + has_surface)
        panel = figure.add_subplot(cells[0])
        draw_plane(panel, scan, axes)
        if has_surface:
            draw_surface(figure.add_subplot(cells[1], projection="3d"), scan, axes)
        points = f"{len(scan.xs)} x {len(scan.ys)} points"
        angle = f"directions at {np.degrees(np.arccos(np.clip(float(scan.cosine), -1, 1))):.0f}°"
        stacked = f"mean of {num} planes" if num > 1 else ""
        style.write_foot(figure, [stacked, points, angle, style.describe_objective(scan.objective)])
        figure.draw_without_rendering()  # NOTE: before it is drawn, a surface does not tell the layout its size.
    return figure


def path_figure(axes: PrincipalAxes) -> Figure:
    """Draw the path of principal axes alone."""
    with style.style():
        figure = Figure(figsize=(8, 6.5))
        panel = figure.subplots()
        path = np.asarray(axes.path, float)
        panel.set_title("Path in the plane of its principal axes")
        style.legend_above(panel, _draw_path(panel, path, "end"))
        panel.set_aspect("equal")
        _label_axes(panel, axes)
    return figure


def draw_plane(panel: Axes, scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> None:
    """Draw contours of the loss, in units of distance along both directions.

    Levels are logarithmic where losses are positive and far apart. What is not finite stays hatched. Scales are equal unless
    the plane is more than four times as long as wide.

    Args:
        panel: where; its figure gets a colour bar.
        scan: the plane.
        axes: the principal axes that it was scanned along, whose path is drawn.
    """
    grid = make_grid(scan)
    scale = make_scale(grid.z)
    handles = [] if np.isfinite(grid.z).all() else [style.hatch_missing(panel)]
    path = np.zeros((1, 2)) if axes is None else np.asarray(axes.path, float)
    if min(grid.z.shape) > 1 and np.isfinite(grid.z).any():
        _draw_contours(panel, grid, scale, avoid=path)
    else:
        x, y = np.meshgrid(grid.x, grid.y, indexing="ij")
        panel.scatter(x, y, c=grid.z, cmap=SEQUENTIAL, norm=scale.norm)
    _set_limits(panel, grid)
    loss = f"loss {style.number(float(scan.start_loss))}"
    if axes is None:
        handles.append(_mark(panel, (0, 0), "o", f"centre: {loss}", size=9))
        for label, norm in (("xlabel", scan.norm_x), ("ylabel", scan.norm_y)):
            panel.set(**{label: f"distance along {label[0]}, l2 (coordinate 1 is {float(norm):.3g})"})
    else:
        handles += _draw_path(panel, path, f"end: {loss}")
        _label_axes(panel, axes)
    panel.set_title("The loss on the plane")
    style.legend_above(panel, handles)


def _draw_contours(panel: Axes, grid: Grid, scale: Scale, avoid: np.ndarray) -> None:
    """Fill between many levels, and draw and label a few."""
    x, y = np.meshgrid(grid.x, grid.y, indexing="ij")
    low, high = np.array([scale.norm.vmin, scale.norm.vmax], float)
    fill = np.geomspace(low, high, 200) if scale.is_log else np.linspace(low, high, 200)
    colours = {"cmap": SEQUENTIAL, "norm": scale.norm}
    panel.contourf(x, y, np.clip(grid.z, fill[0], fill[-1]), levels=fill, **colours)
    place = panel.inset_axes((1.04, 0, 0.045, 1))
    bar = panel.figure.colorbar(ScalarMappable(**colours), cax=place, label="loss", format=style.number)
    bar.minorticks_off()
    if scale.levels.size:
        lines = panel.contour(x, y, grid.z, levels=scale.levels, colors="#222222", linewidths=0.9, alpha=0.75)
        _label_contours(panel, lines, grid, avoid)
        bar.set_ticks(scale.levels.tolist())


def _label_contours(panel: Axes, lines: Any, grid: Grid, avoid: np.ndarray) -> None:
    """Label contours, but not close to the edge, to another label, or to what is to be avoided."""
    low, size = np.array([grid.x[0], grid.y[0]]), np.array([np.ptp(grid.x), np.ptp(grid.y)])
    taken = list((avoid - low) / size)
    kept = []
    for text in panel.clabel(lines, fontsize=10, inline=False):
        place = (np.array(text.get_position()) - low) / size
        text.remove()
        is_inside = np.all(np.abs(place - 0.5) < 0.46)
        if is_inside and all(np.linalg.norm(place - other) > 0.06 for other in taken):
            taken.append(place)
            kept.append(tuple(place * size + low))
    lines.labelTexts.clear()
    if kept:
        panel.clabel(lines, fontsize=10, fmt=style.number, manual=kept)


def _height(grid: Grid) -> float:
    """Return the height of the axes over their width."""
    return 1.0 if is_strip(grid) else float(np.clip(np.ptp(grid.y) / np.ptp(grid.x), 0.7, 1.15))


def _set_limits(panel: Axes, grid: Grid) -> None:
    """Show the whole plane and no more, equal distances alike unless it is a strip."""
    if np.ptp(grid.x) and np.ptp(grid.y):
        panel.set(xlim=grid.x[[0, -1]], ylim=grid.y[[0, -1]])
        panel.tick_params(pad=7)  # so that the first numbers do not meet in the corner
        panel.set_aspect("auto" if is_strip(grid) else "equal")


def _label_axes(panel: Axes, axes: PrincipalAxes) -> None:
    """Say how much of a trajectory each axis holds."""
    for label, rank, share in zip(("xlabel", "ylabel"), ("1st", "2nd"), np.asarray(axes.explained), strict=True):
        panel.set(**{label: f"{rank} axis ({100 * share:.3g} % of the variance): distance, l2"})


def _draw_path(panel: Axes, path: np.ndarray, end: str) -> list[Any]:
    """Draw a trajectory, its start and its end."""
    (line,) = panel.plot(
        *path.T,
        color=COLOURS["plain"],
        linewidth=1.8,
        path_effects=_OUTLINE,
        zorder=4,
        label=f"path of {len(path)} points",
    )
    if len(path) <= 200:
        panel.plot(*path.T, "o", color=COLOURS["plain"], markersize=3, zorder=5)
    return [line, _mark(panel, path[0], "s", "start", size=9), _mark(panel, path[-1], "*", end, size=17)]


def _mark(panel: Axes, place: Any, marker: str, label: str, size: float) -> Any:
    """Draw a marker that is seen on any colour, unless it lies outside of the plane."""
    outline = [withStroke(linewidth=3.5, foreground="white")]
    (handle,) = panel.plot(
        *([place[0]], [place[1]], marker),
        color=COLOURS["plain"],
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=1.2,
        path_effects=outline,
        label=label,
        zorder=6,
        clip_on=True,
        linestyle="",
    )
    return handle

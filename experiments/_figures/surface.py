"""Scans of a plane as surfaces in three dimensions."""

from typing import Any

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

from bnjax import probes
from bnjax.probes.directions import PrincipalAxes
from experiments._figures import style
from experiments._figures.grid import Grid, Scale, is_strip, lift, make_grid, make_scale
from experiments._figures.style import COLOURS, SEQUENTIAL

_FINE = 120  # lines along each axis, between the points of the grid
_PER_SEGMENT = 20  # points between two of a path, which follow the surface


def draw_surface(panel: Any, scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> None:
    """Draw the loss as a height, logarithmic where `draw_plane`'s levels are, without what is not finite.

    Args:
        panel: 3-D Axes.
        scan: the plane, at least 2 x 2 points.
        axes: the principal axes that it was scanned along; their path is drawn on the surface where it lies above the grid.
    """
    grid = make_grid(scan)
    scale = make_scale(grid.z)
    x, y = np.meshgrid(*(np.linspace(axis[0], axis[-1], _FINE) for axis in (grid.x, grid.y)), indexing="ij")
    heights = lift(grid, scale, np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(x.shape)
    losses = 10.0**heights if scale.is_log else heights
    panel.computed_zorder = False
    panel.plot_surface(
        *(x, y, heights),
        facecolors=SEQUENTIAL(scale.norm(losses)),
        rcount=_FINE,
        ccount=_FINE,
        linewidth=0,
        antialiased=False,
        shade=False,
        zorder=1,
    )
    path = np.zeros((1, 2)) if axes is None else np.asarray(axes.path, float)
    _draw_path(panel, grid, scale, path)
    _label_heights(panel, scale, heights)
    panel.view_init(elev=32, azim=-58)
    proportions = _proportions(grid)
    panel.set_box_aspect((*proportions, 0.8), zoom=0.82)
    panel.tick_params(labelsize=10, pad=0)
    for axis, length in zip((panel.xaxis, panel.yaxis), proportions, strict=True):
        axis.set_major_locator(MaxNLocator(max(2, round(4 * length))))
    names = ("x", "y") if axes is None else ("1st axis", "2nd axis")
    panel.set_xlabel(names[0], labelpad=8)
    panel.set_ylabel(names[1], labelpad=8)
    panel.set_title("The same plane as a surface", pad=28)


def _draw_path(panel: Any, grid: Grid, scale: Scale, path: np.ndarray) -> None:
    """Draw a path on the surface, its start and its end; of a single point, the end alone."""
    steps = np.arange((len(path) - 1) * _PER_SEGMENT + 1) / _PER_SEGMENT
    fine = np.stack([np.interp(steps, np.arange(len(path)), places) for places in path.T], axis=1)
    style: dict[str, Any] = {"color": COLOURS["plain"], "zorder": 5}
    panel.plot(*fine.T, lift(grid, scale, fine), linewidth=2, **style)
    places = [(path[-1], "*" if len(path) > 1 else "o"), *([(path[0], "s")] if len(path) > 1 else [])]
    for place, marker in places:
        size = 15 if marker == "*" else 8
        at = lift(grid, scale, place[None])
        panel.plot(*place[:, None], at, marker, markersize=size, markeredgecolor="white", **{**style, "zorder": 6})


def _label_heights(panel: Any, scale: Scale, heights: np.ndarray) -> None:
    """Label the vertical axis with losses."""
    panel.set_zlabel("loss", labelpad=4)
    if not scale.is_log:
        return
    low, high = np.nanmin(heights), np.nanmax(heights)
    every = max(1, round((high - low) / 6))
    decades = np.arange(np.ceil(low), np.floor(high) + 1, every)
    exact = np.log10(scale.levels) if len(decades) < 2 else decades
    panel.zaxis.set_major_locator(FixedLocator(exact.tolist()))
    panel.zaxis.set_major_formatter(FixedFormatter([style.number(10.0**place) for place in exact]))


def _proportions(grid: Grid) -> tuple[float, float]:
    """Keep distances alike along both axes, unless the plane is a strip."""
    ratio = 1.0 if is_strip(grid) else float(np.ptp(grid.x) / np.ptp(grid.y))
    return min(1.0, ratio) * 1.2, min(1.0, 1 / ratio) * 1.2

"""Scans of a plane as surfaces in three dimensions."""

from typing import Any

import numpy as np

from bnjax import probes
from bnjax._host.arguments import checked
from bnjax.draw import style
from bnjax.draw.grid import Grid, Scale, is_strip, lift, make_grid, make_scale, mean_plane
from bnjax.draw.style import CYCLE
from bnjax.probes.directions import PrincipalAxes

_FINE = 120  # lines along each axis, between the points of the grid
_PER_SEGMENT = 20  # points between two of a path, which follow the surface


@checked()
def draw_surface(ax: Any, scan: probes.PlaneScan, axes: PrincipalAxes | None = None) -> None:
    """Draw the loss as a height, logarithmic where `draw_plane`'s levels are, with gaps where it is not finite.

    Args:
        ax: the axis to draw on, in three dimensions.
        scan: losses of shape (xs, ys), at least 2 x 2 points, or several stacked, (..., xs, ys), whose mean is drawn.
        axes: the principal axes that it was scanned along; their path is drawn on the surface where it lies above the grid.

    Raises:
        ValueError: if stacked planes have different coordinates.

    Example:
        >>> places = jnp.linspace(-1, 1, 5)
        >>> scan = probes.scan_plane(lambda w: jnp.sum(w**2), jnp.ones(2), *jnp.eye(2), places, places)
        >>> draw.draw_surface(Figure().add_subplot(projection="3d"), scan)
    """
    from matplotlib.ticker import MaxNLocator

    grid = make_grid(mean_plane(scan)[0])
    scale = make_scale(grid.z)
    x, y = np.meshgrid(*(np.linspace(axis[0], axis[-1], _FINE) for axis in (grid.x, grid.y)), indexing="ij")
    heights = lift(grid, scale, np.stack([x, y], axis=-1).reshape(-1, 2)).reshape(x.shape)
    losses = 10.0**heights if scale.is_log else heights
    ax.computed_zorder = False
    look = {"rcount": _FINE, "ccount": _FINE, "linewidth": 0, "antialiased": False, "shade": False, "zorder": 1}
    ax.plot_surface(x, y, heights, facecolors=style.sequential()(scale.norm(losses)), **look)
    _draw_path(ax, grid, scale, np.zeros((1, 2)) if axes is None else np.asarray(axes.path, float))
    _label_heights(ax, scale, heights)
    ax.view_init(elev=32, azim=-58)
    # In proportion to the distances, unless the plane is a strip.
    ratio = 1.0 if is_strip(grid) else float(np.ptp(grid.x) / np.ptp(grid.y))
    proportions = min(1.0, ratio) * 1.2, min(1.0, 1 / ratio) * 1.2
    ax.set_box_aspect((*proportions, 0.8), zoom=0.82)
    ax.tick_params(labelsize=10, pad=0)
    for axis, length in zip((ax.xaxis, ax.yaxis), proportions, strict=True):
        axis.set_major_locator(MaxNLocator(max(2, round(4 * length))))
    names = ("x", "y") if axes is None else ("1st axis", "2nd axis")
    ax.set_xlabel(names[0], labelpad=8)
    ax.set_ylabel(names[1], labelpad=8)
    ax.set_title("The same plane as a surface", pad=28)


def _draw_path(ax: Any, grid: Grid, scale: Scale, path: np.ndarray) -> None:
    """Draw a path on the surface with its start and its end; a single point is drawn as the end only."""
    steps = np.arange((len(path) - 1) * _PER_SEGMENT + 1) / _PER_SEGMENT
    fine = np.stack([np.interp(steps, np.arange(len(path)), places) for places in path.T], axis=1)
    ax.plot(*fine.T, lift(grid, scale, fine), linewidth=2, color=CYCLE[1], zorder=5)
    for place, marker, size in ((-1, "*", 15), (0, "s", 8)) if len(path) > 1 else ((0, "o", 8),):
        at = path[place][None]
        height = lift(grid, scale, at)
        ax.plot(*at.T, height, marker, color=CYCLE[1], markersize=size, markeredgecolor="white", zorder=6)


def _label_heights(ax: Any, scale: Scale, heights: np.ndarray) -> None:
    """Label the vertical axis with losses."""
    ax.set_zlabel("loss", labelpad=4)
    if not scale.is_log:
        return
    low, high = np.nanmin(heights), np.nanmax(heights)
    every = max(1, round((high - low) / 6))
    decades = np.arange(np.ceil(low), np.floor(high) + 1, every)
    exact = np.log10(scale.levels) if len(decades) < 2 else decades
    ax.set_zticks(exact, [style.number(10.0**place) for place in exact])

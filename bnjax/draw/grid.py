"""A scanned plane sorted by its coordinates: distances, losses, colours and heights."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from bnjax import probes
from bnjax.draw.style import Normalize

_FURTHEST = 1e8  # between the largest and the smallest loss whose colours differ


class Grid(NamedTuple):
    """A plane in order, as distances from its centre: z[i, j] is the loss at (x[i], y[j])."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


class Scale(NamedTuple):
    """How losses become colours, and which contours are drawn and labelled."""

    norm: Normalize
    levels: np.ndarray
    is_log: bool


def make_grid(scan: probes.PlaneScan) -> Grid:
    """Sort a plane by its coordinates, and turn these into distances."""
    xs, ys = (np.asarray(c, float) * float(n) for c, n in ((scan.xs, scan.norm_x), (scan.ys, scan.norm_y)))
    rows, columns = np.argsort(xs, kind="stable"), np.argsort(ys, kind="stable")
    loss = np.asarray(scan.loss, float)[np.ix_(rows, columns)]
    return Grid(xs[rows], ys[columns], np.where(np.isfinite(loss), loss, np.nan))


def mean_plane(scan: probes.PlaneScan) -> tuple[probes.PlaneScan, int]:
    """Average stacked planes; the mean is non-finite where one of them is.

    Returns:
        The mean plane, along directions of mean length, and how many planes there are.

    Raises:
        ValueError: if they have different coordinates.
    """
    num = int(np.prod(np.shape(scan.loss)[:-2]))
    if np.ndim(scan.loss) == 2:
        return scan, num
    xs, ys = (np.asarray(c).reshape(-1, np.shape(c)[-1]) for c in (scan.xs, scan.ys))
    if np.any(xs != xs[:1]) or np.any(ys != ys[:1]):
        raise ValueError(f"stacked planes must have the same coordinates to be averaged, got {num} that differ.")
    loss = jnp.mean(scan.loss.reshape(-1, *scan.loss.shape[-2:]), axis=0)
    names = ("start_loss", "norm_x", "norm_y", "cosine")
    means = {name: jnp.mean(getattr(scan, name)) for name in names}
    return scan._replace(xs=jnp.asarray(xs[0]), ys=jnp.asarray(ys[0]), loss=loss, **means), num


def make_scale(z: np.ndarray) -> Scale:
    """Choose colours and contours for losses, NaN where they are not finite."""
    from matplotlib import colors, ticker

    finite = z[np.isfinite(z)]
    if not finite.size:
        return Scale(colors.Normalize(0, 1), np.array([]), False)
    low, high = float(finite.min()), float(finite.max())
    positive = finite[finite > 0]
    if low >= 0 and positive.size and high > 30 * (smallest := max(float(positive.min()), high / _FURTHEST)):
        return Scale(colors.LogNorm(smallest, high), _log_levels(smallest, high), True)
    levels = np.asarray(ticker.MaxNLocator(9).tick_values(low, high))
    size = max(abs(low), abs(high), 1e-30)
    margin = 0.0 if high - low > 1e-9 * size else 1e-3 * size  # for a constant loss
    return Scale(colors.Normalize(low - margin, high + margin), levels[(levels > low) & (levels < high)], False)


def _log_levels(low: float, high: float) -> np.ndarray:
    """List round numbers between two positive ones, about as many on each decade."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    factors = {0: (1, 2, 3, 5), 1: (1, 2, 5), 2: (1, 2, 5), 3: (1, 3)}.get(int(np.log10(high / low)), (1,))
    levels = np.ravel(10.0 ** decades[:, None] * np.array(factors))
    return levels[(levels > low) & (levels < high)]


def is_strip(grid: Grid) -> bool:
    """Return whether a plane is more than four times as long as wide, too elongated to draw to scale."""
    width, height = np.ptp(grid.x), np.ptp(grid.y)
    return not 0 < max(width, height) <= 4 * min(width, height)


def lift(grid: Grid, scale: Scale, path: np.ndarray) -> np.ndarray:
    """Interpolate the heights along a path linearly; NaN outside of the grid or next to a non-finite loss.

    Heights are losses, or their logarithms to base 10 on a logarithmic scale; the path is (points, 2).
    """
    heights = np.log10(np.clip(grid.z, scale.norm.vmin, scale.norm.vmax)) if scale.is_log else grid.z
    (i, u), (j, v) = (_cells(axis, places) for axis, places in zip((grid.x, grid.y), path.T, strict=True))
    low = (1 - v) * heights[i, j] + v * heights[i, j + 1]
    high = (1 - v) * heights[i + 1, j] + v * heights[i + 1, j + 1]
    return (1 - u) * low + u * high


def _cells(axis: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell index of each coordinate, and its position in the cell from 0 to 1; NaN outside of the axis."""
    position = np.interp(places, axis, np.arange(len(axis)))
    cell = np.minimum(position.astype(int), len(axis) - 2)
    return cell, np.where((places >= axis[0]) & (places <= axis[-1]), position - cell, np.nan)

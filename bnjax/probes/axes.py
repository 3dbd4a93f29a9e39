"""Planes to scan: the principal axes of a trajectory, and the plane through three points."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax.probes.paths import check_alike
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import Params


@register()
class PrincipalAxes(NamedTuple):
    """The plane in which a trajectory moves most, or which contains three points.

    Attributes:
        direction_x: first principal axis, or the way from the last of three points to the first; of norm 1.
        direction_y: second principal axis, of norm 1, orthogonal to the first.
        path: the trajectory in this plane, relative to its last point, (points, 2).
        explained: share of the trajectory's variance along each axis, (2,).
    """

    direction_x: Params
    direction_y: Params
    path: Float[Array, "points 2"]
    explained: Float[Array, " 2"]

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file; the parameters must be made of dictionaries, lists and tuples."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "PrincipalAxes":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
def principal(trajectory: Sequence[Params]) -> PrincipalAxes:
    """Find the two principal axes of a trajectory of parameters.

    Source: Li et al. 2018, Sec. 7: a principal component analysis of the trajectory (mean taken off, estimator 1/m).

    Args:
        trajectory: at least three trees of equal structure; a scan of the plane starts from the last.

    Returns:
        PrincipalAxes.

    Raises:
        ValueError: if there are fewer than three, they differ in structure, are not finite, or lie on a line up to
            rounding.

    Example:
        >>> from bnjax.probes import directions
        >>> axes = directions.principal([jnp.array(point) for point in ([0.0, 4.0, 1.0], [0.0, -4.0, 1.0], [3.0, 0.0, 1.0])])
        >>> print(abs(axes.direction_x).round(3), axes.explained.round(2))  # the last number never moves
        [0. 1. 0.] [0.84 0.16]
    """
    if len(trajectory) < 3:
        raise ValueError(f"trajectory must have at least three points, got {len(trajectory)}.")
    points = _stack(trajectory, "trajectory")
    stacked, centred = _from_last(points), _centred(_from_last(points))
    products = _products(centred, centred)
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[:-3:-1], vectors[:, :-3:-1]
    total = np.trace(products)
    if not values[1] > max(1e-12 * total, _rounding(points, centred)):
        raise ValueError("trajectory must not lie on one line: it has no second principal axis.")
    x, y = (_combine(weights, centred) for weights in (vectors / np.sqrt(values)).T)
    return PrincipalAxes(x, y, jnp.asarray(_coordinates(stacked, x, y)), jnp.asarray(values / total))


@checked()
def through(points: Sequence[Params]) -> PrincipalAxes:
    """Find the plane through three points, such as nets of different seeds or checkpoints.

        x = (w_1 - w_3) / |w_1 - w_3|,   y = (v - <v, x> x) / |v - <v, x> x| with v = w_2 - w_3

    Source: Garipov et al. 2018, arXiv:1802.10026, Sec. 3.4. A scan starts from the last point, as with `principal`, and `path`
    holds the coordinates of the three points.

    Args:
        points: w_1, w_2 and w_3, trees of equal structure.

    Returns:
        PrincipalAxes; `explained` is the share of the points' variance along each axis, and sums to 1.

    Raises:
        ValueError: if there are not three, they differ in structure, are not finite, or lie on a line up to rounding.

    Example:
        >>> from bnjax.probes import directions
        >>> axes = directions.through([jnp.array([3.0, 0.0]), jnp.array([1.0, 2.0]), jnp.array([0.0, 0.0])])
        >>> axes.path.tolist()
        [[3.0, 0.0], [1.0, 2.0], [0.0, 0.0]]
    """
    if len(points) != 3:
        raise ValueError(f"points must be three, got {len(points)}.")
    stacked = _from_last(_stack(points, "points"))
    products = _products(stacked, stacked)[:2, :2]
    (length, along), (_, other) = products
    # The height of the second point above the line from the last to the first, squared.
    height = other - along**2 / length if length > 0 else 0.0
    centred = _centred(stacked)
    if not height > _rounding(_stack(points, "points"), centred):
        raise ValueError("points must not lie on one line: a plane has two directions.")
    x = _combine(np.array([length**-0.5, 0, 0]), stacked)
    y = _combine(np.array([-along / length, 1, 0]) * height**-0.5, stacked)
    shares = np.square(_coordinates(centred, x, y)).sum(0)
    return PrincipalAxes(x, y, jnp.asarray(_coordinates(stacked, x, y)), jnp.asarray(shares / shares.sum()))


def _stack(points: Sequence[Params], name: str) -> Params:
    """Stack points along a new first axis; raise unless they fit together and are finite."""
    for i, point in enumerate(points):
        check_alike(f"{name}[{i}]", point, points[-1], f"{name}[-1]")
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(point)):
            raise ValueError(f"{name} must be finite, but {name}[{i}] is not.")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)


def _from_last(points: Params) -> Params:
    """Subtract the last point from all points."""
    return jax.tree.map(lambda leaf: leaf - leaf[-1:], points)


def _centred(points: Params) -> Params:
    """Subtract the mean of points."""
    return jax.tree.map(lambda leaf: leaf - leaf.mean(0, keepdims=True), points)


def _combine(weights: np.ndarray, points: Params) -> Params:
    """Compute weighted sums of points."""
    add = partial(jnp.tensordot, axes=1, precision="highest")
    return jax.tree.map(lambda leaf: add(jnp.asarray(weights, leaf.dtype), leaf), points)


def _coordinates(points: Params, x: Params, y: Params) -> np.ndarray:
    """Compute the coordinates of points along two axes, (points, 2)."""
    return _products(points, jax.tree.map(lambda a, b: jnp.stack([a, b]), x, y))


def _rounding(points: Params, centred: Params) -> float:
    """Bound the rounding of a trajectory's products: sum over points of (eps |w|)², for the weights that move."""

    def bound(w: Array, moves: Array) -> float:
        moved = np.asarray(w, np.float64)[:, np.asarray(moves != 0).any(0)]
        return float(jnp.finfo(moves.dtype).eps) ** 2 * float(np.sum(np.square(moved)))

    return sum(jax.tree.leaves(jax.tree.map(bound, points, centred)))


def _products(a: Params, b: Params) -> np.ndarray:
    """Compute the inner products of two stacks of trees, in float64, (len(a), len(b))."""

    def product(p: Array, q: Array) -> np.ndarray:
        rows, columns = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (p, q))
        return rows @ columns.T

    return sum(jax.tree.leaves(jax.tree.map(product, a, b)), np.zeros(()))

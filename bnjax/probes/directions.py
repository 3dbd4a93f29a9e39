"""Directions to scan along: trees like the parameters."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float

from bnjax._host.precision import with_precision
from bnjax._host.trees import as_float
from bnjax.probes.paths import check_alike, check_params
from bnjax.probes.points import compiled, scalar_loss
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import LossFn, Params

Vectors = Literal["ignore", "match"]


@with_precision
def gradient(loss_fn: LossFn, params: Params, *, precision: str | None = None) -> Params:
    """Compute minus the gradient, the way that steepest descent goes; products as in `evaluate_points`.

    Raises:
        ValueError: if the loss is not a floating-point scalar, or a parameter is not floating-point.
    """
    check_params(params)
    return compiled(_minus_gradient, loss_fn)(params)


def _minus_gradient(loss_fn: LossFn, params: Params) -> Params:
    """Compute minus the gradient."""
    return optax.tree.scale(-1, jax.grad(partial(scalar_loss, loss_fn))(params))


def random(key: Array, params: Params) -> Params:
    """Draw every entry from a standard normal distribution, each leaf from a key of its own."""
    leaves, treedef = jax.tree.flatten(jax.tree.map(jnp.asarray, params))
    keys = jax.random.split(key, max(len(leaves), 1))
    return treedef.unflatten(
        [jax.random.normal(k, jnp.shape(leaf), leaf.dtype) for k, leaf in zip(keys, leaves, strict=False)]
    )


def filter_normalized(key: Array, params: Params, *, vectors: Vectors = "ignore") -> Params:
    """Draw a random direction whose filters have the norms of the parameters' filters.

        d_f = z_f |w_f| / |z_f|, z normal, for each filter f

    Source: Li et al. 2018, Sec. 4. A filter is what leads to one output: an index of a kernel's last axis. The direction of a
    filter of zeros is zero.

    Args:
        key: from which the direction follows.
        params: w; kernels are (..., out), as Flax has them.
        vectors: what becomes of parameters with fewer than two axes (biases, scales): "ignore" leaves them where they are,
            "match" gives the whole vector the parameter's norm.

    Returns:
        A tree like `params`.

    Raises:
        ValueError: if `vectors` is unknown.
    """
    if vectors not in get_args(Vectors):
        raise ValueError(f"vectors must be one of {', '.join(get_args(Vectors))}, got {vectors!r}.")

    def normalise(z: Array, w: Array) -> Array:
        if w.ndim < 2 and vectors == "ignore":
            return jnp.zeros_like(w)
        axes = tuple(range(w.ndim - 1)) if w.ndim > 1 else None
        norm_z, norm_w = (jnp.sqrt(jnp.sum(jnp.square(as_float(v)), axes, keepdims=True)) for v in (z, w))
        return (z * (norm_w / jnp.where(norm_z == 0, 1, norm_z))).astype(z.dtype)

    return jax.tree.map(normalise, random(key, params), jax.tree.map(jnp.asarray, params))


def toward(params: Params, target: Params) -> Params:
    """Go from `params` to `target`: at coordinate 1 a scan is there.

    Raises:
        ValueError: if the two are not alike; it names the path.
    """
    check_alike("target", target, params)
    return optax.tree.sub(target, params)


@register
class PrincipalAxes(NamedTuple):
    """The plane in which a trajectory moves most.

    Attributes:
        direction_x: first principal axis, of norm 1.
        direction_y: second principal axis, of norm 1, orthogonal to the first.
        path: the trajectory in this plane, seen from its last point, (points, 2).
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


def principal(trajectory: Sequence[Params]) -> PrincipalAxes:
    """Find the two principal axes of a trajectory of parameters.

    Source: Li et al. 2018, Sec. 7: a principal component analysis of the trajectory (mean taken off, estimator 1/m).

    Args:
        trajectory: at least three trees that are alike; a scan of the plane starts from the last.

    Returns:
        PrincipalAxes.

    Raises:
        ValueError: if there are fewer than three, they are not alike or not finite, or leave a line by no more than rounding.
    """
    if len(trajectory) < 3:
        raise ValueError(f"trajectory must have at least three points, got {len(trajectory)}.")
    for i, point in enumerate(trajectory):
        check_alike(f"trajectory[{i}]", point, trajectory[-1], "trajectory[-1]")
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(point)):
            raise ValueError(f"trajectory must be finite, but trajectory[{i}] is not.")
    points = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trajectory)
    stacked = jax.tree.map(lambda leaf: leaf - leaf[-1:], points)
    centred = jax.tree.map(lambda leaf: leaf - leaf.mean(0, keepdims=True), stacked)
    products = _products(centred, centred)
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[:-3:-1], vectors[:, :-3:-1]
    total = np.trace(products)
    if not values[1] > max(1e-12 * total, _rounding(points, centred)):
        raise ValueError("trajectory must not lie on one line: it has no second principal axis.")
    weights = jnp.asarray(vectors / np.sqrt(values))
    x, y = (
        jax.tree.map(
            lambda leaf, i=i: jnp.tensordot(weights[:, i].astype(leaf.dtype), leaf, 1, precision="highest"), centred
        )
        for i in (0, 1)
    )
    axes = jax.tree.map(lambda a, b: jnp.stack([a, b]), x, y)
    return PrincipalAxes(x, y, jnp.asarray(_products(stacked, axes)), jnp.asarray(values / total))


def _rounding(points: Params, centred: Params) -> float:
    """Bound what rounding adds to the products of a trajectory: (eps |w|)², summed over its points, of weights that move."""

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

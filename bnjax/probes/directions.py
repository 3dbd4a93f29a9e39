"""Directions to scan along: trees like the parameters."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import axis_norms
from bnjax.probes.paths import check_alike, check_inexact, check_params, named_leaves, path_name, selected_leaves
from bnjax.probes.points import compiled, scalar_loss
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import LossFn, Params

Vectors = Literal["ignore", "match"]


@checked()
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


@checked()
def random(key: Array, params: Params) -> Params:
    """Draw every entry from a standard normal distribution, each leaf from a key of its own."""
    check_inexact("params", params)
    leaves, treedef = jax.tree.flatten(jax.tree.map(jnp.asarray, params))
    keys = jax.random.split(key, max(len(leaves), 1))
    return treedef.unflatten(
        [jax.random.normal(k, jnp.shape(leaf), leaf.dtype) for k, leaf in zip(keys, leaves, strict=False)]
    )


@checked()
def filter_normalized(
    key: Array,
    params: Params,
    *,
    vectors: Vectors = "ignore",
    filter_axes: Mapping[str, int | Sequence[int] | None] | None = None,
) -> Params:
    """Draw a random direction whose filters have the norms of the parameters' filters.

        d_f = z_f |w_f| / |z_f|, z normal, for each filter f

    Source: Li et al. 2018, Sec. 4. A filter is what leads to one output. Of Flax's dense layers, (in, out), and convolutions,
    (height, width, in, out), that is an index of the last axis. Other numbers of axes may be a convolution's over time or
    volumes, the heads' of an attention, or those of layers stacked by `nn.scan` and `nn.vmap`; no shape tells which, so they
    are refused unless `filter_axes` says along which axes a filter lies. The direction of a filter of zeros is zero.

    Args:
        key: from which the direction follows.
        params: w.
        vectors: what becomes of biases and scales, which are called so or have fewer than two axes: "ignore" leaves them where
            they are, "match" gives the whole vector the parameter's norm.
        filter_axes: axes along which a filter lies, by a regular expression that is searched for in paths such as
            "layers/dense/kernel"; where several match, the first one counts. Of dense layers stacked along axis 0 it is 1.
            None in place of axes leaves the parameter where it is. Vectors are as `vectors` says; one with two axes or more,
            of heads or stacked layers, needs its axes too where it is matched.

    Returns:
        A tree like `params`.

    Raises:
        ValueError: if `vectors` is unknown, an expression matches nothing, an axis is none, or the axes of a parameter have to
            be said; it names the path.

    Example:
        >>> from bnjax.probes import directions
        >>> query, out = jnp.ones((6, 4, 2)), jnp.ones((4, 2, 6))  # (in, heads, features), (heads, features, out)
        >>> params = {"query": {"kernel": query}, "out": {"kernel": out}}
        >>> axes = {"query": 0, "out": (0, 1)}
        >>> direction = directions.filter_normalized(jax.random.key(0), params, filter_axes=axes)
        >>> bool(jnp.allclose(jnp.linalg.norm(direction["query"]["kernel"], axis=0), 6**0.5))
        True
    """
    if vectors not in get_args(Vectors):
        raise ValueError(f"vectors must be one of {', '.join(get_args(Vectors))}, got {vectors!r}.")
    check_inexact("params", params)
    params = jax.tree.map(jnp.asarray, params)
    axes = _find_filters(params, vectors, filter_axes or {})

    def normalise(path: Any, z: Array, w: Array) -> Array:
        along = axes[path_name(path)]
        if along is None:
            return jnp.zeros_like(w)
        norm_z, norm_w = (axis_norms(v, along) for v in (z, w))
        return (z * (norm_w / jnp.where(norm_z == 0, 1, norm_z))).astype(z.dtype)

    return jax.tree_util.tree_map_with_path(normalise, random(key, params), params)


def _find_filters(
    params: Params, vectors: Vectors, given: Mapping[str, int | Sequence[int] | None]
) -> dict[str, tuple[int, ...] | None]:
    """Return the axes along which a filter of each parameter lies, by path; None is not to be moved."""
    leaves = named_leaves(params)
    said: dict[str, tuple[str, int | Sequence[int] | None]] = {}
    for pattern, axes in given.items():
        said = dict.fromkeys(selected_leaves(params, pattern), (pattern, axes)) | said
    are_vectors = {p: leaf.ndim < 2 or p.rpartition("/")[2] in ("bias", "scale") for p, leaf in leaves.items()}
    # Where there are heads or stacked layers, four axes are no sign of a convolution.
    are_plain = all(leaf.ndim < 2 if are_vectors[path] else leaf.ndim in (2, 4) for path, leaf in leaves.items())
    found: dict[str, tuple[int, ...] | None] = {}
    for path, leaf in leaves.items():
        if are_vectors[path] and (vectors == "ignore" or leaf.ndim < 2):
            found[path] = None if vectors == "ignore" else tuple(range(leaf.ndim))
        elif path in said:
            found[path] = _check_axes(*said[path], path, leaf.ndim)
        elif not are_vectors[path] and (are_plain or leaf.ndim == 2):
            found[path] = tuple(range(leaf.ndim - 1))
        else:
            rule = f"filter_axes must say along which axes a filter of {path} lies"
            raise ValueError(
                f"{rule}, which the shape {leaf.shape} does not tell where there are heads or stacked layers."
            )
    return found


def _check_axes(pattern: str, axes: int | Sequence[int] | None, path: str, ndim: int) -> tuple[int, ...] | None:
    """Count axes from the front; raise unless an array has them, each once."""
    if axes is None:
        return None
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    if not all(-ndim <= a < ndim for a in listed) or len({a % ndim for a in listed}) < len(listed):
        raise ValueError(f"filter_axes must be axes of {path}, which has {ndim}, got {axes} for {pattern!r}.")
    return tuple(a % ndim for a in listed)


@checked()
def toward(params: Params, target: Params) -> Params:
    """Go from `params` to `target`: at coordinate 1 a scan is there.

    Raises:
        ValueError: if the two differ in structure; it names the path.
    """
    check_alike("target", target, params)
    return optax.tree.sub(target, params)


@register()
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

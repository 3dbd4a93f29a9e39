"""Directions to scan along: trees like the parameters."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import axis_norms
from bnjax.probes.axes import PrincipalAxes as PrincipalAxes
from bnjax.probes.axes import principal as principal
from bnjax.probes.axes import through as through
from bnjax.probes.paths import check_alike, check_inexact, check_params, named_leaves, path_name, selected_leaves
from bnjax.probes.points import compiled, scalar_loss
from bnjax.types import LossFn, Params

Vectors = Literal["ignore", "match"]


@checked()
@with_precision
def gradient(loss_fn: LossFn, params: Params, *, precision: str | None = None) -> Params:
    """Compute minus the gradient, the direction of steepest descent; products as in `evaluate_points`.

    Raises:
        ValueError: if the loss is not a floating-point scalar, or a parameter is not floating-point.

    Example:
        >>> from bnjax.probes import directions
        >>> print(directions.gradient(lambda w: jnp.sum(w**2), jnp.array([1.0, -2.0])))
        [-2.  4.]
    """
    check_params(params)
    return compiled(_minus_gradient, loss_fn)(params)


def _minus_gradient(loss_fn: LossFn, params: Params) -> Params:
    """Compute minus the gradient."""
    return optax.tree.scale(-1, jax.grad(partial(scalar_loss, loss_fn))(params))


@checked()
def random(key: Array, params: Params, *, null_sizes: Mapping[str, int] = {}) -> Params:
    """Draw every entry from a standard normal distribution, each leaf from a key of its own.

    Args:
        key: from which the direction follows.
        params: whose shapes it has.
        null_sizes: for parameters that hold the length of numbers on which no output depends, such as `null_norm` of
            `models.RepeatedDense`: how many numbers, by path. They get the length of as many draws, a chi distribution.

    Raises:
        ValueError: if a parameter is not floating-point, or a path in `null_sizes` is not that of a single number.

    Example:
        >>> from bnjax.probes import directions
        >>> direction = directions.random(jax.random.key(0), {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)})
        >>> print({name: leaf.shape for name, leaf in direction.items()})
        {'bias': (2,), 'kernel': (3, 2)}
    """
    check_inexact("params", params)
    params = jax.tree.map(jnp.asarray, params)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(params)
    named = [(path_name(path), leaf) for path, leaf in leaves]
    numbers = {path for path, leaf in named if not leaf.ndim}
    for path, size in null_sizes.items():
        if path not in numbers or size < 1:
            raise ValueError(
                f"null_sizes must name numbers among the parameters, and sizes from 1, got {path}: {size}."
            )
    keys = jax.random.split(key, max(len(named), 1))

    def draw(key: Array, path: str, leaf: Array) -> Array:
        if path in null_sizes:
            return jnp.sqrt(jax.random.chisquare(key, null_sizes[path], dtype=leaf.dtype))
        return jax.random.normal(key, jnp.shape(leaf), leaf.dtype)

    return treedef.unflatten([draw(key, path, leaf) for key, (path, leaf) in zip(keys, named, strict=False)])


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

    Source: Li et al. 2018, Sec. 4. A filter is the weights of one output. In Flax's dense layers, (in, out), and convolutions,
    (height, width, in, out), it is an index of the last axis. Kernels with other numbers of axes may be convolutions over time
    or volumes, heads of an attention, or layers stacked by `nn.scan` and `nn.vmap`; their shape does not determine which, so
    they are refused unless `filter_axes` gives the axes of a filter. The direction of a filter of zeros is zero.

    Args:
        key: from which the direction follows.
        params: w.
        vectors: how to treat biases and scales, recognised by these names or by having fewer than two axes: "ignore" leaves
            them where they are, "match" gives the whole vector the parameter's norm.
        filter_axes: axes along which a filter lies, by a regular expression that is searched for in paths such as
            "layers/dense/kernel"; where several match, the first one counts. Of dense layers stacked along axis 0 it is 1.
            None in place of axes leaves the parameter where it is. Vectors are treated according to `vectors`; if matched,
            one with two or more axes, as of heads or stacked layers, needs its axes here too.

    Returns:
        A tree like `params`.

    Raises:
        ValueError: if `vectors` is unknown, an expression matches nothing, an axis does not exist, or the axes of a parameter
            are missing; it names the path.

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
    """Return the axes of a filter of each parameter, by path; None leaves the parameter where it is."""
    leaves = named_leaves(params)
    said: dict[str, tuple[str, int | Sequence[int] | None]] = {}
    for pattern, axes in given.items():
        said = dict.fromkeys(selected_leaves(params, pattern), (pattern, axes)) | said
    are_vectors = {p: leaf.ndim < 2 or p.rpartition("/")[2] in ("bias", "scale") for p, leaf in leaves.items()}
    # If there are heads or stacked layers, four axes do not imply a convolution.
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
    """Return the direction from `params` to `target`, which a scan reaches at coordinate 1.

    Raises:
        ValueError: if the two differ in structure; it names the path.

    Example:
        >>> from bnjax.probes import directions
        >>> print(directions.toward(jnp.array([1.0, 2.0]), jnp.array([4.0, 2.0])))
        [3. 0.]
    """
    check_alike("target", target, params)
    return optax.tree.sub(target, params)

"""Initial weights, drawn at once for all layers, since XLA takes most of a second to compile each draw."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import PyTree

from bnjax.models.repeated import join_copies
from bnjax.models.shapes import KernelInit

_CUT = 2.0  # standard deviations, at which Flax truncates its normals
_CUT_STD = 0.87962566103423978  # of a standard normal that is truncated there


def draw_kernels(
    key: Array, shapes: Sequence[tuple[int, ...]], dtype: Any, *, kernel_init: KernelInit, scale: float = 1.0
) -> list[Array]:
    """Draw the kernels of some layers, (*window, in_features, out_features) each, independent of each other.

    Their variance is scale² times 2 / (fan_in + fan_out) with "xavier_uniform" and "xavier_normal", 2 / fan_in with
    "he_normal", 1 with "normal", where a fan is the window's size times the features in, or out. As in Flax, the Xavier and He
    normals are cut off at two standard deviations, and "orthogonal" has orthonormal rows or columns.
    Source: Glorot & Bengio 2010; He et al. 2015, arXiv 1502.01852; Saxe et al. 2014, arXiv 1312.6120.
    """
    if kernel_init == "orthogonal":
        # NOTE: for these Flax draws a matrix each.
        orthogonal, keys = nn.initializers.orthogonal(), jax.random.split(key, len(shapes))
        return [scale * orthogonal(one, shape, dtype) for one, shape in zip(keys, shapes, strict=True)]
    sizes = [math.prod(shape) for shape in shapes]
    # NOTE: without the barrier every layer would draw all numbers again, and keep its own.
    drawn = lax.optimization_barrier(_draw(kernel_init, key, sum(sizes), dtype))
    ends = jnp.split(drawn, [sum(sizes[:i]) for i in range(1, len(sizes))])
    return [
        piece.reshape(shape) * (scale * math.sqrt(_variance(kernel_init, shape)))
        for piece, shape in zip(ends, shapes, strict=True)
    ]


def make_kernel_init(name: KernelInit, scale: float = 1.0) -> Callable[[Array, tuple[int, ...], Any], Array]:
    """Make an initialiser for Flax's layers that draws one kernel by `draw_kernels`."""

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return draw_kernels(key, [shape], dtype, kernel_init=name, scale=scale)[0]

    return init


def redraw_kernels(
    key: Array,
    params: PyTree[Array],
    *,
    kernel_init: KernelInit,
    scale: float = 1.0,
    copies: Mapping[str, int] = {},
) -> PyTree[Array]:
    """Replace the kernels of all weight layers, `conv_n` or `dense_n`, by kernels from a single draw.

    Layers named in `copies` stand for that many equal inputs: their kernel is drawn for all of them, and then joined.
    """
    flat, treedef = jax.tree_util.tree_flatten_with_path(params)
    leaves = {tuple(step.key for step in path): leaf for path, leaf in flat}
    places = [name for name in leaves if name[0].startswith(("conv_", "dense_")) and name[1:] == ("kernel",)]
    dtype = leaves[places[0]].dtype
    shapes = [
        (*window, copies.get(layer, 1) * features, out_features)
        for layer, (*window, features, out_features) in ((name[0], leaves[name].shape) for name in places)
    ]
    for name, kernel in zip(
        places, draw_kernels(key, shapes, dtype, kernel_init=kernel_init, scale=scale), strict=True
    ):
        leaves[name] = kernel
    for layer, number in copies.items():
        leaves[layer, "kernel"], leaves[layer, "null_norm"] = join_copies(leaves[layer, "kernel"], number)
    return treedef.unflatten(leaves.values())


def _draw(kernel_init: KernelInit, key: Array, number: int, dtype: Any) -> Array:
    """Draw numbers of variance 1."""
    if kernel_init == "xavier_uniform":
        return math.sqrt(3) * jax.random.uniform(key, (number,), dtype, -1)
    if kernel_init == "normal":
        return jax.random.normal(key, (number,), dtype)
    return jax.random.truncated_normal(key, -_CUT, _CUT, (number,), dtype) / _CUT_STD


def _variance(kernel_init: KernelInit, shape: tuple[int, ...]) -> float:
    """Return the variance of a kernel's entries."""
    *window, features, out_features = shape
    fan_in, fan_out = (math.prod(window) * n for n in (features, out_features))
    return {"normal": 1.0, "he_normal": 2 / fan_in}.get(kernel_init, 2 / (fan_in + fan_out))

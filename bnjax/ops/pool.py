"""Pooling with a gradient that is fast on every backend.

XLA writes the gradient of a window maximum as select-and-scatter, which on CPU takes longer than a whole layer's
convolutions. Here the place of each maximum is an array, and the gradient a selection.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from bnjax._host.arguments import checked


@checked()
def max_pool_2x2(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """Take the maximum of each 2x2 window, stride 2; an odd last row or column is left out.

    Among equal maxima the first one, row by row, gets the gradient, as in `flax.linen.max_pool`.

    Example:
        >>> from bnjax import ops
        >>> print(ops.max_pool_2x2(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, ..., 0].tolist())
        [[5.0, 7.0], [13.0, 15.0]]
    """
    h, w = x.shape[1:3]
    if any(jax.typeof(x).sharding.spec):  # over an explicit mesh, whose axes no reshape may divide
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return _max_pool(x[:, : h // 2 * 2, : w // 2 * 2])


@jax.custom_jvp
def _max_pool(x: Array) -> Array:
    """Take the maxima, for an even height and width."""
    return jnp.max(_windows(x), axis=(2, 4))


@_max_pool.defjvp
def _max_pool_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Differentiate forwards: the tangent of each window's maximum."""
    position = jnp.arange(4).reshape(1, 1, 2, 1, 2, 1)
    is_maximum = _first_maximum(*primals)[:, :, None, :, None] == position
    tangent = jnp.sum(jnp.where(is_maximum, _windows(*tangents), 0), axis=(2, 4))
    return _max_pool(*primals), tangent


def _windows(x: Array) -> Array:
    """Split rows and columns into pairs, (batch, half_height, 2, half_width, 2, channels)."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c)


def _first_maximum(x: Array) -> Int[Array, "batch half_height half_width channels"]:
    """Number the position of each window's first maximum: 0, 1 in its first row, 2, 3 in its second."""
    n, h, w, c = x.shape
    columns = x.reshape(n, h // 2, 2, w // 2, 2 * c)
    left, right = columns[..., :c], columns[..., c:]
    rows, is_right = jnp.maximum(left, right), right > left
    is_below = rows[:, :, 1] > rows[:, :, 0]
    return jnp.where(is_below, 2 + is_right[:, :, 1], is_right[:, :, 0])

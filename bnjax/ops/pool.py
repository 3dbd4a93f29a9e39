"""Pooling with a gradient that is fast on every backend.

XLA writes the gradient of a window maximum as select-and-scatter, which on CPU takes longer than a whole layer's
convolutions. Here the place of each maximum is an array, and the gradient a selection. A TPU has hardware for windows and keeps
XLA's form, which moves fewer bytes there.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, UInt8

from bnjax._host.arguments import checked

_PLACES = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 1, 2, 1)


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
        return _by_windows(x)
    return _max_pool(x[:, : h // 2 * 2, : w // 2 * 2])


@jax.custom_jvp
def _max_pool(x: Array) -> Array:
    """Take the maxima, for an even height and width."""
    return lax.platform_dependent(x, tpu=_by_windows, default=lambda x: _maxima(x)[0])


@_max_pool.defjvp
def _max_pool_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Differentiate forwards: the tangent of each window's maximum."""
    return lax.platform_dependent(*primals, *tangents, tpu=_differentiate_windows, default=_differentiate)


def _differentiate(x: Array, tangent: Array) -> tuple[Array, Array]:
    """Take the maxima, and the tangents of their first places."""
    maxima, place = _maxima(x)
    # NOTE: without the barriers XLA computes places and tangents again for every use of them, from all that they are made of.
    is_maximum = lax.optimization_barrier(place)[:, :, None, :, None] == _PLACES
    return maxima, jnp.sum(jnp.where(is_maximum, _windows(lax.optimization_barrier(tangent)), 0), axis=(2, 4))


def _differentiate_windows(x: Array, tangent: Array) -> tuple[Array, Array]:
    """Differentiate XLA's window maximum."""
    return jax.jvp(_by_windows, (x,), (tangent,))


def _by_windows(x: Array) -> Array:
    """Take the maximum of each window, in XLA's form."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _windows(x: Array) -> Array:
    """Split rows and columns into pairs, (batch, half_height, 2, half_width, 2, channels)."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c)


def _maxima(x: Array) -> tuple[Array, UInt8[Array, "batch half_height half_width channels"]]:
    """Take each window's maximum, and number the place of its first one: 0, 1 in its first row, 2, 3 in its second."""
    n, h, w, c = x.shape
    columns = x.reshape(n, h // 2, 2, w // 2, 2 * c)
    left, right = columns[..., :c], columns[..., c:]
    rows, is_right = jnp.maximum(left, right), right > left
    is_below = rows[:, :, 1] > rows[:, :, 0]
    place = jnp.where(is_below, 2 + is_right[:, :, 1], is_right[:, :, 0])
    return jnp.maximum(rows[:, :, 0], rows[:, :, 1]), place.astype(jnp.uint8)

"""JAX's own operations, used on every backend except the CPU; they also define shapes, types and shardings."""

import jax
from jax import Array, lax

from bnjax.ops.geometry import NHWC, Geometry


def conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with XLA's own convolution."""
    return lax.conv_general_dilated(
        x, k, (1, 1), geometry.padding, dimension_numbers=NHWC, precision=geometry.precision
    )


def input_gradient(dy: Array, k: Array, *, geometry: Geometry) -> Array:
    """Transpose `conv` in the image."""
    x = lax.full_like(dy, 0, shape=(dy.shape[0], *geometry.image, k.shape[2]))  # any x does: the map is linear
    return jax.vjp(lambda x: conv(x, k, geometry=geometry), x)[1](dy)[0]


def kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Transpose `conv` in the kernel."""
    k = lax.full_like(dy, 0, shape=(*geometry.kernel, x.shape[3], dy.shape[3]))
    return jax.vjp(lambda k: conv(x, k, geometry=geometry), k)[1](dy)[0]

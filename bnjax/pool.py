"""Pooling with a gradient that is fast on every backend.

XLA writes the gradient of a window maximum as select-and-scatter, which on CPU takes longer than a whole layer's
convolutions. Maxima of slices have an elementwise gradient instead.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


def max_pool_2x2(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """Take the maximum of each 2x2 window, stride 2; an odd last row or column is left out.

    Deviation: equal maxima share their gradient equally, where `flax.linen.max_pool` gives it to the first.
    """
    n, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2 * c)  # columns in pairs, side by side
    x = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(x[..., :c], x[..., c:])

"""The pixels that each tap of a kernel reads, written out."""

import jax.numpy as jnp
from jax import Array

from bnjax.ops.geometry import Geometry


def shifts(x: Array, geometry: Geometry) -> list[Array]:
    """List, for each tap of the kernel, the padded image as that tap sees it, (batch, out_height, out_width, channels)."""
    (kh, kw), (h, w) = geometry.kernel, geometry.output
    padded = jnp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    return [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]


def patches(x: Array, geometry: Geometry) -> Array:
    """Gather im2col rows, (batch * out_height * out_width, kernel_height * kernel_width * channels)."""
    rows = jnp.concatenate(shifts(x, geometry), axis=-1)
    return rows.reshape(-1, rows.shape[-1])

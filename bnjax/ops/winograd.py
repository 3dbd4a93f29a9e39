"""Winograd's algorithm for 3x3 kernels: each 2x2 tile of the result costs 16 multiplications per pair of channels, not 36.

With d a 4x4 tile of the image, g the kernel and y a 2x2 tile of the result,

    y = A [(G g Gᵀ) * (B d Bᵀ)] Aᵀ

where * multiplies entry by entry, which over many tiles and channels is 16 matrix products. Tiles of the image overlap by two
pixels. The three transforms are sums and differences. The gradient by the kernel is the transpose of the same expression.
An infinite pixel turns its tile into NaN.
Source: Lavin & Gray 2016, arXiv 1509.09308, F(2x2, 3x3).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax.ops.geometry import Geometry

_B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

Grid = Sequence[Sequence[Array]]  # of a tile's entries, rows first, each with all tiles (or channels) in its array


def fits(x: Array, geometry: Geometry) -> bool:
    """Return whether the result consists of whole tiles, and the type has enough digits for sums of four numbers."""
    is_precise = jnp.finfo(x.dtype).bits >= 32
    return is_precise and geometry.kernel == (3, 3) and all(n % 2 == 0 for n in geometry.output)


def conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve."""
    (h, w), c, f = geometry.output, x.shape[3], k.shape[3]
    kernel = _transform(_G, [[k[i, j] for j in range(3)] for i in range(3)])
    tiles = _transform(_B, _image_tiles(x, geometry))
    products = [
        [tile.reshape(-1, c) @ factor for tile, factor in zip(*rows, strict=True)]
        for rows in zip(tiles, kernel, strict=True)
    ]
    y = jnp.stack([jnp.stack(row, 1) for row in _transform(_A, products)], 1)  # (tiles, 2, 2, features)
    y = y.reshape(x.shape[0], h // 2, w // 2, 2, 2, f).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(x.shape[0], h, w, f)


def kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Correlate the image with a gradient of the result."""
    c, f = x.shape[3], dy.shape[3]
    tiles = _transform(_B, _image_tiles(x, geometry))
    gradients = _transform(_A.T, [[dy[:, i::2, j::2] for j in range(2)] for i in range(2)])
    products = [
        [tile.reshape(-1, c).T @ gradient.reshape(-1, f) for tile, gradient in zip(*rows, strict=True)]
        for rows in zip(tiles, gradients, strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _transform(_G.T, products)])


def _image_tiles(x: Array, geometry: Geometry) -> Grid:
    """List the 4x4 entries of all overlapping tiles, each (batch, out_height / 2, out_width / 2, channels)."""
    h, w = geometry.output
    padded = jnp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    return [[padded[:, i : i + h - 1 : 2, j : j + w - 1 : 2] for j in range(4)] for i in range(4)]


def _transform(matrix: np.ndarray, grid: Grid) -> Grid:
    """Multiply a grid by a matrix from the left and by its transpose from the right."""
    columns = [_combine(matrix, column) for column in zip(*grid, strict=True)]
    return [_combine(matrix, row) for row in zip(*columns, strict=True)]


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """Multiply a list by a matrix, most of whose entries are 0, 1 or -1."""
    rows = [[float(w) * part for w, part in zip(row, parts, strict=True) if w] for row in matrix]
    return [sum(row[1:], start=row[0]) for row in rows]

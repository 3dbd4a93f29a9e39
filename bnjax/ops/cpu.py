"""The convolution and its gradients on CPU: canonical convolutions and matrix products, chosen by shape."""

import math
from collections.abc import Callable
from functools import wraps

import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax._host.trees import common_type
from bnjax.ops import plain, winograd
from bnjax.ops.geometry import Geometry
from bnjax.ops.patches import patches, shifts

# Chosen from `python -m experiments.benchmarks.conv`; no result depends on them, only speed does.
_DENSE_MAX_PIXELS = 4  # maps up to 2x2 are one matrix product with the kernel written out
_CLIPPED_MAX_PIXELS = 16  # maps up to 4x4: multiply only the pixels that each tap of the kernel reaches
_FEW_PRODUCTS = (
    2**24
)  # of a pixel with a weight, per tap: with fewer, a canonical convolution is as fast, and compiled sooner
_IMAGE_MAX_CHANNELS = 4  # images: too few channels to fill a matrix product per tap
_PATCHES_MAX_ENTRIES = 2**23  # of the kernel's view of every pixel, where it is written out for speed alone
_WINOGRAD_MAX_PIXELS = 64  # forwards: on larger maps the transforms take longer than they save, except for
_WINOGRAD_WIDE_MAX_PIXELS = 256  # those whose channels, in and out, are at least as many as
_WINOGRAD_WIDE_MIN_CHANNELS = 64
_WINOGRAD_MIN_TILES = 64  # with fewer, the kernel's transform takes longer than the tiles save
_WINOGRAD_MAX_ENTRIES = 2**23  # of the image, which is written out four times


def _widened(compute: Callable[..., Array]) -> Callable[..., Array]:
    """Compute lower precision in float32 and round once, as XLA's CPU backend does with every product."""

    @wraps(compute)
    def wide(*operands: Array, geometry: Geometry) -> Array:
        (dtype,) = {x.dtype for x in operands}
        precise = (x.astype(common_type(dtype, jnp.float32)) for x in operands)
        return compute(*precise, geometry=geometry).astype(dtype)

    return wide


@_widened
def conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve by matrix products where map or kernel is small, else by Winograd's algorithm or a canonical convolution."""
    (h, w), (c, f) = geometry.output, k.shape[2:]
    is_smaller = any(n < size for n, size in zip(geometry.image, geometry.kernel, strict=True))
    is_wide = min(c, f) >= _WINOGRAD_WIDE_MIN_CHANNELS
    if _is_tiny(geometry):
        y = _flat(x) @ _kernel_matrix(k, geometry)
    elif _is_of_pixels(geometry):
        y = x.reshape(-1, c) @ k[0, 0]
    elif is_smaller or (c <= _IMAGE_MAX_CHANNELS and x.shape[0] * h * w * k[..., 0].size <= _PATCHES_MAX_ENTRIES):
        y = patches(x, geometry) @ k.reshape(-1, f)
    elif h * w <= (_WINOGRAD_WIDE_MAX_PIXELS if is_wide else _WINOGRAD_MAX_PIXELS) and _is_tiled(x, f, geometry):
        return winograd.conv(x, k, geometry=geometry)
    else:
        return plain.conv(x, k, geometry=geometry)
    return y.reshape(x.shape[0], h, w, f)


@_widened
def input_gradient(dy: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with the flipped kernel, its channels exchanged."""
    if _is_tiny(geometry):
        dx = _flat(dy) @ _kernel_matrix(k, geometry).T
        return dx.reshape(dy.shape[0], *geometry.image, k.shape[2])
    return conv(dy, jnp.flip(k, (0, 1)).swapaxes(2, 3), geometry=geometry.flipped)


@_widened
def kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Multiply, for each tap of the kernel, the pixels it reads by the gradients it writes to, or use fewer multiplications."""
    (kh, kw), c, f = geometry.kernel, x.shape[3], dy.shape[3]
    if _is_of_pixels(geometry):
        return (x.reshape(-1, c).T @ dy.reshape(-1, f))[None, None]
    if c <= _IMAGE_MAX_CHANNELS or dy.size * c < _FEW_PRODUCTS:
        return _exchanged(x, dy, geometry)
    if _is_tiled(x, f, geometry):
        return winograd.kernel_gradient(x, dy, geometry=geometry)
    if math.prod(geometry.image) > _CLIPPED_MAX_PIXELS:
        pairs = [(shifted, dy) for shifted in shifts(x, geometry)]
    else:
        pairs = [(x[:, *read], dy[:, *written]) for read, written in _reached(geometry)]
    return jnp.stack([read.reshape(-1, c).T @ written.reshape(-1, f) for read, written in pairs]).reshape(kh, kw, c, f)


def _exchanged(x: Array, dy: Array, geometry: Geometry) -> Array:
    """Compute the kernel's gradient as a canonical convolution with batch and channels exchanged."""
    exchanged = geometry._replace(kernel=geometry.output)
    return plain.conv(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), geometry=exchanged).transpose(1, 2, 0, 3)


def _is_tiny(geometry: Geometry) -> bool:
    """Return whether image and result are so small that the convolution is best written out as one matrix."""
    return max(math.prod(geometry.image), math.prod(geometry.output)) <= _DENSE_MAX_PIXELS


def _is_of_pixels(geometry: Geometry) -> bool:
    """Return whether each pixel of the result depends on one pixel of the image: one matrix product for all pixels."""
    return geometry.kernel == (1, 1) and geometry.image == geometry.output


def _is_tiled(x: Array, num_features: int, geometry: Geometry) -> bool:
    """Return whether Winograd's algorithm applies, and the problem is neither too small nor too large for it."""
    num_tiles = x.shape[0] * math.prod(geometry.output) // 4
    is_wide = 4 * num_tiles * x.shape[3] * num_features >= _FEW_PRODUCTS
    is_sized = num_tiles >= _WINOGRAD_MIN_TILES and x.size <= _WINOGRAD_MAX_ENTRIES
    return is_wide and is_sized and not _is_tiny(geometry) and winograd.fits(x, geometry)


def _flat(x: Array) -> Array:
    """Flatten all but the first axis."""
    return x.reshape(x.shape[0], -1)


def _reached(geometry: Geometry) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """List, for each tap, the (rows, columns) that it reads and writes, without padding; they may be empty."""

    def slices(tap: int, n: int, out: int, low: int) -> tuple[slice, slice]:
        first, last = max(tap - low, 0), max(min(n, out + tap - low), 0)
        return slice(first, last), slice(max(first - tap + low, 0), max(last - tap + low, 0))

    rows, cols = (
        [slices(tap, n, out, low) for tap in range(k)]
        for k, n, out, (low, _) in zip(geometry.kernel, geometry.image, geometry.output, geometry.padding, strict=True)
    )
    return [((rows_in, cols_in), (rows_out, cols_out)) for rows_in, rows_out in rows for cols_in, cols_out in cols]


def _kernel_matrix(k: Array, geometry: Geometry) -> Array:
    """Write the convolution out as a matrix, (height * width * in_channels, out_height * out_width * out_channels)."""

    def taps(n: int, out: int, size: int, low: int) -> np.ndarray:
        tap = np.arange(n)[:, None] - np.arange(out)[None, :] + low
        return np.where((tap >= 0) & (tap < size), tap, size)  # size: out of bounds, filled with 0

    rows, cols = (
        taps(n, out, size, low)
        for n, out, size, (low, _) in zip(
            geometry.image, geometry.output, geometry.kernel, geometry.padding, strict=True
        )
    )
    # (height, width, out_height, out_width, in_channels, out_channels)
    entries = k.at[rows[:, None, :, None], cols[None, :, None, :]].get(mode="fill", fill_value=0)
    h, w, out_h, out_w, c, f = entries.shape
    return entries.transpose(0, 1, 4, 2, 3, 5).reshape(h * w * c, out_h * out_w * f)

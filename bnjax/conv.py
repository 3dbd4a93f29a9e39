"""The convolution of every model here: XLA's own on accelerators, fast gradients on CPU.

XLA's CPU backend has a fast path for convolutions whose dimension numbers are the usual ones (NHWC images, HWIO kernels).
JAX writes a convolution's *gradients* as convolutions with permuted dimension numbers, which miss that path: inside the body
of `lax.scan` or `lax.map` they run tens to hundreds of times slower than they need to. Maps smaller than the kernel miss it
even forwards. `python -m experiments.benchmarks.conv` prints by how much on the machine at hand.

A convolution is bilinear, so it and its two gradients close under differentiation:

    conv(x, k) -> y        input_gradient(dy, k) -> dx        kernel_gradient(x, dy) -> dk

and the transpose of each, in either argument, is one of the other two. They are three JAX primitives here. On CPU they lower
to canonical convolutions and matrix products chosen by shape, elsewhere to what JAX itself would emit. Being primitives,
they differentiate to any order, forwards and backwards, under jit, vmap, scan and shard_map.

In any Flax model: `nn.Conv(64, (3, 3), conv_general_dilated=bnjax.conv.conv_general_dilated)`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_NHWC = ("NHWC", "HWIO", "NHWC")

# Chosen from `python -m experiments.benchmarks.conv` on CPU; no result depends on them, only speed does.
_DENSE_MAX_PIXELS = 4  # maps up to 2x2 are one matrix product with the kernel written out
_CLIPPED_MAX_PIXELS = 16  # maps up to 4x4: multiply only the pixels that each tap of the kernel reaches
_IM2COL_MAX_CHANNELS = 4  # images: too few channels to fill a matrix product per tap


class Geometry(NamedTuple):
    """The static side of a stride-1 convolution: each field has (height, width), padding (low, high) for both."""

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    precision: Any = None

    @property
    def output(self) -> tuple[int, ...]:
        """Size of the result."""
        sides = zip(self.image, self.kernel, self.padding, strict=True)
        return tuple(n + low + high - k + 1 for n, k, (low, high) in sides)

    @property
    def flipped_padding(self) -> tuple[tuple[int, int], ...]:
        """The padding with which the flipped kernel takes a gradient of the result back to the image."""
        return tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(self.kernel, self.padding, strict=True))

    @property
    def is_canonical(self) -> bool:
        """Whether both gradients are ordinary convolutions too: no padding below 0 or beyond the kernel."""
        paddings = (side for pads in (self.padding, self.flipped_padding) for pair in pads for side in pair)
        return min(*self.image, *self.output) > 0 and min(paddings) >= 0


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    *,
    precision: Any = None,
    **options: Any,
) -> Array:
    """Convolve: `jax.lax.conv_general_dilated`, its arguments and its result to rounding, with fast gradients on CPU.

    The fast path takes floating 2-D NHWC images and HWIO kernels with stride 1, no dilation and no groups. Every other
    stride, padding, dilation, group count, layout or mixture of types goes to JAX unchanged.

    Args:
        lhs: images, (batch, height, width, in_channels) for the fast path.
        rhs: kernel, (height, width, in_channels, out_channels) for the fast path.
        window_strides: as in `jax.lax.conv_general_dilated`, like all that follow.
        padding: "SAME", "VALID" or (low, high) for height and width.
        lhs_dilation: distance of pixels.
        rhs_dilation: distance of taps.
        dimension_numbers: layout.
        precision: of products, on accelerators.
        **options: feature_group_count, batch_group_count, preferred_element_type, out_sharding.

    Returns:
        Array of shape (batch, out_height, out_width, out_channels).
    """
    geometry = None
    if _is_simple(
        lhs, rhs, (*window_strides, *(lhs_dilation or ()), *(rhs_dilation or ())), dimension_numbers, options
    ):
        image, kernel = lhs.shape[1:3], rhs.shape[:2]
        pads = lax.padtype_to_pads(image, kernel, (1, 1), padding) if isinstance(padding, str) else padding
        geometry = Geometry(image, kernel, tuple((int(low), int(high)) for low, high in pads), precision)
    if geometry is not None and geometry.is_canonical:
        return _bind(conv_p, lhs, rhs, geometry=geometry)
    return lax.conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision=precision, **options
    )


def _is_simple(lhs: Array, rhs: Array, steps: Sequence[int], dimension_numbers: Any, options: dict[str, Any]) -> bool:
    """Tell whether this is a 2-D NHWC/HWIO convolution of one floating type, without strides, dilations or groups."""
    if lhs.ndim != 4 or rhs.ndim != 4 or lhs.dtype != rhs.dtype or not jnp.issubdtype(lhs.dtype, jnp.floating):
        return False
    layout, usual = (lax.conv_dimension_numbers(lhs.shape, rhs.shape, d) for d in (dimension_numbers, _NHWC))
    has_defaults = set(steps) == {1} and all(value in (1, None) for value in options.values())
    return layout == usual and has_defaults and lhs.shape[3] == rhs.shape[2] and min(lhs.size, rhs.size) > 0


# What JAX itself does, on every backend but the CPU; these also define shapes, types and shardings.


def _plain_conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with XLA's own convolution."""
    return lax.conv_general_dilated(
        x, k, (1, 1), geometry.padding, dimension_numbers=_NHWC, precision=geometry.precision
    )


def _plain_input_gradient(dy: Array, k: Array, *, geometry: Geometry) -> Array:
    """Transpose `_plain_conv` in the image."""
    x = lax.full_like(dy, 0, shape=(dy.shape[0], *geometry.image, k.shape[2]))  # any x does: the map is linear
    return jax.vjp(lambda x: _plain_conv(x, k, geometry=geometry), x)[1](dy)[0]


def _plain_kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Transpose `_plain_conv` in the kernel."""
    k = lax.full_like(dy, 0, shape=(*geometry.kernel, x.shape[3], dy.shape[3]))
    return jax.vjp(lambda k: _plain_conv(x, k, geometry=geometry), k)[1](dy)[0]


# On CPU: canonical convolutions and matrix products.


def _cpu_conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with a canonical convolution, or a matrix product where the map is smaller than the kernel."""
    h, w = geometry.output
    if _is_tiny(geometry):
        y = _flat(x) @ _kernel_matrix(k, geometry)
    elif geometry.image[0] < geometry.kernel[0] or geometry.image[1] < geometry.kernel[1]:
        y = _patches(x, geometry) @ k.reshape(-1, k.shape[3])
    else:
        return _plain_conv(x, k, geometry=geometry)
    return y.reshape(x.shape[0], h, w, k.shape[3])


def _cpu_input_gradient(dy: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with the flipped kernel, its channels exchanged."""
    if _is_tiny(geometry):
        dx = _flat(dy) @ _kernel_matrix(k, geometry).T
        return dx.reshape(dy.shape[0], *geometry.image, k.shape[2])
    flipped = geometry._replace(image=geometry.output, padding=geometry.flipped_padding)
    return _cpu_conv(dy, jnp.flip(k, (0, 1)).swapaxes(2, 3), geometry=flipped)


def _cpu_kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Multiply, for each tap of the kernel, the pixels it reads by the gradients it writes to."""
    (kh, kw), c, f = geometry.kernel, x.shape[3], dy.shape[3]
    if c <= _IM2COL_MAX_CHANNELS:
        return (_patches(x, geometry).T @ dy.reshape(-1, f)).reshape(kh, kw, c, f)
    if math.prod(geometry.image) > _CLIPPED_MAX_PIXELS:
        pairs = [(shifted, dy) for shifted in _shifts(x, geometry)]
    else:
        pairs = [(x[:, *read], dy[:, *written]) for read, written in _reached(geometry)]
    return jnp.stack([read.reshape(-1, c).T @ written.reshape(-1, f) for read, written in pairs]).reshape(kh, kw, c, f)


def _is_tiny(geometry: Geometry) -> bool:
    """Tell whether image and result are so small that the convolution is best written out as one matrix."""
    return max(math.prod(geometry.image), math.prod(geometry.output)) <= _DENSE_MAX_PIXELS


def _flat(x: Array) -> Array:
    """Flatten all but the first axis."""
    return x.reshape(x.shape[0], -1)


def _shifts(x: Array, geometry: Geometry) -> list[Array]:
    """List, for each tap of the kernel, the padded image as that tap sees it, (batch, out_height, out_width, channels)."""
    (kh, kw), (h, w) = geometry.kernel, geometry.output
    padded = jnp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    return [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]


def _patches(x: Array, geometry: Geometry) -> Array:
    """Gather im2col rows, (batch * out_height * out_width, kernel_height * kernel_width * channels)."""
    patches = jnp.concatenate(_shifts(x, geometry), axis=-1)
    return patches.reshape(-1, patches.shape[-1])


def _reached(geometry: Geometry) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """List, for each tap, the (rows, columns) that it reads and those that it writes to, without padding; perhaps none."""

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


# The three primitives and how JAX transforms them.


def _bind(primitive: Primitive, *operands: Array, geometry: Geometry) -> Array:
    """Apply a primitive to operands that vary over the same axes of a surrounding shard_map, as its types demand."""
    varying = [jax.typeof(x).manual_axis_type.varying for x in operands]
    every = frozenset().union(*varying)
    operands = tuple(
        lax.pcast(x, tuple(every - own), to="varying") if every - own else x
        for x, own in zip(operands, varying, strict=True)
    )
    return primitive.bind(*operands, geometry=geometry)


def _make_primitive(name: str, plain: Callable[..., Array], cpu: Callable[..., Array]) -> Primitive:
    """Make a primitive from what it computes elsewhere and on CPU; `ad.defbilinear` below gives it its derivatives."""
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames="geometry"))
    primitive.def_abstract_eval(lambda *avals, geometry: _out_aval(partial(plain, geometry=geometry), *avals))
    mlir.register_lowering(primitive, mlir.lower_fun(plain, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")

    def batch(operands: Sequence[Array], axes: Sequence[int | None], *, geometry: Geometry) -> tuple[Array, int]:
        moved = [x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(operands, axes, strict=True)]
        if axes[1] is None and primitive is not kernel_gradient_p:  # many images, one kernel: a larger batch
            merged = _bind(primitive, moved[0].reshape(-1, *moved[0].shape[2:]), moved[1], geometry=geometry)
            return merged.reshape(*moved[0].shape[:2], *merged.shape[1:]), 0
        # NOTE: vmap over kernels is a grouped convolution in XLA, slow on CPU: there, one after another.
        return lax.platform_dependent(
            *moved,
            cpu=partial(_map_operands, partial(_bind, primitive, geometry=geometry), axes),
            default=jax.vmap(partial(plain, geometry=geometry), [None if d is None else 0 for d in axes]),
        ), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


def _out_aval(fn: Callable[..., Array], *avals: Any) -> Any:
    """Infer the result's type."""
    return jax.make_jaxpr(fn)(*avals).out_avals[0]


def _map_operands(fn: Callable[..., Array], axes: Sequence[int | None], *operands: Array) -> Array:
    """Apply `fn` to the slices of those operands whose axis is not None, one after another."""
    mapped = [x for x, d in zip(operands, axes, strict=True) if d is not None]

    def apply(slices: list[Array]) -> Array:
        rest = iter(slices)
        return fn(*(x if d is None else next(rest) for x, d in zip(operands, axes, strict=True)))

    return lax.map(apply, mapped)


conv_p = _make_primitive("bnjax_conv", _plain_conv, _cpu_conv)
input_gradient_p = _make_primitive("bnjax_conv_input_gradient", _plain_input_gradient, _cpu_input_gradient)
kernel_gradient_p = _make_primitive("bnjax_conv_kernel_gradient", _plain_kernel_gradient, _cpu_kernel_gradient)

# y = conv(x, k): dx from (dy, k), dk from (x, dy).
ad.defbilinear(
    conv_p,
    lambda dy, _x, k, *, geometry: _bind(input_gradient_p, dy, k, geometry=geometry),
    lambda dy, x, _k, *, geometry: _bind(kernel_gradient_p, x, dy, geometry=geometry),
)
# dx = input_gradient(dy, k): its cotangent is shaped like an image.
ad.defbilinear(
    input_gradient_p,
    lambda x, _dy, k, *, geometry: _bind(conv_p, x, k, geometry=geometry),
    lambda x, dy, _k, *, geometry: _bind(kernel_gradient_p, x, dy, geometry=geometry),
)
# dk = kernel_gradient(x, dy): its cotangent is shaped like a kernel.
ad.defbilinear(
    kernel_gradient_p,
    lambda k, _x, dy, *, geometry: _bind(input_gradient_p, dy, k, geometry=geometry),
    lambda k, x, _dy, *, geometry: _bind(conv_p, x, k, geometry=geometry),
)

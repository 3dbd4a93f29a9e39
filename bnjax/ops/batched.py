"""Convolutions of several points at once, each with a kernel of its own, on accelerators.

There are two forms, and which one is faster depends on the device and the shapes, so that scans and sweeps measure it. On a CPU
such convolutions run one after another.

grouped   one convolution with a feature group for each point, as `jax.vmap` makes it
products  no grouped convolution: on small maps one batched matrix product for all points, of the pixels that each tap of a
          kernel reads, written out, and the kernels; larger maps, which fill a device on their own, go point by point
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import jax
from jax import Array, lax

from bnjax._host.arguments import checked
from bnjax._host.batched import Form, form_context
from bnjax.ops import plain
from bnjax.ops.geometry import Geometry
from bnjax.ops.patches import patches

# 8x8: at batch 128 these are 8,192 rows of a matrix, which do not fill a large GPU; larger maps do, and writing them out
# takes memory. Not measured on one.
_MOST_PIXELS = 64


@checked()
def batched_kernels(form: Form) -> AbstractContextManager[None]:
    """Return a context that chooses how accelerators convolve several points at once, each with its own kernel.

    It matters where `jax.vmap` maps over both images and kernels of `bnjax.ops.conv_general_dilated`, with stride 1 and no
    dilation: in scans and sweeps in groups. Where a scan or a sweep measures its groups, as "auto" does on accelerators, it
    tries both forms and keeps the faster one, and the context has no effect; a net without such convolutions is compiled once
    more for that. Results differ by rounding only. On a CPU the context changes no result.

    Args:
        form: "grouped", the default, is one convolution with a feature group for each point. "products" is one batched matrix
            product on maps of up to 8x8 pixels, and one convolution after another on larger ones. On small maps it needs
            memory for the pixels that each tap of a kernel reads, nine times the map for a kernel of 3x3.

    Returns:
        The context.

    Raises:
        ValueError: if there is no such form.

    Example:
        >>> from bnjax import ops
        >>> image, kernels = jnp.ones((1, 4, 4, 1)), jnp.ones((2, 3, 3, 1, 1))
        >>> with ops.batched_kernels("products"):
        ...     print(jax.vmap(lambda k: ops.conv_general_dilated(
        ...         image, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))(kernels).shape)
        (2, 1, 4, 4, 1)
    """
    return form_context(form)


def in_form(
    form: Form,
    compute: Callable[..., Array],
    one: Callable[..., Array],
    axes: Sequence[int | None],
    geometry: Geometry,
    *operands: Array,
) -> Array:
    """Compute a convolution or a gradient of it for the slices of the operands whose axis is not None.

    Args:
        form: of several kernels.
        compute: one of `plain`.
        one: the same for a single slice, in a form that is batched like this one.
        axes: 0 or None for each operand.
        geometry: of the convolution.
        *operands: of `compute`.
    """
    is_small = max(math.prod(geometry.image), math.prod(geometry.output)) <= _MOST_PIXELS
    # NOTE: with an operand that all points share, `jax.vmap` makes one wide convolution, without groups.
    if form == "products" and not is_small and None not in axes:
        return map_operands(one, axes, *operands)
    fn = partial(_PRODUCTS[compute] if form == "products" and is_small else compute, geometry=geometry)
    return jax.vmap(fn, [None if d is None else 0 for d in axes])(*operands)


def map_operands(fn: Callable[..., Array], axes: Sequence[int | None], *operands: Array) -> Array:
    """Apply `fn` to each slice of the operands whose axis is not None, one after another."""
    mapped = [x for x, d in zip(operands, axes, strict=True) if d is not None]

    def apply(slices: list[Array]) -> Array:
        rest = iter(slices)
        return fn(*(x if d is None else next(rest) for x, d in zip(operands, axes, strict=True)))

    return lax.map(apply, mapped)


def _conv(x: Array, k: Array, *, geometry: Geometry) -> Array:
    """Multiply the pixels that each tap reads by the kernel."""
    y = _product(patches(x, geometry), k.reshape(-1, k.shape[3]), geometry)
    return y.reshape(x.shape[0], *geometry.output, k.shape[3])


def _input_gradient(dy: Array, k: Array, *, geometry: Geometry) -> Array:
    """Convolve with the flipped kernel, its channels exchanged."""
    return _conv(dy, k[::-1, ::-1].swapaxes(2, 3), geometry=geometry.flipped)


def _kernel_gradient(x: Array, dy: Array, *, geometry: Geometry) -> Array:
    """Multiply the pixels that each tap reads by the gradients of the pixels that it writes."""
    read, written = patches(x, geometry), dy.reshape(-1, dy.shape[3])
    return _product(read.T, written, geometry).reshape(*geometry.kernel, x.shape[3], dy.shape[3])


def _product(a: Array, b: Array, geometry: Geometry) -> Array:
    """Multiply matrices in the convolution's precision."""
    return lax.dot(a, b, precision=geometry.precision)


_PRODUCTS = {plain.conv: _conv, plain.input_gradient: _input_gradient, plain.kernel_gradient: _kernel_gradient}

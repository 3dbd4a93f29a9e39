"""Which convolutions take the fast path."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.export import is_symbolic_dim

from bnjax._host.arguments import checked
from bnjax._host.kinds import Rule
from bnjax._host.precision import precision_state
from bnjax.ops.geometry import NHWC, Geometry
from bnjax.ops.primitives import bind, conv_p


def _is_padding(value: Any) -> bool:
    """Return whether JAX accepts a value as padding."""
    if isinstance(value, str):
        return value.upper() in ("SAME", "VALID", "SAME_LOWER")
    return isinstance(value, Sequence) and all(np.shape(pair) == (2,) for pair in value)


@checked("padding", padding=Rule("SAME, VALID, SAME_LOWER or a list of pairs (low, high)", _is_padding))
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
    stride, padding, dilation, group count, layout or mixture of types goes to JAX unchanged, and so do arrays that are
    sharded over the axes of an explicit mesh, or have a symbolic length, as `jax.export` takes them.
    Deviation: on CPU, rounding is relative to the largest pixel in a tile of 4x4, also where a tap of the kernel is 0; an
    infinite pixel gives NaN around it.

    Args:
        lhs: images, (batch, height, width, in_channels) for the fast path.
        rhs: kernel, (height, width, in_channels, out_channels) for the fast path.
        window_strides: as in `jax.lax.conv_general_dilated`, like all arguments below.
        padding: "SAME", "VALID" or (low, high) for height and width.
        lhs_dilation: distance of pixels.
        rhs_dilation: distance of taps.
        dimension_numbers: layout.
        precision: of products, on accelerators.
        **options: feature_group_count, batch_group_count, preferred_element_type, out_sharding.

    Returns:
        Array of shape (batch, out_height, out_width, out_channels).

    Example:
        >>> from bnjax import ops
        >>> images, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
        >>> y = ops.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        >>> print(y[0, :2, :, 0].round().tolist())
        [[4.0, 6.0, 6.0, 4.0], [6.0, 9.0, 9.0, 6.0]]
    """
    num = jnp.ndim(lhs) - 2
    spatial = {
        "window_strides": window_strides,
        "padding": padding,
        "lhs_dilation": lhs_dilation,
        "rhs_dilation": rhs_dilation,
    }
    for name, values in spatial.items():
        if values is None or isinstance(values, str) or num != jnp.ndim(rhs) - 2:
            continue
        if len(values) != num:
            raise ValueError(f"{name} must have an entry per spatial axis of lhs, {num}, got {len(values)}.")
    geometry = None
    if _is_simple(
        lhs, rhs, (*window_strides, *(lhs_dilation or ()), *(rhs_dilation or ())), dimension_numbers, options
    ):
        image, kernel = lhs.shape[1:3], rhs.shape[:2]
        pads = lax.padtype_to_pads(image, kernel, (1, 1), padding) if isinstance(padding, str) else padding
        # A primitive is lowered outside of the context that sets JAX's state, so it carries the precision along.
        state = precision_state() if precision is None else precision
        geometry = Geometry(image, kernel, tuple((int(low), int(high)) for low, high in pads), state)
    if geometry is not None and geometry.is_canonical:
        return bind(conv_p, lhs, rhs, geometry=geometry)
    return lax.conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision=precision, **options
    )


def _is_simple(lhs: Array, rhs: Array, steps: Sequence[int], dimension_numbers: Any, options: dict[str, Any]) -> bool:
    """Return whether this is a 2-D NHWC/HWIO convolution of one floating type, without strides, dilations or groups."""
    if lhs.ndim != 4 or rhs.ndim != 4 or lhs.dtype != rhs.dtype or not jnp.issubdtype(lhs.dtype, jnp.floating):
        return False
    if any(any(jax.typeof(array).sharding.spec) for array in (lhs, rhs)):
        return False
    if any(map(is_symbolic_dim, (*lhs.shape, *rhs.shape))):  # the fast path is chosen by lengths
        return False
    layout, usual = (lax.conv_dimension_numbers(lhs.shape, rhs.shape, d) for d in (dimension_numbers, NHWC))
    has_defaults = set(steps) == {1} and all(value in (1, None) for value in options.values())
    return layout == usual and has_defaults and lhs.shape[3] == rhs.shape[2] and min(lhs.size, rhs.size) > 0

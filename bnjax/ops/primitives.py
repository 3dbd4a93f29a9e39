"""The convolution and its two gradients as three JAX primitives.

A convolution is bilinear, so it and its two gradients close under differentiation:

    conv(x, k) -> y        input_gradient(dy, k) -> dx        kernel_gradient(x, dy) -> dk

and the transpose of each, in either argument, is one of the other two. Being primitives, they differentiate to any order,
forwards and backwards, under jit, vmap, scan and shard_map.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from bnjax._host.batched import Form, current_form
from bnjax._host.programs import run
from bnjax.ops import batched, cpu, plain
from bnjax.ops.geometry import Geometry


def bind(primitive: Primitive, *operands: Array, geometry: Geometry) -> Array:
    """Apply a primitive to operands that vary over the same axes of a surrounding shard_map, as its types demand."""
    varying = [jax.typeof(x).manual_axis_type.varying for x in operands]
    every = frozenset().union(*varying)
    operands = tuple(
        lax.pcast(x, tuple(every - own), to="varying") if every - own else x
        for x, own in zip(operands, varying, strict=True)
    )
    return primitive.bind(*operands, geometry=geometry)


def _make_primitive(name: str, elsewhere: Callable[..., Array], on_cpu: Callable[..., Array]) -> Primitive:
    """Make a primitive from its implementations elsewhere and on CPU; `ad.defbilinear` below adds its derivatives."""
    primitive = Primitive(name)
    compiled = jax.jit(primitive.bind, static_argnames="geometry")

    def evaluate(*operands: Array, geometry: Geometry) -> Array:
        with jax.disable_jit(False):
            return compiled(*operands, geometry=geometry)

    primitive.def_impl(evaluate)
    primitive.def_abstract_eval(lambda *avals, geometry: _out_aval(partial(elsewhere, geometry=geometry), *avals))
    mlir.register_lowering(primitive, mlir.lower_fun(elsewhere, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")

    def batch(operands: Sequence[Array], axes: Sequence[int | None], *, geometry: Geometry) -> tuple[Array, int]:
        moved = [x if d is None else jnp.moveaxis(x, d, 0) for x, d in zip(operands, axes, strict=True)]
        if axes[1] is None and primitive is not kernel_gradient_p:  # many images, one kernel: a larger batch
            merged = bind(primitive, moved[0].reshape(-1, *moved[0].shape[2:]), moved[1], geometry=geometry)
            return merged.reshape(*moved[0].shape[:2], *merged.shape[1:]), 0
        return run(_apply_mapped, (primitive, elsewhere, tuple(axes), geometry, current_form()), tuple(moved)), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


def _out_aval(fn: Callable[..., Array], *avals: Any) -> Any:
    """Infer the result's type."""
    return jax.make_jaxpr(fn)(*avals).out_avals[0]


def _apply_mapped(
    primitive: Primitive,
    elsewhere: Callable[..., Array],
    axes: tuple,
    geometry: Geometry,
    form: Form,
    *operands: Array,
) -> Array:
    """Apply a primitive to each slice of the operands whose axis is not None."""
    # NOTE: vmap over kernels is a grouped convolution in XLA, slow on CPU: there, one after another.
    one = partial(bind, primitive, geometry=geometry)
    return lax.platform_dependent(
        *operands,
        cpu=partial(batched.map_operands, one, axes),
        default=partial(batched.in_form, form, elsewhere, one, axes, geometry),
    )


conv_p = _make_primitive("bnjax_conv", plain.conv, cpu.conv)
input_gradient_p = _make_primitive("bnjax_conv_input_gradient", plain.input_gradient, cpu.input_gradient)
kernel_gradient_p = _make_primitive("bnjax_conv_kernel_gradient", plain.kernel_gradient, cpu.kernel_gradient)

# y = conv(x, k): dx from (dy, k), dk from (x, dy).
ad.defbilinear(
    conv_p,
    lambda dy, _x, k, *, geometry: bind(input_gradient_p, dy, k, geometry=geometry),
    lambda dy, x, _k, *, geometry: bind(kernel_gradient_p, x, dy, geometry=geometry),
)
# dx = input_gradient(dy, k): its cotangent is shaped like an image.
ad.defbilinear(
    input_gradient_p,
    lambda x, _dy, k, *, geometry: bind(conv_p, x, k, geometry=geometry),
    lambda x, dy, _k, *, geometry: bind(kernel_gradient_p, x, dy, geometry=geometry),
)
# dk = kernel_gradient(x, dy): its cotangent is shaped like a kernel.
ad.defbilinear(
    kernel_gradient_p,
    lambda k, _x, dy, *, geometry: bind(input_gradient_p, dy, k, geometry=geometry),
    lambda k, x, _dy, *, geometry: bind(conv_p, x, k, geometry=geometry),
)

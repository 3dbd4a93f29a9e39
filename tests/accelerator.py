"""An accelerator as far as its products matter: operands rounded to fewer bits, unless the precision is the highest."""

from functools import partial

import jax
from jax import lax


def emulated(product, bits):
    """Make a product of two arrays, whose operands have `bits` in both passes unless JAX's state is "highest"."""

    def run(a, b, *args, **kwargs):
        if jax.config.jax_default_matmul_precision == "highest":
            return product(a, b, *args, **kwargs)
        return _rounded(partial(_call, product, args, tuple(kwargs.items())), bits, a, b)

    return run


def _call(product, args, kwargs, a, b):
    """Call a product with what is not an operand."""
    return product(a, b, *args, **dict(kwargs))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _rounded(product, bits, a, b):
    """Multiply rounded operands."""
    return _forward(product, bits, a, b)[0]


def _forward(product, bits, a, b):
    """Multiply rounded operands, and keep them."""
    operands = [lax.reduce_precision(x, 8, bits) for x in (a, b)]
    return product(*operands), operands


def _backward(product, bits, operands, cotangent):
    """Multiply each rounded operand by the rounded cotangent, as the transposed products do."""
    return jax.vjp(product, *operands)[1](lax.reduce_precision(cotangent, 8, bits))


_rounded.defvjp(_forward, _backward)

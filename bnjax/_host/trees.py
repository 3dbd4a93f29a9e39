"""Arithmetic: sums over trees in float32 or better, NaN where a ratio has no value, numbers that are not known yet.

Squares of float32 numbers vanish below 1e-19 and overflow above 1.8e19. So every sum of products is taken of trees that are
divided by a power of two near their largest entry, array by array, which changes no bit where nothing vanishes or overflows.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.core import Tracer
from jaxtyping import Bool, Float, Int, PyTree

Axes = int | tuple[int, ...] | None


class Scaled(NamedTuple):
    """Numbers value * 2^exponent, whose squares and products may be far out of their type's range.

    Attributes:
        value: of the order of 1 where it is not 0.
        exponent: a whole number, of a squared norm an even one.
    """

    value: Float[Array, "*shape"]
    exponent: Int[Array, "*shape"]

    @property
    def plain(self) -> Float[Array, "*shape"]:
        """The numbers themselves, 0 or infinite where they are out of range."""
        return _shifted(self.value, self.exponent)

    @property
    def root(self) -> Float[Array, "*shape"]:
        """The square roots, of squared norms."""
        return jnp.sqrt(self.value) * _power(self.exponent // 2, self.value.dtype)

    def total(self, where: Bool[Array, " leaves"] | None = None) -> "Scaled":
        """Sum over leaves, of those that `where` selects; NaN in the others does not reach the sum."""
        where = jnp.ones(self.value.shape, bool) if where is None else where
        top = jnp.max(self.exponent, initial=2 * _limits(self.value.dtype)[0], where=where)
        return Scaled(jnp.sum(jnp.where(where, _shifted(self.value, self.exponent - top), 0)), top)

    def part(self, positions: tuple[int, ...]) -> "Scaled":
        """Sum over some leaves."""
        chosen = jnp.asarray(positions, int)
        return Scaled(self.value[chosen], self.exponent[chosen]).total()


def is_known(value: Any) -> bool:
    """Return whether a number can be looked at: inside compiled code a traced one cannot."""
    return not isinstance(value, Tracer)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN, never infinity, where the denominator is not positive."""
    return jnp.where(denominator > 0, numerator / denominator, jnp.nan)


def as_float(leaf: Array) -> Array:
    """Convert half precision to float32, in which sums are taken."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))


def scaled_dots(a: PyTree[Array], b: PyTree[Array]) -> Scaled:
    """Take the inner product of two trees in each leaf, its real part where leaves are complex."""
    scaled = [_scale(leaf) for leaf in jax.tree.leaves(a)]
    return _dots(scaled, scaled if a is b else [_scale(leaf) for leaf in jax.tree.leaves(b)])


def _dots(a: list[tuple[Array, Array]], b: list[tuple[Array, Array]]) -> Scaled:
    """Take the inner product of scaled leaves."""
    dots = [
        Scaled(jnp.vdot(x, y, precision="highest").real, (p + q).reshape(()))
        for (x, p), (y, q) in zip(a, b, strict=True)
    ]
    nothing = Scaled(jnp.zeros(0, jnp.float32), jnp.zeros(0, jnp.int32))
    return Scaled(*map(jnp.stack, zip(*dots, strict=True))) if dots else nothing


def leaf_dots(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, " leaves"]:
    """Take the inner product of two trees in each leaf, its real part where leaves are complex."""
    return scaled_dots(a, b).plain


def dot(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Take the inner product of two trees."""
    return scaled_dots(a, b).total().plain


def norm(tree: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of a tree."""
    return scaled_dots(tree, tree).total().root


def sum_of_norms(tree: PyTree[Array]) -> Float[Array, ""]:
    """Add up the l2 norms of a tree's leaves."""
    return jnp.sum(scaled_dots(tree, tree).root)


def axis_norms(x: Array, axes: Axes) -> Array:
    """Compute the l2 norms of an array along some axes, which are kept with length 1; None is all."""
    x, exponent = _scale(x, axes)
    squares = jnp.square(jnp.abs(x))
    return Scaled(jnp.sum(squares, axes, keepdims=True), 2 * exponent).root


def cosine(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Compute the cosine between two trees; NaN where either is zero."""
    x, y = ([_scale(leaf) for leaf in jax.tree.leaves(tree)] for tree in (a, b))
    return cosine_of(*(_dots(*pair).total() for pair in ((x, y), (x, x), (y, y))))


def cosine_of(dots: Scaled, squares_a: Scaled, squares_b: Scaled) -> Array:
    """Divide inner products by two norms, given squared; NaN where either is zero."""
    value = ratio(dots.value, jnp.sqrt(squares_a.value) * jnp.sqrt(squares_b.value))
    return _shifted(value, dots.exponent - (squares_a.exponent + squares_b.exponent) // 2)


def difference(a: PyTree[Array], b: PyTree[Array]) -> PyTree[Array]:
    """Subtract one tree from another, half precision in float32."""
    return jax.tree.map(lambda x, y: as_float(x) - as_float(y), a, b)


def distance(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of the difference of two trees."""
    return norm(difference(a, b))


def _scale(leaf: Array, axes: Axes = None) -> tuple[Array, Array]:
    """Divide by the largest entry along some axes, rounded down to a power of two; return its exponent too.

    NOTE: as a constant for derivatives, since what comes of it does not depend on it.
    """
    leaf = as_float(leaf)
    largest = lax.stop_gradient(jnp.max(jnp.abs(leaf), axes, keepdims=True, initial=0))
    # The bits of a float between sign and mantissa are its exponent, plus an offset.
    info, (low, high) = jnp.finfo(largest.dtype), _limits(largest.dtype)
    bits = lax.bitcast_convert_type(largest, _whole(largest.dtype))
    exponent = jnp.clip((bits >> info.nmant) - (info.maxexp - 1), low, high).astype(jnp.int32)
    # NOTE: XLA takes a common factor out of a sum of products where it can, which then is summed before it is divided.
    return lax.optimization_barrier(leaf * _power(-exponent, largest.dtype)), exponent


def _power(exponent: Array, dtype: Any) -> Array:
    """Make powers of two, exactly, within `_limits`."""
    info = jnp.finfo(dtype)
    bits = (exponent.astype(_whole(dtype)) + (info.maxexp - 1)) << info.nmant
    return lax.bitcast_convert_type(bits, dtype)


def _shifted(value: Array, exponent: Array) -> Array:
    """Multiply by powers of two, in two steps, so that only the result has to be in range."""
    low, high = _limits(value.dtype)
    exponent = jnp.clip(exponent, 2 * low, 2 * high)
    half = exponent // 2
    return lax.optimization_barrier(value * _power(half, value.dtype)) * _power(exponent - half, value.dtype)


def _limits(dtype: Any) -> tuple[int, int]:
    """Return the exponents between which powers of two and their inverses are normal numbers."""
    low = int(jnp.finfo(dtype).minexp)
    return low, -low


def _whole(dtype: Any) -> Any:
    """Return the whole numbers with as many bits."""
    return jnp.dtype(f"int{jnp.finfo(dtype).bits}")

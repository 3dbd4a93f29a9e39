"""Tree arithmetic: sums in float32 or better, ratios that are NaN where undefined, and tests for traced numbers.

Squares of float32 numbers underflow below 1e-19 and overflow above 1.8e19. So before every sum of products each array is
divided by a power of two near its largest entry, which changes no bit where nothing underflows or overflows. For sums over a
whole tree its small arrays are concatenated first, since compile time grows with the number of loops.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.core import Tracer
from jaxtyping import Bool, Float, Int, PyTree

Axes = int | tuple[int, ...] | None

_LARGEST_MERGED = 2**16  # entries of an array that is concatenated with others


class Scaled(NamedTuple):
    """Numbers value * 2^exponent, whose squares and products may be far out of their type's range.

    Attributes:
        value: of the order of 1 where it is not 0.
        exponent: an integer, which is even for a squared norm.
    """

    value: Float[Array, "*shape"]
    exponent: Int[Array, "*shape"]

    @property
    def plain(self) -> Float[Array, "*shape"]:
        """The numbers themselves, 0 or infinite where they are out of range."""
        return _shifted(self.value, self.exponent)

    @property
    def root(self) -> Float[Array, "*shape"]:
        """The square roots of squared norms."""
        return jnp.sqrt(self.value) * _power(self.exponent // 2, self.value.dtype)

    def total(self, where: Bool[Array, " leaves"] | None = None) -> "Scaled":
        """Sum over the leaves that `where` selects; NaNs in other leaves do not propagate."""
        where = jnp.ones(self.value.shape, bool) if where is None else where
        top = jnp.max(self.exponent, initial=2 * _limits(self.value.dtype)[0], where=where)
        return Scaled(jnp.sum(jnp.where(where, _shifted(self.value, self.exponent - top), 0)), top)

    def part(self, positions: tuple[int, ...]) -> "Scaled":
        """Sum over some leaves."""
        chosen = jnp.asarray(positions, int)
        return Scaled(self.value[chosen], self.exponent[chosen]).total()


def is_known(value: Any) -> bool:
    """Return whether a number is concrete, not traced as inside compiled code."""
    return not isinstance(value, Tracer)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN, never infinity, where the denominator is not positive."""
    return jnp.where(denominator > 0, numerator / denominator, jnp.nan)


def common_type(*types: Any) -> Any:
    """Return the type that types or arrays promote to, even if JAX's implicit promotion is turned off."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*types)


def as_float(leaf: Array) -> Array:
    """Convert half precision to float32, for sums."""
    leaf = jnp.asarray(leaf)
    return leaf.astype(common_type(leaf.dtype, jnp.float32))


def scaled_dots(a: PyTree[Array], b: PyTree[Array]) -> Scaled:
    """Take the inner product of two trees in each leaf, its real part where leaves are complex."""
    x = _scaled(jax.tree.leaves(a))
    return _dots(x, x if a is b else _scaled(jax.tree.leaves(b)))


def leaf_dots(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, " leaves"]:
    """Take the inner product of two trees in each leaf, its real part where leaves are complex."""
    return scaled_dots(a, b).plain


def dot(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Take the inner product of two trees."""
    return scaled_dots(*_merged(a, b)).total().plain


def norm(tree: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of a tree."""
    (merged,) = _merged(tree)
    return scaled_dots(merged, merged).total().root


def sum_of_norms(tree: PyTree[Array]) -> Float[Array, ""]:
    """Add up the l2 norms of a tree's leaves."""
    return jnp.sum(scaled_dots(tree, tree).root)


def axis_norms(x: Array, axes: Axes) -> Array:
    """Compute the l2 norms of an array along some axes, which are kept with length 1; None is all."""
    x = as_float(x)
    exponent = _exponent(jnp.max(jnp.abs(x), axes, keepdims=True, initial=0))
    squares = jnp.square(jnp.abs(_divided([x], [exponent])[0]))
    return Scaled(jnp.sum(squares, axes, keepdims=True), 2 * exponent).root


def cosine(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Compute the cosine between two trees; NaN where either is zero."""
    x, y = map(_scaled, _merged(a, b))
    return cosine_of(*(_dots(*pair).total() for pair in ((x, y), (x, x), (y, y))))


def cosine_of(dots: Scaled, squares_a: Scaled, squares_b: Scaled) -> Array:
    """Divide inner products by two norms, given squared; NaN where either is zero."""
    value = ratio(dots.value, jnp.sqrt(squares_a.value) * jnp.sqrt(squares_b.value))
    return _shifted(value, dots.exponent - (squares_a.exponent + squares_b.exponent) // 2)


def difference(a: PyTree[Array], b: PyTree[Array]) -> PyTree[Array]:
    """Subtract one tree from another, half precision in float32."""
    return jax.tree.map(lambda x, y: as_float(x) - as_float(y), a, b)


def linear_part(fn: Callable[[PyTree[Array]], PyTree[Array]], start: PyTree[Array], at: PyTree[Array]) -> PyTree[Array]:
    """Evaluate the first-order expansion of a function, f(start) + J (at - start); integer outputs stay.

    Raises:
        ValueError: if the two trees differ in structure or shapes.
    """
    given, needed = (jax.tree.map(jnp.shape, tree) for tree in (at, start))
    if given != needed:
        raise ValueError(f"params must have the shapes {needed}, where the outputs were linearised, got {given}.")
    step = jax.tree.map(lambda x, y: (x - y).astype(jnp.result_type(y)), at, start)
    value, change = jax.jvp(fn, (start,), (step,))
    return jax.tree.map(lambda y, dy: y if dy.dtype == jax.dtypes.float0 else y + dy, value, change)


def distance(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of the difference of two trees."""
    return norm(difference(a, b))


def _merged(*trees: PyTree[Array]) -> list[list[Array]]:
    """List the arrays of trees of equal shapes, small arrays of each type concatenated in the same way in each tree.

    Arrays that are sharded over the axes of an explicit mesh stay as they are.
    """
    leaves = [[as_float(leaf) for leaf in jax.tree.leaves(tree)] for tree in trees]
    kinds: dict[Any, list[int]] = {}
    for position, same in enumerate(zip(*leaves, strict=True)):
        is_alone = same[0].size > _LARGEST_MERGED or any(any(jax.typeof(leaf).sharding.spec) for leaf in same)
        kinds.setdefault(position if is_alone else tuple(leaf.dtype.name for leaf in same), []).append(position)
    return [
        [some[0] if len(some) == 1 else jnp.concatenate(list(map(jnp.ravel, some))) for some in groups]
        for groups in ([[tree[i] for i in positions] for positions in kinds.values()] for tree in leaves)
    ]


def _scaled(leaves: Sequence[Array]) -> tuple[list[Array], Int[Array, " leaves"]]:
    """Divide arrays by their largest entries, rounded down to powers of two; return the exponents too."""
    leaves = [as_float(leaf) for leaf in leaves]
    largest = [jnp.max(jnp.abs(leaf), initial=0) for leaf in leaves]
    # One operation for all arrays of a type.
    exponents: list[Array] = [jnp.zeros((), jnp.int32)] * len(leaves)
    for dtype in {value.dtype for value in largest}:
        positions = [i for i, value in enumerate(largest) if value.dtype == dtype]
        for i, exponent in zip(positions, _exponent(jnp.stack([largest[i] for i in positions])), strict=True):
            exponents[i] = exponent
    return _divided(leaves, exponents), jnp.stack(exponents) if leaves else jnp.zeros(0, jnp.int32)


def _dots(a: tuple[list[Array], Array], b: tuple[list[Array], Array]) -> Scaled:
    """Take the inner products of scaled arrays."""
    dots = [jnp.vdot(x, y, precision="highest").real for x, y in zip(a[0], b[0], strict=True)]
    return Scaled(jnp.stack(dots) if dots else jnp.zeros(0, jnp.float32), a[1] + b[1])


def _exponent(largest: Array) -> Array:
    """Return the exponents of positive numbers, the lowest for 0.

    NOTE: derivatives treat them as constants, since no result depends on them.
    """
    # The bits of a float between sign and mantissa are its exponent, plus an offset.
    info, (low, high) = jnp.finfo(largest.dtype), _limits(largest.dtype)
    bits = lax.bitcast_convert_type(lax.stop_gradient(largest), _whole(largest.dtype))
    return jnp.clip((bits >> info.nmant) - (info.maxexp - 1), low, high).astype(jnp.int32)


def _divided(leaves: list[Array], exponents: Sequence[Array]) -> list[Array]:
    """Divide arrays by powers of two.

    NOTE: without the barrier XLA factors the common power out of a sum of products, and divides only after summing.
    """
    pairs = zip(leaves, exponents, strict=True)
    return lax.optimization_barrier([leaf * _power(-exponent, jnp.finfo(leaf.dtype).dtype) for leaf, exponent in pairs])


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
    """Return the integer type with as many bits."""
    return jnp.dtype(f"int{jnp.finfo(dtype).bits}")

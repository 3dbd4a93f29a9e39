"""Arithmetic: sums over trees in float32 or better, NaN where a ratio has no value, numbers that are not known yet."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jaxtyping import Float, PyTree


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


def leaf_dots(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, " leaves"]:
    """Take the inner product of two trees in each leaf, its real part where leaves are complex."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    dots = [jnp.vdot(as_float(x), as_float(y), precision="highest").real for x, y in pairs]
    return jnp.stack(dots) if dots else jnp.zeros(0, jnp.float32)


def dot(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Take the inner product of two trees."""
    return jnp.sum(leaf_dots(a, b))


def norm(tree: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of a tree."""
    return jnp.sqrt(dot(tree, tree))


def sum_of_norms(tree: PyTree[Array]) -> Float[Array, ""]:
    """Add up the l2 norms of a tree's leaves."""
    return jnp.sum(jnp.sqrt(leaf_dots(tree, tree)))


def difference(a: PyTree[Array], b: PyTree[Array]) -> PyTree[Array]:
    """Subtract one tree from another, half precision in float32."""
    return jax.tree.map(lambda x, y: as_float(x) - as_float(y), a, b)


def distance(a: PyTree[Array], b: PyTree[Array]) -> Float[Array, ""]:
    """Compute the l2 norm of the difference of two trees."""
    return norm(difference(a, b))

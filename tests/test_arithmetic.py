"""Sums over trees, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax._host.trees import axis_norms, cosine, distance, dot, leaf_dots, norm, ratio, sum_of_norms


def trees(seed, *, is_complex=False):
    """Draw two trees, and both as vectors."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2, 10)) + 1j * is_complex * rng.normal(size=(2, 10))
    vectors = vectors if is_complex else vectors.real
    return [
        {"a": jnp.asarray(v[:6].reshape(2, 3)), "b": [jnp.asarray(v[6:9]), jnp.asarray(v[9])]} for v in vectors
    ], vectors


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_trees_are_vectors(seed, is_complex, x64):
    """Inner products, norms and distances are those of the vectors, real for complex numbers too."""
    (a, b), (u, v) = trees(seed, is_complex=is_complex)
    np.testing.assert_allclose(dot(a, b), np.vdot(u, v).real, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(norm(a), np.linalg.norm(u), rtol=1e-12)
    np.testing.assert_allclose(distance(a, b), np.linalg.norm(u - v), rtol=1e-12)
    parts = [np.vdot(u[i:j], v[i:j]).real for i, j in ((0, 6), (6, 9), (9, 10))]
    np.testing.assert_allclose(leaf_dots(a, b), parts, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tree", [{}, [], {"a": {}, "b": ()}])
def test_a_tree_without_leaves_is_zero(tree):
    """A model without parameters has a norm, and an inner product of no leaves."""
    assert leaf_dots(tree, tree).shape == (0,)
    for value in (dot(tree, tree), norm(tree), distance(tree, tree)):
        assert (value, value.dtype) == (0, jnp.float32)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.int8])
def test_sums_are_taken_in_float32(dtype):
    """Squares neither overflow nor get lost among many."""
    tree = {"a": jnp.full(1000, 100, dtype), "b": jnp.ones(1, dtype)}
    assert dot(tree, tree).dtype == jnp.float32
    np.testing.assert_allclose(dot(tree, tree), 1e7 + 1, rtol=1e-7)
    np.testing.assert_allclose(distance(tree, jax.tree.map(jnp.negative, tree)), 2 * norm(tree), rtol=1e-6)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("is_constant", [False, True])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_squares_may_leave_the_range(scale, is_constant):
    """Norms have their scale, and cosines and an inner product that is in range have none, also of constants."""
    (a, b), _ = trees(1)
    a, b = ({"a": t["a"] * scale, "b": [leaf * 3 * scale for leaf in t["b"]]} for t in (a, b))

    inverse = jax.tree.map(lambda leaf: leaf / scale / scale, b)

    def measure(a, b, inverse):
        return norm(a), sum_of_norms(a), distance(a, b), cosine(a, b), dot(a, inverse), axis_norms(a["a"], (0,))

    operands = a, b, inverse
    found = jax.jit(lambda: measure(*operands))() if is_constant else jax.jit(measure)(*operands)
    u, v = (np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(t)]) for t in (a, b))
    length, parts = np.linalg.norm, np.split(u, (6, 9))
    expected = length(u), sum(map(length, parts)), length(u - v), u @ v / length(u) / length(v), u @ v / scale / scale
    for value, wanted in zip(found[:5], expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(found[5][0], length(u[:6].reshape(2, 3), axis=0), rtol=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_rounded_otherwise(seed):
    """Where squares are in range, a norm has the bits of the plain formula."""
    x = jax.random.normal(jax.random.key(seed), (1000,)) * 10.0**seed
    assert norm(x) == jnp.sqrt(jnp.vdot(x, x, precision="highest"))


@pytest.mark.slow
def test_derivatives_do_not_see_the_scale(x64):
    """An inner product has its two derivatives, also where it is zero, and a norm is as steep as it is for large numbers."""
    a, b = jnp.array([3.0, -4.0]), jnp.array([4.0, 3.0])
    np.testing.assert_allclose(jax.grad(dot)(a, b), b)
    np.testing.assert_allclose(jax.hessian(lambda x: dot(x, x))(a), 2 * np.eye(2))
    np.testing.assert_allclose(jax.grad(norm)(a * 1e-200), [0.6, -0.8])


def test_a_ratio_without_a_value_is_nan():
    """Never infinity."""
    np.testing.assert_array_equal(
        ratio(jnp.array([1.0, 0.0, 1.0, 3.0]), jnp.array([0.0, 0.0, -1.0, 2.0])), [np.nan, np.nan, np.nan, 1.5]
    )

"""Rank, orthogonality and cosines of a batch: closed forms, float64 by another library, and what they leave as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import probes

MEASURES = (probes.soft_rank, probes.orthogonality_gap, probes.cosines)


def in_float64(x):
    """Compute all three by eigenvalues and norms, in NumPy."""
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    values = np.linalg.svd(x, compute_uv=False) ** 2
    gap = np.linalg.norm(x @ x.T / np.trace(x @ x.T) - np.eye(len(x)) / len(x))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return values.sum() ** 2 / np.sum(values**2), gap, unit @ unit.T


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 8), (8, 3), (4, 2, 3)])
def test_they_are_those_of_the_singular_values(seed, shape):
    """Of more examples than features too, and of features along several axes."""
    x = jax.random.normal(jax.random.key(seed), shape)
    for measure, expected in zip(MEASURES, in_float64(x), strict=True):
        np.testing.assert_allclose(measure(x), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(("lengths", "rank"), [((1, 1, 1), 3), ((1, 0, 0), 1), ((2, 1), 25 / 17), ((1, 1, 1, 0), 3)])
def test_orthogonal_examples(lengths, rank):
    """Of lengths 2 and 1 the eigenvalues are 4 and 1, so that the soft rank is 5² / 17."""
    x = jnp.diag(jnp.array(lengths, jnp.float32))
    np.testing.assert_allclose(probes.soft_rank(x), rank, rtol=1e-6)


@pytest.mark.parametrize("num", [2, 5])
def test_examples_on_one_line(num):
    """The soft rank is 1, the gap has its largest value, and cosines are 1 or -1."""
    x = jnp.outer(jnp.arange(1.0, num + 1) * jnp.where(jnp.arange(num) % 2, -1, 1), jnp.array([3.0, 4.0]))
    np.testing.assert_allclose(probes.soft_rank(x), 1, rtol=1e-6)
    np.testing.assert_allclose(probes.orthogonality_gap(x), np.sqrt(1 - 1 / num), rtol=1e-6)
    np.testing.assert_allclose(jnp.abs(probes.cosines(x)), 1, rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gap_and_rank_say_the_same(seed):
    """gap² = 1 / rank - 1 / examples."""
    x = jax.random.normal(jax.random.key(seed), (6, 9)) * jnp.arange(1.0, 7)[:, None]
    gap, rank = probes.orthogonality_gap(x), probes.soft_rank(x)
    np.testing.assert_allclose(gap**2, 1 / rank - 1 / 6, rtol=1e-5)


@pytest.mark.parametrize("factor", [1e-25, 1e25, -3.0])
def test_a_factor_changes_nothing(factor):
    """Not where its square is out of float32's range either."""
    x = jax.random.normal(jax.random.key(0), (4, 5))
    for measure in MEASURES:
        np.testing.assert_allclose(measure(factor * x), measure(x), rtol=1e-5, atol=1e-6)


def test_nothing_is_not_a_number():
    """Activations that are all 0 have no rank and no gap; one such example has no cosines, the others do."""
    assert np.isnan(probes.soft_rank(jnp.zeros((3, 2))))
    assert np.isnan(probes.orthogonality_gap(jnp.zeros((3, 2))))
    found = np.isnan(probes.cosines(jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])))
    np.testing.assert_array_equal(found, [[True, True, True], [True, False, False], [True, False, False]])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(3,), (0, 2), (2, 0)])
def test_misfits(measure, shape):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=r"activations must "):
        measure(jnp.ones(shape))

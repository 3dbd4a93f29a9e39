"""Batch renormalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms

X = jnp.asarray(np.random.default_rng(0).normal(2, 3, (12, 3)), jnp.float32)
STATS = norms.BatchStats(jnp.array([2.0, 0.0, -1.0]), jnp.array([9.0, 1.0, 4.0]))
SCALE, BIAS = jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, 0.0, -1.0])


def renorm(r_max, d_max):
    """Renormalise in training."""
    return norms.batch_renorm(X, STATS, SCALE, BIAS, train=True, r_max=r_max, d_max=d_max)


def test_without_correction_it_is_batch_norm():
    """With r_max = 1 and d_max = 0."""
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        renorm(1.0, 0.0),
        norms.batch_norm(X, STATS, SCALE, BIAS, train=True),
    )


def test_without_bounds_the_output_is_that_of_evaluation():
    """Corrected in full, what comes out is normalised by the running statistics."""
    y, _ = renorm(jnp.inf, jnp.inf)
    np.testing.assert_allclose(y, norms.batch_norm(X, STATS, SCALE, BIAS, train=False)[0], rtol=1e-5, atol=1e-5)
    far, stats = X + 1e4, norms.BatchStats(STATS.mean + 1e4, STATS.var)
    y, _ = norms.batch_renorm(far, stats, train=True, r_max=jnp.inf, d_max=jnp.inf)
    np.testing.assert_allclose(y, norms.batch_norm(far, stats, train=False)[0], atol=5e-6)


def test_corrections_are_bounded():
    """Each feature's r and d are clipped."""
    y, _ = renorm(1.5, 0.25)
    x = np.asarray(X, np.float64)
    std, running_std = np.sqrt(x.var(0) + 1e-5), np.sqrt(np.asarray(STATS.var, np.float64) + 1e-5)
    r = np.clip(std / running_std, 1 / 1.5, 1.5)
    d = np.clip((x.mean(0) - np.asarray(STATS.mean)) / running_std, -0.25, 0.25)
    np.testing.assert_allclose(y, ((x - x.mean(0)) / std * r + d) * np.asarray(SCALE) + np.asarray(BIAS), atol=1e-5)


def test_no_gradient_passes_through_the_corrections():
    """The gradient is that of batch norm times r."""
    weights = jnp.asarray(np.random.default_rng(1).normal(size=X.shape), jnp.float32)
    r = np.sqrt((np.asarray(X).var(0) + 1e-5) / (np.asarray(STATS.var) + 1e-5))

    def gradient(norm, **options):
        return jax.grad(lambda x: jnp.sum(weights * norm(x, STATS, train=True, **options)[0]))(X)

    mine = gradient(norms.batch_renorm, r_max=jnp.inf, d_max=jnp.inf)
    np.testing.assert_allclose(mine, np.asarray(gradient(norms.batch_norm)) * r, atol=1e-6)


def test_bounds_of_the_source():
    """Batch norm for 5,000 batches, then r_max up to 3 at 40,000 and d_max up to 5 at 25,000."""
    at = {n: tuple(map(float, norms.renorm_bounds(n))) for n in (0, 5_000, 15_000, 25_000, 40_000, 90_000)}
    assert at[0] == at[5_000] == (1.0, 0.0)
    np.testing.assert_allclose(at[15_000], (1 + 2 * 10 / 35, 2.5), rtol=1e-6)
    np.testing.assert_allclose(at[25_000], (1 + 2 * 20 / 35, 5.0), rtol=1e-6)
    assert at[40_000] == at[90_000] == (3.0, 5.0)


@pytest.mark.parametrize(
    ("bounds", "message"), [((0.5, 1.0), "r_max must be >= 1, got 0.5"), ((2.0, -1.0), "d_max must be >= 0, got -1.0")]
)
def test_bounds_out_of_range_are_named(bounds, message):
    """What cannot be a bound raises one line."""
    with pytest.raises(ValueError, match=message):
        renorm(*bounds)

"""Normalisation by lp norms: formulas, ties, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms

X = np.random.default_rng(0).normal(2, 3, (32, 4, 5)).astype(np.float32)
STATS = norms.BatchStats(jnp.full(5, 0.5), jnp.full(5, 2.0))
AVERAGES = {
    1: lambda v: np.abs(v).mean((0, 1)),
    2: lambda v: np.sqrt((v**2).mean((0, 1))),
    "inf": lambda v: np.abs(v).max((0, 1)),
}


@pytest.mark.parametrize("center_first", [False, True])
@pytest.mark.parametrize("p", AVERAGES)
def test_divides_by_the_average_norm(p, center_first):
    """In training the batch's own norm divides and is recorded squared; in evaluation the running one divides."""
    exact = X.astype(np.float64)
    centred = exact - exact.mean((0, 1))
    divisor = AVERAGES[p](centred if center_first else exact)
    y, new = norms.lp_norm(jnp.asarray(X), STATS, p=p, center_first=center_first, train=True, momentum=0.9)
    np.testing.assert_allclose(y, centred / np.sqrt(divisor**2 + 1e-5), atol=1e-5)
    np.testing.assert_allclose(new.mean, 0.9 * 0.5 + 0.1 * exact.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(new.var, 0.9 * 2 + 0.1 * divisor**2, rtol=1e-5)
    y, same = norms.lp_norm(jnp.asarray(X), STATS, p=p, center_first=center_first, train=False)
    np.testing.assert_allclose(y, (exact - 0.5) / np.sqrt(2 + 1e-5), atol=1e-5)
    assert same is STATS


def test_l2_after_centring_is_batch_norm():
    """To the bit, statistics included."""
    options = {"train": True, "epsilon": 1e-3}
    mine = norms.lp_norm(jnp.asarray(X), STATS, p=2, center_first=True, **options)
    jax.tree.map(np.testing.assert_array_equal, mine, norms.batch_norm(jnp.asarray(X), STATS, **options))


def test_ties_share_the_gradient_of_the_maximum(x64):
    """Where several entries are the largest, the derivative is the mean of the one-sided ones, not infinite."""
    x = jnp.array([[3.0], [-3.0], [2.0], [3.0]])

    @jax.jit
    def squared_norm(x):
        stats = norms.BatchStats(jnp.zeros(1), jnp.zeros(1))
        y, _ = norms.lp_norm(x, stats, p="inf", train=True, epsilon=0.0)
        return jnp.square((x - x.mean()).sum(where=x == 2.0) / y.sum(where=x == 2.0))

    np.testing.assert_allclose(squared_norm(x), 9)
    np.testing.assert_allclose(jax.jit(jax.grad(squared_norm))(x), [[2], [-2], [0], [2]], atol=1e-9)


@pytest.mark.parametrize("p", AVERAGES)
def test_zeros_have_finite_gradients(p):
    """Where every entry is 0, the output is the bias and derivatives are finite."""
    x, bias = jnp.zeros((4, 5)), jnp.arange(5.0)
    y, _ = norms.lp_norm(x, STATS, None, bias, p=p, train=True)
    np.testing.assert_array_equal(y, jnp.broadcast_to(bias, (4, 5)))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(norms.lp_norm(x, STATS, p=p, train=True)[0]))))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("p", [3, "2", 0, float("inf")])
def test_other_orders_are_refused(p, as_a_user):
    """The message names the rule and the value."""
    with pytest.raises(ValueError, match=r"p must be 1, 2 or 'inf', got"):
        norms.lp_norm(jnp.asarray(X), STATS, p=p, train=True)

"""Dynamic tanh, as a function and as modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx as flax_nnx

from bnjax import linen, models, nnx, norms

X = 2 * jax.random.normal(jax.random.key(0), (4, 5, 3))
SCALE, BIAS = jnp.array([1.0, 2.0, -1.0]), jnp.array([0.0, 1.0, 3.0])


def test_the_formula():
    """Along any axis, and in half precision rounded once, at the end."""
    expected = np.tanh(0.7 * np.asarray(X, np.float64)) * np.asarray(SCALE) + np.asarray(BIAS)
    np.testing.assert_allclose(norms.dyt(X, 0.7, SCALE, BIAS), expected, atol=1e-6)
    moved = norms.dyt(jnp.moveaxis(X, -1, 1), 0.7, SCALE, BIAS, axis=1)
    np.testing.assert_allclose(jnp.moveaxis(moved, 1, -1), expected, atol=1e-6)
    half = norms.dyt(X.astype(jnp.bfloat16), 0.7)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, jnp.tanh(0.7 * X.astype(jnp.bfloat16).astype(float)).astype(jnp.bfloat16))


def test_near_zero_it_is_linear_and_far_away_it_saturates():
    """The derivative at 0 is alpha times scale; large entries reach the scale."""
    slope = jax.grad(lambda x: norms.dyt(x, 0.3, SCALE)[2])(jnp.zeros(3))
    np.testing.assert_allclose(slope, [0, 0, -0.3], atol=1e-7)
    np.testing.assert_allclose(norms.dyt(jnp.full(3, 1e30), 0.3, SCALE), SCALE)


def test_modules_are_the_function():
    """In linen and nnx, with a learned alpha, whatever the mode or the mask."""
    module = linen.DyT(alpha_init=0.7, bias_init=lambda *_: BIAS)
    variables = module.init(jax.random.key(0), X)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"alpha": (), "scale": (3,), "bias": (3,)}}
    expected = norms.dyt(X, 0.7, jnp.ones(3), BIAS)
    mask = jnp.zeros(X.shape, bool)
    np.testing.assert_array_equal(module.apply(variables, X, use_running_average=True, mask=mask), expected)
    other = nnx.DyT(3, alpha_init=0.7, bias_init=lambda *_: BIAS, rngs=flax_nnx.Rngs(0))
    np.testing.assert_array_equal(other(X, use_running_average=False), expected)
    assert jax.grad(lambda v: module.apply(v, X).sum())(variables)["params"]["alpha"] != 0
    assert nnx.DyT(3, use_scale=False, param_dtype=jnp.bfloat16, rngs=flax_nnx.Rngs(0)).alpha.dtype == jnp.bfloat16


def test_it_can_be_the_norm_of_a_model():
    """A model takes it in the place of batch norm, and has no statistics then."""
    model = models.make_model(models.MLPConfig(hidden=(4,), norm=linen.DyT))
    params, stats = model.init(jax.random.key(0), X[:, 0])
    assert params["norm_1"]["alpha"] == 0.5
    assert not jax.tree.leaves(stats)


def test_misfits_are_named(as_a_user):
    """One line names the argument."""
    with pytest.raises(ValueError, match=r"^alpha must be one number for all features, got shape \(3,\)\.$"):
        norms.dyt(X, jnp.ones(3))
    with pytest.raises(ValueError, match=r"^scale must "):
        norms.dyt(X, 0.5, jnp.ones(2))

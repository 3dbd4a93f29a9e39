"""The derivatives of batch norm: closed forms, identities, and what the backward pass keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import norms

KEY = jax.random.key(0)


def plain(x, scale, bias, epsilon=1e-5):
    """Batch norm as the formula has it, for JAX to differentiate."""
    centred = x - x.mean(0, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(0, keepdims=True) + epsilon) * scale[None] + bias[None]


def ours(x, scale, bias, epsilon=1e-5):
    """Batch norm in training, without its statistics."""
    return norms.batch_norm(x, norms.init_batch_stats(x.shape[-1]), scale, bias, train=True, epsilon=epsilon)[0]


@pytest.fixture
def operands(x64):
    """Input, scale and bias in float64."""
    x, scale, bias = (
        jax.random.normal(k, s) for k, s in zip(jax.random.split(KEY, 3), [(7, 3), (3,), (3,)], strict=True)
    )
    return x + 2, scale, bias


def test_backward_follows_the_closed_form(x64):
    """At epsilon 0, dx = scale / std * (dy - mean(dy) - xhat mean(dy xhat))."""
    x, dy = jax.random.normal(KEY, (2, 32, 3), jnp.float64)
    scale = jnp.array([0.5, -1.0, 2.0])
    _, pullback = jax.vjp(lambda x: ours(x, scale, jnp.zeros(3), 0.0), x)
    std = x.std(axis=0, keepdims=True)
    xhat = (x - x.mean(axis=0, keepdims=True)) / std
    projected = dy - dy.mean(axis=0, keepdims=True) - xhat * (dy * xhat).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(pullback(dy)[0], scale[None] / std * projected, atol=1e-12)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("argument", range(4), ids=["x", "scale", "bias", "epsilon"])
@pytest.mark.parametrize("derivative", [jax.jacfwd, jax.jacrev, jax.hessian], ids=lambda d: d.__name__)
def test_derivatives_are_those_of_the_formula(derivative, argument, operands):
    """Forwards, backwards and to second order, in every argument."""
    theirs, mine = (jax.jit(derivative(f, argument))(*operands, 0.1) for f in (plain, ours))
    np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def test_mixed_third_derivative(operands):
    """The closed form differentiates on: a Hessian product's gradient is the formula's."""

    def product(f):
        def loss(x, scale):
            return jnp.sum(jnp.sin(f(x, scale, operands[2])))

        def hvp(x, scale):
            return jax.jvp(lambda x: jax.grad(loss)(x, scale), (x,), (jnp.cos(x),))[1]

        return jax.jit(jax.grad(lambda scale: jnp.sum(hvp(operands[0], scale) ** 2)))(operands[1])

    np.testing.assert_allclose(product(ours), product(plain), rtol=1e-10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradient_norm_identity(seed, x64):
    """At epsilon 0, |dx|² = scale²/var (|dy|² - (sum dy)²/m - (sum dy xhat)²/m), per feature."""
    x, dy = jax.random.normal(jax.random.key(seed), (2, 32, 3))
    scale = jnp.array([0.5, -1.0, 2.0])
    xhat, pullback = jax.vjp(lambda x: ours(x, jnp.ones(3), jnp.zeros(3), 0.0), x)
    (dx,) = pullback(dy * scale[None])
    kept = (dy**2).sum(0) - dy.sum(0) ** 2 / 32 - (dy * xhat).sum(0) ** 2 / 32
    np.testing.assert_allclose((dx**2).sum(0), scale**2 / x.var(0) * kept, rtol=1e-10)


def test_scale_invariance(x64):
    """BN(a x + b) = BN(x) for a > 0; weights before it are orthogonal to their gradient, and a bias before it has none."""
    x, w = jax.random.normal(KEY, (16, 5)), jax.random.normal(jax.random.key(1), (5, 3))

    def normalised(h):
        return ours(h, jnp.ones(3), jnp.zeros(3), 0.0)

    np.testing.assert_allclose(normalised(7 * x @ w + 3), normalised(x @ w), atol=1e-12)
    dw, db = jax.grad(lambda w, b: jnp.sum(jnp.sin(normalised(x @ w + b[None]))), (0, 1))(w, jnp.zeros(3))
    np.testing.assert_allclose((w * dw).sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(db, 0, atol=1e-12)


def test_backward_keeps_the_input_in_its_own_type():
    """Of a bfloat16 batch, nothing as large is kept for the backward pass but the batch itself."""
    x = jax.random.normal(KEY, (64, 3), jnp.bfloat16)
    _, pullback = jax.vjp(lambda x: norms.batch_norm(x, norms.init_batch_stats(3), jnp.ones(3), train=True)[0], x)
    large = [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= x.size]
    assert [leaf.dtype for leaf in large] == [jnp.bfloat16]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_backward_keeps_no_more_than_flax(dtype):
    """By the compiler's own account, the forward pass leaves less for the backward pass than Flax's does."""
    x, parameters = jnp.ones((64, 16, 8), dtype), (jnp.ones(8), jnp.ones(8))

    def flax_norm(x, scale, bias):
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": norms.init_batch_stats(8)._asdict()}
        return nn.BatchNorm(use_running_average=False).apply(variables, x, mutable=["batch_stats"])[0]

    def kept(norm):
        keep = jax.jit(lambda *operands: jax.vjp(norm, *operands)[1])
        return keep.lower(x, *parameters).compile().memory_analysis().output_size_in_bytes

    mine, theirs = (
        kept(lambda *o: norms.batch_norm(o[0], norms.init_batch_stats(8), *o[1:], train=True)[0]),
        kept(flax_norm),
    )
    assert x.nbytes <= mine < 1.1 * x.nbytes < theirs


def test_running_statistics_carry_no_gradient():
    """A loss of the new statistics has gradient 0."""
    gradient = jax.grad(lambda x: jnp.sum(norms.batch_norm(x, norms.init_batch_stats(3), train=True)[1].var))(
        jnp.ones((4, 3))
    )
    np.testing.assert_array_equal(gradient, 0)

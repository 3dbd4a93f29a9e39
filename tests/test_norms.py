"""Batch norm as a pure function: closed forms, exactness at large means, masks, several devices, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms

KEY = jax.random.key(0)


def fresh(num_features):
    """Statistics of a layer that has seen nothing."""
    return norms.init_batch_stats(num_features)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_and_evaluation_follow_the_formula(seed):
    """In training the batch's statistics normalise and the running ones move; in evaluation the running ones normalise."""
    rng = np.random.default_rng(seed)
    x, scale, bias = rng.normal(2, 3, (64, 5)), rng.normal(size=5), rng.normal(size=5)
    stats = norms.BatchStats(jnp.full(5, 0.5), jnp.full(5, 2.0))
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, scale, bias)]
    y, new = norms.batch_norm(arrays[0], stats, *arrays[1:], train=True, momentum=0.9)
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * scale + bias, atol=2e-5)
    np.testing.assert_allclose(new.mean, 0.9 * 0.5 + 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(new.var, 0.9 * 2 + 0.1 * x.var(0), rtol=1e-5)
    y, same = norms.batch_norm(arrays[0], stats, *arrays[1:], train=False)
    np.testing.assert_allclose(y, (x - 0.5) / np.sqrt(2 + 1e-5) * scale + bias, atol=2e-5)
    assert same is stats


def test_backward_follows_the_closed_form(x64):
    """At epsilon 0, dx = scale / std * (dy - mean(dy) - xhat mean(dy xhat))."""
    x, dy = jax.random.normal(KEY, (2, 32, 3), jnp.float64)
    scale = jnp.array([0.5, -1.0, 2.0])
    _, pullback = jax.vjp(lambda x: norms.batch_norm(x, fresh(3), scale, train=True, epsilon=0.0)[0], x)
    std = x.std(axis=0, keepdims=True)
    xhat = (x - x.mean(axis=0, keepdims=True)) / std
    projected = dy - dy.mean(axis=0, keepdims=True) - xhat * (dy * xhat).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(pullback(dy)[0], scale[None] / std * projected, atol=1e-12)


def test_stays_exact_at_a_large_mean():
    """At mean 1e4 and standard deviation 1, in float32, variance and output have the precision of float32."""
    x = jnp.asarray(np.random.default_rng(0).normal(1e4, 1, (8192, 64)), jnp.float32)
    exact = np.asarray(x, np.float64)
    measured = norms.moments(x, (0,))
    np.testing.assert_allclose(measured.var[0], exact.var(0), rtol=1e-6)
    y, _ = norms.batch_norm(x, fresh(64), train=True)
    np.testing.assert_allclose(y, (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5), atol=5e-6)
    fast = norms.moments(x, (0,), use_fast_variance=True)
    assert np.max(np.abs(fast.var[0] - exact.var(0))) > 0.1, "the fast form has become exact: offer it as the default"


def test_constant_input_gives_the_bias():
    """Where nothing varies, the output is exactly the bias and every derivative is finite."""
    x, bias = jnp.full((16, 2), 1234.5), jnp.array([0.25, -3.0])
    y, _ = norms.batch_norm(x, fresh(2), jnp.ones(2), bias, train=True)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, (16, 2)))
    gradient = jax.grad(lambda x: jnp.sum(jnp.sin(norms.batch_norm(x, fresh(2), train=True)[0])))(x)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_masked_rows_count_as_absent(filler):
    """Outputs, statistics and gradients of valid rows are those without the others, whatever those hold."""
    x = jax.random.normal(KEY, (12, 3))
    valid = jnp.arange(16) < 12
    padded = jnp.concatenate([x, jnp.full((4, 3), filler)])

    def loss(x, mask=None):
        y, new = norms.batch_norm(x, fresh(3), train=True, mask=mask)
        return jnp.sum(jnp.sin(y[:12])), (y[:12], new)

    alone, with_mask = jax.grad(loss, has_aux=True)(x), jax.grad(loss, has_aux=True)(padded, valid[:, None])
    np.testing.assert_allclose(with_mask[0][:12], alone[0], atol=1e-6)
    np.testing.assert_array_equal(with_mask[0][12:], 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), with_mask[1], alone[1])


def test_a_batch_without_valid_rows_changes_nothing():
    """The statistics stay as they were and the output is finite."""
    stats = norms.BatchStats(jnp.full(3, 0.5), jnp.full(3, 2.0))
    y, new = norms.batch_norm(jnp.full((4, 3), jnp.nan), stats, train=True, mask=jnp.zeros((4, 1), bool))
    assert np.isfinite(y).all()
    jax.tree.map(np.testing.assert_array_equal, new, stats)


@pytest.mark.parametrize("fast", [False, True])
def test_synchronised_shards_equal_the_whole_batch(fast):
    """Over a named axis with unequal valid counts, one of them none, shards give what the whole batch gives."""
    x = jax.random.normal(KEY, (4, 8, 3))
    counts = jnp.array([8, 3, 0, 5])
    mask = (jnp.arange(8)[None, :] < counts[:, None])[..., None]
    options = {"train": True, "use_fast_variance": fast}
    shards, stats = jax.vmap(
        lambda x, mask: norms.batch_norm(x, fresh(3), mask=mask, axis_name="shards", **options), axis_name="shards"
    )(x, mask)
    whole, expected = norms.batch_norm(x.reshape(32, 3), fresh(3), mask=mask.reshape(32, 1), **options)
    valid = np.asarray(mask.reshape(32))
    np.testing.assert_allclose(shards.reshape(32, 3)[valid], whole[valid], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.broadcast_to(b, (4, 3)), atol=1e-5), stats, expected)


def test_types_are_kept():
    """Half-precision inputs give half-precision outputs, from statistics that stay float32."""
    x = jax.random.normal(KEY, (64, 3), jnp.bfloat16) + 100
    y, new = norms.batch_norm(x, fresh(3), train=True, momentum=0.0)
    assert y.dtype == jnp.bfloat16
    assert new.mean.dtype == new.var.dtype == jnp.float32
    np.testing.assert_allclose(new.var, np.asarray(x, np.float64).var(0), rtol=1e-5)


def test_running_statistics_carry_no_gradient():
    """A loss of the new statistics has gradient 0."""
    gradient = jax.grad(lambda x: jnp.sum(norms.batch_norm(x, fresh(3), train=True)[1].var))(jnp.ones((4, 3)))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("axis", "shape", "features"), [(-1, (4, 5, 3), (3,)), (1, (4, 3, 5), (3,)), ((0, -1), (2, 6, 3), (2, 3))]
)
def test_any_feature_axes(axis, shape, features):
    """Each feature along any axis or axes has mean 0 and variance 1."""
    x = 3 * jax.random.normal(KEY, shape) + 1
    stats = norms.BatchStats(jnp.zeros(features), jnp.ones(features))
    y, _ = norms.batch_norm(x, stats, train=True, axis=axis)
    kept = {a % 3 for a in np.atleast_1d(axis)}
    reduced = tuple(a for a in range(3) if a not in kept)
    np.testing.assert_allclose(y.mean(reduced), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(reduced), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": jnp.ones(4)}, r"scale must have one entry per feature, shape \(3,\), got shape \(4,\)"),
        ({"stats": norms.init_batch_stats(2)}, r"stats.mean must have one entry per feature"),
        ({"mask": jnp.ones(8, bool)}, r"mask must have the rank of x"),
        ({"mask": jnp.ones((7, 1), bool)}, r"mask must have the rank of x"),
        ({"axis": 2}, r"axis must lie in \[-2, 2\)"),
    ],
)
def test_misfits_are_named(change, message, as_a_user):
    """A shape that does not fit raises one line that names the argument, the rule and the value."""
    arguments = {"x": jnp.ones((8, 3)), "stats": fresh(3), "scale": None, "train": True, **change}
    with pytest.raises(ValueError, match=message):
        norms.batch_norm(**arguments)

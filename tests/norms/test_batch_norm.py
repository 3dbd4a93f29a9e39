"""Batch norm as a pure function: values, exactness at large means, masks, types, errors."""

from functools import partial
from typing import Any

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


def test_stays_exact_at_a_large_mean():
    """At mean 1e4 and standard deviation 1, in float32: variance, output and gradient have the precision of float32."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(1e4, 1, (8192, 64)), jnp.float32)
    dy = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
    exact, dy64 = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    np.testing.assert_allclose(norms.moments(x, (0,)).var[0], exact.var(0), rtol=1e-6)
    y, pullback = jax.vjp(lambda x: norms.batch_norm(x, fresh(64), train=True)[0], x)
    std = np.sqrt(exact.var(0) + 1e-5)
    xhat = (exact - exact.mean(0)) / std
    np.testing.assert_allclose(y, xhat, atol=5e-6)
    dx = (dy64 - dy64.mean(0) - xhat * (dy64 * xhat).mean(0)) / std
    assert np.max(np.abs(pullback(dy)[0] - dx)) <= 1e-6 * np.max(np.abs(dx))
    fast = norms.moments(x, (0,), use_fast_variance=True)
    assert np.max(np.abs(fast.var[0] - exact.var(0))) > 0.1, "the fast form has become exact: offer it as the default"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.thorough) for s in (2, 3))])
@pytest.mark.parametrize("masked", [False, True])
def test_constant_input_gives_the_bias(seed, masked):
    """Where nothing varies, for any number and value, the output is exactly the bias and every derivative is finite."""
    rng, bias = np.random.default_rng(seed), jnp.array([0.1, -3.0])
    for _ in range(5):
        n, value = int(rng.integers(2, 5000)), np.float32(rng.normal() * 10 ** rng.uniform(-3, 8))
        x, mask = jnp.full((n, 2), value), (jnp.arange(n) % 3 != 0)[:, None] if masked else None
        y, _ = norms.batch_norm(x, fresh(2), jnp.ones(2), bias, train=True, mask=mask)
        np.testing.assert_array_equal(y, jnp.broadcast_to(bias, (n, 2)))
    norm = partial(norms.batch_norm, stats=fresh(2), train=True, mask=mask)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(norm(x)[0]))))(x)
    assert np.isfinite(gradient).all()


def test_constant_input_on_several_devices():
    """The same holds where the batch is spread."""
    x = jnp.full((4, 277, 2), 25643350.0)
    y, _ = jax.vmap(lambda x: norms.batch_norm(x, fresh(2), train=True, axis_name="i"), axis_name="i")(x)
    np.testing.assert_array_equal(y, 0)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, jnp.bool_])
def test_integers_are_numbers(dtype):
    """Integers and truth values are normalised as float32, and scale has its gradient."""
    x = (jax.random.uniform(KEY, (8, 3)) * 9).astype(dtype)

    def norm(x, scale):
        return norms.batch_norm(x, fresh(3), scale, train=True)[0]

    assert norm(x, None).dtype == jnp.float32
    mine, theirs = (jax.jit(jax.jacobian(partial(norm, v)))(jnp.ones(3)) for v in (x, x.astype(jnp.float32)))
    np.testing.assert_array_equal(mine, theirs)


def test_what_a_mask_leaves_out_is_normalised_with_the_rest():
    """Finite entries outside of the mask get the statistics of the others, and their own gradient."""
    x, mask = jax.random.normal(KEY, (8, 3)), (jnp.arange(8) < 6)[:, None]
    y, _ = norms.batch_norm(x, fresh(3), train=True, mask=mask, epsilon=0.0)
    np.testing.assert_allclose(y, (x - x[:6].mean(0)[None]) / x[:6].std(0)[None], atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(norms.batch_norm(x, fresh(3), train=True, mask=mask, epsilon=0.0)[0][7]))(x)
    np.testing.assert_allclose(gradient[7], 1 / x[:6].std(0), rtol=1e-5)


def test_masks_of_lower_rank():
    """A mask by NumPy's rule will do where it cannot count from the front."""
    x = jax.random.normal(KEY, (4, 8, 3))
    full, short = (
        norms.batch_norm(x, fresh(3), train=True, mask=m)[0]
        for m in (jnp.broadcast_to((jnp.arange(8) < 5)[None, :, None], x.shape), (jnp.arange(8) < 5)[:, None])
    )
    np.testing.assert_array_equal(full, short)
    with pytest.raises(ValueError, match="mask must have the rank of x"):
        norms.batch_norm(jnp.ones((5, 5)), fresh(5), train=True, mask=jnp.ones(5, bool))


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_masked_rows_count_as_absent(filler):
    """Outputs, statistics and gradients of valid rows are those without the others, whatever those hold."""
    x = jax.random.normal(KEY, (12, 3))
    valid = jnp.arange(16) < 12
    padded = jnp.concatenate([x, jnp.full((4, 3), filler)])

    def loss(x, mask=None):
        y, new = norms.batch_norm(x, fresh(3), train=True, mask=mask)
        return jnp.sum(jnp.sin(y[:12])), (y[:12], new)

    differentiate = jax.jit(jax.grad(loss, has_aux=True))
    alone, with_mask = differentiate(x), differentiate(padded, valid[:, None])
    np.testing.assert_allclose(with_mask[0][:12], alone[0], atol=1e-6)
    np.testing.assert_array_equal(with_mask[0][12:], 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), with_mask[1], alone[1])


def test_a_batch_without_valid_rows_changes_nothing():
    """The statistics stay as they were and the output is finite."""
    stats = norms.BatchStats(jnp.full(3, 0.5), jnp.full(3, 2.0))
    y, new = norms.batch_norm(jnp.full((4, 3), jnp.nan), stats, train=True, mask=jnp.zeros((4, 1), bool))
    assert np.isfinite(y).all()
    jax.tree.map(np.testing.assert_array_equal, new, stats)
    y, new = norms.batch_norm(jnp.ones((0, 3)), stats, train=True)
    assert y.shape == (0, 3)
    jax.tree.map(np.testing.assert_array_equal, new, stats)


@pytest.mark.sampled("slow")
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


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("stats_type", [jnp.float32, jnp.bfloat16, jnp.float64])
@pytest.mark.parametrize("x_type", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_types_are_kept(x_type, stats_type, x64):
    """The output has the input's type and the new statistics the old ones', whatever the types, in or out of training."""
    x = jax.random.normal(KEY, (64, 3), x_type) + 100
    stats = norms.BatchStats(jnp.zeros(3, stats_type), jnp.ones(3, stats_type))
    for train in (True, False):
        y, new = norms.batch_norm(x, stats, train=train, momentum=0.9)
        assert y.dtype == x_type
        assert new.mean.dtype == new.var.dtype == stats_type


def test_half_precision_is_averaged_in_float32():
    """The statistics of a bfloat16 batch are those of its exact values; scale and bias of float32 make a float32 output."""
    x = jax.random.normal(KEY, (64, 3), jnp.bfloat16) + 100
    y, new = norms.batch_norm(x, fresh(3), jnp.ones(3), train=True, momentum=0.0)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(new.var, np.asarray(x, np.float64).var(0), rtol=1e-5)


def test_running_variance_may_be_unbiased():
    """With the switch, the variance is recorded with the estimator 1/(m-1), of what the mask lets through."""
    x = jax.random.normal(KEY, (8, 3))
    record = {"train": True, "momentum": 0.0, "unbiased_running_var": True}
    np.testing.assert_allclose(norms.batch_norm(x, fresh(3), **record)[1].var, x.var(0, ddof=1), rtol=1e-5)
    mask = (jnp.arange(8) < 5)[:, None]
    np.testing.assert_allclose(
        norms.batch_norm(x, fresh(3), mask=mask, **record)[1].var, x[:5].var(0, ddof=1), rtol=1e-5
    )
    np.testing.assert_allclose(norms.batch_norm(x[:1], fresh(3), **record)[1].var, 0)


def test_cumulative_momentum_makes_plain_averages():
    """After any number of batches the running statistics are the averages of the batches' own."""
    batches, stats = jax.random.normal(KEY, (5, 16, 3)) + 1, fresh(3)
    for n, x in enumerate(batches):
        _, stats = norms.batch_norm(x, stats, train=True, momentum=norms.cumulative_momentum(n))
    np.testing.assert_allclose(stats.mean, batches.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(stats.var, batches.var(1).mean(0), rtol=1e-5)


@pytest.mark.sampled("slow")
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
        ({"mask": jnp.ones((8, 1))}, r"mask must hold booleans, True where an entry counts, got float32"),
        ({"axis": 2}, r"axis must lie in \[-2, 2\)"),
        ({"stats": None}, r"stats must be a BatchStats, as norms.init_batch_stats makes them, got NoneType"),
        (
            {"stats": {"mean": jnp.zeros(3)}},
            r"stats must be a BatchStats, as norms.init_batch_stats makes them, got dict",
        ),
        (
            {"stats": norms.BatchStats(jnp.zeros(3, int), jnp.ones(3))},
            "stats.mean must hold floating-point numbers, got int",
        ),
        ({"scale": 2.0}, r"scale must have one entry per feature, shape \(3,\), got shape \(\)"),
        ({"axis": 1.0}, "axis must be a whole number or a tuple of them, got 1.0"),
        (
            {"momentum": None},
            "momentum must be a number, as norms.cumulative_momentum gives for plain averages, got None",
        ),
        ({"axis_index_groups": [[0]]}, "axis_index_groups must come with an axis_name"),
        ({"axis_name": "shards"}, r"axis_name must name an axis of a surrounding vmap or shard_map, got 'shards'"),
    ],
)
def test_misfits_are_named(change, message, as_a_user):
    """A shape that does not fit raises one line that names the argument, the rule and the value."""
    arguments = {"x": jnp.ones((8, 3)), "stats": fresh(3), "scale": None, "train": True, **change}
    with pytest.raises(ValueError, match=message) as caught:
        jax.eval_shape(lambda: norms.batch_norm(**arguments))
    assert "\n" not in str(caught.value)


def test_statistics_that_are_no_arrays_are_refused(as_a_user):
    """The line names the field."""
    stats: Any = norms.BatchStats(*([value] * 3 for value in (0.0, 1.0)))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^stats\.mean must be an array, got \[0\.0, 0\.0, 0\.0\]\.$"):
        norms.batch_norm(jnp.ones((4, 3)), stats, train=True)


def test_a_mismatch_is_of_absolute_values_and_of_the_same_features():
    """Complex means differ by the length of their difference; another number of features is refused."""
    of_complex = norms.BatchStats(jnp.array([1.0, 1j]), jnp.ones(2))
    assert float(norms.mismatch(of_complex, norms.init_batch_stats(2), epsilon=0.0).distance) == 1
    with pytest.raises(ValueError, match=r"population must have the features of stats, shape \(3,\), got shape \(1,\)"):
        norms.mismatch(norms.init_batch_stats(3), norms.init_batch_stats(1))


@pytest.mark.slow
def test_axes_count_from_either_end():
    """Negative axes are those that they count to; others than the array's are refused."""
    x = 1000 + 1e-3 * jax.random.normal(jax.random.key(0), (4, 300))
    for one, other in (((-1,), (1,)), ((-1, 0), (0, 1)), ((-2,), (0,))):
        jax.tree.map(np.testing.assert_array_equal, norms.moments(x, one), norms.moments(x, other))
    for axis in (2, -3):
        with pytest.raises(ValueError, match=rf"axes must lie in \[-2, 2\) for an array of rank 2, got {axis}"):
            norms.moments(x, (axis,))

"""Complex features: every normaliser against its formula, Flax's layers, and the derivatives of the formula."""

import flax.linen as flax_linen
import flax.nnx as flax_nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_family import FAMILY, FEATURES, QUICK

from bnjax import adapters, linen, nnx, norms

SHAPE = (8, 3, FEATURES)
X = 2 * jax.random.normal(jax.random.key(0), SHAPE, jnp.complex64) * jnp.array([1.0, 2, 3, 4])[None, None] + 1 - 2j
SCALE, BIAS = jax.random.normal(jax.random.key(1), (2, FEATURES), jnp.complex64)
STATS = norms.BatchStats(jnp.full(FEATURES, 0.5 - 0.2j), jnp.full(FEATURES, 2.0))


def every(quick):
    """Run a test for each normaliser without noise; all but some of them take their time."""
    marks = {name: () if name in quick else pytest.mark.thorough for name in FAMILY if name != "noisy"}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=mark) for name, mark in marks.items()])


def spread(z, axis, **options):
    """Average |z|² in numpy, in complex128."""
    return np.mean(np.abs(z) ** 2, axis, keepdims=True, **options)


def formula(name, x):
    """Write each normaliser down, without scale and bias: outputs, and the batch's statistics if there are any."""
    x, epsilon = np.asarray(x, np.complex128), 1e-5
    if name in ("layer", "instance", "group"):
        parts = x.reshape(8, 3, *{"layer": (1, 4), "instance": (4, 1), "group": (2, 2)}[name])
        axes = (3,) if name == "layer" else (1, 3)
        centred = parts - parts.mean(axes, keepdims=True)
        return (centred / np.sqrt(spread(centred, axes) + epsilon)).reshape(x.shape), None
    if name == "ghost":
        parts = [formula("batch_norm", part) for part in (x[:4], x[4:])]
        stats = [np.mean(values, 0) for values in zip(*(stats for _, stats in parts), strict=True)]
        return np.concatenate([y for y, _ in parts]), stats
    mean = x.mean((0, 1), keepdims=True)
    centred = x - mean
    normed = centred if name in ("batch_norm", "fast", "renorm") or "centred" in name else x
    order = name.partition("_")[0]
    squared = {"l1": np.abs(normed).mean((0, 1)) ** 2, "linf": np.abs(normed).max((0, 1)) ** 2}
    squared = squared.get(order, spread(normed, (0, 1))[0, 0])
    y = centred / np.sqrt(squared + epsilon)
    if name == "renorm":
        running = np.sqrt(2 + epsilon)
        r = np.clip(np.sqrt(squared + epsilon) / running, 1 / 1.2, 1.2)
        d = (mean - (0.5 - 0.2j)) / running
        y = y * r + d * np.minimum(1, 0.3 / np.abs(d))
    return y, (mean[0, 0], squared)


@every(QUICK)
def test_outputs_and_statistics(name):
    """They are those of the formula: a complex mean, and a real variance of what is divided by its root."""
    y, new = jax.jit(FAMILY[name])(X, STATS, SCALE, BIAS)
    expected, stats = formula(name, X)
    np.testing.assert_allclose(y, expected * np.asarray(SCALE) + np.asarray(BIAS), atol=2e-5)
    assert (y.dtype, new.mean.dtype, new.var.dtype) == (jnp.complex64, jnp.complex64, jnp.float32)
    if stats is not None:
        np.testing.assert_allclose(new.mean, 0.99 * STATS.mean + 0.01 * stats[0], rtol=1e-5)
        np.testing.assert_allclose(new.var, 0.99 * STATS.var + 0.01 * stats[1], rtol=1e-5)


@pytest.mark.slow
@every(["batch_norm"])
def test_masks(name):
    """NaN that does not count reaches nothing."""
    mask = (jnp.arange(3) < 2)[None, :, None]
    norm = FAMILY[name]
    padded, new = norm(jnp.where(mask, X, jnp.nan), STATS, SCALE, BIAS, mask=mask)
    y, expected = norm(X[:, :2], STATS, SCALE, BIAS)
    np.testing.assert_allclose(padded[:, :2], y, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new, expected)
    assert jnp.isfinite(padded).all()


@every(["batch_norm"])
def test_derivatives(name, x64):
    """Forwards they are finite differences, backwards their transpose."""
    norm = FAMILY[name]
    operands, direction = (
        tuple(jax.random.normal(jax.random.key(i + j), s, jnp.complex128) for j, s in enumerate((SHAPE, (4,), (4,))))
        for i in (5, 9)
    )

    def apply(x, scale, bias):
        return norm(x, STATS, scale, bias)[0]

    @jax.jit
    def outputs(t):
        return apply(*(w + t * v for w, v in zip(operands, direction, strict=True)))

    # NOTE: what renorm's r and d contribute carries no gradient.
    if name != "renorm":
        tangent = jax.jit(lambda t: jax.jvp(outputs, (t,), (1.0,))[1])(0.0)
        np.testing.assert_allclose(tangent, (outputs(1e-6) - outputs(-1e-6)) / 2e-6, atol=1e-6)

    @jax.jit
    def both_ways(weights):
        _, pullback = jax.vjp(apply, *operands)
        _, tangent = jax.jvp(apply, operands, direction)
        backwards = sum(jnp.sum(g * v).real for g, v in zip(pullback(weights), direction, strict=True))
        return jnp.sum(weights * tangent).real, backwards

    np.testing.assert_allclose(*both_ways(jax.random.normal(jax.random.key(20), SHAPE, jnp.complex128)), rtol=1e-10)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_batch_norm_of_linen(has_mask, fast):
    """Outputs and new statistics are Flax's, in training and evaluation, and the mean is complex before the first batch."""
    mask = jax.random.bernoulli(jax.random.key(3), 0.6, (8, 3, 1)) if has_mask else None
    x = X if mask is None else jnp.where(mask, X, jnp.nan)
    options = {"use_running_average": False, "momentum": 0.9, "dtype": jnp.complex64, "use_fast_variance": fast}
    mine, theirs = linen.BatchNorm(**options), flax_linen.BatchNorm(**options)
    start = mine.init(jax.random.key(0), x, mask=mask)
    assert start["batch_stats"]["mean"].dtype == jnp.complex64
    found, expected = (module.apply(start, x, mutable=["batch_stats"], mask=mask) for module in (mine, theirs))
    counts = np.ones(x.shape, bool) if mask is None else np.broadcast_to(mask, x.shape)
    np.testing.assert_allclose(found[0][counts], expected[0][counts], atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found[1], expected[1])
    np.testing.assert_allclose(np.var(found[0], (0, 1), where=counts), 1, rtol=1e-4)
    evaluated = [
        type(m)(**options | {"use_running_average": True}).apply({"params": {}, **start, **found[1]}, X)
        for m in (mine, theirs)
    ]
    np.testing.assert_allclose(*evaluated, rtol=1e-5)
    # Statistics that Flax made, real before its first batch, become complex with it.
    flax_start = theirs.init(jax.random.key(0), x, mask=mask)
    _, new = mine.apply(flax_start, x, mutable=["batch_stats"], mask=mask)
    np.testing.assert_allclose(new["batch_stats"]["mean"], expected[1]["batch_stats"]["mean"], rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"dtype": jnp.complex64}])
def test_batch_norm_of_nnx(options):
    """Outputs and statistics are those of linen; Flax's module of nnx drops the imaginary part of the running mean."""
    module = nnx.BatchNorm(FEATURES, rngs=flax_nnx.Rngs(0), **options)
    linen_module = linen.BatchNorm(use_running_average=False)
    start = linen_module.init(jax.random.key(0), X)
    expected, new = linen_module.apply(start, X, mutable=["batch_stats"])
    np.testing.assert_allclose(module(X), expected, atol=2e-5)
    np.testing.assert_allclose(module.mean[...], new["batch_stats"]["mean"], rtol=1e-5)
    np.testing.assert_allclose(module.var[...], new["batch_stats"]["var"], rtol=1e-5)
    module.eval()
    evaluated = linen.BatchNorm(use_running_average=True).apply({**start, **new}, X)
    np.testing.assert_allclose(module(X), evaluated, atol=2e-5)


@pytest.mark.slow
def test_the_layers_of_one_example():
    """Layer and group norm are Flax's as well, in linen and nnx."""
    pairs = [
        (linen.LayerNorm(), flax_linen.LayerNorm()),
        (linen.GroupNorm(num_groups=2), flax_linen.GroupNorm(2)),
        (linen.InstanceNorm(), flax_linen.InstanceNorm()),
    ]
    for mine, theirs in pairs:
        variables = jax.jit(mine.init)(jax.random.key(0), X)
        found, expected = jax.jit(lambda v, m=mine, t=theirs: (m.apply(v, X), t.apply(v, X)))(variables)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    rngs = flax_nnx.Rngs(0)
    mine = nnx.LayerNorm(FEATURES, rngs=rngs)
    np.testing.assert_allclose(mine(X), flax_nnx.LayerNorm(FEATURES, rngs=rngs)(X), atol=2e-5)


def test_a_loop_carries_complex_statistics():
    """From the start that `init_batch_stats` gives for complex features."""

    def step(stats, x):
        y, stats = norms.batch_norm(x, stats, train=True, momentum=0.5)
        return stats, y

    stats, _ = jax.lax.scan(step, norms.init_batch_stats(FEATURES, jnp.complex64), jnp.stack([X, X]))
    np.testing.assert_allclose(stats.mean, 0.75 * jnp.mean(X, (0, 1)), rtol=1e-5)
    assert stats.var.dtype == jnp.float32


def test_noise():
    """It keeps the imaginary part, relative to it too, and its strength 0 is none."""
    for relative in (False, True):
        y = norms.add_noise(X, jax.random.key(0), relative=relative, strength=0.0)
        np.testing.assert_allclose(y, X, atol=1e-5)


@pytest.mark.slow
def test_population_statistics_and_folding():
    """Mean and variance of all the data, and a dense layer that computes what it and its batch norm did."""
    module = linen.BatchNorm(use_running_average=None)

    class Net(flax_linen.Module):
        @flax_linen.compact
        def __call__(self, x, *, train):
            x = flax_linen.Dense(FEATURES, dtype=jnp.complex64, param_dtype=jnp.complex64, name="dense")(x)
            return linen.BatchNorm(name="norm")(x, use_running_average=not train)

    assert module.momentum == 0.99
    model = adapters.from_linen(Net())
    x = X.reshape(-1, FEATURES)
    variables = model.init(jax.random.key(0), x)
    new = norms.recalibrate(model, variables, [x[:7], x[7:]])
    hidden = np.asarray(x @ variables.params["dense"]["kernel"], np.complex128)
    np.testing.assert_allclose(new.batch_stats["norm"]["mean"], hidden.mean(0), rtol=1e-4)
    np.testing.assert_allclose(new.batch_stats["norm"]["var"], hidden.var(0), rtol=1e-4)
    dense, stats = new.params["dense"], norms.BatchStats(**new.batch_stats["norm"])
    kernel, bias = norms.fold_batch_norm(dense["kernel"], dense["bias"], stats)
    np.testing.assert_allclose(x @ kernel + bias[None], model.apply(new, x, train=False)[0], atol=1e-4)
    _, bias = norms.fold_batch_norm(dense["kernel"].real, dense["bias"].real, stats)
    assert jnp.iscomplexobj(bias)

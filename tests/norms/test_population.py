"""Population statistics from data."""

from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from bnjax import Batch, BatchStats, Model, Variables, adapters, linen, norms
from bnjax import nnx as nnx_norms
from bnjax.norms.population import pooled_statistics

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
UNEQUAL = [jnp.asarray(X[a:b]) for a, b in ((0, 7), (7, 40), (40, 41), (41, 60))]


class Net(nn.Module):
    """Two layers, two normalisers."""

    norm: object

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = nn.relu(self.norm(name="norm_1")(nn.Dense(8)(x), use_running_average=not train))
        return nn.Dense(3)(self.norm(name="norm_2")(x, use_running_average=not train))


def first_layer(params):
    """Return what the first normaliser sees of all the data, in float64."""
    dense = params["Dense_0"]
    return X.astype(np.float64) @ np.asarray(dense["kernel"], np.float64) + np.asarray(dense["bias"], np.float64)


def prepared(norm, offset=0.0):
    """Make a model and its variables, with a bias that moves the first layer's mean."""
    model = adapters.from_linen(Net(norm))
    params, stats = model.init(jax.random.key(0), jnp.asarray(X))
    params["Dense_0"]["bias"] = params["Dense_0"]["bias"] + offset
    return model, Variables(params, stats)


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.99, *(pytest.param(m, marks=pytest.mark.thorough) for m in (0.9, 0.999))])
@pytest.mark.parametrize(("norm", "tolerance"), [(linen.BatchNorm, 1e-6), (nn.BatchNorm, 1e-5)])
def test_pools_unequal_batches(norm, tolerance, momentum):
    """Over batches of unequal sizes, the statistics are those of all the data at once: exactly for ours, near for Flax's."""
    model, variables = prepared(partial(norm, momentum=momentum))
    stats = norms.recalibrate(model, variables, UNEQUAL).batch_stats["norm_1"]
    exact = first_layer(variables.params)
    np.testing.assert_allclose(stats["mean"], exact.mean(0), atol=10 * tolerance)
    np.testing.assert_allclose(stats["var"], exact.var(0), rtol=10 * tolerance)


@pytest.mark.slow
def test_batch_renorm_is_not_corrected_towards_statistics_that_are_replaced():
    """From running statistics that are far off, the second layer's are those of the same net with batch norm."""
    (model, variables), (same, _) = prepared(linen.BatchRenorm, 3.0), prepared(linen.BatchNorm)
    expected = norms.recalibrate(same, variables, UNEQUAL).batch_stats["norm_2"]
    stats = norms.recalibrate(model, variables, UNEQUAL).batch_stats["norm_2"]
    for name, value in expected.items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-6)


def test_stays_exact_at_a_large_mean():
    """At mean 1e4 and unequal batches, variances suffer from no more than the rounding of the batches' means."""
    model, variables = prepared(linen.BatchNorm, offset=1e4)
    stats = norms.recalibrate(model, variables, UNEQUAL).batch_stats["norm_1"]
    seen = np.asarray(
        jnp.asarray(X) @ variables.params["Dense_0"]["kernel"] + variables.params["Dense_0"]["bias"][None]
    )
    exact = seen.astype(np.float64)
    np.testing.assert_allclose(stats["mean"], exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(stats["var"], exact.var(0), rtol=3e-4)


@pytest.mark.parametrize("norm", [linen.BatchNorm, partial(linen.BatchNorm, unbiased_running_var=True, momentum=None)])
def test_on_one_batch_evaluation_equals_training(norm):
    """Recalibrated on a batch, the model evaluates it as it trains on it."""
    model, variables = prepared(norm)
    new = norms.recalibrate(model, variables, [Batch(jnp.asarray(X), jnp.zeros(60, jnp.int32))])
    trained, _ = model.apply(variables, jnp.asarray(X), train=True)
    np.testing.assert_allclose(model.apply(new, jnp.asarray(X), train=False)[0], trained, atol=1e-5)
    assert new.params is variables.params


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "norm",
    [
        partial(linen.LpNorm, p=1),
        partial(linen.GhostBatchNorm, ghost_size=5),
        partial(linen.BatchRenorm, bounds=norms.renorm_bounds),
        linen.LayerNorm,
    ],
    ids=["lp", "ghost", "renorm", "layer"],
)
def test_any_normaliser(norm):
    """Every kind is averaged; what is no statistic stays."""
    model, variables = prepared(norm)
    batches = [jnp.asarray(X[:30]), jnp.asarray(X[30:])]
    new = norms.recalibrate(model, variables, batches, show_progress=False)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, variables)
    for layer, stats in new.batch_stats.items():
        np.testing.assert_array_equal(stats.get("num_batches", 0), 0)
        if layer == "norm_1":
            np.testing.assert_allclose(stats["mean"], first_layer(variables.params).mean(0), atol=1e-5)


def test_any_structure_and_stale_programs():
    """Statistics may be a NamedTuple; what was compiled before, for training, is not taken for the batch's statistics."""

    @partial(jax.jit, static_argnames="train")
    def apply(variables, x, *, train, rngs=None):
        return norms.batch_norm(x, variables.batch_stats, train=train)

    model = Model(lambda key, x: Variables({}, norms.init_batch_stats(4)), apply)
    start = Variables({}, norms.init_batch_stats(4))
    _, before = apply(start, jnp.asarray(X), train=True)
    new = norms.recalibrate(model, start, [jnp.asarray(X)])
    np.testing.assert_allclose(new.batch_stats.mean, X.mean(0), atol=1e-6)
    _, after = apply(start, jnp.asarray(X), train=True)
    jax.tree.map(np.testing.assert_array_equal, before, after)


def masked(variables, x, *, train, rngs=None):
    """Apply batch norm to the rows without NaN."""
    return norms.batch_norm(x, variables.batch_stats, train=train, mask=jnp.isfinite(x).all(1, keepdims=True))


def foreign(variables, x, *, train, rngs=None):
    """Move running averages, whoever asks, and normalise with the batch's statistics."""
    new = BatchStats(x.mean(0), x.var(0))
    moved = jax.tree.map(lambda old, batch: 0.9 * old + 0.1 * batch, variables.batch_stats, new)
    return x - new.mean[None], moved


BARE = Model(lambda key, x: Variables({}, norms.init_batch_stats(4)), masked)


@pytest.mark.parametrize("place", range(3))
def test_a_batch_in_which_nothing_counts_counts_nowhere(place):
    """The statistics are those of the other batches, also where it comes first."""
    batches = [jnp.asarray(X[:20]), jnp.asarray(X[20:])]
    batches.insert(place, jnp.full((9, 4), jnp.nan))
    new = norms.recalibrate(BARE, BARE.init(None, None), batches).batch_stats
    np.testing.assert_allclose(new.mean, X.mean(0), atol=1e-6)
    np.testing.assert_allclose(new.var, X.var(0), rtol=1e-6)


@pytest.mark.parametrize("place", range(3))
def test_a_foreign_norm_may_leave_batches_out(place):
    """Where a norm that knows only running averages leaves its own as they are, the batch counts nowhere."""

    def apply(variables, x, *, train, rngs=None):
        mean, valid = variables.batch_stats["mean"], jnp.isfinite(x)
        moved = 0.9 * mean + 0.1 * jnp.mean(x, 0, where=valid)
        return x, {"mean": jnp.where(valid.any(0), moved, mean)}

    batches = [jnp.asarray(X[:20]), jnp.asarray(X[20:])]
    batches.insert(place, jnp.full((9, 4), jnp.nan))
    start = Variables({}, {"mean": jnp.full(4, 0.5)})
    new = norms.recalibrate(Model(lambda key, x: start, apply), start, batches).batch_stats
    np.testing.assert_allclose(new["mean"], X.mean(0), atol=1e-6)


def test_a_batch_with_the_old_statistics_counts():
    """What moves nothing, because the statistics were its own, is no frozen layer's."""
    batches = [jnp.asarray(X[:20]), jnp.asarray(X[20:])]
    of_the_first = norms.recalibrate(BARE, BARE.init(None, None), batches[:1])
    new = norms.recalibrate(BARE, of_the_first, batches).batch_stats
    np.testing.assert_allclose(new.mean, X.mean(0), atol=1e-6)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("norm", "extra"), [(masked, 0), (foreign, 5)])
def test_each_batch_goes_through_the_model_once(norm, extra, compiled):
    """The model is applied once per batch, and with another norm than bnjax's five times more to the first one."""
    applied = []

    def apply(variables, x, *, train, rngs=None):
        jax.debug.callback(lambda: applied.append(x.shape))
        return norm(variables, x, train=train)

    model, variables = Model(BARE.init, apply), BARE.init(None, None)
    stacks = [jnp.asarray(X[:50]).reshape(5, 10, 4), jnp.asarray(X[50:55])[None]]
    if compiled:
        jax.jit(lambda variables: pooled_statistics(model, variables, stacks, None))(variables)
    else:
        norms.recalibrate(model, variables, [batch for stack in stacks for batch in stack])
    jax.effects_barrier()
    assert Counter(applied) == {(10, 4): 5 + extra, (5, 4): 1}


def test_random_layers_get_a_key_per_batch():
    """With noise in training, each batch has its own, and the same keys give the same statistics."""
    model, variables = prepared(linen.NoisyBatchNorm)
    run = partial(norms.recalibrate, model, variables, [jnp.asarray(X), jnp.asarray(X)])
    once, again, other = (run(rngs={"noise": jax.random.key(seed)}) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    gap = once.batch_stats["norm_2"]["mean"] - other.batch_stats["norm_2"]["mean"]
    assert jnp.max(jnp.abs(gap)) > 1e-3


@pytest.mark.parametrize("norm", [linen.BatchNorm, nn.BatchNorm])
@pytest.mark.thorough
def test_frozen_layers_stay(norm):
    """A layer in evaluation keeps its statistics, and does not spoil those of the layers behind it, whatever these were."""

    class Frozen(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = nn.tanh(norm(name="frozen")(nn.Dense(4)(x), use_running_average=True))
            self.sow("intermediates", "seen", nn.Dense(3, name="dense")(x))
            return norm(name="moving")(nn.Dense(3, name="dense_2")(x), use_running_average=not train)

    module = Frozen()
    model = adapters.from_linen(module)
    params, stats = model.init(jax.random.key(0), jnp.asarray(X))
    stats = {
        "frozen": jax.tree.map(lambda leaf: leaf + 0.3, stats["frozen"]),
        "moving": {"mean": jnp.zeros(3), "var": jnp.full(3, 1e4)},
    }
    params["dense"] = params["dense_2"]
    _, found = module.apply(
        {"params": params, "batch_stats": stats}, jnp.asarray(X), train=False, mutable=["intermediates"]
    )
    (seen,) = found["intermediates"]["seen"]
    new = norms.recalibrate(model, Variables(params, stats), UNEQUAL).batch_stats
    jax.tree.map(np.testing.assert_array_equal, new["frozen"], stats["frozen"])
    np.testing.assert_allclose(new["moving"]["mean"], seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(new["moving"]["var"], seen.var(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "batches must hold at least one batch, got none"),
        (jnp.asarray(X), "batches must be an iterable of arrays or Batches, got a single ArrayImpl"),
        ([(X, X)], "batches must hold arrays or Batches, got tuple"),
    ],
)
def test_misfits_are_named(batches, message):
    """What no statistics can be taken from raises one line."""
    with pytest.raises(ValueError, match=message):
        norms.recalibrate(*prepared(linen.BatchNorm), batches)


def test_compiled_code_is_refused():
    """Inside jit one line says where it belongs."""
    model, variables = prepared(linen.BatchNorm)
    with pytest.raises(ValueError, match="recalibrate must be called outside of compiled code"):
        jax.jit(lambda v: norms.recalibrate(model, v, [jnp.asarray(X)]))(variables)


@pytest.mark.slow
def test_the_backward_pass_keeps_one_batch():
    """Of more batches it needs memory for the statistics after each, not for all that lies between the layers."""
    model, variables = prepared(linen.BatchNorm)

    def memory(num):
        def total(params, stack):
            new = pooled_statistics(model, variables._replace(params=params), [stack], None)
            return sum(map(jnp.sum, jax.tree.leaves(new)))

        program = jax.jit(jax.grad(total)).lower(variables.params, jnp.zeros((num, 512, 4)))
        return program.compile().memory_analysis().temp_size_in_bytes

    few, many = memory(4), memory(64)
    assert many - few < 60 * 512 * 8  # an array of the first layer's takes four bytes for each of these


def test_modules_and_dictionaries():
    """A linen module with its own dictionary, other collections untouched, and an nnx module give what a Model gives."""
    module = Net(linen.BatchNorm)
    model, variables = prepared(linen.BatchNorm)
    expected = norms.recalibrate(model, variables, UNEQUAL)
    given = {"params": variables.params, "batch_stats": variables.batch_stats, "cache": jnp.ones(2)}
    found = norms.recalibrate(module, given, UNEQUAL)
    assert list(found) == list(given)
    assert found["cache"] is given["cache"]
    jax.tree.map(np.testing.assert_array_equal, found["batch_stats"], expected.batch_stats)
    norm = nnx_norms.BatchNorm(4, rngs=nnx.Rngs(0))
    stats = norms.recalibrate(norm, norm, UNEQUAL).batch_stats
    np.testing.assert_allclose(stats["mean"], X.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["var"], X.var(0), rtol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], 0)


@pytest.mark.parametrize(
    ("model", "variables", "message"),
    [
        (lambda x: x, Variables({}, {}), r"model must be a Model, .* or a linen or nnx module, got function"),
        (Net(linen.BatchNorm), {"weights": 0}, "variables must be Variables, .* got a dict of weights"),
        (Net(linen.BatchNorm), [1], "variables must be Variables, .* got a list"),
    ],
)
def test_other_models_and_variables_are_named(model, variables, message, as_a_user):
    """What is neither model nor variables raises one line."""
    with pytest.raises(ValueError, match=message):
        norms.recalibrate(model, variables, UNEQUAL)


@pytest.mark.parametrize("norm", [nn.BatchNorm, linen.BatchNorm])
@pytest.mark.parametrize("place", [0, 1])
def test_a_batch_without_examples_adds_nothing(norm, place):
    """First or last, for Flax's norm as well, which makes NaN of it."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return norm(use_running_average=not train)(x)

    model = adapters.from_linen(Net())
    batches = [jnp.asarray(X)]
    batches.insert(place, batches[0][:0])
    found = norms.recalibrate(model, model.init(jax.random.key(0), batches[place - 1]), batches)
    np.testing.assert_allclose(found.batch_stats["BatchNorm_0"]["mean"], X.mean(0), atol=1e-5)

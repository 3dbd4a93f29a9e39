"""Recalibration of normalisers that are not bnjax's: right for each, or refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from bnjax import Batch, Model, Variables, adapters, norms, objective, probes
from bnjax import linen as ours

X = 3 + 2 * jax.random.normal(jax.random.key(0), (64, 4))
LABELS = jnp.arange(64) % 4
UNEQUAL = [X[:40], X[40:]]


class NnxNet(nnx.Module):
    """Flax's own batch norm, after a linear layer or alone."""

    def __init__(self, linear=False, **options):
        self.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(1)) if linear else None
        self.norm = nnx.BatchNorm(4, rngs=nnx.Rngs(0), **options)

    def __call__(self, x):
        """Normalise."""
        return self.norm(x if self.linear is None else self.linear(x))


class LinenNet(nn.Module):
    """A normaliser after a linear layer or alone."""

    norm: object = nn.BatchNorm
    linear: bool = False

    @nn.compact
    def __call__(self, x, *, train):
        """Normalise."""
        return self.norm(use_running_average=not train, name="norm")(
            nn.Dense(4, name="linear")(x) if self.linear else x
        )


def make(kind, **options):
    """Make a net of Flax's own batch norm, and its variables, whose statistics have moved."""
    if kind == "linen":
        momentum = options.pop("momentum", 0.99)
        model = adapters.from_linen(LinenNet(partial(nn.BatchNorm, momentum=momentum), **options))
    else:
        model = adapters.from_nnx(NnxNet(**options))
    params, batch_stats = model.init(jax.random.key(1), X)
    return model, Variables(params, jax.tree.map(lambda leaf: leaf + 0.3, batch_stats))


def loss_of(model, variables, statistics, **options):
    """Make a loss on all the data."""
    return objective.make_loss_fn(model, variables.batch_stats, Batch(X, LABELS), statistics=statistics, **options)


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.99, *(pytest.param(m, marks=pytest.mark.thorough) for m in (0.0, 0.9, 0.999))])
@pytest.mark.parametrize("kind", [pytest.param("linen", marks=pytest.mark.thorough), "nnx"])
def test_flax_s_batch_norms_are_recalibrated(kind, momentum):
    """Evaluation then has mean 0 and variance 1 over all the data, and of one batch "recalibrated" is "batch"."""
    model, variables = make(kind, momentum=momentum)
    new = norms.recalibrate(model, variables, UNEQUAL)
    outputs, _ = model.apply(new, X, train=False)
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(outputs.std(0), 1, atol=1e-3)
    stats = new.batch_stats["norm"]
    np.testing.assert_allclose(stats["mean"], X.mean(0), rtol=1e-4)
    np.testing.assert_allclose(stats["var"], X.var(0), rtol=1e-4)
    losses = [loss_of(model, variables, statistics)(variables.params) for statistics in ("batch", "recalibrated")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
def test_a_stopped_derivative_is_refused():
    """Where a normaliser stops it the loss is right, and one line names the layer before a gradient is wrong."""
    model, variables = make("nnx", linear=True)
    loss_fn = loss_of(model, variables, "recalibrated")
    np.testing.assert_allclose(
        jax.jit(loss_fn.__call__)(variables.params), loss_of(model, variables, "batch")(variables.params), rtol=1e-4
    )
    axes = [probes.directions.random(jax.random.key(i), variables.params) for i in (0, 1)]
    assert jnp.isfinite(probes.scan_plane(loss_fn, variables.params, *axes, (0.0, 0.1), (0.0,)).loss).all()
    message = (
        r"^statistics must not be 'recalibrated' where a derivative is taken .*, as it does at norm/mean: use bnjax"
    )
    for probe in (jax.grad(loss_fn.__call__), partial(probes.scan_line, loss_fn)):
        with pytest.raises(ValueError, match=message):
            probe(variables.params)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [nn.BatchNorm, pytest.param(ours.BatchNorm, marks=pytest.mark.thorough)])
def test_a_derivative_that_is_there_passes_through(norm):
    """The gradient of the loss with one batch's statistics is that of training on it."""
    model = adapters.from_linen(LinenNet(norm, linear=True))
    variables = model.init(jax.random.key(1), X)
    one, other = (jax.grad(loss_of(model, variables, s).__call__)(variables.params) for s in ("batch", "recalibrated"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other)


class Frozen(nnx.Module):
    """A frozen layer before one that moves."""

    def __init__(self):
        self.frozen, self.norm = (nnx.BatchNorm(4, rngs=nnx.Rngs(0)) for _ in range(2))

    def __call__(self, x):
        """Normalise twice."""
        return self.norm(jnp.tanh(self.frozen(x, use_running_average=True)))


class Rematted(nn.Module):
    """The same in linen, each layer inside a transformation."""

    @nn.compact
    def __call__(self, x, *, train):
        """Normalise twice."""
        x = jnp.tanh(nn.remat(nn.BatchNorm)(use_running_average=True, name="frozen")(x))
        return nn.remat(nn.BatchNorm)(use_running_average=not train, name="norm")(x)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("kind", ["nnx", "linen"])
def test_a_frozen_layer_stays_and_disturbs_nothing(kind):
    """Its statistics are kept, and those of the layer after it are of what it gives."""
    model = adapters.from_nnx(Frozen()) if kind == "nnx" else adapters.from_linen(Rematted())
    params, stats = model.init(jax.random.key(0), X)
    stats = {"frozen": {"mean": jnp.full(4, 2.0), "var": jnp.full(4, 3.0)}, "norm": stats["norm"]}
    new = norms.recalibrate(model, Variables(params, stats), UNEQUAL).batch_stats
    jax.tree.map(np.testing.assert_array_equal, new["frozen"], stats["frozen"])
    seen = jnp.tanh((X - 2) / np.sqrt(3 + 1e-5))
    np.testing.assert_allclose(new["norm"]["mean"], seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(new["norm"]["var"], seen.var(0), rtol=1e-4)


def simple(update, evaluate, **start):
    """Make a model of a rule: how statistics move by a batch's mean and variance, and for which they stand."""
    start = {name: jnp.asarray(value) for name, value in start.items()}

    def apply(variables, x, *, train, rngs=None):
        old = variables.batch_stats
        mean, var = (x.mean(0), x.var(0)) if train else evaluate(old)
        y = (x - mean[None]) / jnp.sqrt(var[None] + 1e-5) * variables.params[None]
        return y, update(old, x.mean(0), x.var(0)) if train else old

    return Model(lambda key, x: Variables(jnp.ones(4), start), apply), Variables(jnp.ones(4), start)


ZEROS, M = jnp.zeros(4), 0.9


def average(old, new):
    """Move a running average."""
    return M * old + (1 - M) * new


def moments_of(mean, var):
    """Store averages of both moments."""
    return lambda old: (old[mean], old[var])


def weighted(old, mean, var):
    """Move averages that start at 0, and their weight."""
    return {"mean": average(old["mean"], mean), "var": average(old["var"], var), "weight": average(old["weight"], 1.0)}


def counted(old, mean, var):
    """Move averages, and count."""
    return {"mean": average(old["mean"], mean), "var": average(old["var"], var), "count": old["count"] + 1}


def corrected(old, mean, var):
    """Move averages that are corrected for their start at 0 as they are stored."""
    t = old["count"] + 1
    share = M * (1 - M ** (t - 1.0)) / (1 - M**t)
    moved = [share * old[name] + (1 - share) * new for name, new in (("mean", mean), ("var", var))]
    return {"mean": moved[0], "var": moved[1], "count": t}


def plain_average(old, mean, var):
    """Average over all batches."""
    n = old["count"]
    moved = {"mean": (n * old["mean"] + mean) / (n + 1), "var": old["var"] + (var - old["var"]) / (n + 1)}
    return moved | {"count": n + 1}


RIGHT = {
    "weight": (weighted, lambda old: (old["mean"] / old["weight"], old["var"] / old["weight"]), {"weight": 0.3}),
    "corrected as stored": (corrected, moments_of("mean", "var"), {"count": 7}),
    "plain average": (plain_average, moments_of("mean", "var"), {"count": 5}),
    "plain average from nothing": (plain_average, moments_of("mean", "var"), {"count": 0}),
    "plain average by a float": (plain_average, moments_of("mean", "var"), {"count": 5.0}),
    "counted": (counted, moments_of("mean", "var"), {"count": 3}),
    "the batch's own": (lambda old, mean, var: {"mean": mean, "var": var}, moments_of("mean", "var"), {}),
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", RIGHT)
def test_averages_of_any_kind(name):
    """They stand for the moments of all the data, and what is counted stays."""
    update, evaluate, extra = RIGHT[name]
    model, variables = simple(update, evaluate, mean=ZEROS + 0.2, var=ZEROS + 1.3, **extra)
    new = norms.recalibrate(model, variables, UNEQUAL).batch_stats
    mean, var = evaluate(new)
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-4)
    np.testing.assert_allclose(var, X.var(0), rtol=1e-4)
    assert new.get("count") == extra.get("count")
    losses = [jax.jit(loss_of(model, variables, s).__call__)(variables.params) for s in ("batch", "recalibrated")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def debiased(old):
    """Correct averages for their start at 0 in evaluation."""
    return tuple(old[name] / (1 - M ** old["count"]) for name in ("mean", "var"))


@pytest.mark.parametrize("count", [0, 5, 100])
def test_a_correction_in_evaluation_is_refused(count):
    """A counter that evaluation depends on is named, compiled or not."""
    model, variables = simple(counted, debiased, mean=ZEROS, var=ZEROS + 1, count=count)
    message = (
        r"^batch_stats must hold no counter that evaluation depends on, got count, as where averages are corrected"
    )
    with pytest.raises(ValueError, match=message):
        norms.recalibrate(model, variables, UNEQUAL)
    loss_fn = loss_of(model, variables, "recalibrated")
    for run in (loss_fn, jax.jit(loss_fn.__call__), partial(probes.scan_line, loss_fn)):
        with pytest.raises(ValueError, match=message):
            run(variables.params)


def hidden(old, mean, var):
    """Move averages that are hidden, from which others follow, as in Haiku."""
    moved = {"hidden": average(old["hidden"], mean), "var": average(old["var"], var), "count": old["count"] + 1}
    return moved | {"mean": moved["hidden"] / (1 - M ** moved["count"])}


def summed(old, mean, var):
    """Add up."""
    return {"mean": old["mean"] + mean, "var": average(old["var"], var)}


def extreme(choose):
    """Keep the largest or smallest."""
    return lambda old, mean, var: {"mean": choose(old["mean"], mean), "var": average(old["var"], var)}


def squared(old, mean, var):
    """Follow, but along no line."""
    return {"mean": average(old["mean"], mean), "var": jnp.sqrt(average(old["var"] ** 2, var**2))}


def renormalised(old, mean, var):
    """Follow what a renormalised layer before would give: it depends on that layer's own average."""
    moved = counted({**old, "count": 0}, mean, var)
    ratio = jnp.clip(jnp.sqrt(var / old["first"]), 0.3, 3.0)
    return moved | {"mean": average(old["mean"], mean * ratio), "first": average(old["first"], var)}


def without_count(update):
    """Leave a counter out."""
    return lambda *args: {name: leaf for name, leaf in update(*args).items() if name != "count"}


WRONG = {
    "correction by a float": (counted, {"count": 5.0}, "count"),
    "correction by a float that others follow": (corrected, {"count": 5.0}, "count"),
    "hidden": (hidden, {"hidden": ZEROS, "count": 3}, "mean"),
    "hidden for long": (hidden, {"hidden": ZEROS + 1, "count": 22}, "mean"),
    "sum": (summed, {}, "mean"),
    "largest": (extreme(jnp.maximum), {}, "mean"),
    "smallest": (extreme(jnp.minimum), {}, "mean"),
    "no line": (squared, {}, "var"),
    "renormalised": (without_count(renormalised), {"first": ZEROS + 1}, "mean"),
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_average_is_refused(name):
    """One line names it; inside compiled code, where no value can be looked at, the loss is NaN."""
    update, extra, path = WRONG[name]
    evaluate = debiased if path == "count" else moments_of("mean", "var")
    model, variables = simple(update, evaluate, mean=ZEROS + 0.2, var=ZEROS + 1.3, **extra)
    with pytest.raises(ValueError, match=rf"^batch_stats must be averages for recalibration, .*, but {path} is none"):
        norms.recalibrate(model, variables, UNEQUAL)
    assert jnp.isnan(jax.jit(loss_of(model, variables, "recalibrated").__call__)(variables.params))


@pytest.mark.parametrize(("dtype", "is_right"), [(jnp.bfloat16, False), (jnp.float16, False), (jnp.float32, True)])
def test_statistics_of_few_digits_are_refused(dtype, is_right):
    """Half precision does not hold a batch's hundredth part beside the ninety-nine of before."""

    def update(old, mean, var):
        return {"mean": (0.99 * old["mean"] + 0.01 * mean).astype(dtype), "var": old["var"]}

    model, variables = simple(update, moments_of("mean", "var"), mean=ZEROS.astype(dtype), var=ZEROS + 1)
    recalibrate = partial(norms.recalibrate, model, variables, UNEQUAL)
    if is_right:
        np.testing.assert_allclose(recalibrate().batch_stats["mean"], X.mean(0), rtol=1e-4)
    else:
        with pytest.raises(ValueError, match="but mean is none to the digits that its type has"):
            recalibrate()


@pytest.mark.slow
@pytest.mark.parametrize("features", [slice(None), slice(0, 2)])
def test_a_first_batch_without_valid_entries(features):
    """Statistics that it cannot move follow the batches after it; compiled code, which looks at it alone, gives NaN."""

    def update(old, mean, var):
        moved = jax.tree.map(average, old, {"mean": mean, "var": var})
        return jax.tree.map(lambda new, kept: jnp.where(jnp.isfinite(mean), new, kept), moved, old)

    model, variables = simple(update, moments_of("mean", "var"), mean=ZEROS + 0.2, var=ZEROS + 1.3)
    invalid = X[:9].at[:, features].set(jnp.nan)
    new = norms.recalibrate(model, variables, [invalid, *UNEQUAL]).batch_stats
    rows = np.concatenate([X[:9, 2:], X[:, 2:]]) if features.stop else X[:, 2:]
    np.testing.assert_allclose(new["mean"], np.concatenate([X[:, :2].mean(0), rows.mean(0)]), rtol=1e-4)
    data = [Batch(invalid, LABELS[:9]), Batch(X, LABELS)]
    loss_fn = objective.make_loss_fn(model, variables.batch_stats, data, statistics="recalibrated")
    assert jnp.isnan(loss_fn(variables.params))


def test_diverged_parameters_give_nan():
    """They are no fault of the normaliser."""
    model, variables = make("nnx", linear=True)
    params = jax.tree.map(lambda leaf: leaf * jnp.nan, variables.params)
    new = norms.recalibrate(model, variables._replace(params=params), UNEQUAL)
    assert all(bool(jnp.isnan(leaf).all()) for leaf in jax.tree.leaves(new.batch_stats))

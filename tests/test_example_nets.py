"""Nets like Flax's examples are scanned as they are, or with `call=`, in all three modes of statistics."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from example_nets import CLASSES, CNN, KEY, NETS
from flax import linen as nn
from flax import nnx

from bnjax import Batch, adapters, linen, norms, objective, probes

RNGS = {"dropout": jax.random.key(1), "noise": jax.random.key(2)}
MODES = ("batch", "running", "recalibrated")


def made(name):
    """Make a Model of a net, its variables, and its batch."""
    module, call, inputs, labels, loss = NETS[name]
    adapter = adapters.from_nnx if isinstance(module, nnx.Module) else adapters.from_linen
    model = adapter(module, call)
    variables = adapters.variables_of(module) if isinstance(module, nnx.Module) else jax.jit(model.init)(KEY, inputs)
    return model, variables, Batch(inputs, labels), loss


def by_hand(name, variables, statistics):
    """Compute a loss with Flax alone: the module applied, its own statistics moved, its loss averaged."""
    module, call, inputs, labels, loss = NETS[name]
    train = statistics == "batch"
    if isinstance(module, nnx.Module):
        copy = nnx.clone(module)
        if statistics == "recalibrated":
            copy.norm.momentum = 0.0
            copy.train()
            call(copy, inputs, True)
        (copy.train if train else copy.eval)()
        # The streams that `rngs` names are seeded as the adapter says; this net has none of its own.
        outputs = call(copy, inputs, train)
    else:
        collections = {"params": variables.params, "batch_stats": variables.batch_stats}

        def apply(collections, train):
            def run():
                if call is not None:
                    return module.apply(collections, inputs, train, rngs=RNGS, mutable=["batch_stats"], method=call)
                flag = {"train": train} if name == "imagenet" else {}
                return module.apply(collections, inputs, rngs=RNGS, mutable=["batch_stats"], **flag)

            mapped = jax.jit(jax.vmap(lambda _: run(), axis_name="batch"))
            return jax.tree.map(lambda leaf: leaf[0], mapped(jnp.zeros(1)))

        if statistics == "recalibrated" and name == "imagenet":
            # After many batches that are all the same, running statistics are the batch's own.
            step = jax.jit(lambda stats: apply({**collections, "batch_stats": stats}, True)[1]["batch_stats"])
            for _ in range(300):
                collections["batch_stats"] = step(collections["batch_stats"])
        outputs, _ = apply(collections, train)
    if loss == "cross_entropy":
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()
    return jnp.mean(loss(outputs, labels))


QUICK = ("imagenet", "sst2", "vae", "nnx mnist")


@pytest.mark.slow
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("statistics", MODES)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.thorough) for name in NETS]
)
def test_the_loss_is_that_of_flax(name, statistics):
    """Computed by hand, with optax; a scan starts there, and has finite losses."""
    model, variables, batch, loss = made(name)
    loss_fn = objective.make_loss_fn(model, variables.batch_stats, batch, loss=loss, statistics=statistics, rngs=RNGS)
    expected = by_hand(name, variables, statistics)
    if statistics == "recalibrated":
        # NOTE: losses alone, since Flax's norm of nnx stops the derivative of statistics that are re-estimated.
        axes = variables.params, variables.params
        losses = probes.scan_plane(loss_fn, variables.params, *axes, (0.0, 0.01), (0.0,)).loss[:, 0]
    else:
        scan = probes.scan_line(loss_fn, variables.params, step_sizes=(0.0, 0.01))
        losses = scan.loss
        assert np.isfinite(scan.gradient_norm)
    np.testing.assert_allclose(losses[0], expected, rtol=1e-4)
    assert np.isfinite(losses).all()
    assert (loss_fn.info.batch_size, loss_fn.info.num_examples) == (6, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sst2", "vae"])
def test_several_batches_of_several_inputs(name):
    """The loss is the mean over their examples, also where it is one number per batch."""
    model, variables, batch, loss = made(name)
    parts = [jax.tree.map(lambda leaf, part=part: leaf[part], batch) for part in (slice(0, 4), slice(4, 6))]
    options = {"loss": loss, "statistics": "running", "rngs": RNGS}
    whole, *each = (
        objective.make_loss_fn(model, variables.batch_stats, one, **options)(variables.params)
        for one in (parts, *parts)
    )
    np.testing.assert_allclose(whole, (4 * each[0] + 2 * each[1]) / 6, rtol=1e-5)


@pytest.mark.slow
def test_an_axis_that_a_surrounding_map_binds_is_its_own():
    """Over two devices' halves, statistics are those of both."""
    model, variables, batch, _ = made("imagenet")
    halves = batch.inputs.reshape(2, 3, *batch.inputs.shape[1:])
    apply = jax.vmap(lambda x: model.apply(variables, x, train=True)[0], axis_name="batch")
    whole, _ = model.apply(variables, batch.inputs, train=True)
    np.testing.assert_allclose(apply(halves).reshape(6, 3), whole, atol=1e-4)


class Cached(nn.Module):
    """A net with a collection beside parameters and statistics."""

    @nn.compact
    def __call__(self, x, train):
        """Compute logits."""
        count = self.variable("counts", "calls", lambda: jnp.zeros((), jnp.int32))
        scale = self.variable("constants", "scale", lambda: jnp.full((), 2.0))
        if not self.is_initializing():
            count.value += 1
        return scale.value * linen.BatchNorm(use_running_average=not train)(nn.Dense(3)(x))


@pytest.mark.slow
def test_other_collections_are_carried():
    """They come with the variables, move in training, stay in evaluation, and are there in a scan."""
    model, x = adapters.from_linen(Cached()), jax.random.normal(KEY, (8, 4))
    variables = model.init(KEY, x)
    assert sorted(variables.batch_stats) == ["batch_stats", "constants", "counts"]
    outputs, moved = model.apply(variables, x, train=True)
    assert (int(moved["counts"]["calls"]), float(moved["constants"]["scale"])) == (1, 2)
    given = {"params": variables.params, **variables.batch_stats}
    expected, _ = Cached().apply(given, x, True, mutable=["batch_stats", "counts"])
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    _, same = model.apply(variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)
    for statistics in MODES:
        loss_fn = objective.make_loss_fn(
            model, variables.batch_stats, Batch(x, jnp.arange(8) % 3), statistics=statistics
        )
        assert np.isfinite(probes.scan_line(loss_fn, variables.params, step_sizes=(0.1,)).loss).all()


def test_the_values_of_an_nnx_module_have_a_name():
    """They are the module's own, as it is now, whatever `init` is given."""
    module = CNN(nnx.Rngs(3))
    variables, model = adapters.variables_of(module), adapters.from_nnx(module)
    jax.tree.map(np.testing.assert_array_equal, variables, model.init(jax.random.key(9), jnp.ones(1)))
    module.last.bias[...] += 1
    np.testing.assert_array_equal(adapters.variables_of(module).params["last"]["bias"], 1)
    np.testing.assert_array_equal(variables.params["last"]["bias"], 0)


WAY_OUT = "or give the probe a function of the parameters"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "squared_error"}, "outputs must be an array for the loss 'squared_error', got tuple"),
        (
            {"inputs": {"x": jnp.ones((6, 64)), "key": KEY}},
            "batch must have the examples along axis 0 of all its inputs",
        ),
        (
            {"loss": "cross_entropy", "labels": {"digit": CLASSES, "is_even": CLASSES % 2}},
            "labels must be one array for the loss 'cross_entropy', got dict: give loss=lambda outputs, labels: ",
        ),
        ({"rngs": None}, "rngs must hold a key for 'noise', from which the module draws: give rngs={'noise': "),
    ],
)
def test_refusals_name_the_way_out(change, message, as_a_user):
    """In one line."""
    model, variables, batch, loss = made("vae")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*{WAY_OUT}"):
        objective.make_loss_fn(
            model,
            variables.batch_stats,
            batch._replace(inputs=change.get("inputs", batch.inputs), labels=change.get("labels", batch.labels)),
            loss=change.get("loss", loss),
            rngs=change.get("rngs", RNGS),
        )(variables.params)


def test_a_loss_of_ones_own_and_a_mask():
    """Losses of each example are averaged over those that count; a mean alone cannot be."""
    model, variables, batch, loss = made("sst2")
    mask = jnp.arange(6) < 4
    of_four = jax.tree.map(lambda leaf: leaf[:4], batch)
    masked, alone = (
        objective.make_loss_fn(model, variables.batch_stats, one, loss=loss, statistics="running")(variables.params)
        for one in (batch._replace(mask=mask), of_four)
    )
    np.testing.assert_allclose(masked, alone, rtol=1e-6)
    mean = objective.make_loss_fn(
        model, variables.batch_stats, batch._replace(mask=mask), loss=lambda *a: loss(*a).mean(), statistics="running"
    )
    with pytest.raises(ValueError, match=r"^loss must return the loss of each example, since the batch has a mask"):
        mean(variables.params)


def test_recalibrating_a_model_of_several_inputs():
    """Dictionaries of arrays, and Batches of them, go through it."""

    class Two(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return linen.BatchNorm(use_running_average=not train)(x["a"] + x["b"])

    x = {"a": jax.random.normal(KEY, (8, 3)), "b": jnp.ones((8, 3))}
    model = adapters.from_linen(Two())
    variables = model.init(KEY, x)
    for batches in ([x], [Batch(x, jnp.arange(8))]):
        new = norms.recalibrate(model, variables, batches).batch_stats
        np.testing.assert_allclose(new["BatchNorm_0"]["mean"], x["a"].mean(0) + 1, rtol=1e-5)

"""A Flax module as a pair of pure functions."""

import doctest
import inspect
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx as flax_nnx

from bnjax import Batch, adapters, data, linen, nnx, norms, objective, probes, train


class Net(nn.Module):
    """A dense layer, batch norm and dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = linen.BatchNorm(use_running_average=not train)(nn.Dense(4)(x))
        return nn.Dropout(0.5, deterministic=not train)(x)


def test_a_layer_without_its_key_is_named(as_a_user):
    """Dropout in training needs a key; in evaluation it needs none."""
    model, x = adapters.from_linen(Net()), jnp.ones((8, 3))
    variables = model.init(jax.random.key(0), x)
    rule = (
        r"^rngs must hold a key for 'dropout', from which Dropout_0 draws: give rngs=\{'dropout': jax.random.key\(0\)\}"
    )
    with pytest.raises(ValueError, match=rule):
        model.apply(variables, x, train=True)
    assert model.apply(variables, x, train=False)[0].shape == (8, 4)


def test_equals_the_module():
    """Outputs and statistics are the module's, in training and in evaluation, and evaluation moves no statistics."""
    module, x = Net(), jax.random.normal(jax.random.key(0), (8, 3))
    model, rngs = adapters.from_linen(module), {"dropout": jax.random.key(2)}
    variables = model.init(jax.random.key(1), x)
    collections = {"params": variables.params, "batch_stats": variables.batch_stats}
    jax.tree.map(np.testing.assert_array_equal, collections, module.init(jax.random.key(1), x, train=False))
    outputs, batch_stats = model.apply(variables, x, train=True, rngs=rngs)
    expected, changed = module.apply(collections, x, train=True, rngs=rngs, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, (outputs, batch_stats), (expected, changed["batch_stats"]))
    outputs, same = model.apply(variables, x, train=False)
    np.testing.assert_array_equal(outputs, module.apply(collections, x, train=False))
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)


def test_a_module_without_statistics():
    """Where nothing is remembered, the batch_stats are empty and stay so."""

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return nn.Dense(2)(x)

    model = adapters.from_linen(Plain())
    variables = model.init(jax.random.key(0), jnp.ones((1, 3)))
    assert variables.batch_stats == {}
    assert model.apply(variables, jnp.ones((1, 3)), train=True)[1] == {}


class NnxNet(flax_nnx.Module):
    """A list of layers with batch norm, dropout and a head."""

    def __init__(self, rngs):
        self.layers = flax_nnx.List([flax_nnx.Linear(3, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)])
        self.dropout = flax_nnx.Dropout(0.5, rngs=rngs)
        self.head = flax_nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        """Compute outputs."""
        for layer in self.layers:
            x = layer(x)
        return self.head(self.dropout(flax_nnx.relu(x)))


def test_an_nnx_module_stays_as_it_is():
    """Outputs are the module's in evaluation; training moves statistics in the result alone; dropout follows its key."""
    net, x = NnxNet(flax_nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (8, 3))
    before = jax.tree.map(jnp.copy, flax_nnx.to_pure_dict(flax_nnx.state(net, flax_nnx.Not(flax_nnx.RngState))))
    model = adapters.from_nnx(net)
    variables = model.init(jax.random.key(1), x)
    assert variables.params["layers"][0]["kernel"].shape == (3, 8)

    @jax.jit
    def run(variables, key):
        return model.apply(variables, x, train=True, rngs={"dropout": key})

    once, again, other = (run(variables, jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, once, again)
    assert jnp.any(once[0] != other[0])
    hidden = x @ variables.params["layers"][0]["kernel"]
    np.testing.assert_allclose(once[1]["layers"][1]["mean"], 0.01 * hidden.mean(0), atol=1e-6)
    outputs, same = model.apply(variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)
    after = flax_nnx.to_pure_dict(flax_nnx.state(net, flax_nnx.Not(flax_nnx.RngState)))
    jax.tree.map(np.testing.assert_array_equal, after, before)
    net.eval()
    np.testing.assert_array_equal(outputs, net(x))


@pytest.mark.thorough
def test_an_nnx_module_goes_everywhere_that_a_model_goes():
    """It is recalibrated and scanned, in every statistics mode."""
    net, x = NnxNet(flax_nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (8, 3))
    model = adapters.from_nnx(net)
    variables = model.init(jax.random.key(1), x)
    new = norms.recalibrate(model, variables, [x[:3], x[3:]], rngs={"dropout": jax.random.key(0)})
    hidden = x @ variables.params["layers"][0]["kernel"]
    np.testing.assert_allclose(new.batch_stats["layers"][1]["var"], hidden.var(0), rtol=1e-5)
    for statistics in get_args(objective.Statistics):
        loss_fn = objective.make_loss_fn(model, new.batch_stats, Batch(x, jnp.arange(8) % 4), statistics=statistics)
        assert np.isfinite(probes.scan_line(loss_fn, variables.params).effective_smoothness)


class Bare(nn.Module):
    """A dense layer, whose call takes no `train`."""

    @nn.compact
    def __call__(self, x):
        """Compute outputs."""
        return nn.Dense(2)(x)


class Open(nn.Module):
    """What hands any keyword on."""

    inner: nn.Module

    def __call__(self, x, **kwargs):
        """Compute outputs."""
        return self.inner(x, **kwargs)


@pytest.mark.parametrize(
    "module", [Bare(), nn.Sequential([nn.Dense(2), nn.relu]), nn.Sequential([nn.relu, nn.Dense(2)])]
)
def test_a_module_that_takes_no_train(module):
    """It is called without."""
    model, x = adapters.from_linen(module), jnp.ones((1, 3))
    variables = model.init(jax.random.key(0), x)
    for flag in (True, False):
        np.testing.assert_array_equal(
            model.apply(variables, x, train=flag)[0], module.apply({"params": variables.params}, x)
        )


@pytest.mark.parametrize("module", [Open(Net()), nn.Sequential([Net()])])
def test_train_goes_through_what_takes_any_keyword(module):
    """A wrapper and a Sequential hand it to the module inside."""
    model, x = adapters.from_linen(module), jnp.ones((4, 3))
    variables = model.init(jax.random.key(0), x)
    _, changed = model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)})
    _, same = model.apply(variables, x, train=False)
    differ = [
        bool(jnp.any(a != b))
        for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(variables.batch_stats), strict=True)
    ]
    assert any(differ)
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)


def test_capture_wants_the_nnx_module_itself():
    """Its layers are out of sight in a Model, and the message says what to pass."""
    net, x = NnxNet(flax_nnx.Rngs(0)), jnp.ones((2, 3))
    model = adapters.from_nnx(net)
    with pytest.raises(ValueError, match=r"got Model.*; of an nnx module, pass the module itself, not its Model\.$"):
        probes.capture(model, model.init(jax.random.key(0), x), x, train=False)


def test_capture_of_an_nnx_sequential():
    """Its first layer is asked for `train` as it was before it is watched."""
    net = flax_nnx.Sequential(flax_nnx.Linear(3, 2, rngs=flax_nnx.Rngs(0)), flax_nnx.relu)
    assert list(probes.capture(net, None, jnp.ones((1, 3)))) == ["layers/0"]


def test_the_example_runs():
    """What the docstring shows is what comes."""
    text = inspect.getdoc(adapters.from_linen)
    example = doctest.DocTestParser().get_doctest(text, {}, "from_linen", None, 0)
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("norm", [nn.BatchNorm, linen.BatchNorm])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("data-x",)])
def test_every_unbound_axis_is_that_of_the_only_device(norm, names):
    """Of several names too, one of which a surrounding vmap may bind, and of names that are no words."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return norm(use_running_average=not train, axis_name=names)(x)

    x = jax.random.normal(jax.random.key(0), (2, 8, 3)) + jnp.array([0.0, 5.0])[:, None, None]
    model = adapters.from_linen(Net())
    variables = model.init(jax.random.key(1), x[0])
    run = lambda x: model.apply(variables, x, train=True)[0]  # noqa: E731
    np.testing.assert_allclose(run(x[0]).mean(0), 0, atol=1e-5)
    if "a" in names:
        together = jax.vmap(run, axis_name="a")(x)
        np.testing.assert_allclose(together.reshape(16, 3).mean(0), 0, atol=1e-5)
        assert abs(together[0].mean()) > 0.5


def test_what_a_module_sows_is_that_of_the_last_call():
    """As many values as it sows, so that a compiled loop can carry them."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            h = linen.BatchNorm(use_running_average=not train)(nn.Dense(2)(x))
            for value in (h.sum(), (h**2).sum()):
                self.sow("losses", "sizes", value)
            return h

    x, split = jax.random.normal(jax.random.key(0), (8, 3)), data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
    model = adapters.from_linen(Net())
    variables = model.init(jax.random.key(1), x)
    outputs, stats = model.apply(variables, x, train=True)
    assert jax.tree.structure(stats) == jax.tree.structure(variables.batch_stats)
    np.testing.assert_allclose(stats["losses"]["sizes"], [outputs.sum(), (outputs**2).sum()], rtol=1e-6)
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=4)
    state, _ = train.run_steps(trainer, train.init_state(trainer, jax.random.key(2), split.images), split, num_steps=3)
    assert len(state.batch_stats["losses"]["sizes"]) == 2


def test_variables_of_named_tuples_keep_their_type():
    """Only the tuples to which `sow` appends are cut."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            seen = self.variable("seen", "moments", lambda: norms.init_batch_stats(3))
            seen.value = norms.BatchStats(x.mean(0), x.var(0))
            return nn.Dense(2)(x)

    model, x = adapters.from_linen(Net()), jnp.arange(12.0).reshape(4, 3)
    variables = model.init(jax.random.key(0), x)
    _, stats = model.apply(variables, x, train=True)
    assert jax.tree.structure(stats) == jax.tree.structure(variables.batch_stats)
    assert isinstance(stats["seen"]["moments"], norms.BatchStats)

"""A Flax module as a pair of pure functions."""

import doctest
import inspect
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx as flax_nnx

from bnjax import Batch, adapters, linen, nnx, norms, objective, probes


class Net(nn.Module):
    """A dense layer, batch norm and dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = linen.BatchNorm(use_running_average=not train)(nn.Dense(4)(x))
        return nn.Dropout(0.5, deterministic=not train)(x)


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
    for train in (True, False):
        np.testing.assert_array_equal(
            model.apply(variables, x, train=train)[0], module.apply({"params": variables.params}, x)
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


class NnxWithTrain(flax_nnx.Module):
    """Batch norm that follows the `train` of the call."""

    def __init__(self):
        self.norm = nnx.BatchNorm(3, momentum=0.9, rngs=flax_nnx.Rngs(0))

    def __call__(self, x, train=False):
        """Normalise."""
        return self.norm(x, use_running_average=not train)


class NnxWithoutDefault(NnxWithTrain):
    """The same, where it must be given."""

    def __call__(self, x, train):
        """Normalise."""
        return super().__call__(x, train)


@pytest.mark.parametrize("make", [NnxWithTrain, NnxWithoutDefault, lambda: flax_nnx.Sequential(NnxWithTrain())])
def test_train_goes_to_an_nnx_module_that_takes_it(make):
    """In training the batch is normalised by itself and moves the statistics, in evaluation by these."""
    model, x = adapters.from_nnx(make()), 3 + jax.random.normal(jax.random.key(0), (64, 3))
    variables = model.init(jax.random.key(0), x)
    outputs, changed = model.apply(variables, x, train=True)
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-5)
    (mean,) = (leaf for path, leaf in jax.tree.leaves_with_path(changed) if "mean" in str(path))
    np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.apply(variables, x, train=False)[0].mean(0), x.mean(0), rtol=1e-4)


def renamed(base, name, default):
    """Make a module whose call takes a flag of some name."""

    def call(self, x, **flags):
        return x

    names = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("self", "x", name)]
    call.__signature__ = inspect.Signature([*names[:2], names[2].replace(default=default)])
    return type("Renamed", (base,), {"__call__": call})()


ADAPTERS = pytest.mark.parametrize(
    ("adapter", "base"), [(adapters.from_linen, nn.Module), (adapters.from_nnx, flax_nnx.Module)], ids=["linen", "nnx"]
)
FLAGS = {"training": True, "is_training": True, "deterministic": False, "use_running_average": False}


@ADAPTERS
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_of_another_name_is_an_error(adapter, base, name):
    """One line says what to do, also of a Sequential's first layer; with a default of None it is the module's own affair."""
    message = (
        r"^module must call its flag of training train, got Renamed with {0}: give call=lambda module, x, train: "
        r"module\(x, {0}={1}train\)\.$"
    ).format(name, "" if FLAGS[name] else "not ")
    module = renamed(base, name, False)
    sequential = nn.Sequential([module]) if base is nn.Module else flax_nnx.Sequential(module)
    for one in (module, sequential):
        with pytest.raises(ValueError, match=message):
            adapter(one)
        with pytest.raises(ValueError, match=message):
            probes.capture(one, None if base is not nn.Module else {}, jnp.ones((1, 3)))
    adapter(renamed(base, name, None))
    adapter(module, lambda module, x, train: module(x))


class Named(nn.Module):
    """A linen net whose flag has a name that nobody knows."""

    @nn.compact
    def __call__(self, x, learns=False):
        """Normalise."""
        return nn.BatchNorm(use_running_average=not learns, name="norm")(x)


class Attribute(nn.Module):
    """A linen net whose flag is an attribute."""

    learns: bool = False

    @nn.compact
    def __call__(self, x):
        """Normalise."""
        return nn.BatchNorm(use_running_average=not self.learns, name="norm")(x)


class NnxNamed(flax_nnx.Module):
    """An nnx net whose flag has a name that nobody knows."""

    def __init__(self):
        self.norm = flax_nnx.BatchNorm(3, rngs=flax_nnx.Rngs(0))

    def __call__(self, x, learns=False):
        """Normalise."""
        return self.norm(x, use_running_average=not learns)


class NnxAttribute(NnxNamed):
    """An nnx net whose flag is an attribute, which `train()` does not know."""

    learns = False

    def __call__(self, x):
        """Normalise."""
        return super().__call__(x, self.learns)


def learning(module, x, train):
    """Set the attribute of a copy."""
    if isinstance(module, nn.Module):
        return module.clone(parent=module.scope, learns=train)(x)
    module.learns = train
    return module(x)


UNTRAINED = pytest.mark.parametrize(
    ("adapter", "module", "call"),
    [
        (adapters.from_linen, Named(), lambda module, x, train: module(x, learns=train)),
        (adapters.from_linen, Attribute(), learning),
        (adapters.from_nnx, NnxNamed(), lambda module, x, train: module(x, learns=train)),
        (adapters.from_nnx, NnxAttribute(), learning),
    ],
    ids=["linen name", "linen attribute", "nnx name", "nnx attribute"],
)
SHIFTED = 3 + jax.random.normal(jax.random.key(0), (16, 3))


@UNTRAINED
def test_a_module_that_was_not_told_to_train_is_refused(adapter, module, call):
    """One line says how to tell it, where a batch's statistics are asked for, compiled or not; in evaluation it runs."""
    model = adapter(module)
    variables = model.init(jax.random.key(0), SHIFTED)
    rule = (
        f"^module must move its statistics in training, got {type(module).__name__}, which gives all of them back as "
    )
    batch = Batch(SHIFTED, jnp.arange(16) % 3)
    message = rule + r"they were: give call=lambda module, x, train: .*, or frozen=True where no statistic is to move\."
    for statistics in ("batch", "recalibrated"):
        make = partial(objective.make_loss_fn, model, variables.batch_stats, batch, statistics=statistics)
        loss_fn = make().__call__
        for run in (loss_fn, jax.jit(loss_fn), jax.vmap(loss_fn, axis_size=2, in_axes=None), jax.grad(loss_fn)):
            with pytest.raises(ValueError, match=message):
                run(variables.params)
    with pytest.raises(ValueError, match=message):
        norms.recalibrate(model, variables, [SHIFTED])
    captured = variables._asdict() if isinstance(module, nn.Module) else None
    with pytest.raises(ValueError, match=rule + ".* or train=False where no statistic is to move"):
        probes.capture(module, captured, SHIFTED)
    assert model.apply(variables, SHIFTED, train=False)[0].shape == (16, 3)


@UNTRAINED
def test_a_call_tells_a_module_to_train(adapter, module, call):
    """Then training normalises by the batch, moves the statistics in the result alone, and evaluation uses these."""
    model = adapter(module, call=call)
    variables = model.init(jax.random.key(0), SHIFTED)
    outputs, batch_stats = jax.jit(partial(model.apply, train=True))(variables, SHIFTED)
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(batch_stats["norm"]["mean"], 0.01 * SHIFTED.mean(0), rtol=1e-5)
    outputs, same = model.apply(variables, SHIFTED, train=False)
    np.testing.assert_allclose(outputs.mean(0), SHIFTED.mean(0), rtol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)
    captured = variables._asdict() if isinstance(module, nn.Module) else None
    (seen,) = probes.capture(module, captured, SHIFTED, call=call).values()
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)


@UNTRAINED
def test_a_frozen_module_may_stay_as_it_is(adapter, module, call):
    """Then its loss on a batch is that of evaluation, and recalibration changes nothing."""
    model = adapter(module, frozen=True)
    variables = model.init(jax.random.key(0), SHIFTED)
    losses = [
        objective.make_loss_fn(model, variables.batch_stats, Batch(SHIFTED, jnp.arange(16) % 3), statistics=statistics)
        for statistics in get_args(objective.Statistics)
    ]
    assert len({float(loss_fn(variables.params)) for loss_fn in losses}) == 1
    new = norms.recalibrate(model, variables, [SHIFTED])
    jax.tree.map(np.testing.assert_array_equal, new, variables)


def test_the_example_runs():
    """What the docstring shows is what comes."""
    text = inspect.getdoc(adapters.from_linen)
    example = doctest.DocTestParser().get_doctest(text, {}, "from_linen", None, 0)
    report: list[str] = []
    assert doctest.DocTestRunner().run(example, out=report.append).failed == 0, "".join(report)

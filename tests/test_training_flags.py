"""The flag of training: it reaches a module whatever it is called, or the module is refused in a line."""

import inspect
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx as flax_nnx

from bnjax import Batch, adapters, nnx, norms, objective, probes


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
        r"module\(x, {0}={1}train\), or give the probe a function of the parameters\.$"
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


@pytest.mark.sampled("slow")
@UNTRAINED
def test_a_module_that_was_not_told_to_train_is_refused(adapter, module, call):
    """One line says how to tell it, where a batch's statistics are asked for, compiled or not; in evaluation it runs."""
    model = adapter(module)
    variables = model.init(jax.random.key(0), SHIFTED)
    rule = (
        f"^module must move its statistics in training, got {type(module).__name__}, which gives all of them back as "
    )
    batch = Batch(SHIFTED, jnp.arange(16) % 3)
    message = (
        rule
        + r"they were: give call=lambda module, x, train: .*, or frozen=True where no statistic is to move, or give"
    )
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


@pytest.mark.sampled("slow")
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

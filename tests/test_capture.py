"""Activations are read from every kind of model, which stays as it is."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from bnjax import adapters, linen
from bnjax import nnx as bnjax_nnx
from bnjax.models import vgg
from bnjax.probes.activations import activation_statistics
from bnjax.probes.capture import capture
from bnjax.types import Variables


def normal(seed, *shape):
    """Draw from the standard normal distribution."""
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def narrow_vgg():
    """A VGG with batch norm and one feature per 64, its variables, and images."""
    module = vgg.VGG(vgg.VGGConfig(width=1 / 32, norm=partial(linen.BatchNorm, momentum=0.9)))
    images = jnp.asarray(normal(1, 4, 8, 8, 3), jnp.float32)
    model = adapters.from_linen(module)
    return module, model, jax.jit(model.init)(jax.random.key(0), images), images


def test_a_linen_model(narrow_vgg):
    """What comes out of norm_3 is normalised, what goes into conv_4 its ReLU; from the module and from its Model alike."""
    module, model, variables, images = narrow_vgg
    before = [np.array(leaf).tobytes() for leaf in jax.tree.leaves(variables)]
    read = jax.jit(
        lambda source, v, x, **options: capture(source, v, x, **options),
        static_argnums=0,
        static_argnames=("layers", "where"),
    )
    outputs = read(module, variables, images, layers=("norm_3", "dense_11"))
    inputs = read(model, variables, images, layers=("conv_4", "norm_3"), where="inputs")
    assert outputs["norm_3"].shape == (4, 2, 2, 8)
    found = activation_statistics(outputs["norm_3"])
    np.testing.assert_allclose(found.mean, 0, atol=1e-5)
    np.testing.assert_allclose(inputs["conv_4"], nn.relu(outputs["norm_3"]), rtol=1e-5, atol=1e-6)
    pre = inputs["norm_3"]
    expected = (pre - pre.mean((0, 1, 2), keepdims=True)) / np.sqrt(pre.var((0, 1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(outputs["norm_3"], expected, rtol=1e-3, atol=1e-5)
    logits, _ = jax.jit(partial(model.apply, train=True))(variables, images)
    np.testing.assert_allclose(outputs["dense_11"], logits, rtol=1e-4, atol=1e-6)
    assert [np.array(leaf).tobytes() for leaf in jax.tree.leaves(variables)] == before


def test_evaluation_mode(narrow_vgg):
    """With running statistics, still at mean 0 and variance 1, a normaliser only divides by (1 + epsilon)^(1/2)."""
    module, _, variables, images = narrow_vgg
    outputs, inputs = (
        jax.jit(lambda v, x, where=where: capture(module, v, x, "norm_1", where=where, train=False))(variables, images)
        for where in ("outputs", "inputs")
    )
    np.testing.assert_allclose(outputs["norm_1"], inputs["norm_1"] / np.sqrt(1 + 1e-5), rtol=1e-5, atol=1e-7)


def test_every_layer(narrow_vgg):
    """Without names all layers come, in the order of their calls."""
    module, _, variables, images = narrow_vgg
    names = []
    jax.eval_shape(lambda v, x: names.extend(capture(module, v, x)), variables._asdict(), images)
    assert names[:4] == ["conv_1", "norm_1", "conv_2", "norm_2"]
    assert names[-1] == "dense_11"
    assert len(names) == 11 + 10


class Block(nn.Module):
    """Two layers in a layer."""

    @nn.compact
    def __call__(self, x):
        """Compute outputs."""
        return nn.Dense(4, name="out")(nn.relu(nn.Dense(4, name="hidden")(x)))


class Nested(nn.Module):
    """A block, one layer called twice, one behind remat, and random layers."""

    @nn.compact
    def __call__(self, x):
        """Compute outputs."""
        x = Block(name="block")(x)
        shared = nn.Dense(4, name="shared")
        x = shared(shared(x))
        x = nn.Dropout(0.5, deterministic=False, name="drop")(x)
        _, x = nn.RNN(nn.SimpleCell(3), return_carry=True, name="rnn")(x[:, None])
        return nn.remat(nn.Dense)(2, name="hidden")(x)


@pytest.fixture(scope="module")
def nested():
    """A nested linen module with its collections, inputs and keys."""
    x, rngs = jnp.asarray(normal(1, 5, 3), jnp.float32), {"dropout": jax.random.key(2)}
    return Nested(), jax.jit(Nested().init)({"params": jax.random.key(0), **rngs}, x), x, rngs


@pytest.mark.slow
def test_nested_and_repeated_layers(nested):
    """Layers in layers are joined by "/", calls of one are numbered, and a module needs no `train`."""
    module, variables, x, rngs = nested
    inputs = capture(module, variables, x, where="inputs", rngs=rngs)
    outputs = capture(module, variables, x, rngs=rngs)
    assert {"block", "block/hidden", "block/out", "shared[0]", "shared[1]", "drop"} <= outputs.keys()
    np.testing.assert_array_equal(inputs["shared[1]"], outputs["shared[0]"])
    np.testing.assert_array_equal(inputs["block/out"], nn.relu(outputs["block/hidden"]))
    np.testing.assert_array_equal(inputs["block"], x)
    assert "rnn" not in outputs
    assert "hidden" not in outputs


@pytest.mark.slow
def test_layers_that_cannot_be_read(nested):
    """A layer of several arrays, or inside a transformation, is left out of all and named when asked for."""
    module, variables, x, rngs = nested
    read = partial(capture, module, variables, x, rngs=rngs)
    with pytest.raises(ValueError, match="layers must each have one array, but rnn is of type tuple"):
        read("rnn")
    with pytest.raises(ValueError, match="layers must each have one array, but hidden is inside a JAX transformation"):
        read(["hidden"])


class NnxNet(nnx.Module):
    """Blocks of dense layers with batch norm and dropout, in nnx."""

    def __init__(self, rngs, norm):
        self.blocks = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 4, rngs=rngs)])
        self.norm = norm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        """Compute outputs."""
        return self.drop(nnx.relu(self.norm(self.blocks[1](nnx.relu(self.blocks[0](x))))))


@pytest.mark.parametrize("norm", [nnx.BatchNorm, bnjax_nnx.BatchNorm])
def test_an_nnx_module(norm):
    """Inputs and outputs of nnx layers come by path, with and without compiling, and the module stays as it was."""
    module = NnxNet(nnx.Rngs(0), norm)
    x = jnp.asarray(normal(1, 50, 3), jnp.float32)
    state = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngKey))))
    outputs = capture(module, None, x)
    inputs = jax.jit(lambda x: capture(module, None, x, ["norm", "blocks/1"], where="inputs"))(x)
    assert list(outputs) == ["blocks/0", "blocks/1", "norm", "drop"]
    np.testing.assert_allclose(inputs["norm"], outputs["blocks/1"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inputs["blocks/1"], nnx.relu(outputs["blocks/0"]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(activation_statistics(outputs["norm"]).mean, 0, atol=1e-5)
    assert (np.asarray(outputs["drop"]) == 0).mean() > 0.5
    after = nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngKey)))
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert type(module.norm) is norm
    running = capture(module, None, x, train=False)
    np.testing.assert_allclose(running["norm"], running["blocks/1"] / np.sqrt(1 + 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(running["drop"], nnx.relu(running["norm"]), rtol=1e-6)


def test_an_nnx_module_with_other_parameters():
    """Variables that are given take the place of the module's own."""
    module = NnxNet(nnx.Rngs(0), nnx.BatchNorm)
    x = jnp.ones((2, 3))
    params, batch_stats, _ = nnx.split_state(nnx.state(module), nnx.Param, nnx.BatchStat, ...)
    zero = jax.tree.map(jnp.zeros_like, params)
    found = capture(module, Variables(zero, batch_stats), x, train=False)
    np.testing.assert_array_equal(found["blocks/0"], 0)
    assert np.abs(capture(module, None, x, "blocks/0", train=False)["blocks/0"]).max() > 0


def test_bare_functions(nested):
    """A function may return its activations, nested or not, or call linen modules."""
    found = capture(lambda w, x: {"hidden": {"pre": x @ w}, "post": jnp.tanh(x @ w)}, jnp.eye(2), jnp.ones((3, 2)))
    assert list(found) == ["hidden/pre", "post"]
    np.testing.assert_allclose(found["post"], np.tanh(1), rtol=1e-6)
    module, variables, x, rngs = nested
    through = capture(lambda v, x: module.apply(v, x, rngs=rngs), variables, x, "block/hidden")
    np.testing.assert_array_equal(through["block/hidden"], capture(module, variables, x, rngs=rngs)["block/hidden"])


def test_unknown_layers_are_named():
    """One line lists the layers that there are."""
    module = nn.Sequential([nn.Dense(4), nn.Dense(4)])
    variables = module.init(jax.random.key(0), jnp.ones((1, 3)))
    with pytest.raises(ValueError, match=r"layers must be among layers_0, layers_1, got 'conv_3'\.$"):
        capture(module, variables, jnp.ones((1, 3)), ["layers_0", "conv_3"])


def test_models_without_layers_are_refused(as_a_user):
    """A function that neither calls layers nor returns activations is told so, and so is an unknown place."""
    with pytest.raises(ValueError, match="model must call Flax layers in sight, or return a dictionary"):
        capture(lambda v, x: x, {}, jnp.ones(2))
    with pytest.raises(ValueError, match="where must be one of inputs, outputs, got 'middle'"):
        capture(lambda v, x: x, {}, jnp.ones(2), where="middle")


def test_a_random_layer_without_its_key_is_named(as_a_user):
    """Of a module as of its Model."""
    module, x = nn.Sequential([nn.Dense(3), nn.Dropout(0.5, deterministic=False)]), jnp.ones((4, 2))
    variables = module.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, x)
    with pytest.raises(ValueError, match=r"^rngs must hold a key for 'dropout', from which layers_1 draws: give rngs="):
        capture(module, variables, x)


@pytest.mark.parametrize("train", [False, True])
def test_a_module_with_further_collections(train):
    """In every form of its variables; a counter moves only in the copy."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            count = self.variable("counter", "calls", lambda: jnp.zeros((), int))
            count.value += 1
            return linen.BatchNorm(use_running_average=not train)(nn.Dense(2, name="dense")(x))

    x = jnp.arange(12.0).reshape(4, 3)
    model = adapters.from_linen(Net())
    variables = model.init(jax.random.key(0), x)
    ways = ((Net(), Net().init(jax.random.key(0), x)), (Net(), variables), (model, variables))
    found = [capture(*way, x, "dense", train=train)["dense"] for way in ways]
    np.testing.assert_array_equal(found[0], x @ variables.params["dense"]["kernel"])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_layer_that_calls_its_base_class_is_called_once():
    """What it returns is captured, not what its base class does."""

    class Doubled(nn.Dense):
        def __call__(self, x):
            return 2 * super().__call__(x)

    net, x = nn.Sequential([nn.relu, Doubled(2)]), jax.random.normal(jax.random.key(0), (6, 8))
    variables = net.init(jax.random.key(1), x)
    found = capture(net, variables, x)
    np.testing.assert_array_equal(found["layers_1"], net.apply(variables, x))

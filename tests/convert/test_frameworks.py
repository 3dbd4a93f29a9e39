"""Converted networks against the frameworks that they come from, where these are installed."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoints import assert_same, draw
from flax import linen as nn
from frameworks import MAKERS, MOMENTUM, Net, X

from bnjax import convert
from bnjax.types import Variables


def random_variables():
    """Draw variables of Net in which no two entries are alike, with positive variances."""
    shapes = jax.eval_shape(Net().init, jax.random.key(0), X)
    tree = jax.tree.map(lambda leaf: jnp.array(draw(*leaf.shape)), shapes)
    return Variables(tree["params"], tree["batch_stats"])


def as_collections(variables):
    """Name variables as Flax does."""
    return {"params": variables.params, "batch_stats": variables.batch_stats}


@pytest.fixture
def leniently(monkeypatch):
    """Let other frameworks warn and broadcast, and Keras run on JAX."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(params=MAKERS)
def foreign(request, leniently):
    """Net in each framework that is installed."""
    return MAKERS[request.param]()


def test_evaluates_as_there(foreign):
    """The converted network computes what the original does, after a few passes in training."""
    checkpoint = foreign.init()
    for _ in range(3):
        checkpoint = foreign.train(checkpoint)
    outputs = Net().apply(as_collections(foreign.load(checkpoint)), X)
    np.testing.assert_allclose(outputs, foreign.evaluate(checkpoint), atol=1e-5, rtol=1e-5)


def test_evaluates_as_here(foreign):
    """On the way back, the original framework computes what Flax does, and the way there again changes no bit.

    The template stays as it was.
    """
    variables, template = random_variables(), foreign.init()
    before = foreign.load(template)
    checkpoint = foreign.save(variables, template)
    assert_same(foreign.load(template), before)
    np.testing.assert_allclose(
        foreign.evaluate(checkpoint), Net().apply(as_collections(variables), X), atol=1e-5, rtol=1e-5
    )
    assert_same(foreign.load(checkpoint), variables)


def test_training_continues_there(foreign, request):
    """After the way back, a pass in training moves the statistics in the other framework as in Flax."""
    variables = random_variables()
    trained = foreign.load(foreign.train(foreign.save(variables, foreign.init()))).batch_stats["norm"]
    changed = Net().apply(as_collections(variables), X, train=True, mutable=["batch_stats"])[1]
    expected = changed["batch_stats"]["norm"]
    if "torch" in request.node.name:  # PyTorch records 1/(m-1)
        old, m = variables.batch_stats["norm"]["var"], 16 * 4 * 3
        expected["var"] = MOMENTUM * old + (expected["var"] - MOMENTUM * old) * m / (m - 1)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), trained, expected)


def test_untrained_networks_have_the_first_statistics_of_flax(foreign):
    """Before the first batch, mean is 0 and variance 1."""
    assert_same(foreign.load(foreign.init()).batch_stats["norm"], {"mean": jnp.zeros(4), "var": jnp.ones(4)})


def test_torch_loads_every_kind_of_module():
    """A state_dict made here loads strictly, and embeddings, 1-d convolutions and layer norms compute the same."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Embedding(7, 5), torch.nn.Conv1d(6, 4, 2, groups=2), torch.nn.LayerNorm(4))
    variables = convert.from_torch(net.state_dict(), embeddings=["0"])
    back = convert.to_torch(variables)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()}, strict=True)
    tokens = np.array([[0, 3, 6, 1, 1, 2]])

    def forward(params):
        x = nn.Embed(7, 5).apply({"params": params["0"]}, tokens).transpose(0, 2, 1)
        x = nn.Conv(4, (2,), padding="VALID", feature_group_count=2).apply({"params": params["1"]}, x)
        return nn.LayerNorm(epsilon=1e-5).apply({"params": params["2"]}, x.transpose(0, 2, 1).reshape(1, 4, 4))

    np.testing.assert_allclose(forward(variables.params), net(torch.from_numpy(tokens)).detach(), atol=1e-5)


def torch_transposed():
    """Make a transposed convolution in PyTorch; return its output for X and its converted parameters."""
    torch = pytest.importorskip("torch")
    net = torch.nn.ConvTranspose2d(3, 4, 3, stride=2)
    outputs = net(torch.from_numpy(np.array(X.transpose(0, 3, 1, 2)))).detach().numpy()
    return outputs.transpose(0, 2, 3, 1), convert.from_torch(net.state_dict()).params


def equinox_transposed():
    """Make one in Equinox."""
    eqx = pytest.importorskip("equinox")
    net = eqx.nn.ConvTranspose2d(3, 4, 3, stride=2, key=jax.random.key(0))
    return jax.vmap(net)(X.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1), convert.from_equinox(net).params


def keras_transposed():
    """Make one in Keras."""
    net = pytest.importorskip("keras").layers.Conv2DTranspose(4, 3, strides=2, name="up")
    outputs = net(X)
    return outputs, convert.from_keras({weight.path: weight.numpy() for weight in net.weights}).params["up"]


@pytest.mark.parametrize("make", [torch_transposed, equinox_transposed, keras_transposed])
def test_transposed_convolution(make, leniently):
    """A transposed convolution comes out as Flax takes it, transposed except for Equinox."""
    expected, params = make()
    is_transposed = make is not equinox_transposed
    net = nn.ConvTranspose(4, (3, 3), strides=(2, 2), padding="VALID", transpose_kernel=is_transposed)
    np.testing.assert_allclose(net.apply({"params": params}, X), expected, atol=1e-5)


def test_keras_depthwise_convolution(leniently):
    """A depthwise convolution computes the same as a Flax convolution with as many groups as channels."""
    layer = pytest.importorskip("keras").layers.DepthwiseConv2D(3, depth_multiplier=2, name="depth")
    expected = layer(X)
    weights = {weight.path: weight.numpy() for weight in layer.weights}
    params = convert.from_keras(weights, depthwise={"depth": 2}).params["depth"]
    net = nn.Conv(6, (3, 3), padding="VALID", feature_group_count=3)
    np.testing.assert_allclose(net.apply({"params": params}, X), expected, atol=1e-5)


def test_torch_tensors_that_numpy_cannot_read():
    """A bfloat16 tensor and one with a gradient are named."""
    torch = pytest.importorskip("torch")
    for tensor in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, requires_grad=True)):
        with pytest.raises(ValueError, match=r"^norm.weight must be an array that NumPy reads, got torch.*\.$"):
            convert.from_torch({"norm.weight": tensor})

"""Batch norm folded into the weights before it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from bnjax import norms
from bnjax.types import Variables

STATS = norms.BatchStats(jnp.array([0.5, -1.0, 2.0]), jnp.array([0.1, 1.0, 4.0]))
LAYERS = {
    "dense": (nn.Dense(3), (6, 5)),
    "convolution": (nn.Conv(3, (3, 3)), (2, 6, 6, 5)),
    "depthwise": (nn.Conv(3, (3,), feature_group_count=3), (2, 6, 3)),
}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("affine", ["scale and bias", "scale", "bias", "neither"])
@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_does_the_work_of_two(name, affine, with_bias):
    """The folded layer's output is that of layer and batch norm in evaluation."""
    layer, shape = LAYERS[name]
    x = jax.random.normal(jax.random.key(0), shape)
    params = layer.init(jax.random.key(1), x)["params"]
    params["bias"] = jnp.array([1.0, 2.0, -3.0]) if with_bias else jnp.zeros(3)
    scale = jnp.array([2.0, -0.5, 1.0]) if "scale" in affine else None
    bias = jnp.array([0.3, 0.0, -1.0]) if "bias" in affine else None
    expected, _ = norms.batch_norm(layer.apply({"params": params}, x), STATS, scale, bias, train=False, epsilon=1e-3)
    kernel, folded_bias = norms.fold_batch_norm(
        params["kernel"], params["bias"] if with_bias else None, STATS, scale, bias, 1e-3
    )
    folded = layer.apply({"params": {"kernel": kernel, "bias": folded_bias}}, x)
    np.testing.assert_allclose(folded, expected, atol=2e-5)


def test_types_and_misfits(as_a_user):
    """The kernel's type stays; another length raises one line."""
    kernel, bias = norms.fold_batch_norm(jnp.ones((2, 3), jnp.bfloat16), None, STATS)
    assert (kernel.dtype, bias.dtype) == (jnp.bfloat16, jnp.float32)
    with pytest.raises(
        ValueError, match=r"stats.mean must have one entry per output of the kernel, \(4,\), got shape \(3,\)"
    ):
        norms.fold_batch_norm(jnp.ones((2, 4)), None, STATS)


class Net(nn.Module):
    """Two layers with batch norm, one of them within a block, and one without."""

    has_norms: bool = True

    @nn.compact
    def __call__(self, x, *, train=False):
        """Compute outputs."""
        x = nn.Conv(3, (3, 3), use_bias=not self.has_norms, name="conv")(x)
        if self.has_norms:
            x = nn.BatchNorm(use_running_average=not train, epsilon=1e-3, name="norm")(x)
        x = nn.relu(x).mean((1, 2))
        x = Block(self.has_norms, name="block")(x, train=train)
        return nn.Dense(2, name="logits")(x)


class Block(nn.Module):
    """A dense layer, with or without batch norm."""

    has_norms: bool

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = nn.Dense(4, name="dense")(x)
        if self.has_norms:
            x = nn.BatchNorm(use_running_average=not train, epsilon=1e-3, use_scale=False, name="norm")(x)
        return jnp.tanh(x)


@pytest.mark.slow
@pytest.mark.parametrize("form", [dict, lambda v: Variables(v["params"], v["batch_stats"])], ids=["dict", "Variables"])
def test_a_whole_model(form):
    """The variables that come out are those of the model without its batch norms, and compute what that with them did."""
    x = jax.random.normal(jax.random.key(0), (6, 5, 5, 2))
    start = Net().init(jax.random.key(1), x)
    _, changed = Net().apply(start, 3 * x + 1, train=True, mutable=["batch_stats"])
    given = form({**start, **changed})
    folded = norms.fold_batch_norm(given, {"norm": "conv", "block/norm": "block/dense"}, epsilon=1e-3)
    assert type(folded) is type(given)
    params, batch_stats = folded.values() if isinstance(folded, dict) else folded
    plain = Net(has_norms=False)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, plain.init(jax.random.key(0), x)["params"])
    assert batch_stats == {}
    expected = Net().apply({**start, **changed}, x)
    np.testing.assert_allclose(plain.apply({"params": params}, x), expected, atol=2e-5)
    assert "norm" in start["params"]


def test_a_whole_module_of_nnx():
    """It is folded with the epsilon of each of its batch norms, and stays as it is."""

    class Module(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, epsilon=0.1, rngs=rngs)])

        def __call__(self, x):
            return self.layers[1](self.layers[0](x))

    module, x = Module(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (20, 3))
    module(x + 1)
    module.eval()
    folded = norms.fold_batch_norm(module, {"layers/1": "layers/0"})
    assert folded.batch_stats == {}
    ((_, dense),) = folded.params["layers"].items()
    np.testing.assert_allclose(x @ dense["kernel"] + dense["bias"][None], module(x), atol=1e-5)
    assert norms.recalibrate(module, module, [x]).params.keys() == folded.params.keys()


TREE = {"params": {"dense": {"kernel": jnp.ones((2, 3))}}, "batch_stats": {"norm": STATS._asdict()}}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: norms.fold_batch_norm(jnp.ones((2, 3), jnp.int8), None, STATS),
            "kernel must hold floating-point numbers, which folding scales, got int8: fold first, then quantise",
        ),
        (
            lambda: norms.fold_batch_norm(jnp.ones((2, 3)), jnp.ones(3, int), STATS),
            "kernel_bias must hold floating-point",
        ),
        (lambda: norms.fold_batch_norm(jnp.ones((2, 3)), None, {"mean": 0}), "stats must be a BatchStats, .* got dict"),
        (
            lambda: norms.fold_batch_norm({"dense": {}}, {"norm": "dense"}),
            "variables must be Variables, .* a dict of dense",
        ),
        (
            lambda: norms.fold_batch_norm(TREE, {"bn": "dense"}),
            "pairs must hold paths of layers, got 'bn', .* batch_stats",
        ),
        (
            lambda: norms.fold_batch_norm(TREE, {"norm": "fc"}),
            "pairs must hold paths of layers, got 'fc', .* in params",
        ),
        (lambda: norms.fold_batch_norm(TREE, None), "pairs must map batch norms to the layers before them .* NoneType"),
        (
            lambda: norms.fold_batch_norm(TREE | {"params": {"dense": {"bias": jnp.ones(3)}}}, {"norm": "dense"}),
            "pairs must map 'norm' to a layer with a kernel, got 'dense' without",
        ),
        (
            lambda: norms.fold_batch_norm(
                TREE | {"params": {"dense": {"kernel": jnp.ones((2, 4))}}}, {"norm": "dense"}
            ),
            "dense and norm: stats.mean must have one entry per output",
        ),
    ],
)
def test_misfits_are_named(call, message, as_a_user):
    """What cannot be folded raises one line."""
    with pytest.raises(ValueError, match=message):
        call()


def test_statistics_of_linen():
    """A layer's own dictionary of statistics will do."""
    kernel = jnp.ones((2, 3))
    jax.tree.map(
        np.testing.assert_array_equal,
        norms.fold_batch_norm(kernel, None, STATS._asdict()),
        norms.fold_batch_norm(kernel, None, STATS),
    )


@pytest.mark.parametrize("is_dict", [True, False])
def test_further_collections_stay(is_dict):
    """Where variables have more than parameters and statistics, both forms are folded as they are given."""
    more = {**TREE, "cache": {"size": jnp.ones(())}}
    params = {**more.pop("params"), "norm": {"scale": jnp.full(3, 7.0)}}
    given = {"params": params, **more} if is_dict else Variables(params, more)
    found = norms.fold_batch_norm(given, {"norm": "dense"}, epsilon=0.0)
    expected = norms.fold_batch_norm(
        {"params": params, "batch_stats": TREE["batch_stats"]}, {"norm": "dense"}, epsilon=0.0
    )
    folded = found if is_dict else {"params": found.params, **found.batch_stats}
    assert sorted(folded) == ["batch_stats", "cache", "params"]
    jax.tree.map(np.testing.assert_array_equal, {**folded}, {**expected, "cache": more["cache"]})

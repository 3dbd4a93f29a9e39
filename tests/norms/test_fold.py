"""Batch norm folded into the weights before it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import norms

STATS = norms.BatchStats(jnp.array([0.5, -1.0, 2.0]), jnp.array([0.1, 1.0, 4.0]))
LAYERS = {
    "dense": (nn.Dense(3), (6, 5)),
    "convolution": (nn.Conv(3, (3, 3)), (2, 6, 6, 5)),
    "depthwise": (nn.Conv(3, (3,), feature_group_count=3), (2, 6, 3)),
}


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

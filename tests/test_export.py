"""Nets are exported with a symbolic batch size: the program takes any batch, and gives what the net gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import export

from bnjax import linen, models, ops

NETS = {
    "images": (nn.Conv(4, (3, 3), conv_general_dilated=ops.conv_general_dilated), (8, 8, 3)),
    "eight channels": (nn.Conv(4, (3, 3), conv_general_dilated=ops.conv_general_dilated), (8, 8, 8)),
    "MLP": (models.MLP(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm)), (5,)),
    "group norm": (models.MLP(models.MLPConfig(hidden=(8,), norm=lambda **o: linen.GroupNorm(2, **o))), (5,)),
    "VGG": (models.VGG(models.VGGConfig(width=1 / 32, norm=linen.BatchNorm)), (32, 32, 3)),
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", NETS)
def test_any_batch(name):
    """Of one example and of seven."""
    net, shape = NETS[name]
    options = {} if isinstance(net, nn.Conv) else {"train": False}
    variables = net.init(jax.random.key(0), jnp.ones((2, *shape)), **options)
    function = jax.jit(lambda x: net.apply(variables, x, **options))
    (batch,) = export.symbolic_shape("batch")
    exported = export.export(function)(jax.ShapeDtypeStruct((batch, *shape), jnp.float32))
    for size in (1, 7):
        x = jax.random.normal(jax.random.key(size), (size, *shape))
        np.testing.assert_allclose(exported.call(x), function(x), rtol=1e-4, atol=1e-5)

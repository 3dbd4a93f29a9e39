"""A linen module as a pair of pure functions."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bnjax import adapters, linen


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

"""Features that are spread over an explicit mesh, as tensor parallelism has them, are normalised as on one device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as flax_linen
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bnjax import linen, norms

X = 3 + 2 * jax.random.normal(jax.random.key(0), (16, 8))
SPECS = [P("data"), P("data", "model"), P(None, "model")]
MASK = (jnp.arange(16) < 11)[:, None]


def module(cls):
    """Make a function of a linen module in training."""
    norm = cls(use_running_average=False)
    variables = norm.init(jax.random.key(1), X)
    return lambda x: norm.apply(variables, x, mutable=["batch_stats"])


def function(norm, **options):
    """Make a function of a normaliser with running statistics."""
    stats = norms.init_batch_stats(8)
    return lambda x: norm(x, stats, jnp.arange(8.0), jnp.ones(8), **options)


FUNCTIONS = {
    "Flax": module(flax_linen.BatchNorm),
    "linen": module(linen.BatchNorm),
    "training": function(norms.batch_norm, train=True),
    "fast": function(norms.batch_norm, train=True, use_fast_variance=True),
    "evaluation": function(norms.batch_norm, train=False),
    "masked": function(norms.batch_norm, train=True, mask=MASK),
    "l1": function(norms.lp_norm, p=1, train=True),
    "linf": function(norms.lp_norm, p="inf", train=True),
    "renorm": function(norms.batch_renorm, train=True),
    "layer": norms.layer_norm,
}


def spread(x, spec):
    """Make a mesh of four devices, and spread x over it."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), devices=jax.devices()[:4])
    return mesh, jax.device_put(x, NamedSharding(mesh, spec))


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_features_may_be_spread(name, spec):
    """The values equal a single device's, and the output is spread like x."""
    mesh, x = spread(X, spec)
    with jax.set_mesh(mesh):
        found = jax.jit(FUNCTIONS[name])(x)
        y = jax.tree.leaves(found)[0]
        assert jax.typeof(y).sharding.spec == jax.typeof(x).sharding.spec
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), found, FUNCTIONS[name](X))


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", ["training", "masked"])
def test_gradients_and_loops(name, spec):
    """So are gradients, and a loop may carry the statistics."""

    def train(x):
        def step(stats, x):
            mask = MASK if name == "masked" else None
            y, stats = norms.batch_norm(x, stats, train=True, mask=mask)
            return stats, jnp.sum(jnp.sin(y) ** 3)

        stats, losses = jax.lax.scan(
            lambda stats, i: step(stats, (1 + i) * x), norms.init_batch_stats(8), jnp.arange(2.0)
        )
        return jnp.sum(losses), stats

    differentiate = jax.value_and_grad(train, has_aux=True)
    mesh, x = spread(X, spec)
    with jax.set_mesh(mesh):
        found = jax.jit(differentiate)(x)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), found, differentiate(X))

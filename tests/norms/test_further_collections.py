"""Recalibration beside collections and statistics that it leaves as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import Batch, adapters, linen, norms, objective

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
UNEQUAL = [jnp.asarray(X[a:b]) for a, b in ((0, 7), (7, 40), (40, 41), (41, 60))]
LABELS = jnp.arange(60) % 4


def test_a_module_with_further_collections():
    """They reach the module, and come back as they were."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            gain = self.variable("constants", "gain", lambda: jnp.full((), 3.0))
            return linen.BatchNorm(use_running_average=not train)(x * gain.value)

    variables = Net().init(jax.random.key(0), jnp.asarray(X), train=True)
    found = norms.recalibrate(Net(), variables, [jnp.asarray(X)])
    assert sorted(found) == ["batch_stats", "constants", "params"]
    assert float(found["constants"]["gain"]) == 3
    np.testing.assert_allclose(found["batch_stats"]["BatchNorm_0"]["mean"], 3 * X.mean(0), atol=1e-6)


def test_a_users_own_entries_and_sown_values_stay():
    """Only statistics are replaced: neither text beside the collections nor what a module sows."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            self.sow("losses", "size", x.sum())
            return linen.BatchNorm(use_running_average=not train)(x)

    variables = {**Net().init(jax.random.key(0), jnp.asarray(X), train=True), "config": {"name": "net"}}
    found = norms.recalibrate(Net(), variables, [jnp.asarray(2 * X)])
    assert found["config"] == {"name": "net"}
    np.testing.assert_array_equal(found["losses"]["size"], variables["losses"]["size"])
    np.testing.assert_allclose(found["batch_stats"]["BatchNorm_0"]["mean"], 2 * X.mean(0), atol=1e-6)


@pytest.mark.slow
def test_what_belongs_to_the_parameters_stays():
    """The vectors of a spectral norm follow the parameters, not the data; batch norm beside it is recalibrated."""

    class Spectral(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = nn.SpectralNorm(nn.Dense(4))(x, update_stats=train)
            return nn.BatchNorm(use_running_average=not train, name="norm")(x)

    model = adapters.from_linen(Spectral())
    variables = model.init(jax.random.key(0), X)
    new = norms.recalibrate(model, variables, UNEQUAL).batch_stats
    others = [{name: leaf for name, leaf in s.items() if name != "norm"} for s in (new, variables.batch_stats)]
    jax.tree.map(np.testing.assert_array_equal, *others)
    assert jnp.all(new["norm"]["var"] != 1)
    loss = objective.make_loss_fn(
        model, variables.batch_stats, Batch(jnp.asarray(X), LABELS), statistics="recalibrated"
    )
    jax.eval_shape(jax.grad(loss.__call__), variables.params)

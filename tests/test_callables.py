"""A loss that is callable and a pytree, whatever its leaves are, is scanned like any other function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import probes

PARAMS = {"w": jnp.arange(1.0, 4.0)}


def power(kind, params):
    """Compute a sum of powers, which a word chooses."""
    return jnp.sum(params["w"] ** {"quartic": 4, "square": 2}[kind])


@jax.tree_util.register_pytree_node_class
class Loss:
    """A module whose every field is a leaf, an activation too."""

    def __init__(self, weight, activation):
        self.weight, self.activation = weight, activation

    def __call__(self, params):
        """Compute the loss."""
        return jnp.sum(self.activation(self.weight * params["w"]))

    def tree_flatten(self):
        """Take it apart."""
        return (self.weight, self.activation), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        """Put it together."""
        return cls(*leaves)


LOSSES = {
    "a name": (jax.tree_util.Partial(power, "quartic"), lambda p: power("quartic", p)),
    "a function": (Loss(jnp.arange(3.0), jnp.tanh), lambda p: jnp.sum(jnp.tanh(jnp.arange(3.0) * p["w"]))),
    "an array": (
        Loss(jnp.arange(3.0), jax.tree_util.Partial(jnp.tanh)),
        lambda p: jnp.sum(jnp.tanh(jnp.arange(3.0) * p["w"])),
    ),
}
PROBES = {
    "scan_line": lambda f: probes.scan_line(f, PARAMS).loss,
    "restricted": lambda f: probes.scan_line(*probes.restrict(f, PARAMS, "w")).loss,
    "top_eigenpairs": lambda f: probes.curvature.top_eigenpairs(f, PARAMS, key=jax.random.key(0)).eigenvalues,
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", LOSSES)
def test_is_scanned_as_a_function(name, probe):
    """Leaves may be names, functions or arrays."""
    given, plain = LOSSES[name]
    np.testing.assert_allclose(PROBES[probe](given), PROBES[probe](plain), rtol=1e-5)

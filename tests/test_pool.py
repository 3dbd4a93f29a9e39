"""Max-pooling equals Flax's, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax.pool import max_pool_2x2


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 4), (3, 2, 2, 1)])
def test_equals_flax(shape):
    """Values and gradients are Flax's, also where an odd row or column is left out."""
    x = jax.random.normal(jax.random.key(0), shape)
    theirs = lambda x: nn.max_pool(x, (2, 2), strides=(2, 2))  # noqa: E731
    np.testing.assert_array_equal(max_pool_2x2(x), theirs(x))
    gradients = [jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x))))(x) for f in (max_pool_2x2, theirs)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


def test_ties_share_the_gradient():
    """Equal maxima get equal shares that sum to the whole."""
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(max_pool_2x2(x)))(jnp.ones((1, 2, 2, 1))), 0.25)

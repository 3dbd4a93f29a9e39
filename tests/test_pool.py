"""Max-pooling equals Flax's, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from bnjax.ops import max_pool_2x2


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 4), (3, 2, 2, 1)])
def test_equals_flax(shape):
    """Values and gradients are Flax's, also where an odd row or column is left out."""
    x = jax.random.normal(jax.random.key(0), shape)
    theirs = lambda x: nn.max_pool(x, (2, 2), strides=(2, 2))  # noqa: E731
    np.testing.assert_array_equal(max_pool_2x2(x), theirs(x))
    gradients = [jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x))))(x) for f in (max_pool_2x2, theirs)]
    np.testing.assert_allclose(*gradients, rtol=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_of_equal_maxima_has_the_gradient(seed):
    """Few different values, so that most windows hold ties: gradients still are Flax's."""
    x = jax.random.randint(jax.random.key(seed), (4, 6, 6, 5), 0, 3).astype(jnp.float32)
    weights = jax.random.normal(jax.random.key(seed + 10), (4, 3, 3, 5))
    theirs = lambda x: nn.max_pool(x, (2, 2), strides=(2, 2))  # noqa: E731
    gradients = [jax.grad(lambda x, f=f: jnp.sum(weights * f(x)))(x) for f in (max_pool_2x2, theirs)]
    np.testing.assert_array_equal(*gradients)


@pytest.mark.slow
def test_differentiates_forwards_and_twice():
    """Forward mode agrees with reverse mode, in first and second order."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    check_grads(lambda x: max_pool_2x2(jnp.asarray(x)) ** 3, (x,), order=2, rtol=0.02, eps=1e-3)

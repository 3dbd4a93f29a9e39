"""Losses whose Hessians are known: quadratics by their spectrum, and a small net by a dense matrix."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from bnjax import adapters, linen, objective
from bnjax.probes import curvature
from bnjax.types import Batch

KEY = jax.random.key(0)
DIMENSION = 30
SPECTRA = {
    "indefinite": np.linspace(-3, 5, DIMENSION),
    "outliers": np.r_[-20.0, 10, 9, np.linspace(-1, 1, DIMENSION - 3)],
    "zero operator": np.zeros(DIMENSION),
    "rank one": np.r_[4.0, np.zeros(DIMENSION - 1)],
    "identity": np.ones(DIMENSION),
    "three values": np.repeat([-1.0, 0.5, 2.0], DIMENSION // 3),
}
RESULTS = {
    "top_eigenpairs": partial(curvature.top_eigenpairs, num=2),
    "trace": partial(curvature.trace, num_probes=4),
    "spectral_density": partial(curvature.spectral_density, num_matvecs=8, num_points=50),
}


def half_form(matrix, t):
    """Evaluate t'At / 2."""
    return 0.5 * t @ matrix @ t


def quadratic(eigenvalues, seed=1):
    """Make t'At / 2 with a known spectrum, as a pytree, and a point."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))
    return Partial(half_form, jnp.asarray(basis * eigenvalues @ basis.T)), jnp.asarray(rng.normal(size=len(basis)))


class Mlp(nn.Module):
    """Two dense layers with batch norm between."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = nn.Dense(4, param_dtype=x.dtype, name="first")(x)
        x = linen.BatchNorm(epsilon=self.epsilon, param_dtype=x.dtype, name="norm")(x, use_running_average=not train)
        return nn.Dense(3, param_dtype=x.dtype, name="last")(jnp.tanh(x))


def net(statistics="batch", seed=0, epsilon=1e-5, dtype=jnp.float64):
    """Make the loss of a small net with statistics that are not the initial ones, and its parameters."""
    rng = np.random.default_rng(seed)
    model = adapters.from_linen(Mlp(epsilon))
    batch = Batch(jnp.asarray(rng.normal(size=(8, 5)), dtype), jnp.asarray(rng.integers(3, size=8)))
    variables = jax.jit(model.init)(jax.random.key(seed), batch.inputs)
    params = jax.tree.map(lambda w: w + np.asarray(rng.normal(size=w.shape) * 0.3, w.dtype), variables.params)
    batch_stats = jax.tree.map(lambda s: s + jnp.asarray(rng.uniform(0, 1, s.shape), s.dtype), variables.batch_stats)
    return objective.make_loss_fn(model, batch_stats, batch, statistics=statistics), params


@jax.jit
def dense_hessian(loss_fn, params):
    """Compute the Hessian as a matrix over the parameters in the order of their paths."""
    flat, unravel = ravel_pytree(params)
    return jax.hessian(lambda flat: loss_fn(unravel(flat)))(flat)


@jax.jit
def product_and_gradient(loss_fn, params, vector):
    """Compute H v and g in compiled code."""
    return curvature.hvp(loss_fn, params, vector), jax.grad(loss_fn)(params)

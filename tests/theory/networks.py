"""Small networks with batch norm, a unit of which the theorems speak, and JAX's own derivatives of their losses."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms, theory

EXAMPLES, INPUTS, UNITS, CLASSES = 12, 16, 4, 3
INPUT_NORM = 1.7

seeds = pytest.mark.parametrize("seed", [1, 2, 3])
close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12)


def normalise(y, scale=None, bias=None, epsilon=0.0):
    """Normalise with the batch's own statistics."""
    return norms.batch_norm(y, norms.init_batch_stats(y.shape[-1]), scale, bias, train=True, epsilon=epsilon)[0]


class Network(NamedTuple):
    """Dense -> batch norm -> tanh -> dense -> batch norm -> tanh -> dense -> cross-entropy; the first unit is the one."""

    x: jax.Array
    kernels: list[jax.Array]
    scale: jax.Array
    bias: jax.Array
    labels: jax.Array
    epsilon: float

    def outputs(self):
        """Compute the outputs of the first batch norm."""
        return normalise(self.x @ self.kernels[0], self.scale, self.bias, self.epsilon)

    def loss_of_z(self, z):
        """Evaluate the loss with the unit's normalised output replaced."""
        hidden = jnp.tanh(normalise(jnp.tanh(self.outputs().at[:, 0].set(z)) @ self.kernels[1]))
        chances = jax.nn.log_softmax(hidden @ self.kernels[2])
        return -jnp.take_along_axis(chances, self.labels[:, None], 1).mean()

    def loss_of_y(self, y):
        """Evaluate the loss as a function of the unit's pre-activation, through its batch norm."""
        return self.loss_of_z(normalise(y[:, None], self.scale[:1], self.bias[:1], self.epsilon)[:, 0])

    def loss_of_weights(self, w, x):
        """Evaluate the loss as a function of the unit's weights and of its inputs."""
        return self.loss_of_y(x @ w)


class Derivatives(NamedTuple):
    """Derivatives by the unit's output z, its pre-activation y, its weights w and its inputs, all by JAX."""

    loss: jax.Array
    y: jax.Array
    z: jax.Array
    w: jax.Array
    jacobian: jax.Array
    by_z: jax.Array
    by_y: jax.Array
    by_w: jax.Array
    by_inputs: jax.Array
    hessian_z: jax.Array
    hessian_y: jax.Array
    hessian_w: jax.Array

    def hessian(self, v):
        """Multiply by d²loss/dz²."""
        return self.hessian_z @ v


@jax.jit
def differentiate(network):
    """Compute them."""
    w = network.kernels[0][:, 0]
    y, z = network.x @ w, network.outputs()[:, 0]
    of_weights = network.loss_of_weights
    return Derivatives(
        of_weights(w, network.x),
        y,
        z,
        w,
        jax.jacobian(lambda y: normalise(y[:, None], epsilon=network.epsilon)[:, 0])(y),
        jax.grad(network.loss_of_z)(z),
        jax.grad(network.loss_of_y)(y),
        *jax.grad(of_weights, (0, 1))(w, network.x),
        jax.hessian(network.loss_of_z)(z),
        jax.hessian(network.loss_of_y)(y),
        jax.hessian(of_weights)(w, network.x),
    )


def draw(seed, *, epsilon=0.0, white=False):
    """Draw a network and a batch; the rows of white inputs are orthogonal and of length `INPUT_NORM`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(EXAMPLES, INPUTS))
    x = INPUT_NORM * np.linalg.qr(x.T)[0].T if white else x
    kernels = [rng.normal(size=shape) for shape in ((INPUTS, UNITS), (UNITS, 5), (5, CLASSES))]
    labels = rng.integers(CLASSES, size=EXAMPLES)
    arrays = x, kernels, rng.uniform(0.5, 2, UNITS), rng.normal(size=UNITS), labels
    return Network(*jax.tree.map(jnp.asarray, arrays), epsilon)


def examine(network):
    """Return what the theorems see of the unit, and the derivatives to compare with."""
    found = differentiate(network)
    return theory.normalise_unit(found.y, found.by_z, network.scale[0], epsilon=network.epsilon), found


class Quadratic(NamedTuple):
    """The loss z'Hz/2 + b'z of one unit, z = scale yh."""

    h: jax.Array
    b: jax.Array
    y: jax.Array
    scale: jax.Array

    def loss_of_y(self, y):
        """Evaluate the loss through the batch norm."""
        z = normalise(y[:, None], self.scale[None])[:, 0]
        return z @ self.h @ z / 2 + self.b @ z

    def hessian(self, v):
        """Multiply by H."""
        return self.h @ v

    @property
    def unit(self):
        """What the theorems see of it."""
        unit = theory.normalise_unit(self.y, self.b, self.scale)
        return unit._replace(gradient=self.h @ (self.scale * unit.normalised) + self.b)


def draw_quadratic(seed, eigenvalues, scale):
    """Draw one with these eigenvalues of H."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(EXAMPLES, EXAMPLES)))[0]
    b, y = rng.normal(size=(2, EXAMPLES))
    return Quadratic(*map(jnp.asarray, (basis * eigenvalues @ basis.T, b, y, np.float64(scale))))


@jax.jit
def curvature_through(quadratic, x, w, offset):
    """Return g'Hg of the loss as a function of w, at the pre-activation x w + offset."""

    def loss_fn(w):
        return quadratic.loss_of_y(x @ w + offset)

    gradient = jax.grad(loss_fn)(w)
    return gradient @ jax.jvp(jax.grad(loss_fn), (w,), (gradient,))[1]


def curvature(quadratic):
    """Return g'Hg of the loss as a function of y."""
    return curvature_through(quadratic, jnp.eye(EXAMPLES), quadratic.y, jnp.zeros(EXAMPLES))

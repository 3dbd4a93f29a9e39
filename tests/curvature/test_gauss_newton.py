"""Gauss-Newton and Fisher matrices against dense ones, and the gradient's share in an eigenspace."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.flatten_util import ravel_pytree

from bnjax import Batch, Variables, adapters, objective, probes
from bnjax.probes import curvature


class Net(nn.Module):
    """A small net with batch norm."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        x = nn.tanh(nn.BatchNorm(use_running_average=not train)(nn.Dense(3)(x)))
        return nn.Dense(4)(x)


@pytest.fixture
def net(x64):
    """The net's loss, its parameters, and its logits as a function of the flat parameters."""
    x, labels = jax.random.normal(jax.random.key(0), (6, 5), float), jnp.arange(6) % 4
    model = adapters.from_linen(Net())
    params, stats = model.init(jax.random.key(1), x)
    params = jax.tree.map(lambda w: w.astype(float) + 0.1, params)
    loss_fn = objective.make_loss_fn(model, stats, Batch(x, labels))
    flat, unravel = ravel_pytree(params)

    def logits(weights):
        return model.apply(Variables(unravel(weights), stats), x, train=True)[0]

    return loss_fn, params, logits, flat, unravel


def products(loss_fn, params, unravel):
    """The Hessian, column by column."""
    columns = jax.vmap(lambda v: ravel_pytree(curvature.hvp(loss_fn, params, unravel(v)))[0])
    return columns(jnp.eye(len(ravel_pytree(params)[0])))


@pytest.mark.thorough
def test_the_fisher_matrix_of_a_softmax(net):
    """Jᵀ (diag(p) - p pᵀ) J, and the expected square of the gradient over labels that the net itself draws."""
    loss_fn, params, logits, flat, unravel = net
    jacobian, probabilities = jax.jacobian(logits)(flat), jax.nn.softmax(logits(flat))
    inner = jax.vmap(jnp.diag)(probabilities) - probabilities[:, :, None] * probabilities[:, None, :]
    gauss_newton = jnp.einsum("nai,nab,nbj->ij", jacobian, inner, jacobian) / len(probabilities)

    def of_label(n, label):
        gradient = jax.grad(lambda w: optax.softmax_cross_entropy_with_integer_labels(logits(w)[n], label))(flat)
        return probabilities[n, label] * jnp.outer(gradient, gradient)

    fisher = sum(of_label(n, label) for n in range(2) for label in range(4))
    first_two = jnp.einsum("nai,nab,nbj->ij", jacobian[:2], inner[:2], jacobian[:2])
    np.testing.assert_allclose(fisher, first_two, atol=1e-12)

    linear = objective.linearise(loss_fn, params)
    np.testing.assert_allclose(products(linear, params, unravel), gauss_newton, atol=1e-10)
    assert not np.allclose(products(loss_fn, params, unravel), gauss_newton, atol=1e-3)
    top = curvature.top_eigenpairs(linear, params, key=jax.random.key(0), tolerance=1e-8).eigenvalues
    np.testing.assert_allclose(top[0], np.linalg.eigvalsh(gauss_newton)[-1], rtol=1e-8)


@pytest.mark.slow
def test_value_and_gradient_stay(net):
    """Where the outputs are linearised, the loss is the old one to first order."""
    loss_fn, params, *_ = net
    linear = objective.linearise(loss_fn, params)
    for old, new in zip(*(jax.tree.leaves(jax.value_and_grad(f)(params)) for f in (loss_fn, linear)), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-12)


@pytest.mark.thorough
def test_functions_of_any_kind(net):
    """Outputs and a loss of one's own give the same matrix, of selected parameters, too; a penalty adds its own part."""
    loss_fn, params, logits, *_ = net

    def mean(outputs):
        return optax.softmax_cross_entropy_with_integer_labels(outputs, jnp.arange(6) % 4).mean()

    bare = curvature.gauss_newton(lambda p: logits(ravel_pytree(p)[0]), mean, params)
    linear = objective.linearise(loss_fn, params)
    vector = jax.tree.map(jnp.ones_like, params)
    for f in (bare, linear):
        assert (
            curvature.trace(f, params, key=jax.random.key(0), num_probes=2, pattern="kernel").dimension == 5 * 3 + 3 * 4
        )
    ours, others = (ravel_pytree(curvature.hvp(f, params, vector))[0] for f in (bare, linear))
    np.testing.assert_allclose(ours, others, atol=1e-12)
    penalised = objective.linearise(loss_fn.replace(l2=jnp.asarray(0.3)), params)
    np.testing.assert_allclose(ravel_pytree(curvature.hvp(penalised, params, vector))[0], others + 0.3, atol=1e-12)


@pytest.mark.thorough
def test_the_gradient_share_in_an_eigenspace(x64):
    """On a quadratic the gradient's parts along the eigenvectors are known; in the whole space they sum to 1."""
    scales = jnp.array([5.0, 3.0, 1.0])
    w = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([-1.0])}

    def loss_fn(p):
        return 0.5 * jnp.sum(scales * jnp.concatenate([p["a"], p["b"]]) ** 2)

    gradient = jax.grad(loss_fn)(w)  # 5, 6, -1
    pairs = curvature.top_eigenpairs(loss_fn, w, key=jax.random.key(0), num=3, tolerance=1e-10)
    np.testing.assert_allclose(pairs.overlap(gradient), np.array([25, 36, 1]) / 62, atol=1e-9)
    block = curvature.top_eigenpairs(loss_fn, w, key=jax.random.key(0), num=1, pattern="a")
    np.testing.assert_allclose(block.overlap(gradient), [25 / 61], atol=1e-6)
    with pytest.raises(ValueError, match=r"^vector must have the paths of the eigenvectors, but has no b\.$"):
        pairs.overlap({"a": w["a"]})


def test_losses_without_outputs_are_named(net):
    """One line says what to write."""
    loss_fn, params, *_ = net
    with pytest.raises(ValueError, match=r"^loss_fn must be from objective.make_loss_fn, got function: give probes"):
        objective.linearise(lambda p: jnp.zeros(()), params)
    with pytest.raises(ValueError, match=r"^loss_fn must have statistics 'batch' or 'running', got 'recalibrated', of"):
        objective.linearise(loss_fn.replace(statistics="recalibrated"), params)


def test_linearised_losses_share_a_program(net):
    """A new batch or place does not compile again, as with any loss from make_loss_fn."""
    loss_fn, params, *_ = net
    one = objective.linearise(loss_fn, params)
    other = objective.linearise(loss_fn, jax.tree.map(lambda w: 2 * w, params))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert float(probes.batch_sharpness([one], params).sharpness) > 0

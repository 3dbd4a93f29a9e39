"""Batch sharpness: closed forms of quadratics, dense Hessians of a net, and what stays as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import SPECTRA, dense_hessian, net, quadratic
from jax.flatten_util import ravel_pytree

from bnjax import probes
from bnjax._host.digest import digest


@pytest.mark.parametrize("name", ["indefinite", "outliers", "identity", "rank one"])
def test_quadratics_have_a_closed_form(name, x64):
    """Of t'At / 2 the gradient is At and the sharpness t'A³t / |At|², batch by batch; mean and error are over batches."""
    batches = [quadratic(scale * SPECTRA[name], seed=1) for scale in (0.5, 1.0, 3.0)]
    point = batches[0][1]
    found = probes.batch_sharpness([loss_fn for loss_fn, _ in batches], point)
    matrices = [np.asarray(loss_fn.args[0]) for loss_fn, _ in batches]
    expected = [point @ (a @ a @ a) @ point / (point @ a @ a @ point) for a in matrices]
    np.testing.assert_allclose(found.samples, expected, rtol=1e-10)
    np.testing.assert_allclose(found.gradient_norms, [np.linalg.norm(a @ point) for a in matrices], rtol=1e-10)
    np.testing.assert_allclose(found.sharpness, np.mean(expected), rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, np.std(expected, ddof=1) / np.sqrt(3), rtol=1e-8)


def test_along_an_eigenvector_it_is_the_eigenvalue(x64):
    """Where gradient descent of the whole data moves along the top eigenvector, one batch has the largest eigenvalue."""
    eigenvalues, basis = np.linspace(-1, 7, 5), np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    matrix = basis * eigenvalues @ basis.T
    found = probes.batch_sharpness([lambda t: 0.5 * t @ jnp.asarray(matrix) @ t], jnp.asarray(basis[:, -1]))
    np.testing.assert_allclose(found.sharpness, 7, rtol=1e-12)
    assert np.isnan(found.standard_error)


@pytest.mark.thorough
def test_a_net_with_batch_norm(x64):
    """Each batch is normalised by its own statistics, as in training; parameters and statistics stay as they were."""
    losses, (_, params) = [net(seed=seed)[0] for seed in (0, 1)], net()
    before = digest((losses, params))
    found = probes.batch_sharpness(losses, params)
    assert digest((losses, params)) == before
    for loss_fn, sample in zip(losses, found.samples, strict=True):
        gradient, hessian = ravel_pytree(jax.grad(loss_fn)(params))[0], dense_hessian(loss_fn, params)
        np.testing.assert_allclose(sample, gradient @ hessian @ gradient / (gradient @ gradient), rtol=1e-8)
    assert (found.objective.statistics, found.objective.batch_size) == ("batch", 8)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_gradients_whose_squares_are_out_of_range(scale):
    """A loss times a scale is as many times as sharp."""
    found = probes.batch_sharpness([lambda t: scale * jnp.sum(t**4), lambda t: jnp.sum(t**4)], jnp.array([1.0, -2.0]))
    np.testing.assert_allclose(found.samples[0] / scale, found.samples[1], rtol=1e-5)


def test_where_there_is_no_gradient():
    """No direction, no sharpness of that batch, and none on average."""
    found = probes.batch_sharpness([lambda t: jnp.sum(t**2), lambda t: jnp.sum((t - 1) ** 2)], jnp.zeros(2))
    np.testing.assert_allclose(found.samples, [np.nan, 2], rtol=1e-6)
    assert np.isnan(found.sharpness)


@pytest.mark.parametrize(
    ("losses", "params", "message"),
    [
        ([], jnp.ones(2), r"losses must be one or more, one for each batch, got none\."),
        ([lambda t: t], jnp.ones(2), r"loss_fn must return a floating-point scalar"),
        ([jnp.sum], {}, r"params must"),
        ([jnp.sum], jnp.arange(2), r"params must"),
    ],
)
def test_bad_input_is_one_line(losses, params, message):
    """It names what is wrong."""
    with pytest.raises(ValueError, match=message) as error:
        probes.batch_sharpness(losses, params)
    assert "\n" not in str(error.value)

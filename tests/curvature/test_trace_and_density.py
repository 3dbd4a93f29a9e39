"""Trace and spectral density: exact cases, and standard errors that cover the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import KEY, SPECTRA, quadratic

from bnjax.probes import curvature


def test_trace_of_a_diagonal(x64):
    """One probe is exact for a diagonal Hessian, and has no standard error."""
    estimate = curvature.trace(lambda t: jnp.sum(jnp.arange(5.0) * t**2), jnp.ones(5), key=KEY, num_probes=1)
    assert estimate.trace == estimate.samples[0] == 20
    assert jnp.isnan(estimate.standard_error)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.thorough
def test_standard_errors_cover_the_truth(seed, x64):
    """Trace and density are within four standard errors, and the trace's is the known one, within a third."""
    eigenvalues = np.sort(SPECTRA["outliers"])
    loss_fn, params = quadratic(eigenvalues, seed)
    estimate = curvature.trace(loss_fn, params, key=jax.random.key(seed), num_probes=128)
    np.testing.assert_allclose(estimate.trace, eigenvalues.sum(), atol=4 * float(estimate.standard_error))
    matrix = np.asarray(loss_fn.args[0])
    variance = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
    np.testing.assert_allclose(estimate.standard_error, np.sqrt(variance / 128), rtol=1 / 3)
    density = curvature.spectral_density(
        loss_fn, params, key=jax.random.key(seed), num_matvecs=30, num_probes=64, width=1.0, num_points=200
    )
    truth = np.exp(-0.5 * (np.asarray(density.grid)[:, None] - eigenvalues) ** 2).mean(1) / np.sqrt(2 * np.pi)
    assert (np.abs(density.density - truth) <= 4 * density.standard_error + 1e-10).mean() > 0.98


@pytest.mark.parametrize("name", SPECTRA)
def test_density_integrates_to_one(name, x64):
    """The integral of the density is 1 and its mean the nodes' mean, also for the zero operator and the identity."""
    loss_fn, params = quadratic(SPECTRA[name])
    density = curvature.spectral_density(loss_fn, params, key=KEY, num_matvecs=12)
    np.testing.assert_allclose(np.trapezoid(density.density, density.grid), 1, atol=1e-5)
    mean = jnp.sum(density.nodes * density.weights, axis=1).mean()
    np.testing.assert_allclose(np.trapezoid(density.density * density.grid, density.grid), mean, atol=1e-4)
    np.testing.assert_allclose(density.weights.sum(1), 1)


def test_density_on_a_given_grid(x64):
    """The grid and the width are the caller's."""
    loss_fn, params = quadratic(SPECTRA["identity"])
    density = curvature.spectral_density(loss_fn, params, key=KEY, grid=[1.0, 2.0], width=0.5)
    peak = 1 / np.sqrt(2 * np.pi) / 0.5
    np.testing.assert_allclose(density.density, [peak, peak * np.exp(-2)], rtol=1e-10)
    np.testing.assert_array_equal(density.grid, [1, 2])

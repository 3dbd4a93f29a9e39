"""Extreme eigenpairs: known spectra, in float64 and float32, with residuals and flags."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import KEY, SPECTRA, quadratic

from bnjax import objective, train
from bnjax.probes import curvature


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("which", ["top", "bottom", "magnitude"])
@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra(name, which, x64):
    """Three pairs come out to 1e-10 with their residuals and flags, also where the Krylov space is smaller than the basis."""
    eigenvalues = SPECTRA[name]
    loss_fn, params = quadratic(eigenvalues)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, which=which, tolerance=1e-11)
    order = {"top": -eigenvalues, "bottom": eigenvalues, "magnitude": -np.abs(eigenvalues)}[which]
    np.testing.assert_allclose(pairs.eigenvalues, eigenvalues[np.argsort(order)[:3]], atol=1e-10)
    vectors = pairs.eigenvectors[""]
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-10)
    residuals = jnp.linalg.norm(vectors @ loss_fn.args[0] - pairs.eigenvalues[:, None] * vectors, axis=1)
    np.testing.assert_allclose(pairs.residuals, residuals, atol=1e-13)
    assert pairs.converged.all()
    assert pairs.num_matvecs < 300


@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.thorough
def test_known_spectra_in_float32(name, scale):
    """In float32 they come out to 1e-5 of the largest, where rounding blurs breakdowns, also if their squares vanish."""
    loss_fn, params = quadratic(SPECTRA[name] * scale)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=1e-5)
    expected = np.sort(SPECTRA[name])[:-4:-1]
    np.testing.assert_allclose(pairs.eigenvalues / scale, expected, atol=1e-5 * np.abs(SPECTRA[name]).max())
    assert pairs.converged.all()


def small_at_the_bottom(smallest):
    """Make a spectrum whose largest value is 1000, and its smallest far smaller."""
    return np.r_[1000.0, 300, np.linspace(0, 10, 96), smallest, smallest / 2]


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("smallest", [-1.0, -0.1, -0.01])
def test_a_small_pair_has_its_own_digits(smallest, x64):
    """Beside a large value the smallest comes out to the tolerance of itself."""
    loss_fn, params = quadratic(small_at_the_bottom(smallest))
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, which="bottom")
    np.testing.assert_allclose(pairs.eigenvalues, [smallest], rtol=1e-4)
    assert pairs.converged.all()
    assert (pairs.residuals <= 1e-4 * abs(smallest)).all()


@pytest.mark.slow
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("which", ["top", "bottom", "magnitude"])
@pytest.mark.parametrize(
    "smallest", [-1.0, *(pytest.param(s, marks=pytest.mark.thorough) for s in (-0.1, -0.01, -1e-3))]
)
def test_what_has_converged_is_right(smallest, which):
    """In float32 a small value may be lost in rounding, but then is not called converged, nor is one after few products."""
    eigenvalues = small_at_the_bottom(smallest)
    loss_fn, params = quadratic(eigenvalues)
    for limit in (21, 40, 300):
        pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, which=which, num=2, max_matvecs=limit)
        distances = np.abs(eigenvalues[:, None] - np.asarray(pairs.eigenvalues)).min(0)
        sizes = np.abs(pairs.eigenvalues)
        # Eight units of the precision of the largest.
        allowed = np.where(sizes < 1e-3, 1e-3, 1e-4 * sizes)
        assert (distances <= allowed)[np.asarray(pairs.converged)].all()
    assert pairs.converged.all() or which == "bottom"


@pytest.mark.slow
def test_products_run_out(x64):
    """With too few products the flags say so, and the residuals still bound the distance to an eigenvalue."""
    eigenvalues = np.linspace(-3, 5, 200)
    loss_fn, params = quadratic(eigenvalues)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=2, max_matvecs=12)
    assert not pairs.converged.any()
    assert pairs.num_matvecs == 12 + 2
    distances = np.abs(eigenvalues[:, None] - np.asarray(pairs.eigenvalues)).min(0)
    assert (distances <= pairs.residuals).all()


@pytest.mark.slow
def test_float32_and_half_precision_together():
    """Parameters of several types are one Hessian; its eigenvectors are float32, as a direction in the type of each."""
    params = {"a": jnp.ones(3), "b": jnp.ones(2, jnp.bfloat16)}
    loss_fn = lambda p: jnp.sum(p["a"] ** 2) + 4 * jnp.sum(p["b"].astype(jnp.float32) ** 2)  # noqa: E731
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=0.01)
    np.testing.assert_allclose(pairs.eigenvalues, [8, 8, 2], rtol=0.01)
    assert pairs.eigenvectors["b"].dtype == jnp.float32
    assert jax.tree.map(lambda d: d.dtype, pairs.direction(params)) == jax.tree.map(lambda w: w.dtype, params)
    assert pairs.converged.all()


@pytest.mark.parametrize("trainer", ["batch_norm"], indirect=True)
@pytest.mark.thorough
def test_float32_net_converges(trainer, state, synthetic):
    """On a net in float32 the default tolerance is met, within the default number of products."""
    batch = train.current_batch(trainer, state, synthetic.train)
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
    pairs = curvature.top_eigenpairs(loss_fn, state.params, key=KEY, num=2)
    assert pairs.converged.all()
    assert (pairs.residuals <= 1e-4 * pairs.eigenvalues[0]).all()

"""Lanczos iterations: moments, breakdowns, another library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax.probes.lanczos import expand, init_krylov, ritz

DIMENSION = 30


def matrix(eigenvalues, seed):
    """Make a symmetric matrix with a known spectrum, and a vector."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))
    return jnp.asarray(basis * eigenvalues @ basis.T), jnp.asarray(rng.normal(size=len(eigenvalues)))


def moments(a, start, num):
    """Compute v'A^j v for v = start / |start| and j from 0."""
    a, v = np.asarray(a), np.asarray(start) / np.linalg.norm(start)
    return [v @ np.linalg.matrix_power(a, power) @ v for power in range(num)]


@jax.jit
def decompose(a, start):
    """Run 10 steps."""
    return expand(lambda v: a @ v, init_krylov(start, 10), 0, jax.random.key(0))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moments(x64, seed):
    """Ten steps reproduce v'A^j v to 1e-10 up to j = 19, and not at j = 20."""
    a, start = matrix(np.linspace(-1, 1, DIMENSION), seed)
    nodes, vectors = ritz(decompose(a, start))
    for power, moment in enumerate(moments(a, start, 21)):
        error = abs(np.sum(np.asarray(vectors)[0] ** 2 * np.asarray(nodes) ** power) - moment)
        assert error < 1e-10 if power < 20 else error > 1e-9


SPECTRA = {
    "zero operator": np.zeros(DIMENSION),
    "rank one": np.r_[4.0, np.zeros(DIMENSION - 1)],
    "identity": np.ones(DIMENSION),
    "three values": np.repeat([-1.0, 0.5, 2.0], DIMENSION // 3),
    "no breakdown": np.linspace(-1, 1, DIMENSION),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_basis_stays_orthonormal_and_projection_exact(name, x64):
    """Also where the Krylov space ends before the basis, Q Q' = 1 and the projection is Q A Q', to rounding."""
    a, start = matrix(SPECTRA[name], 1)
    krylov = decompose(a, start)
    q = krylov.vectors
    np.testing.assert_allclose(q @ q.T, np.eye(10), atol=1e-13)
    upper = jnp.triu(q @ a @ q.T)
    np.testing.assert_allclose(jnp.triu(krylov.projected), upper, atol=1e-13)


@pytest.mark.parametrize("name", SPECTRA)
def test_quadrature_survives_breakdowns(name, x64):
    """The vectors that were put in have no weight: v'f(A)v is right for polynomials of low degree."""
    a, start = matrix(SPECTRA[name], 2)
    nodes, vectors = ritz(decompose(a, start))
    for power, moment in enumerate(moments(a, start, 8)):
        mine = np.sum(np.asarray(vectors)[0] ** 2 * np.asarray(nodes) ** power)
        np.testing.assert_allclose(mine, moment, rtol=1e-10, atol=1e-12)


def test_start_inside_an_eigenspace(x64):
    """From an eigenvector, the other eigenvalues are found all the same, with no weight."""
    a = jnp.diag(jnp.arange(10.0))
    nodes, vectors = ritz(decompose(a, jnp.eye(10)[3]))
    np.testing.assert_allclose(nodes, np.arange(10), atol=1e-12)
    np.testing.assert_allclose(vectors[0] ** 2, np.eye(10)[3], atol=1e-12)


def test_agrees_with_matfree(x64):
    """Where nothing breaks down, nodes and weights are matfree's to 1e-10."""
    decomp = pytest.importorskip("matfree.decomp")
    a, start = matrix(SPECTRA["no breakdown"], 3)
    theirs = decomp.tridiag_sym(10)(lambda v: a @ v, start)
    values, vectors = np.linalg.eigh(theirs.J_small)
    nodes, mine = ritz(decompose(a, start))
    np.testing.assert_allclose(nodes, values, atol=1e-10)
    np.testing.assert_allclose(mine[0] ** 2, vectors[0] ** 2, atol=1e-10)


def test_not_a_number_stays():
    """A NaN product makes everything NaN, and the program ends."""
    nodes, _ = ritz(decompose(jnp.full((3, 3), jnp.nan), jnp.ones(3)))
    assert jnp.isnan(nodes).all()

"""The Hessian of a loss by its products with vectors: extreme eigenpairs, trace and spectral density.

H is the Hessian of the loss exactly as given, at parameters in their own types: for a mean loss, it is the mean's, for any
batch size; it has the statistics mode of the loss. With a `pattern`, H is restricted to the parameters that it selects (a
diagonal block), and the dimension is the number of their entries. No value raises an error: a NaN in a product
makes the results NaN, and no pair converged. A loss from `gauss_newton` has the Gauss-Newton or Fisher matrix in place of H.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import dot
from bnjax.probes.gauss_newton import gauss_newton as gauss_newton
from bnjax.probes.hessian import block_operator, select_block
from bnjax.probes.hessian import hvp as hvp
from bnjax.probes.lanczos import Which, are_converged, eigenpairs, quadrature
from bnjax.probes.points import compiled, probed_info
from bnjax.probes.results import Word, band
from bnjax.probes.spectra import EigenPairs as EigenPairs
from bnjax.probes.spectra import SpectralDensity as SpectralDensity
from bnjax.probes.spectra import Trace as Trace
from bnjax.types import LossFn, ObjectiveInfo, Params


@checked()
@with_precision
def top_eigenpairs(
    loss_fn: LossFn,
    params: Params,
    *,
    key: Array,
    num: int = 1,
    which: Which = "top",
    tolerance: float = 1e-4,
    max_matvecs: int = 300,
    basis_size: int | None = None,
    pattern: str | None = None,
    precision: str | None = None,
) -> EigenPairs:
    """Find extreme eigenvalues and eigenvectors of the Hessian, with residuals.

        H v = eigenvalue v, |v| = 1

    by thick-restart Lanczos iterations with full reorthogonalisation (see `lanczos.eigenpairs`), which continue with a random
    vector if the Krylov space ends. They keep `basis_size` vectors of the selected parameters' size in memory, and half as many
    more during a restart. An eigenvalue that is exactly multiple may be found fewer times than it occurs, unless the basis
    spans the whole space: one starting vector sees one of its eigenvectors, and others only by rounding.

    Args:
        loss_fn: scalar loss of the parameters; from `objective.make_loss_fn` it is compiled once for all batches of a shape,
            any other function is compiled at every call.
        params: where the Hessian is taken.
        key: PRNG key of the starting vector.
        num: how many pairs.
        which: the algebraically largest ("top"), smallest ("bottom"), or those of largest absolute value ("magnitude").
        tolerance: of |H v - eigenvalue v|, relative to |eigenvalue|, so that a pair that has converged is no further from an
            eigenvalue than that share. A small one, such as the smallest of a net, needs more products than the largest. In
            float32, rounding decides near 1e-6 of the largest |eigenvalue|: by the default, an eigenvalue below a hundredth of
            that may not converge, except where it and its residual are both 0 to within rounding.
        max_matvecs: limit of Hessian products, not counting one more per pair for its residual.
        basis_size: vectors in memory; None is 2 num + 1, but at least 20. More of them need fewer products.
        pattern: regular expression for the paths of the parameters to restrict H to; None is all.
        precision: of products, as in `evaluate_points`.

    Returns:
        EigenPairs.

    Raises:
        ValueError: if an argument is out of its range or `which` unknown, `num` is larger than the dimension, the pattern
            matches nothing, there are no parameters, or the loss is not a scalar.

    Example:
        >>> from bnjax.probes import curvature
        >>> def loss_fn(w):
        ...     return jnp.sum(jnp.arange(1.0, 4.0) * w**2) / 2
        >>> pairs = curvature.top_eigenpairs(loss_fn, jnp.ones(3), key=jax.random.key(0))
        >>> print(f"{pairs.eigenvalues[0]:.3f}", pairs.converged)
        3.000 [ True]
    """
    dimension = _dimension(params, pattern)
    if which not in get_args(Which):
        raise ValueError(f"which must be one of {', '.join(get_args(Which))}, got {which!r}.")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}.")
    _check_counts(num=num)
    if num > dimension:
        raise ValueError(f"num must be <= {dimension}, the number of selected entries, got {num}.")
    size = max(2 * num + 1, 20) if basis_size is None else basis_size
    _check_counts(min(num + 1, dimension), basis_size=size, max_matvecs=max_matvecs)
    options = {"num": num, "which": which, "basis_size": min(size, max_matvecs, dimension), "max_matvecs": max_matvecs}
    find = compiled(_top_eigenpairs, loss_fn, pattern=pattern, **options)
    values, vectors, residuals, converged, count = find(params, key, jnp.asarray(tolerance, jnp.float32))
    provenance = _provenance(loss_fn, params, pattern, key)
    return EigenPairs(values, vectors, residuals, converged, count, dimension, Word(which), *provenance)


@checked()
@with_precision
def trace(
    loss_fn: LossFn,
    params: Params,
    *,
    key: Array,
    num_probes: int = 32,
    pattern: str | None = None,
    precision: str | None = None,
) -> Trace:
    """Estimate the trace of the Hessian, with its standard error.

        trace = mean over probes of vᵀHv, v with entries +1 or -1

    Source: Hutchinson 1990, doi:10.1080/03610919008812866. The estimate is unbiased; a sample's variance is twice the sum of
    the squares off the diagonal, so that one probe is exact for a diagonal H. One vector at a time is in memory.

    Args:
        loss_fn: scalar loss of the parameters; compiled as in `top_eigenpairs`.
        params: where the Hessian is taken.
        key: PRNG key of the probes.
        num_probes: how many, one Hessian product each.
        pattern: regular expression for the paths of the parameters to restrict H to; None is all.
        precision: of products, as in `evaluate_points`.

    Returns:
        Trace.

    Raises:
        ValueError: if there is no probe, the pattern matches nothing, there are no parameters, or the loss is not a scalar.

    Example:
        >>> from bnjax.probes import curvature
        >>> found = curvature.trace(lambda w: jnp.sum(jnp.arange(1.0, 4.0) * w**2) / 2, jnp.ones(3), key=jax.random.key(0))
        >>> print(found.trace, found.standard_error)  # exact for a Hessian that is diagonal
        6.0 0.0
    """
    dimension = _dimension(params, pattern)
    _check_counts(num_probes=num_probes)
    samples = compiled(_trace_samples, loss_fn, num_probes=num_probes, pattern=pattern)(params, key)
    summary = band(samples)
    return Trace(summary.mean, summary.standard_error, samples, dimension, *_provenance(loss_fn, params, pattern, key))


@checked()
@with_precision
def spectral_density(
    loss_fn: LossFn,
    params: Params,
    *,
    key: Array,
    num_matvecs: int = 64,
    num_probes: int = 4,
    grid: ArrayLike | Sequence[float] | None = None,
    num_points: int = 1024,
    width: float | None = None,
    pattern: str | None = None,
    precision: str | None = None,
) -> SpectralDensity:
    """Estimate the density of the Hessian's eigenvalues by stochastic Lanczos quadrature.

        density(x) = mean over probes of sum over nodes of weight * Normal(x; node, width²)

    where the nodes of a probe are the Ritz values of `num_matvecs` Lanczos steps from a random vector of signs, and the
    weights the squared first entries of their eigenvectors: the Gauss quadrature of vᵀf(H)v / dimension, exact for polynomials
    of degree up to 2 num_matvecs - 1. Source: Ghorbani et al. 2019, arXiv:1901.10159. In memory are `num_matvecs` vectors of
    the selected parameters' size; probes run one after another.

    Args:
        loss_fn: scalar loss of the parameters; compiled as in `top_eigenpairs`.
        params: where the Hessian is taken.
        key: PRNG key of the probes.
        num_matvecs: Lanczos steps, and Hessian products, of each probe; no more than the dimension are taken.
        num_probes: how many.
        grid: eigenvalues at which the density is computed; None is `num_points` of equal distance from five widths below
            the smallest node to five above the largest, over which the density integrates to 1.
        num_points: length of that grid.
        width: standard deviation of the smoothing; None is 1 % of the largest |node|, or 0.01 where all are 0. A grid whose
            steps are larger than this misses peaks.
        pattern: regular expression for the paths of the parameters to restrict H to; None is all.
        precision: of products, as in `evaluate_points`.

    Returns:
        SpectralDensity.

    Raises:
        ValueError: if a count is < 1, the grid or the width is not as described, the pattern matches nothing, there are no
            parameters, or the loss is not a scalar.

    Example:
        >>> from bnjax.probes import curvature
        >>> found = curvature.spectral_density(lambda w: 1.5 * jnp.sum(w**2), jnp.ones(4), key=jax.random.key(0), num_points=64)
        >>> print(f"{found.grid[found.density.argmax()]:.1f}")
        3.0
    """
    dimension = _dimension(params, pattern)
    _check_counts(num_matvecs=num_matvecs, num_probes=num_probes, num_points=num_points)
    _check_smoothing(grid, width)
    options = {"num_matvecs": min(num_matvecs, dimension), "num_probes": num_probes, "num_points": num_points}
    estimate = compiled(_spectral_density, loss_fn, pattern=pattern, **options)
    given = None if grid is None else jnp.asarray(grid)
    points, density, error, deviation, nodes, weights = estimate(params, key, given, width)
    provenance = _provenance(loss_fn, params, pattern, key)
    return SpectralDensity(points, density, error, deviation, nodes, weights, dimension, *provenance)


def _top_eigenpairs(
    loss_fn: LossFn,
    params: Params,
    key: Array,
    tolerance: Array,
    *,
    pattern: str | None,
    num: int,
    which: Which,
    basis_size: int,
    max_matvecs: int,
) -> tuple[Array, dict[str, Array], Array, Array, Array]:
    """Find eigenpairs and measure their residuals."""
    matvec, flat, unravel = block_operator(loss_fn, params, pattern)
    start_key, restart_key = jax.random.split(key)
    start = jax.random.normal(start_key, flat.shape, flat.dtype)
    sizes = {"num": num, "basis_size": basis_size, "max_matvecs": max_matvecs}
    pairs, residuals = eigenpairs(matvec, start, restart_key, tolerance, which=which, **sizes)
    vectors = jax.vmap(unravel)(pairs.vectors)
    converged = are_converged(pairs, residuals, tolerance)
    return pairs.values, vectors, residuals, converged, pairs.num_matvecs + num


def _trace_samples(
    loss_fn: LossFn, params: Params, key: Array, *, num_probes: int, pattern: str | None
) -> Float[Array, " probes"]:
    """Compute vᵀHv for vectors of signs."""
    matvec, flat, _ = block_operator(loss_fn, params, pattern)

    def sample(key: Array) -> Array:
        signs = jax.random.rademacher(key, flat.shape, flat.dtype)
        return dot(signs, matvec(signs))

    return jax.lax.map(sample, jax.random.split(key, num_probes))


def _spectral_density(
    loss_fn: LossFn,
    params: Params,
    key: Array,
    grid: Array | None,
    width: Array | None,
    *,
    pattern: str | None,
    num_matvecs: int,
    num_probes: int,
    num_points: int,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Compute grid, density, standard error, width, nodes and weights."""
    matvec, flat, _ = block_operator(loss_fn, params, pattern)

    def run_probe(key: Array) -> tuple[Array, Array]:
        start_key, restart_key = jax.random.split(key)
        return quadrature(matvec, jax.random.rademacher(start_key, flat.shape, flat.dtype), restart_key, num_matvecs)

    nodes, weights = jax.lax.map(run_probe, jax.random.split(key, num_probes))
    if width is None:
        scale = jnp.max(jnp.abs(nodes))
        width = 0.01 * jnp.where(scale == 0, 1, scale)
    width = jnp.asarray(width, flat.dtype)
    if grid is None:
        grid = jnp.linspace(nodes.min() - 5 * width, nodes.max() + 5 * width, num_points)
    grid = jnp.asarray(grid, flat.dtype)
    density = band(jax.vmap(_smooth, in_axes=(0, 0, None, None))(nodes, weights, grid, width))
    return grid, density.mean, density.standard_error, width, nodes, weights


def _smooth(nodes: Array, weights: Array, grid: Array, width: Array) -> Float[Array, " points"]:
    """Evaluate a sum of Gaussians."""
    distances = (grid[:, None] - nodes[None]) / width
    return jnp.sum(weights[None] * jnp.exp(-0.5 * distances**2), axis=1) / (width * math.sqrt(2 * math.pi))


def _provenance(
    loss_fn: LossFn, params: Params, pattern: str | None, key: Array
) -> tuple[str | None, Array, ObjectiveInfo]:
    """Return the provenance fields of every result."""
    return None if pattern is None else Word(pattern), jax.random.key_data(key), probed_info(loss_fn, params)


def _dimension(params: Params, pattern: str | None) -> int:
    """Count the selected entries."""
    return sum(jnp.size(leaf) for leaf in select_block(params, pattern).values())


def _check_counts(smallest: int = 1, **counts: int) -> None:
    """Raise unless all are whole numbers, and large enough."""
    for name, value in counts.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < smallest:
            raise ValueError(f"{name} must be a whole number >= {smallest}, got {value}.")


def _check_smoothing(grid: ArrayLike | Sequence[float] | None, width: float | None) -> None:
    """Raise unless the grid is a list of finite numbers and the width positive; traced values are not checked."""
    if width is not None and not isinstance(width, Tracer) and not 0 < width < math.inf:
        raise ValueError(f"width must be > 0 and finite, got {width}.")
    if grid is None:
        return
    is_finite = isinstance(grid, Tracer) or np.isfinite(np.asarray(grid)).all()
    if np.ndim(grid) != 1 or not np.size(grid) or not is_finite:
        raise ValueError(f"grid must be a non-empty list of finite numbers, got {grid}.")

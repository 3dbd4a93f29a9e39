"""Effects of batch norm on the loss as a function of the weights: Theorems 4.4 and C.1, Lemma 4.5, scale invariance."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import between, checked
from bnjax.theory.activations import curvature_bound, gradient_bound
from bnjax.theory.units import Operator, Scalar, Unit, vdot


@checked()
def plain_weight_gradient_bound(unit: Unit, input_norm: float | Scalar) -> Scalar:
    """Bound the squared norm of the plain network's gradient by the unit's weights: lambda² |g|².

    The maximum of |X' g|² over all inputs X, (examples, inputs), with spectral norm up to lambda, `input_norm`. Source:
    Santurkar et al. 2018, Theorem 4.4, where it is g_j.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, 1.0]), jnp.array([3.0, 4.0]))
        >>> print(theory.plain_weight_gradient_bound(unit, 2.0))
        100.0
    """
    return input_norm**2 * vdot(unit.gradient, unit.gradient)


@checked()
def weight_gradient_bound(unit: Unit, input_norm: float | Scalar, *, as_printed: bool = False) -> Scalar:
    """Bound the squared norm of the gradient by the unit's weights w, where y = X w.

        |X' gh|² <= (scale² / std²) (lambda² |g|² - lambda² m mean(g)² - (lambda² / m) <g, yh>²)

    The right-hand side is the maximum over all X with spectral norm up to lambda, with yh, std and g kept as they are: an
    equality where X X' = lambda² I and epsilon is 0. Source: Santurkar et al. 2018, Theorem 4.4.
    Deviation: printed is (scale² / std²) (g_j² - m mean(g)² - lambda² <g, yh>²) with g_j = lambda² |g|², which squares a
    square once more, and has lost lambda² and 1/m of the proof. It can be less than the left-hand side, even negative.

    Args:
        unit: whose weights they are.
        input_norm: lambda, the spectral norm of the layer's inputs, (examples, inputs), or more.
        as_printed: the printed form instead.

    Returns:
        The right-hand side.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 0.0, 0.0]))
        >>> print(theory.weight_gradient_bound(unit, 3.0), theory.plain_weight_gradient_bound(unit, 3.0))
        18.0 36.0
    """
    if not as_printed:
        return input_norm**2 * gradient_bound(unit)
    g, plain = unit.gradient, plain_weight_gradient_bound(unit, input_norm)
    remaining = plain**2 - g.size * g.mean() ** 2 - input_norm**2 * vdot(g, unit.normalised) ** 2
    return (unit.scale / unit.std) ** 2 * remaining


@checked()
def weight_curvature_bound(unit: Unit, hessian: Operator, input_norm: float | Scalar) -> Scalar:
    """Return the curvature along the gradient by the unit's weights w, y = X w, for white inputs.

        (X' gh)' (d²loss/dw²) (X' gh) = lambda⁴ ((scale² / std²) gh' H gh - (scale / (m std²)) <g, yh> |gh|²)

    for X X' = lambda² I and epsilon 0. Source: Santurkar et al. 2018, Theorem C.1, the counterpart of 4.2 for weights.
    Deviation: given for these inputs alone. The maximum over all X with spectral norm up to lambda can be larger, even with
    yh, std and g kept as they are, as X X' can turn gh towards directions of larger curvature.

    Args:
        unit: whose weights they are.
        hessian: maps v to H v, as for `pre_activation_hessian_product`.
        input_norm: lambda, the spectral norm of the layer's inputs, (examples, inputs).

    Returns:
        The right-hand side.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([0.0, 0.0, 0.0, 2.0]))
        >>> print(theory.curvature_bound(unit, lambda v: v), theory.weight_curvature_bound(unit, lambda v: v, 2.0))
        1.0 16.0
    """
    return input_norm**4 * curvature_bound(unit, hessian)


@checked()
def nearest_scaled_optimum(start: Float[Array, "*shape"], optimum: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return k W* with k = <W*, W0> / |W*|²: with batch norm every k W*, k > 0, is as good as W*.

    Source: Santurkar et al. 2018, Lemma 4.5. NaN where <W*, W0> is not positive, as no k > 0 is the nearest.

    Args:
        start: W0, the weights in front of one batch norm.
        optimum: W*, of the same shape and units.

    Returns:
        The nearest of these optima to the start.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> from bnjax import theory
        >>> print(theory.nearest_scaled_optimum(jnp.array([3.0, 1.0]), jnp.array([1.0, 0.0])))
        [3. 0.]
    """
    inner, square = _products(start, optimum)
    share = inner / square
    return jnp.where(share > 0, share, jnp.nan) * optimum


@checked()
def optimum_distance_bound(start: Float[Array, "*shape"], optimum: Float[Array, "*shape"]) -> Scalar:
    """Bound the squared distance from the start to the nearest optimum of the normalised network.

        |W0 - Wh*|² <= |W0 - W*|² - (|W*|² - <W*, W0>)² / |W*|²

    Source: Santurkar et al. 2018, Lemma 4.5. An equality for `nearest_scaled_optimum`, which takes the same arguments; NaN
    where that is NaN.

    Example:
        >>> from bnjax import theory
        >>> start, optimum = jnp.array([3.0, 1.0]), jnp.array([1.0, 0.0])
        >>> print(theory.optimum_distance_bound(start, optimum), jnp.sum((start - optimum) ** 2))
        1.0 5.0
    """
    inner, square = _products(start, optimum)
    bound = jnp.sum((start - optimum) ** 2) - (square - inner) ** 2 / square
    return jnp.where(inner > 0, bound, jnp.nan)


@checked(factor=between(0, above=True))
def rescaled_gradient(gradient: Float[Array, "*shape"], factor: float | Scalar) -> Float[Array, "*shape"]:
    """Return the gradient at a W, a = `factor` > 0, from that at W: dloss/d(a W) = (1/a) dloss/dW.

    As BN((a W) u) = BN(W u) with epsilon 0, while the gradient by u is the same at both. Source: Ioffe & Szegedy 2015,
    Sec. 3.3.

    Example:
        >>> from bnjax import theory
        >>> print(theory.rescaled_gradient(jnp.array([1.0, 4.0]), 2.0))
        [0.5 2. ]
    """
    return gradient / factor


def _products(start: Array, optimum: Array) -> tuple[Scalar, Scalar]:
    """Return <W*, W0> and |W*|²."""
    if start.shape != optimum.shape:
        raise ValueError(f"start and optimum must have one shape, got {start.shape} and {optimum.shape}.")
    return vdot(optimum, start), vdot(optimum, optimum)

"""Effects of batch norm on the loss as a function of the activations: the right-hand sides of Theorems 4.1 and 4.2."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from bnjax._host.arguments import checked
from bnjax.theory.units import Operator, Scalar, Unit, Vector, pre_activation_gradient, vdot


@checked()
def preserving_scale_and_bias(pre_activation: Vector) -> tuple[Scalar, Scalar]:
    """Return the scale and the bias with which batch norm changes no activation: std (1/m) and mean, in units of y.

    So every minimum of the plain network is one that the normalised network can reach, and `gradient_bound` is at most
    |g|². Source: Santurkar et al. 2018, Observation 4.3.

    Example:
        >>> from bnjax import theory
        >>> print(*theory.preserving_scale_and_bias(jnp.array([1.0, 5.0])))
        2.0 3.0
    """
    return pre_activation.std(), pre_activation.mean()


@checked()
def gradient_bound(unit: Unit) -> Scalar:
    """Bound the squared norm of the gradient by y.

        |gh|² <= (scale² / std²) (|g|² - <1, g>² / m - <g, yh>² / m)

    Source: Santurkar et al. 2018, Theorem 4.1. With epsilon 0 it is an equality. Otherwise the right-hand side is larger by
    (scale² / std²) (<g, yh>² / m) epsilon / (var + epsilon).

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 0.0, 0.0]))
        >>> gradient = theory.pre_activation_gradient(unit)
        >>> print(theory.gradient_bound(unit), jnp.sum(gradient**2))
        2.0 2.0
    """
    g = unit.gradient
    removed = g.sum() ** 2 / g.size + vdot(g, unit.normalised) ** 2 / g.size
    return (unit.scale / unit.std) ** 2 * (vdot(g, g) - removed)


@checked()
def curvature_bound(unit: Unit, hessian: Operator) -> Scalar:
    """Bound the curvature of the loss along its own gradient by y.

        gh' (d²loss/dy²) gh <= (scale² / std²) gh' H gh - (scale / (m std²)) <g, yh> |gh|²

    Source: Santurkar et al. 2018, Theorem 4.2, first line. With epsilon 0 it is an equality; other epsilons are not covered.

    Args:
        unit: of which the loss is a function.
        hessian: maps v to H v, as for `pre_activation_hessian_product`.

    Returns:
        The right-hand side.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([0.0, 0.0, 0.0, 2.0]))
        >>> gradient = theory.pre_activation_gradient(unit)
        >>> product = theory.pre_activation_hessian_product(unit, lambda v: v, gradient)
        >>> print(theory.curvature_bound(unit, lambda v: v), gradient @ product)
        1.0 1.0
    """
    gh = pre_activation_gradient(unit)
    return (unit.scale / unit.std) ** 2 * vdot(gh, hessian(gh)) - _subtracted_curvature(unit)


@checked()
def relaxed_curvature_bound(unit: Unit, hessian: Operator) -> Scalar:
    """Bound the same curvature by that of the plain network along the plain gradient.

        gh' (d²loss/dy²) gh <= (scale² / std²) (g' H g - <g, yh> |gh|² / (m scale))

    Source: Santurkar et al. 2018, Theorem 4.2, second line, as printed. It holds where gh' H gh <= g' H g. That is more than
    the paper's premise, that H preserves the relative norms of g and gh: H = I does, and yet |gh| > |g| is possible where
    scale > std. Arguments as for `curvature_bound`.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([0.0, 0.0, 0.0, 2.0]))
        >>> print(theory.curvature_bound(unit, lambda v: v), theory.relaxed_curvature_bound(unit, lambda v: v))
        1.0 3.0
    """
    plain = vdot(unit.gradient, hessian(unit.gradient))
    return (unit.scale / unit.std) ** 2 * plain - _subtracted_curvature(unit)


@checked()
def is_smoothed(unit: Unit) -> Bool[Array, ""]:
    """Return whether the term that `curvature_bound` subtracts is positive: scale <g, yh> > 0.

    Then, where H is positive, the curvature is less than (scale² / std²) gh' H gh. Source: Santurkar et al. 2018, Sec. 4.2.
    The mean over units and steps is the fraction of them that fulfil the condition; <g, yh> is the gradient by the scale.
    Deviation: the paper asks for <g, yh> > 0, which is the same for a positive scale only.

    Example:
        >>> from bnjax import theory
        >>> y, g = jnp.array([-1.0, 1.0]), jnp.array([0.0, 2.0])
        >>> print(theory.is_smoothed(theory.normalise_unit(y, g)), theory.is_smoothed(theory.normalise_unit(y, -g)))
        True False
    """
    return unit.scale * vdot(unit.gradient, unit.normalised) > 0


def _subtracted_curvature(unit: Unit) -> Scalar:
    """Return (scale / (m std²)) <g, yh> |gh|²."""
    gh, g = pre_activation_gradient(unit), unit.gradient
    return unit.scale / unit.std**2 * jnp.mean(g * unit.normalised) * vdot(gh, gh)

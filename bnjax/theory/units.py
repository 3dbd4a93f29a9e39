"""One normalised unit on one batch, and the derivatives of the loss by its pre-activations."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked

Vector = Float[Array, " examples"]
Scalar = Float[Array, ""]
Operator = Callable[[Vector], Vector]

# NOTE: by default accelerators round the operands of products.
vdot = partial(jnp.vdot, precision="highest")


class Unit(NamedTuple):
    """One normalised unit on one batch.

    Attributes:
        normalised: yh, (examples,), without unit.
        std: of the pre-activation, sqrt(var + epsilon) with var by 1/m; in units of y.
        scale: gamma in the paper.
        gradient: g, of the loss by the output z of the batch norm, (examples,).
    """

    normalised: Vector
    std: Scalar
    scale: Scalar
    gradient: Vector


@checked()
def normalise_unit(
    pre_activation: Vector, gradient: Vector, scale: float | Scalar = 1.0, *, epsilon: float | Scalar = 0.0
) -> Unit:
    """Collect the quantities of a unit that the theorems need.

    Args:
        pre_activation: y, (examples,).
        gradient: g, of the loss by the batch norm's output at this y, (examples,).
        scale: gamma, (); the bias has no effect.
        epsilon: added to the variance, in units of y squared. The paper's statements are for 0.

    Returns:
        Unit; NaN where all examples are equal and epsilon is 0.

    Raises:
        ValueError: if the arrays are not two vectors of one length.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([1.0, 5.0]), jnp.array([1.0, 0.0]), 3.0)
        >>> print(unit.normalised, unit.std, unit.scale)
        [-1.  1.] 2.0 3.0
    """
    if pre_activation.ndim != 1 or gradient.shape != pre_activation.shape:
        shapes = f"{pre_activation.shape} and {gradient.shape}"
        raise ValueError(f"pre_activation and gradient must be vectors over the same examples, got {shapes}.")
    centred = pre_activation - pre_activation.mean()
    std = jnp.sqrt(jnp.mean(centred**2) + epsilon)
    return Unit(centred / std, std, jnp.asarray(scale, std.dtype), gradient)


@checked()
def normalisation_jacobian(unit: Unit) -> Float[Array, "examples examples"]:
    """Return d yh_b / d y_k = ([b = k] - 1/m - yh_b yh_k / m) / std, (examples, examples), in units of 1/y.

    Source: Santurkar et al. 2018, Fact C.1. Holds with any epsilon.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([1.0, 5.0]), jnp.array([1.0, 0.0]))
        >>> print(abs(theory.normalisation_jacobian(unit)).max())  # two examples become -1 and 1, wherever they are
        0.0
    """
    m = unit.normalised.size
    return (jnp.eye(m, dtype=unit.std.dtype) - 1 / m - jnp.outer(unit.normalised, unit.normalised) / m) / unit.std


@checked()
def pre_activation_gradient(unit: Unit) -> Vector:
    """Return gh = (scale / std) P g, the gradient of the loss by y, (examples,).

    Source: Santurkar et al. 2018, Fact C.2. Holds with any epsilon; P is a projection only with 0.

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 0.0, 0.0]))
        >>> print(theory.pre_activation_gradient(unit))
        [ 1. -1.  0.  0.]
    """
    return unit.scale / unit.std * _project(unit, unit.gradient)


@checked()
def pre_activation_hessian_product(unit: Unit, hessian: Operator, vector: Vector) -> Vector:
    """Multiply a vector by the Hessian of the loss by y.

        (scale² / std²) P H P v - (scale / (m std²)) (P g <yh, v> + <g, yh> P v + yh <g, P v>)

    Source: Santurkar et al. 2018, proof of Theorem 4.2, all terms kept. Holds with any epsilon.

    Args:
        unit: of which the loss is a function.
        hessian: maps v to H v, (examples,) to (examples,); H need not be diagonal, nor positive.
        vector: v, (examples,).

    Returns:
        The product, (examples,).

    Example:
        >>> from bnjax import theory
        >>> unit = theory.normalise_unit(jnp.array([-1.0, -1.0, 1.0, 1.0]), jnp.zeros(4))
        >>> print(theory.pre_activation_hessian_product(unit, lambda v: 2 * v, jnp.array([1.0, 0.0, 0.0, 0.0])))
        [ 1. -1.  0.  0.]
    """
    if vector.shape != unit.normalised.shape:
        raise ValueError(f"vector must have the unit's shape, {unit.normalised.shape}, got {vector.shape}.")
    yh, g, m = unit.normalised, unit.gradient, vector.size
    projected = _project(unit, vector)
    through = unit.scale**2 * _project(unit, hessian(projected))
    bent = _project(unit, g) * vdot(yh, vector) + vdot(g, yh) * projected + yh * vdot(g, projected)
    return (through - unit.scale / m * bent) / unit.std**2


def _project(unit: Unit, vector: Vector) -> Vector:
    """Apply P."""
    return vector - vector.mean() - unit.normalised * jnp.mean(unit.normalised * vector)

"""Theorems 4.1 and 4.2 against derivatives that JAX takes through a small network with batch norm, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import EXAMPLES, UNITS, close, curvature, draw, draw_quadratic, examine, normalise, seeds

from bnjax import theory

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.sampled("slow")
@seeds
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 1.0])
def test_derivatives_through_batch_norm(seed, epsilon):
    """Facts C.1 and C.2 and the full Hessian are JAX's, with any epsilon."""
    unit, found = examine(draw(seed, epsilon=epsilon))
    close(theory.normalisation_jacobian(unit), found.jacobian)
    close(theory.pre_activation_gradient(unit), found.by_y)
    columns = jax.vmap(lambda v: theory.pre_activation_hessian_product(unit, found.hessian, v))(jnp.eye(EXAMPLES))
    close(columns, found.hessian_y)


@seeds
def test_hessian_with_the_projector_written_out(seed):
    """With epsilon 0 the product is that of the matrix in which P g is split into its parts."""
    unit, found = examine(draw(seed))
    yh, gt, m = unit.normalised, unit.gradient - unit.gradient.mean(), EXAMPLES
    centring, aligned = np.eye(m) - 1 / m, unit.gradient @ yh
    p = centring - np.outer(yh, yh) / m
    bent = np.outer(gt, yh) + np.outer(yh, gt) - 3 / m * aligned * np.outer(yh, yh) + aligned * centring
    expected = (unit.scale / unit.std) ** 2 * (p @ found.hessian_z @ p - bent / (m * unit.scale))
    close(theory.pre_activation_hessian_product(unit, found.hessian, gt), expected @ gt)


@seeds
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 1.0])
def test_gradient_bound(seed, epsilon):
    """Theorem 4.1 is an equality with epsilon 0; with more, the bound is above by what the docstring says."""
    unit, found = examine(draw(seed, epsilon=epsilon))
    lost = epsilon / (found.y.var() + epsilon)
    gap = (unit.scale / unit.std) ** 2 * (unit.gradient @ unit.normalised) ** 2 / EXAMPLES * lost
    close(theory.gradient_bound(unit), found.by_y @ found.by_y + gap)
    assert epsilon == 0 or found.by_y @ found.by_y < theory.gradient_bound(unit)


@seeds
def test_curvature_bound(seed):
    """Theorem 4.2 is an equality with epsilon 0, though H is neither diagonal nor positive."""
    unit, found = examine(draw(seed))
    assert jnp.linalg.eigvalsh(found.hessian_z)[0] < 0
    assert jnp.abs(found.hessian_z - jnp.diag(jnp.diag(found.hessian_z))).max() > 1e-3
    close(theory.curvature_bound(unit, found.hessian), found.by_y @ found.hessian_y @ found.by_y)


@seeds
def test_preserving_scale_and_bias(seed):
    """Observation 4.3: activations stay what they were, and the gradient by them does not grow."""
    network = draw(seed)
    y = network.x @ network.kernels[0][:, 0]
    scale, bias = theory.preserving_scale_and_bias(y)
    close(normalise(y[:, None], scale[None], bias[None])[:, 0], y)
    network = network._replace(scale=network.scale.at[0].set(scale), bias=network.bias.at[0].set(bias))
    unit, found = examine(network)
    close(found.z, y)
    assert found.by_y @ found.by_y < found.by_z @ found.by_z
    close(theory.gradient_bound(unit), found.by_y @ found.by_y)


@seeds
def test_relaxed_curvature_bound(seed):
    """The second line of Theorem 4.2 holds for H = c I where scale <= std, and not always where scale is larger."""
    for scale, holds in ((0.5, True), (3.0, False)):
        case = draw_quadratic(seed, np.full(EXAMPLES, 0.1), scale)
        assert (case.scale <= case.unit.std) == holds
        close(theory.curvature_bound(case.unit, case.hessian), curvature(case))
        assert (curvature(case) <= theory.relaxed_curvature_bound(case.unit, case.hessian)) == holds


@seeds
@pytest.mark.parametrize("scale", [1.5, -1.5])
def test_smoother_where_the_condition_holds(seed, scale):
    """For a positive H the curvature is below the rescaled one exactly where scale <g, yh> > 0, for either sign of scale."""
    case = draw_quadratic(seed, np.arange(1.0, EXAMPLES + 1), scale)
    told = []
    for shift in (20.0, -20.0):
        # b moves along yh: <g, yh> changes its sign, P g does not change.
        shifted = case._replace(b=case.b + shift * case.unit.normalised)
        gh = theory.pre_activation_gradient(shifted.unit)
        rescaled = (shifted.unit.scale / shifted.unit.std) ** 2 * gh @ case.h @ gh
        told.append(bool(theory.is_smoothed(shifted.unit)))
        assert told[-1] == (curvature(shifted) < rescaled)
    assert told == [scale > 0, scale < 0]


@seeds
def test_many_units_under_jit_and_vmap(seed):
    """Mapped over the units of a layer, in a compiled program, a bound is what it is for each."""
    rng = np.random.default_rng(seed)
    y, g, scale = (jnp.asarray(rng.normal(size=s)) for s in ((EXAMPLES, UNITS), (EXAMPLES, UNITS), UNITS))

    def measure(y, g, scale):
        unit = theory.normalise_unit(y, g, scale)
        curvature = theory.curvature_bound(unit, lambda v: 2 * v)
        return theory.gradient_bound(unit), curvature, theory.weight_gradient_bound(unit, 2.0), theory.is_smoothed(unit)

    mapped = jax.jit(jax.vmap(measure, in_axes=(1, 1, 0)))(y, g, scale)
    for i in range(UNITS):
        for found, expected in zip(mapped, measure(y[:, i], g[:, i], scale[i]), strict=True):
            close(found[i], expected)


def test_wrong_shapes_are_told_in_a_line(as_a_user):
    """Shapes that are not those of one unit's examples are named."""
    with pytest.raises(ValueError, match=r"^pre_activation and gradient must be vectors .* \(12,\) and \(11,\)\.$"):
        theory.normalise_unit(jnp.ones(12), jnp.ones(11))
    with pytest.raises(ValueError, match=r"^pre_activation and gradient must be vectors .* \(12, 4\) and \(12, 4\)\.$"):
        theory.normalise_unit(jnp.ones((12, 4)), jnp.ones((12, 4)))

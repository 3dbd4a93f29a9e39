"""Theorems 4.4 and C.1, Lemma 4.5 and scale invariance against derivatives by JAX, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from networks import (
    EXAMPLES,
    INPUT_NORM,
    INPUTS,
    UNITS,
    close,
    curvature_through,
    differentiate,
    draw,
    draw_quadratic,
    examine,
    seeds,
)

from bnjax import theory

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.sampled("slow")
@seeds
@pytest.mark.parametrize("white", [False, True])
def test_weight_gradient_bound(seed, white):
    """Theorem 4.4 holds for any inputs, and is an equality for white ones; so is the bound for the plain network."""
    network = draw(seed, white=white)
    unit, found = examine(network)
    input_norm = jnp.linalg.norm(network.x, 2)
    plain = jnp.sum((found.by_z @ network.x) ** 2)
    bounds = theory.weight_gradient_bound(unit, input_norm), theory.plain_weight_gradient_bound(unit, input_norm)
    assert found.by_w @ found.by_w <= bounds[0] * (1 + 1e-12)
    assert plain <= bounds[1] * (1 + 1e-12)
    if white:
        close(bounds, (found.by_w @ found.by_w, plain))
    g, yh, m = unit.gradient, unit.normalised, EXAMPLES
    remaining = input_norm**2 * (g @ g - m * g.mean() ** 2 - (g @ yh) ** 2 / m)
    close(bounds[0], (unit.scale / unit.std) ** 2 * remaining)


@seeds
def test_printed_weight_gradient_bound_fails(seed):
    """As printed, Theorem 4.4 bounds a square by a negative number where g is small and lies near yh."""
    case = draw_quadratic(seed, np.full(EXAMPLES, 0.01), scale=1.0)
    case = case._replace(b=0.01 * case.b + 0.1 * case.unit.normalised)
    g, yh, factor = case.unit.gradient, case.unit.normalised, (case.unit.scale / case.unit.std) ** 2
    printed = INPUT_NORM**4 * (g @ g) ** 2 - EXAMPLES * g.mean() ** 2 - INPUT_NORM**2 * (g @ yh) ** 2
    close(theory.weight_gradient_bound(case.unit, INPUT_NORM, as_printed=True), factor * printed)
    # With white inputs X the gradient by the weights is X' gh, of norm lambda |gh|.
    squared = INPUT_NORM**2 * jnp.sum(theory.pre_activation_gradient(case.unit) ** 2)
    close(theory.weight_gradient_bound(case.unit, INPUT_NORM), squared)
    assert printed < 0 < squared


@seeds
def test_weight_curvature_bound(seed):
    """Theorem C.1 is an equality for white inputs."""
    unit, found = examine(draw(seed, white=True))
    bound = theory.weight_curvature_bound(unit, found.hessian, INPUT_NORM)
    close(bound, found.by_w @ found.hessian_w @ found.by_w)


@seeds
def test_weight_curvature_is_not_a_maximum_over_inputs(seed):
    """Inputs of the same norm, mean, std and yh, that turn the gradient, have more curvature than white ones."""
    case = draw_quadratic(seed, np.arange(1.0, EXAMPLES + 1) ** 3, scale=1.0)
    unit, gh = case.unit, theory.pre_activation_gradient(case.unit)
    columns = [theory.pre_activation_hessian_product(unit, case.hessian, v) for v in jnp.eye(EXAMPLES)]
    steep = jnp.linalg.eigh(jnp.stack(columns))[1][:, -1]
    turned = gh / jnp.linalg.norm(gh) + jnp.sign(gh @ steep) * steep
    turned = turned - turned.mean() - unit.normalised * jnp.mean(turned * unit.normalised)
    x = INPUT_NORM * jnp.stack([v / jnp.linalg.norm(v) for v in (unit.normalised, turned)], axis=1)
    w = jnp.array([unit.std * np.sqrt(EXAMPLES) / INPUT_NORM, 0.0])
    close(x @ w + case.y.mean(), case.y)
    close(jnp.linalg.norm(x, 2), INPUT_NORM)
    found = curvature_through(case, x, w, jnp.full(EXAMPLES, case.y.mean()))
    assert found > theory.weight_curvature_bound(unit, case.hessian, INPUT_NORM)


@seeds
def test_scale_invariance(seed):
    """With a W, a > 0, the loss and the gradient by the inputs stay, the one by W is divided by a; <w, g> = 0, H w = -g."""
    network = draw(seed)
    found = differentiate(network)
    np.testing.assert_allclose(found.w @ found.by_w, 0, atol=1e-14)
    close(found.hessian_w @ found.w, -found.by_w)
    for factor in (0.25, 2.0, 7.0):
        kernels = [network.kernels[0].at[:, 0].multiply(factor), *network.kernels[1:]]
        scaled = differentiate(network._replace(kernels=kernels))
        close(scaled.loss, found.loss)
        close(scaled.by_inputs, found.by_inputs)
        close(scaled.by_w, theory.rescaled_gradient(found.by_w, factor))
    with pytest.raises(ValueError, match="factor must be > 0 and finite, got 0"):
        theory.rescaled_gradient(found.by_w, 0)


@seeds
def test_optimum_distance_bound(seed):
    """Lemma 4.5 is an equality for the nearest multiple of the optimum, nearer than all others, and NaN if none is."""
    start, optimum = jnp.asarray(np.random.default_rng(seed).normal(size=(2, INPUTS, UNITS)))
    optimum = optimum * jnp.sign(jnp.vdot(start, optimum))
    bound, nearest = theory.optimum_distance_bound(start, optimum), theory.nearest_scaled_optimum(start, optimum)
    close(jnp.sum((start - nearest) ** 2), bound)
    share = jnp.vdot(nearest, optimum) / jnp.vdot(optimum, optimum)
    close(bound, jnp.sum((start - optimum) ** 2) - jnp.vdot(optimum, optimum) * (1 - share) ** 2)
    for factor in (0.5 * share, 1.1 * share, 1.0):
        assert bound < jnp.sum((start - factor * optimum) ** 2)
    assert jnp.isnan(theory.optimum_distance_bound(start, -optimum))
    assert jnp.isnan(theory.nearest_scaled_optimum(start, -optimum)).all()


def test_different_shapes_are_told_in_a_line(as_a_user):
    """Weights of different shapes are named."""
    for measure in (theory.optimum_distance_bound, theory.nearest_scaled_optimum):
        with pytest.raises(ValueError, match=r"^start and optimum must have one shape, got \(3,\) and \(3, 1\)\.$"):
            measure(jnp.ones(3), jnp.ones((3, 1)))

"""Results show themselves in a line of text, and as pictures where pictures are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import (
    W,
    X,
    activations,
    control,
    density,
    dependence,
    gradients,
    lines,
    pairs,
    plane,
    quadratic,
    rises,
    sharpness,
    shift,
    traces,
    trajectory,
)

import bnjax.draw  # noqa: F401  # whose import lets results draw themselves
from bnjax import Batch, objective, probes
from bnjax.types import Model, Variables

RESULTS = {
    "LineScan": lambda: probes.scan_line(quadratic, W, step_sizes=(0.1, 0.2)),
    "lines": lines,
    "Barrier": lambda: probes.barrier(quadratic, X, W, num_points=3),
    "PlaneScan": plane,
    "PrincipalAxes": lambda: trajectory()[1],
    "SpectralDensity": density,
    "EigenPairs": pairs,
    "Trace": traces,
    "BatchSharpness": sharpness,
    "RelativeSharpness": rises,
    "LayerDependence": dependence,
    "MomentControl": control,
    "GradientStatistics": gradients,
    "CovariateShift": shift,
    "ActivationStatistics": activations,
}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_readable_line_and_a_picture(name):
    """Nobody sees arrays of thousands of numbers; a notebook gets the bytes of a PNG."""
    result = RESULTS[name]()
    line = repr(result)
    assert line.startswith(f"{type(result).__name__}(")
    assert "\n" not in line
    assert len(line) < 800
    assert "Array(" not in line
    assert type(result)._repr_png_(result).startswith(b"\x89PNG")


def test_a_line_says_shapes_ranges_and_how_the_loss_was_made():
    """The reader sees how many points, what came out, and of which statistics."""
    scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=(0.25, 0.5))
    assert "loss[2] 0 to 0.75; " in repr(scan)
    assert "gradient_norm 3.464; " in repr(scan)
    assert repr(scan).endswith("; norm 'global'; effective_smoothness 2)")

    def apply(variables, x, *, train, rngs=None):
        return x @ variables.params, {}

    model = Model(lambda key, x: Variables(jnp.eye(2), {}), apply)
    batch = Batch(jnp.ones((5, 2)), jnp.zeros(5, int))
    loss_fn = objective.make_loss_fn(model, {}, batch)
    assert "batch statistics, batch of 5; " in repr(probes.scan_line(loss_fn, jnp.eye(2), step_sizes=(0.1,)))


def test_what_was_not_measured_is_left_out_and_what_overflowed_is_counted():
    """NaN in every place means not measured; some infinite losses are part of the result."""
    scan = probes.scan_line(quadratic, W, W, step_sizes=(0.1, 0.2), gradients=False)
    assert "gradient_distance" not in repr(scan)
    assert "effective_smoothness" not in repr(scan)
    assert "loss[3] 1 to 2 (1 not finite)" in repr(scan._replace(loss=jnp.array([1.0, 2.0, np.inf])))


def test_results_that_have_no_numbers_yet_are_shown_by_their_shapes():
    """Tracers and deleted arrays have shapes only; showing them never fails."""
    seen = []
    scan = probes.scan_line(quadratic, W, step_sizes=(0.1, 0.2))
    jax.jit(lambda loss: seen.append(repr(scan._replace(loss=loss))))(scan.loss)
    assert "loss[2] float32" in seen[0]
    gone = scan.loss + 0
    gone.delete()
    assert "loss[2] float32" in repr(scan._replace(loss=gone))


def test_a_result_without_a_picture_is_shown_as_text():
    """Results that are stacked twice have no figure, and a notebook falls back to the line."""
    twice = jax.tree.map(lambda values: jnp.stack([jnp.stack([values] * 2)] * 2), gradients())
    assert twice._repr_png_() is None
    assert repr(twice).startswith("GradientStatistics(")

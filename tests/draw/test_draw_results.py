"""Every result of a probe has a figure that can be read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import (
    W,
    X,
    Y,
    activations,
    assert_readable,
    control,
    dead_activations,
    density,
    dependence,
    first,
    gradients,
    lines,
    pairs,
    plane,
    planes,
    quadratic,
    rises,
    sharpness,
    shift,
    traces,
    trajectory,
    walled,
)

from bnjax import draw, probes
from bnjax.draw import style
from bnjax.probes import curvature
from bnjax.probes.results import registered

RESULTS = {
    "line": lambda: first(lines()),
    "lines": lines,
    "lines of one point": lambda: lines(sizes=(0.1,)),
    "line that diverges": lambda: probes.scan_line(walled, W, step_sizes=np.linspace(0, 1, 9)),
    "line of NaN": lambda: probes.scan_line(lambda p: jnp.nan * quadratic(p), W, W, gradients=False),
    "line over magnitudes": lambda: probes.scan_line(quadratic, W, step_sizes=np.geomspace(1e-3, 1e3, 13)),
    "barrier": lambda: probes.barrier(quadratic, X, Y, num_points=3),
    "barriers": lambda: jax.vmap(lambda s: probes.barrier(lambda p: quadratic(p, s), X, Y, num_points=9))(jnp.ones(2)),
    "barrier of NaN": lambda: probes.barrier(lambda p: jnp.nan * quadratic(p), X, Y, num_points=3),
    "plane": plane,
    "plane with a wall": lambda: plane(walled),
    "plane of one row": lambda: plane(xs=(0.5,)),
    "plane of one point": lambda: plane(xs=(0.0,), ys=(0.0,)),
    "strip": lambda: plane(ys=(-0.01, 0.01)),
    "constant plane": lambda: plane(lambda p: 0 * quadratic(p) + 5.0),
    "plane of NaN": lambda: plane(lambda p: jnp.nan * quadratic(p)),
    "planes": planes,
    "path": lambda: trajectory()[1],
    "density": density,
    "density of one probe": lambda: density(num_probes=1),
    "density of NaN": lambda: density(lambda p: jnp.nan * quadratic(p)),
    "pairs": pairs,
    "pairs that did not converge": lambda: pairs(max_matvecs=12),
    "trace": lambda: curvature.trace(quadratic, W, key=jax.random.key(0), num_probes=5),
    "traces": traces,
    "sharpness": sharpness,
    "rises": rises,
    "dependence": dependence,
    "control": control,
    "gradients": gradients,
    "gradients of one step": lambda: first(gradients()),
    "shift": shift,
    "shifts": lambda: jax.tree.map(lambda v: jnp.stack([v, 2 * v, v]), shift()),
    "activations": activations,
    "drift": lambda: probes.drift(activations()),
    "drift of dead units": lambda: probes.drift(dead_activations()),
    "moved": lambda: probes.drift(activations()).successive,
    "moved once": lambda: first(probes.drift(activations()).successive),
    "activations of one step": lambda: first(activations()),
}
QUICK = (
    "drift",
    "planes",
    "traces",
    "sharpness",
    "rises",
    "lines",
    "plane with a wall",
    "pairs",
    "gradients",
    "dependence",
    "control",
)


@pytest.mark.sampled("slow")
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.thorough) for name in RESULTS]
)
def test_every_result_has_a_readable_figure(name):
    """Stacked or not, with few points, NaN or nothing finite at all: no text is cut off or hidden."""
    assert_readable(draw.figure(RESULTS[name]()))


@pytest.mark.slow
def test_every_registered_result_has_a_figure():
    """Whatever can be loaded can be drawn."""
    drawn = (
        *QUICK,
        "barrier",
        "density",
        "path",
        "shift",
        "activations",
        "moved",
    )  # the others are of these classes again
    assert {type(RESULTS[name]()) for name in drawn} == set(registered().values())


def test_a_result_without_a_drawing():
    """What no probe returns is named."""
    with pytest.raises(ValueError, match=r"result must be one of LineScan, .*, got int\."):
        draw.figure(3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (1234.5, "1234"),
        (1e-4, "$10^{-4}$"),
        (-25000, "$-2.5·10^{4}$"),
        (np.inf, "not finite"),
    ],
)
def test_numbers_are_short(value, text):
    """Powers of ten where a number would be long."""
    assert style.number(value) == text

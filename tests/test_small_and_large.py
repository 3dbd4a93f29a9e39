"""Norms of numbers whose squares leave the range of float32: every probe measures them as it measures those in the middle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import models, objective, probes
from bnjax.probes import directions
from bnjax.types import Batch

pytestmark = pytest.mark.slow

SCALES = [1e-25, 1e25]
START = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.array([[0.3, 1.0], [2.0, -1.0]])}


def loss(t, scale=1.0):
    """Sum fourth powers and a product of the two arrays, times a scale."""
    a, b = t["a"], t["b"]
    return scale * (jnp.sum(a**4) + jnp.sum(b**2) + jnp.sum(a[:2] * b[0]))


def close(found, expected):
    """Compare to rounding."""
    np.testing.assert_allclose(found, expected, rtol=3e-5)


@pytest.mark.parametrize("norm", ["global", "sum_of_layers"])
@pytest.mark.parametrize("scale", SCALES)
def test_lines(scale, norm):
    """A loss times a scale has the line of the loss, times the scale, and the same cosines."""
    steps, direction = np.array([0.0, 0.01, 0.02, 0.03]), jax.tree.map(jnp.ones_like, START)
    scaled, plain = (
        probes.scan_line(lambda t, s=s: loss(t, s), START, direction, steps, norm=norm) for s in (scale, 1.0)
    )
    for name in ("gradient_distance", "gradient_norm", "slope", "start_slope"):
        close(getattr(scaled, name) / scale, getattr(plain, name))
    close(scaled.gradient_cosine, plain.gradient_cosine)
    close(scaled.effective_smoothness / scale, plain.effective_smoothness)
    downhill, unscaled = (
        probes.scan_line(lambda t, s=s: loss(t, s), START, None, steps / s, norm=norm) for s in (scale, 1.0)
    )
    close(downhill.direction_norm / scale, unscaled.direction_norm)
    close(downhill.gradient_cosine, unscaled.gradient_cosine)
    # Its slope is the square of a gradient, which is out of range: nothing is known, and nothing is found wrong.
    for scan in (scaled, downhill):
        assert scan.check().agrees, str(scan.check())
    assert scaled.check().is_decided == plain.check().is_decided


@pytest.mark.parametrize("scale", SCALES)
def test_planes(scale):
    """Short and long directions have lengths and an angle."""
    x, y = (directions.random(jax.random.key(i), START) for i in (0, 1))
    short = jax.tree.map(lambda leaf: leaf * scale, x)
    scaled, plain = (probes.scan_plane(loss, START, d, y, [0.0], [0.0]) for d in (short, x))
    close(scaled.norm_x / scale, plain.norm_x)
    close(scaled.cosine, plain.cosine)


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_by_layer(scale):
    """A layer whose gradient is small or large beside another's has its own norms, distance and cosine."""
    gradient, previous = ({"a": t["a"] * scale, "b": t["b"]} for t in (START, jax.tree.map(jnp.cos, START)))
    found = probes.gradient_statistics(gradient, previous, gradient, previous)
    a, b = (np.asarray(t["a"], float) for t in (gradient, previous))
    norm = np.linalg.norm
    expected = [norm(a), norm(a), norm(b), norm(b), norm(a - b), a @ b / norm(a) / norm(b), norm(a + b)]
    close([values[0] for values in found[1:]], expected)
    plain = probes.gradient_statistics(START, jax.tree.map(jnp.cos, START))
    close(found.step_cosine, plain.step_cosine)
    close(found.update_ratio[0], norm(b) / norm(a))


@pytest.mark.parametrize("scale", SCALES)
def test_covariate_shift(scale):
    """Difference, cosine and prediction of a scaled loss are those of the loss."""
    update = jax.tree.map(lambda leaf: 0.01 * leaf, START)
    scaled, plain = (
        probes.covariate_shift(lambda t, s=s: loss(t, s), START, update, ["a", "b"], first_order=True)
        for s in (scale, 1.0)
    )
    for name in ("difference", "gradient_norm", "first_order"):
        close(getattr(scaled, name) / scale, getattr(plain, name))
    close(scaled.cosine, plain.cosine)


@pytest.mark.parametrize("scale", SCALES)
def test_filters(scale):
    """A small filter beside one of ordinary size is followed by a small one."""
    params = {"kernel": jax.random.normal(jax.random.key(0), (5, 2)) * jnp.array([[scale, 1.0]])}
    direction = directions.filter_normalized(jax.random.key(1), params)
    norms = [np.linalg.norm(np.asarray(tree["kernel"], float), axis=0) for tree in (direction, params)]
    close(*norms)


@pytest.mark.thorough
def test_a_deep_net_of_sigmoids():
    """Of 60 layers, in the first of which gradients have all but vanished, none that is not zero has a norm of zero."""
    model = models.make_model(models.MLPConfig(hidden=(20,) * 60, activation="sigmoid", norm=None))
    x = jax.random.normal(jax.random.key(0), (32, 10))
    variables = model.init(jax.random.key(1), x)
    loss_fn = objective.make_loss_fn(model, variables.batch_stats, Batch(x, jnp.arange(32) % 10))
    gradient = jax.jit(jax.grad(loss_fn))(variables.params)
    found = probes.gradient_statistics(gradient)
    expected = [np.linalg.norm(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(gradient)]
    assert min(expected) < 1e-20
    close(found.norm, expected)

"""Barriers between nets, and planes through three points."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import by_label, data
from flax import linen as nn
from matplotlib.figure import Figure

from bnjax import Batch, Variables, adapters, draw, norms, objective, probes
from bnjax.probes import directions


def test_the_height_has_a_closed_form(x64):
    """Of a double well the barrier is at its top; a convex loss has none, and tilting the ends changes nothing."""
    ends = jnp.array([-1.0]), jnp.array([1.0])
    well = probes.barrier(lambda w: jnp.sum((w**2 - 1) ** 2 + 3 * w), *ends, num_points=5)
    assert (float(well.height), float(well.position)) == (1.0, 0.5)
    np.testing.assert_allclose(well.loss - well.base, [0, 0.5625, 1, 0.5625, 0], atol=1e-15)
    bowl = probes.barrier(lambda w: jnp.sum(w**2), *ends)
    assert (float(bowl.height), len(bowl.loss), float(bowl.distance)) == (0.0, 25, 2.0)


def test_a_barrier_survives_its_file(tmp_path):
    """What was saved comes back, line and all."""
    found = probes.barrier(lambda w: jnp.sum(jnp.cos(w)), jnp.zeros(2), jnp.ones(2), num_points=3)
    found.save(tmp_path / "barrier.npz")
    loaded = probes.load(tmp_path / "barrier.npz")
    assert type(loaded) is probes.Barrier
    np.testing.assert_array_equal(loaded.loss, found.loss)


@pytest.mark.thorough
def test_stale_statistics_raise_a_barrier(x64):
    """Two nets that compute the same with opposite weights: between them units die, unless statistics are fresh.

    At the middle the weights of the normalised layer are nearly 0, and statistics that are interpolated with them are those
    of units with weights of full size.
    """

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            x = nn.BatchNorm(use_running_average=not train, use_scale=False, use_bias=False)(
                nn.Dense(1, use_bias=False)(x)
            )
            return jnp.concatenate([-x, x], axis=-1)

    x = jax.random.normal(jax.random.key(0), (64, 1), float)
    batch, model = Batch(x, (x[:, 0] > 0).astype(int)), adapters.from_linen(Net())
    variables = model.init(jax.random.key(1), x)

    def net(weight):
        params = jax.tree.map(lambda w: jnp.full_like(w, weight, float), variables.params)
        return norms.recalibrate(model, Variables(params, variables.batch_stats), [x])

    def stale(variables):
        return objective.make_loss_fn(model, variables.batch_stats, batch, statistics="running")(variables.params)

    small, large = net(0.1), net(2.1)
    fresh = objective.make_loss_fn(model, small.batch_stats, batch, statistics="recalibrated")
    high, low = probes.barrier(stale, small, large), probes.barrier(fresh, small.params, large.params)
    assert float(high.height) > 10 * max(float(low.height), 1e-3)


def test_a_plane_through_three_points(x64):
    """The axes are orthonormal, and lead to the points by their coordinates; the rest of the space is not reached."""
    keys = jax.random.split(jax.random.key(0), 3)
    points = [{"a": jax.random.normal(key, (4,), float), "b": jax.random.normal(key, (2, 3), float)} for key in keys]
    axes = directions.through(points)
    for (x, y), point in zip(axes.path, points, strict=True):
        move = lambda w, a, b, x=x, y=y: w + x * a + y * b  # noqa: E731
        reached = jax.tree.map(move, points[-1], axes.direction_x, axes.direction_y)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), reached, point)
    flat = [jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(d)]) for d in axes[:2]]
    np.testing.assert_allclose([[a @ b for a in flat] for b in flat], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes.explained.sum(), 1, atol=1e-12)
    assert axes.path[1, 1] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: directions.through([jnp.ones(2)] * 2), "points must be three, got 2."),
        (
            lambda: directions.through([jnp.arange(3.0), 2 * jnp.arange(3.0), 3 * jnp.arange(3.0)]),
            "points must not lie on one line: a plane has two directions.",
        ),
        (lambda: directions.through([jnp.ones(3)] * 3), "points must not lie on one line: a plane has two directions."),
        (
            lambda: probes.barrier(lambda w: w.sum(), jnp.ones(2), jnp.zeros(2), num_points=2),
            "num_points must be >= 3, the two ends and a point between, got 2.",
        ),
    ],
)
def test_misfits_are_named(call, message, as_a_user):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_the_picture_shows_the_way_and_its_height():
    """The loss, the straight line below it, and the height in the title."""
    ax = Figure().subplots()
    draw.draw_barrier(ax, probes.barrier(lambda w: -jnp.sum(jnp.cos(w)), jnp.zeros(2), jnp.full(2, 2 * jnp.pi)))
    np.testing.assert_allclose(data(by_label(ax, "loss"))[12], [0.5, 2], atol=1e-6)
    np.testing.assert_allclose(data(by_label(ax, "straight line between the ends"))[:, 1], -2, atol=1e-6)
    assert ax.get_title() == "Barrier of 4"


def test_equal_ends_are_refused():
    """The line speaks of the target."""
    with pytest.raises(ValueError, match=r"^target - params must not be zero everywhere"):
        probes.barrier(lambda w: jnp.sum(w**2), jnp.ones(2), jnp.ones(2))

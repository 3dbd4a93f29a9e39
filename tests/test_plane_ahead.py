"""The plane of the gradient and the weights ahead: values against the loss itself, axes and path in NumPy's float64."""

import tempfile
from functools import cache

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import objective, train
from bnjax.data import take_batch
from experiments._config import MLPRun, NoNorm, Options, Plane, Schedule, change
from experiments._training.asked import Asked
from experiments._training.experiment import train_all
from experiments._training.tasks import make_task

pytestmark = pytest.mark.slow

AHEAD = 6
TINY = change(
    MLPRun().measuring("plane"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (8, 6), "activation": "relu", "kernel_init": "he_normal", "kernel_scale": 1.0},
    optimizer={"batch_size": 16, "learning_rate": 0.1},
    schedule=Schedule(num_steps=20, eval_every=20, probe_every=5),
    probes={"plane": {"steps": (5, 15), "steps_ahead": AHEAD, "num_examples": 48, "num_points": 4}},
)
NORMS = pytest.mark.parametrize("norm", [TINY.norm, NoNorm()])


@cache
def measured(norm=TINY.norm):
    """Measure a net after three steps; return the loss, the flat weights on the way, how to unravel them, and the record."""
    run = change(TINY, norm=norm)
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    state = train.run_steps(task.trainer, state, split, num_steps=3)[0]
    batch, rngs = take_batch(split, jnp.arange(48)), train.step_rngs(state)
    loss = objective.make_loss_fn(task.trainer.model, state.batch_stats, batch, statistics="batch", rngs=rngs)
    states = [state]
    for _ in range(AHEAD):
        before = jax.tree.map(jnp.copy, states[-1])
        states.append(train.run_steps(task.trainer, before, split, num_steps=1)[0])
    record = task.make_probe(run.probes.plane).measure(state, split)
    _, unravel = jax.flatten_util.ravel_pytree(state.params)
    return loss, [flat(each.params) for each in states], unravel, record


def flat(tree):
    """Make a vector of a tree, in float64."""
    return np.asarray(jax.flatten_util.ravel_pytree(tree)[0], np.float64)


def axes(norm):
    """Find minus the gradient and the way ahead, and what of it is across, as vectors of length 1."""
    loss, weights, unravel, _ = measured(norm)
    descent = -flat(jax.grad(loss)(unravel(jnp.asarray(weights[0], jnp.float32))))
    way = weights[-1] - weights[0]
    x = descent / np.linalg.norm(descent)
    across = way - way @ x * x
    return descent, way, x, across / np.linalg.norm(across)


@pytest.mark.sampled("thorough")
@NORMS
def test_losses_are_those_of_the_points(norm):
    """Each is the loss of the net at its coordinates, which are multiples of the distance to the weights ahead."""
    loss, weights, unravel, record = measured(norm)
    _, way, x, y = axes(norm)
    assert np.shape(record["loss"]) == (4, 4)
    for i, j in ((0, 0), (1, 3), (2, 1), (3, 3)):
        point = weights[0] + np.linalg.norm(way) * (record["xs"][i] * x + record["ys"][j] * y)
        np.testing.assert_allclose(record["loss"][i][j], loss(unravel(jnp.asarray(point, jnp.float32))), rtol=1e-4)
    assert len({*np.ravel(record["loss"])}) == 16


@NORMS
def test_the_path_is_that_of_the_run(norm):
    """It is projected onto the axes, and ends in the plane itself, at a distance of 1."""
    loss, weights, unravel, record = measured(norm)
    descent, way, x, y = axes(norm)
    length = np.linalg.norm(way)
    expected = [((w - weights[0]) @ x / length, (w - weights[0]) @ y / length) for w in weights]
    np.testing.assert_allclose(record["path"], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(record["path"][-1]), 1, rtol=1e-5)
    np.testing.assert_allclose(record["distance"], length, rtol=1e-5)
    np.testing.assert_allclose(record["cosine"], way @ x / length, rtol=1e-4)
    np.testing.assert_allclose(record["step_length"], 0.1 * np.linalg.norm(descent) / length, rtol=1e-5)
    np.testing.assert_allclose(record["start_loss"], loss(unravel(jnp.asarray(weights[0], jnp.float32))), rtol=1e-5)


def test_it_is_measured_at_some_steps_alone():
    """The run is measured no oftener for it, and its numbers stay the same, to the bit."""
    assert Asked.of(TINY).measured().popitem()[1] == (5, 15)
    found = {}
    for name, run in {"with": TINY, "without": TINY.measuring()}.items():
        with tempfile.TemporaryDirectory() as folder:
            (found[name],) = train_all({"arms": {"net": run}}, Options(results=folder))["arms"]["net"]
    assert found["with"]["train"] == found["without"]["train"]
    assert found["with"]["test"] == found["without"]["test"]
    assert found["with"]["plane"]["step"] == [5, 15]
    assert np.isfinite(found["with"]["plane"]["loss"]).all()


def test_a_run_that_diverges_has_no_plane():
    """Its weights ahead are not finite, and neither are the losses; nothing is raised."""
    run = change(TINY, norm=NoNorm(), optimizer={"learning_rate": 1e20})
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    record = task.make_probe(run.probes.plane).measure(state, split)
    assert np.isnan(record["loss"]).all()
    assert np.isfinite(record["start_loss"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": ()}, r"steps must be one or more different numbers from 0, got \(\)"),
        ({"steps": (-1,)}, r"steps must be one or more different numbers from 0, got \(-1,\)"),
        ({"steps_ahead": 0}, "steps_ahead must be at least 1, got 0"),
        ({"num_examples": 0}, "num_examples must be at least 1, got 0"),
        ({"num_points": 1}, "num_points must be at least 2, got 1"),
    ],
)
def test_misfits(settings, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        Plane(**settings)

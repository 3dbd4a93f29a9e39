"""A look ahead along a run's own steps: closed forms of a quadratic loss, and a copy that is the run itself, bit by bit."""

import tempfile
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct

from bnjax import adapters, objective, train
from bnjax.data import take_batch
from bnjax.types import Variables
from experiments._config import Horizon, MLPRun, NoNorm, Options, Schedule, change
from experiments._training.experiment import train_all
from experiments._training.probes.horizon import STATISTICS, Path, follow, look_ahead, make_horizon
from experiments._training.tasks import make_task

pytestmark = pytest.mark.slow

AHEAD = (1, 2, 5, 10)
EIGENVALUES, RATE = np.array([0.5, 1.0, 4.0]), 0.1
TINY = change(
    MLPRun().measuring("horizon"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (8, 6), "activation": "relu", "kernel_init": "he_normal", "kernel_scale": 1.0},
    optimizer={"batch_size": 16, "learning_rate": 0.1},
    schedule=Schedule(num_steps=20, eval_every=20, probe_every=10),
    probes={"horizon": {"steps_ahead": AHEAD, "num_examples": 48, "num_points": 5}},
)


class State(struct.PyTreeNode):
    """Parameters, as a state of gradient descent."""

    params: Any

    @property
    def variables(self) -> Variables:
        """Them alone."""
        return Variables(self.params, {})


def quadratic(w):
    """Compute the loss whose Hessian has these eigenvalues."""
    return 0.5 * jnp.sum(jnp.asarray(EIGENVALUES, w.dtype) * w**2)


def descended(w, steps):
    """Return the path of gradient descent on the quadratic, in closed form."""
    return w * (1 - RATE * EIGENVALUES) ** np.asarray(steps)[:, None]


def followed(w) -> Path:
    """Follow gradient descent on the quadratic."""

    def advance(state: State) -> State:
        return State(state.params - RATE * jax.grad(quadratic)(state.params))

    return jax.jit(lambda w: follow(quadratic, advance, State(w), AHEAD))(jnp.asarray(w))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_path_on_a_quadratic_has_a_closed_form(seed, x64):
    """States, losses and cosines; the change of the gradient per distance is that of the Hessian along each step."""
    w = np.random.default_rng(seed).normal(size=3)
    path, ends = followed(w), descended(w, AHEAD)
    np.testing.assert_allclose(path.variables.params, ends, rtol=1e-12)
    np.testing.assert_allclose(path.loss, 0.5 * (EIGENVALUES * ends**2).sum(1), rtol=1e-12)
    start, gradients = EIGENVALUES * w, EIGENVALUES * ends
    expected = gradients @ start / np.linalg.norm(gradients, axis=1) / np.linalg.norm(start)
    np.testing.assert_allclose(path.cosine, expected, rtol=1e-12)
    moves = np.diff(descended(w, range(11)), axis=0)
    each = np.linalg.norm(EIGENVALUES * moves, axis=1) / np.linalg.norm(moves, axis=1)
    np.testing.assert_allclose(path.largest_smoothness, [each[:k].max() for k in AHEAD], rtol=1e-12)
    np.testing.assert_allclose(path.mean_smoothness, [each[:k].mean() for k in AHEAD], rtol=1e-12)
    assert (path.largest_smoothness <= EIGENVALUES.max()).all()
    assert (path.mean_smoothness >= EIGENVALUES.min()).all()


def test_along_an_eigenvector_the_smoothness_is_its_eigenvalue(x64):
    """There the gradient never turns, until the steps are too long: then it turns round at each."""
    for place, value in enumerate(EIGENVALUES):
        path = followed(np.eye(3)[place])
        np.testing.assert_allclose(path.largest_smoothness, value, rtol=1e-9)
        np.testing.assert_allclose(path.cosine, 1, rtol=1e-9)


@cache
def started(run=TINY):
    """Return the task of the tiny net, its data and its state after three steps."""
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    return task, split, train.run_steps(task.trainer, state, split, num_steps=3)[0]


def copied(state):
    """Copy a state, whose buffers a run gives away."""
    return jax.tree.map(jnp.copy, state)


def later(run, num_steps):
    """Return the state of the run itself, so many steps later."""
    task, split, state = started(run)
    return train.run_steps(task.trainer, copied(state), split, num_steps=num_steps)[0] if num_steps else state


def images(run=TINY):
    """Return the images on which is measured."""
    return take_batch(started(run)[1], jnp.arange(run.probes.horizon.num_examples))


def loss_fn(run=TINY, stats=None, statistics: Any = "batch"):
    """Return the measured loss."""
    task, _, state = started(run)
    stats = state.batch_stats if stats is None else stats
    rngs = train.step_rngs(state)
    return objective.make_loss_fn(task.trainer.model, stats, images(run), statistics=statistics, rngs=rngs)


@cache
def record(run=TINY):
    """Measure the tiny net after three steps."""
    task, split, state = started(run)
    return task.make_probe(run.probes.horizon).measure(state, split)


@pytest.mark.thorough
@pytest.mark.parametrize("norm", [TINY.norm, NoNorm()])
def test_the_copy_is_the_run_itself(norm):
    """Parameters and running statistics equal the run's own later states, to the bit; the state stays as it was."""
    run = change(TINY, norm=norm)
    task, split, state = started(run)
    before = jax.tree.map(np.asarray, copied(state).variables)
    path = look_ahead(task.trainer, state, split, loss_fn(run), AHEAD)
    for place, ahead in enumerate(AHEAD):
        own = later(run, ahead).variables
        jax.tree.map(lambda all_, leaf, n=place: np.testing.assert_array_equal(all_[n], leaf), path.variables, own)
    jax.tree.map(np.testing.assert_array_equal, state.variables, before)


def test_measuring_changes_nothing_of_the_run():
    """Losses, accuracies and tests are the same, to the bit, with the probe and without; the run is not lengthened."""
    found = {}
    for name, run in {"with": TINY, "without": TINY.measuring()}.items():
        with tempfile.TemporaryDirectory() as folder:
            (found[name],) = train_all({"arms": {"net": run}}, Options(results=folder))["arms"]["net"]
    assert found["with"]["train"] == found["without"]["train"]
    assert found["with"]["test"] == found["without"]["test"]
    recorded = found["with"]["horizon"]
    assert recorded["step"] == [0, 10]
    assert np.shape(recorded["path_loss"]) == np.shape(recorded["barrier_mixed"]) == (2, len(AHEAD))
    assert np.isfinite([values for name, values in recorded.items() if name.endswith("loss")][1:]).all()


def test_losses_and_gradients_ahead():
    """Along the frozen gradient and along the path, all on the same images in training mode."""
    found, loss, start = record(), loss_fn(), later(TINY, 0).params
    gradient = jax.grad(loss)(start)
    np.testing.assert_allclose(found["start_loss"], loss(start), rtol=1e-5)
    for place, ahead in enumerate(AHEAD):
        frozen = jax.tree.map(lambda w, g, k=ahead: w - 0.1 * k * g, start, gradient)
        end = later(TINY, ahead).params
        turned = cosine(jax.grad(loss)(end), gradient)
        np.testing.assert_allclose(found["frozen_loss"][place], loss(frozen), rtol=1e-5)
        np.testing.assert_allclose(found["path_loss"][place], loss(end), rtol=1e-5)
        np.testing.assert_allclose(found["cosine"][place], turned, rtol=1e-4)
    path = [later(TINY, k).params for k in range(AHEAD[-1] + 1)]
    gradients = [jax.grad(loss)(w) for w in path]
    each = [flat(gradients[k + 1], gradients[k]) / flat(path[k + 1], path[k]) for k in range(AHEAD[-1])]
    np.testing.assert_allclose(found["largest_smoothness"], [max(each[:k]) for k in AHEAD], rtol=1e-3)
    np.testing.assert_allclose(found["mean_smoothness"], [np.mean(each[:k]) for k in AHEAD], rtol=1e-3)
    np.testing.assert_allclose(found["distance"], [flat(path[k], path[0]) for k in AHEAD], rtol=1e-5)


def flat(tree, other):
    """Compute the distance of two trees in float64."""
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    return np.sqrt(sum(np.sum((np.asarray(a, float) - np.asarray(b, float)) ** 2) for a, b in leaves))


def cosine(tree, other):
    """Compute the cosine of two trees in float64."""
    a, b = (np.concatenate([np.ravel(leaf).astype(float) for leaf in jax.tree.leaves(each)]) for each in (tree, other))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def height(losses):
    """Compute a barrier from losses at points that are evenly spaced."""
    base = np.linspace(losses[0], losses[-1], len(losses))
    return np.max(np.array(losses) - base)


@pytest.mark.thorough
def test_barriers_by_statistics():
    """Kept statistics stay as they are at one end; mixed ones go with the weights.

    Steps are so long that the loss rises between the ends.
    """
    run = change(TINY, optimizer={"learning_rate": 1.0})
    found, start, ends = record(run), later(run, 0), later(run, AHEAD[-1])
    shares = np.linspace(0, 1, 5)

    def between(share):
        return jax.tree.map(lambda a, b: (1 - share) * a + share * b, start.variables, ends.variables)

    points = [between(share) for share in shares]
    kept = {"start": start.batch_stats, "end": ends.batch_stats}
    losses = {name: [loss_fn(run, kept[name], statistics="running")(w.params) for w in points] for name in kept}
    losses["mixed"] = [loss_fn(run, w.batch_stats, statistics="running")(w.params) for w in points]
    losses["recalibrated"] = [loss_fn(run, statistics="recalibrated")(w.params) for w in points]
    for name in STATISTICS:
        np.testing.assert_allclose(found[f"barrier_{name}"][-1], height(losses[name]), rtol=1e-3, atol=1e-6)
    assert len({found[f"barrier_{name}"][-1] for name in STATISTICS}) == 4


def test_a_net_without_statistics_has_one_barrier():
    """It has no running statistics that could be stale."""
    found = record(change(TINY, norm=NoNorm()))
    for name in STATISTICS:
        assert found[f"barrier_{name}"] == found["barrier_mixed"]


def test_a_convex_loss_has_no_barrier():
    """That of a softmax regression: every state that its training passes is connected with the first."""
    _, split, _ = started()
    module = nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(10)])
    trainer = train.Trainer(adapters.from_linen(module), train.make_optimizer("sgd", 1.0), batch_size=16)
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    run = change(TINY, norm=NoNorm(), optimizer={"learning_rate": 1.0})
    found = make_horizon(run.probes.horizon, run, trainer, 1.0).measure(state, split)
    np.testing.assert_allclose(found["barrier_recalibrated"], 0, atol=1e-6)
    assert min(found["distance"]) > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps_ahead": ()}, r"steps_ahead must be one or more numbers from 1, in ascending order, got \(\)"),
        ({"steps_ahead": (0, 1)}, r"steps_ahead must be one or more numbers from 1, in ascending order, got \(0, 1\)"),
        ({"steps_ahead": (2, 2)}, r"steps_ahead must be one or more numbers from 1, in ascending order, got \(2, 2\)"),
        ({"num_examples": 0}, "num_examples must be at least 1, got 0"),
        ({"num_points": 2}, "num_points must be at least 3, the two ends and a point between, got 2"),
    ],
)
def test_misfits(settings, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        Horizon(**settings)

"""Tests of a grid with recalibrated statistics, where running ones have not arrived."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import data, linen, models, norms, sweep, train

RUNS = sweep.grid(norm=(linen.BatchNorm, linen.LayerNorm), learning_rate=(0.1,), epsilon=(1e-5,), seed=range(3))


def make_trainer(norm, learning_rate, epsilon):
    """Make the trainer of the README's example."""
    model = models.make_model(models.MLPConfig(hidden=(32, 32), norm=partial(norm, epsilon=epsilon)))
    return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=60)


def train_grid(runs=RUNS, make=make_trainer, **options):
    """Train on digits, with tests of both kinds."""
    return sweep.train_grid(make, runs, data.load("digits"), **{"recalibrated_tests": True, **options})


def recalibrated(run, state, make=make_trainer):
    """Test a run with the statistics that `norms.recalibrate` takes."""
    digits, trainer = data.load("digits"), make(**{name: value for name, value in run.items() if name != "seed"})
    num, size = len(digits.train.labels), trainer.batch_size
    starts = range(0, num, size)
    batches = [data.take_batch(digits.train, jnp.arange(start, min(start + size, num))) for start in starts]
    variables = norms.recalibrate(trainer.model, state.variables, batches, rngs=train.step_rngs(state))
    return train.evaluate(trainer, variables, digits.test)


@pytest.mark.thorough
def test_the_example_ranks_normalisers_as_recalibrated_statistics_do():
    """After 200 steps running statistics put batch norm below layer norm; recalibrated ones, which it prints, do not."""
    norms_of = (linen.BatchNorm, linen.LayerNorm)
    found = train_grid(sweep.grid(norm=norms_of, learning_rate=(0.5,), epsilon=(1e-5,), seed=range(3)), num_steps=200)
    running, again = (values[:, -1].reshape(2, 3) for values in (found.test_accuracy, found.recalibrated_test_accuracy))
    expected = np.reshape([recalibrated(*pair).accuracy for pair in zip(found.runs, found.states, strict=True)], (2, 3))
    np.testing.assert_allclose(again, expected, atol=0.005)
    np.testing.assert_array_equal(again[1], running[1])
    assert np.median(running[0]) < np.median(running[1]) - 0.03
    assert np.median(again[0]) >= np.median(again[1])


@pytest.mark.thorough
def test_tests_of_both_kinds(tmp_path):
    """At every test there are both; the folder is another grid's without them."""
    runs, options = RUNS[:1], {"num_steps": 10, "chunk_size": 5, "test_every": 5, "folder": tmp_path}
    found = train_grid(runs, **options)
    assert found.recalibrated_test_loss.shape == found.test_loss.shape == (1, 2)
    metrics = recalibrated(runs[0], found.states[0])
    np.testing.assert_allclose(found.recalibrated_test_loss[0, -1], metrics.loss, rtol=1e-4)
    assert found.recalibrated_test_loss[0, -1] < found.test_loss[0, -1]
    again = train_grid(runs, **options)
    np.testing.assert_array_equal(again.recalibrated_test_loss, found.recalibrated_test_loss)
    with pytest.raises(ValueError, match="folder must be this grid's or empty"):
        train_grid(runs, **options, recalibrated_tests=False)


@pytest.mark.slow
def test_they_are_left_out_unless_asked_for():
    """Then the result has none, and a probe cannot have their name."""
    assert train_grid(RUNS[:1], num_steps=1, recalibrated_tests=False).recalibrated_test_accuracy is None
    with pytest.raises(ValueError, match=r"probes must not be called .* got recalibrated_test"):
        train_grid(RUNS[:1], num_steps=1, probes={"recalibrated_test": lambda *_: 0})


@pytest.mark.thorough
@pytest.mark.parametrize("way", ["loop", "map", "vmap"])
def test_runs_with_noise_and_of_any_batch_size(way):
    """Random layers get keys, and a last smaller batch counts by its examples, in whatever way runs are trained."""

    def make(strength):
        norm = partial(linen.NoisyBatchNorm, strength=strength)
        model = models.make_model(models.MLPConfig(hidden=(8, 8), norm=norm))
        return train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=70)

    runs = sweep.grid(strength=(0.5, 1.0), seed=(0,))
    found = train_grid(runs, make, num_steps=5, way=sweep.Way(way))
    assert np.isfinite(found.recalibrated_test_loss).all()
    quiet = train_grid(sweep.grid(strength=(0.0,), seed=(0,)), make, num_steps=5, way=sweep.Way(way))
    metrics = recalibrated(quiet.runs[0], quiet.states[0], make)
    np.testing.assert_allclose(quiet.recalibrated_test_loss[0, -1], metrics.loss, rtol=1e-4)

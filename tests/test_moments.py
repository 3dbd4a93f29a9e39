"""A linear network learns from a few points with the moments of its inputs as from the inputs themselves."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from jax.flatten_util import ravel_pytree

from bnjax import data, linen, models, train
from bnjax.objective import make_loss_fn
from bnjax.types import Batch
from experiments import covariate_shift, landscape, lp_norms
from experiments._config import BatchNorm, DeepLinearRun, LpNorm, NoisyBatchNorm, NoNorm, Options, Schedule, change
from experiments._evidence.read import read_data
from experiments._training.experiment import train_all
from experiments._training.tasks import make_task
from experiments.benchmarks import moments

NORMS = {"plain": None, "batch_norm": linen.BatchNorm, "l2": partial(linen.LpNorm, p=2)}


@pytest.fixture
def x64():
    """Compute in 64 bits."""
    with jax.enable_x64(True):
        yield


def skewed(seed, num, width):
    """Draw examples that are no Gaussian, with a mean and correlations."""
    rng = np.random.default_rng(seed)
    return rng.exponential(size=(num, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


@pytest.mark.parametrize(("num", "width"), [(1000, 10), (50, 1), (3, 4), (1, 2)])
def test_moments(num, width, x64):
    """The points have mean and covariance, over all and not one less, of examples that may be fewer than the points."""
    x = skewed(1, num, width)
    points = np.asarray(data.match_moments(jnp.asarray(x)))
    assert points.shape == (width + 1, width)
    np.testing.assert_allclose(points.mean(0), x.mean(0), atol=1e-12)
    np.testing.assert_allclose(points.T @ points / len(points), x.T @ x / len(x), atol=1e-11)


def test_points_of_one_feature_lie_one_deviation_from_the_mean():
    """Two points, at mean - std and mean + std."""
    points = np.sort(np.asarray(data.match_moments(jnp.array([[1.0], [2.0], [6.0]])))[:, 0])
    np.testing.assert_allclose(points, [3 - np.sqrt(14 / 3), 3 + np.sqrt(14 / 3)], rtol=1e-6)


@pytest.mark.parametrize("x", [jnp.zeros(3), jnp.zeros((0, 3)), jnp.array([[jnp.nan]])])
def test_what_has_no_moments(x, as_a_user):
    """One line says what it must be."""
    with pytest.raises(ValueError, match=r"x must hold finite numbers, \(examples, features\), one row or more, got"):
        data.match_moments(x)
    with pytest.raises(ValueError, match=r"^x must hold real numbers, .*, got complex64 of shape \(3, 2\)\.$"):
        data.match_moments(jnp.ones((3, 2), jnp.complex64))


def test_labels_that_are_not_linear(x64):
    """Taken side by side with the inputs, their moments give the same loss, which the inputs' alone do not."""
    x = skewed(2, 200, 3)
    y = x[:, :2] ** 2
    both = data.match_moments(jnp.asarray(np.hstack([x, y])))
    assert both.shape == (6, 5)
    model = models.make_model(models.DeepLinearConfig(depth=3, width=3, norm=linen.BatchNorm))
    variables = model.init(jax.random.key(0), jnp.zeros((2, 3)))
    batches = [
        Batch(jnp.asarray(x), jnp.pad(y, ((0, 0), (0, 1)))),
        Batch(both[:, :3], jnp.pad(both[:, 3:], ((0, 0), (0, 1)))),
    ]
    losses = [make_loss_fn(model, variables.batch_stats, b, loss="squared_error")(variables.params) for b in batches]
    np.testing.assert_allclose(*losses, rtol=1e-10)


def trained(norm, inputs, *, seed, num_steps, rate):
    """Train on a drawn map in float64: losses of the steps, the last state's test and its running statistics."""
    split = data.draw_linear_map(jax.random.key(seed), inputs=inputs).train
    model = models.make_model(models.DeepLinearConfig(norm=NORMS[norm]))
    trainer = train.Trainer(model, train.make_optimizer("sgd", rate), len(split.labels), "squared_error")
    state = train.init_state(trainer, jax.random.key(seed), jnp.zeros((1, 10)))
    state, metrics = train.run_steps(trainer, in_float64(state), split, num_steps=num_steps)
    test = train.evaluate(trainer, state.variables, split).loss
    return np.append(np.asarray(metrics.loss), test), jax.tree.leaves(state.batch_stats)


def in_float64(tree):
    """Cast numbers that are not whole."""
    return jax.tree.map(lambda x: x.astype("float64") if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("norm", "rate"), [("plain", 1e-4), ("batch_norm", 1e-3), ("l2", 1e-3)])
def test_training_is_the_same(norm, rate, seed, x64):
    """Over 200 steps every loss, the test with running statistics and these agree to 1e-9; plain, at the slow rate."""
    (losses, stats), (others, other_stats) = (
        trained(norm, inputs, seed=seed, num_steps=200, rate=rate) for inputs in ("samples", "moments")
    )
    np.testing.assert_allclose(losses, others, rtol=1e-9)
    for one, other in zip(stats, other_stats, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)  # running statistics are float32


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("norm", [NoNorm(), BatchNorm(), LpNorm(p=2)], ids=lambda norm: norm.kind)
def test_gradients_are_those_of_the_samples(norm):
    """At the first step, loss and gradient of the experiments' nets agree, in units of the sum over all samples."""
    found = {}
    for inputs in ("samples", "moments"):
        config = change(DeepLinearRun(norm=norm, inputs=inputs), model={"depth": 3}, optimizer={"batch_size": 50})
        task = make_task(config.net(), None)
        split = task.load(3).train
        state = train.init_state(task.trainer, jax.random.key(3), jnp.zeros((1, 10)))
        loss_fn = train.current_loss_fn(task.stepper, state, split)
        loss, gradient = jax.jit(jax.value_and_grad(loss_fn))(state.params)
        found[inputs] = (task.loss_scale * loss, task.loss_scale * ravel_pytree(gradient)[0])
        assert len(split.labels) == task.trainer.batch_size == {"samples": 50, "moments": 11}[inputs]
    (loss, gradient), (other_loss, other_gradient) = found.values()
    np.testing.assert_allclose(loss, other_loss, rtol=1e-5)
    np.testing.assert_allclose(gradient, other_gradient, atol=1e-4 * float(jnp.abs(gradient).max()))


@pytest.mark.parametrize("norm", [LpNorm(p=1), LpNorm(p="inf"), NoisyBatchNorm()], ids=lambda norm: norm.kind)
def test_normalisers_that_need_samples(norm):
    """They are refused, in one line."""
    rule = "inputs must be samples where the normaliser takes more than second moments, got moments"
    with pytest.raises(ValueError, match=rule):
        DeepLinearRun(norm=norm, inputs="moments").check_layers()


def test_probes_that_need_samples():
    """Distributions of activations are of samples; gradients are not."""
    DeepLinearRun(inputs="moments").measuring("landscape", "shift", "successive_gradients").check_layers()
    with pytest.raises(ValueError, match=r"deep\.inputs must be samples, which drift looks at, got moments"):
        DeepLinearRun(inputs="moments").measuring("drift").check_layers("deep.")


def test_presets():
    """64 draws from moments where they are enough, ten from samples with the l1 and the l-infinity norm."""
    for experiment in (covariate_shift, landscape, lp_norms):
        for net, run in experiment.groups(experiment.PRESETS["overnight"])["deep_linear"].items():
            expected = ("samples", 10) if net in ("l1", "linf") else ("moments", 64)
            assert (run.inputs, len(run.seeds)) == expected
    config = change(lp_norms.PRESETS["overnight"], deep_linear={"inputs": "samples"})
    assert {len(run.seeds) for run in lp_norms.groups(config)["deep_linear"].values()} == {64}


@pytest.mark.slow
def test_draws_are_trained_together(tmp_path, monkeypatch):
    """On a CPU they are one program by default, and come out as in threads."""
    sizes = []
    from bnjax import sweep

    run_steps = sweep.run_steps
    monkeypatch.setattr(
        "bnjax.sweep.loop.run_steps", lambda *x, way, **y: sizes.append(way) or run_steps(*x, way=way, **y)
    )
    config = replace(DeepLinearRun(inputs="moments", seeds=(0, 1)), schedule=Schedule(20, 20, 10))
    arms = {"batch_norm": change(config, model={"depth": 2}, optimizer={"batch_size": 20, "learning_rate": 1e-5})}
    found = {b: train_all({"arms": arms}, Options(str(tmp_path / b), batching=b)) for b in ("auto", "threads")}
    assert sizes == [sweep.Way("vmap")] * 2
    for run, other in zip(found["auto"]["arms"]["batch_norm"], found["threads"]["arms"]["batch_norm"], strict=True):
        np.testing.assert_allclose(run["train"]["loss"], other["train"]["loss"], rtol=1e-5)


@pytest.mark.thorough
def test_benchmark(capsys):
    """It times every net from samples and from moments, side by side and together."""
    moments.main(["--runs", "2", "--steps", "1", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert len(lines) == len(moments.NORMS) * 4
    assert all(float(number) > 0 for line in lines for number in line.split()[-2:])


@pytest.mark.parametrize("net", ["plain_1e-06", "batch_norm_1e-06"])
def test_long_trainings_agree_over_draws(net):
    """After 10,000 steps rounding has grown, so that single draws differ; the medians lie in each other's quartiles.

    The committed runs: ten draws trained on 1,000 samples, 64 on their moments.
    """
    found = []
    for preset in ("cpu", "evening"):
        known = read_data(ROOT / "figures" / f"covariate_shift-{preset}.json")
        assert (
            known["config"]["deep_linear"].get("inputs", "samples") == {"cpu": "samples", "evening": "moments"}[preset]
        )
        losses = [run["test"]["loss"][-1] for run in known["deep_linear"][net]]
        found.append(np.percentile(losses, (25, 50, 75)))
    for (low, _, high), (_, median, _) in (found, found[::-1]):
        assert low < median < high


def test_whole_numbers_have_moments(x64):
    """Their points are no whole numbers."""
    x = jnp.array([[0, 1], [3, 1], [4, 7]])
    for examples in (x, x > 2):
        found = data.match_moments(examples)
        np.testing.assert_allclose(
            jnp.cov(found.T, bias=True), np.cov(np.asarray(examples, float).T, bias=True), atol=1e-6
        )

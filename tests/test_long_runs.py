"""Presets of long runs: what they train, for how long, and that everything they are for is measured before they start."""

import dataclasses
import gc
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT

from bnjax import probes, train
from experiments import landscape, mnist_mlp
from experiments._command import catalogue, cli, costs, estimates
from experiments._config import MLPRun, NoNorm, Options, Schedule, VGGRun, change
from experiments._evidence.keep import check_needs
from experiments._evidence.read import read_data
from experiments._presets import LONG
from experiments._training.experiment import train_all
from experiments._training.probes import probe
from experiments._training.tasks import make_task

OVERNIGHT = (
    "training_curves",
    "activation_drift",
    "covariate_shift",
    "noisy_batchnorm",
    "landscape",
    "lp_norms",
    "mnist_mlp",
    "drift_and_accuracy",
)
# The subjects of the articles, whose settings are their own.
OTHERS = (
    "recurrent",
    "regularisation",
    "evaluation",
    "norm_order",
    "batch_size",
    "sensitivity",
    "which_norm",
    "scale_and_bias",
    "layer_dependence",
    "eigenvalues",
    "long_horizon",
    "mameli",
    "generalisation",
)
PRESETS = [(name, preset) for preset in LONG for name in catalogue.names() if preset in catalogue.module(name).PRESETS]
EVERYTHING = (
    "landscape",
    "random_direction",
    "successive_gradients",
    "batch_sharpness",
    "shift",
    "dummy_shift",
    "drift",
    "drift_before_norm",
    "drift_after_activation",
)
PLACES = ("drift_before_norm", "drift", "drift_after_activation")
TINY = change(
    MLPRun().measuring(*PLACES, "successive_gradients", "batch_sharpness"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (8, 8), "activation": "relu", "kernel_init": "xavier_uniform", "kernel_scale": 1.0},
    schedule=Schedule(num_steps=20, eval_every=10, probe_every=10),
    probes={
        "batch_sharpness": {"batches": 2},
        "successive_gradients": {"layers": (2,)},
        **{place: {"layers": (2,)} for place in PLACES},
    },
)


def groups(name, preset):
    """Name the nets of a preset, after whether it has all that its experiment needs was checked."""
    module = catalogue.module(name)
    config = module.PRESETS[preset]
    found = module.groups(config)
    check_needs(config, found, module.KEEP)
    return found


def runs(preset):
    """List all runs of a preset, of the experiments of the paper."""
    names = [name for name, other in PRESETS if other == preset and name not in OTHERS]
    return [run for name in names for arms in groups(name, preset).values() for run in arms.values()]


@cache
def trained(run=TINY):
    """Train the tiny net, and return its curves."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return train_all({"arms": {"net": run}}, Options(results=folder))["arms"]["net"][0]


def test_each_preset_is_where_it_belongs():
    """Overnight of the experiments on trained nets, the setting of Mameli and that with Adam where they have claims."""
    assert {name for name, preset in PRESETS if preset == "overnight"} == {*OVERNIGHT, *OTHERS}
    of_first_steps = {"training_curves", "activation_drift", "covariate_shift", "landscape"}
    assert {name for name, preset in PRESETS if preset == "full_width"} == of_first_steps | {"mameli"}
    assert {name for name, preset in PRESETS if preset == "full_width_evening"} == of_first_steps
    assert {name for name, preset in PRESETS if preset == "evening"} == of_first_steps | {"lp_norms", "mameli"}
    of_others = {"training_curves", "covariate_shift", "landscape"}
    for preset in ("overnight_mameli", "overnight_alx"):
        assert {name for name, other in PRESETS if other == preset} == of_others


@pytest.mark.parametrize("preset", LONG)
def test_long_runs_are_as_published_but_for_the_width(preset):
    """VGG-A, batches of 128, the sources' steps, and measurements about every hundred; tests have both statistics."""
    vggs = [run for run in runs(preset) if isinstance(run, VGGRun)]
    width, seeds = (1.0, (0,)) if preset.startswith("full_width") else (0.25, (0, 1, 2))
    steps = {"evening": {5_000}, "overnight_mameli": {30 * 390}, "overnight_alx": {20 * 390}}
    steps |= {"full_width": {15_000}, "full_width_evening": {3_500}}
    assert {run.schedule.num_steps for run in vggs} == steps.get(preset, {5_500, 15_000})
    for run in vggs:
        assert (run.model.depth, run.model.width, run.optimizer.batch_size) == ("A", width, 128)
        assert (run.optimizer.momentum, run.optimizer.weight_decay) == (0, 0)
        assert run.seeds in (seeds, seeds[:1])
        # The scans that begin at half the smallest step are for the plateau at the end alone.
        assert run.schedule.probe_every in ({130, 390} if preset.startswith("overnight_") else {100, 500})
        assert run.schedule.recalibrated_tests


def test_experiments_share_the_runs_that_are_measured_most():
    """The plain net and that with batch norm at rate 0.1 are one run each, and have everything that is to be recorded."""
    found = {}
    for run in runs("overnight"):
        if isinstance(run, VGGRun):
            found.setdefault(run.net(), []).append(run)
    base = catalogue.module("landscape").PRESETS["overnight"].vgg
    for norm in (base.norm, NoNorm()):
        same = found[change(base, norm=norm).net()]
        assert {kind for run in same for kind in run.probes.kinds} == {*EVERYTHING}
        assert len(same) >= 7
        # Of drift and landscape there is one setting, and that of the short scans: nothing is measured twice.
        for kind, num in (("drift", 1), ("shift", 1), ("landscape", 2), ("batch_sharpness", 1)):
            assert len({getattr(run.probes, kind) for run in same if kind in run.probes}) == num, kind
    names = {run.norm.kind for run in runs("overnight") if isinstance(run, VGGRun)}
    assert names == {"none", "batch", "noisy_batch", "noise", "relative_noise", "lp"}


@pytest.mark.parametrize(("preset", "night"), [("evening", "overnight"), ("full_width_evening", "full_width")])
def test_an_evening_trains_the_first_steps_of_a_night(preset, night):
    """Two nets in their seeds, three more of other norms, and the draws, each once, and the night goes on with them."""
    vggs = [run for run in runs(preset) if isinstance(run, VGGRun)]
    nets = {run.net() for run in vggs}
    assert {run.norm.kind for run in nets} == {"none", "batch"} | ({"lp"} if preset == "evening" else set())
    assert len(nets) == (5 if preset == "evening" else 2)
    assert nets <= {run.net() for run in runs(night)}
    assert {kind for run in vggs for kind in run.probes.kinds} == {*EVERYTHING}
    for name in {name for name, other in PRESETS if other == preset and name not in OTHERS}:
        longer = groups(name, night)
        for group, arms in groups(name, preset).items():
            for arm, run in arms.items():
                whole = longer[group][arm]
                assert run.seeds in (whole.seeds[:3], whole.seeds[:10], whole.seeds), (name, arm)
                assert change(run, schedule=whole.schedule, seeds=whole.seeds) == whole, (name, arm)


def test_mamelis_setting_has_his_definitions():
    """The shift against a second net, and the sum of the fifth layer's successive gradients, with one batch norm."""
    kinds = {}
    for run in runs("overnight_mameli"):
        kinds.setdefault((run.kind, run.norm.kind, run.norm.layers), {}).update(
            {each.kind: each for each in run.probes}
        )
    for key in (("vgg", "batch", (4,)), ("vgg", "none", "all")):
        assert kinds[key]["dummy_shift"].layer == 5
        assert 5 in kinds[key]["successive_gradients"].layers
    assert ("vgg", "batch", "all") in kinds


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_hours_are_said_before_they_are_spent(name, preset):
    """Of each experiment there is an estimate, which calls itself one; changed settings are estimated as they are."""
    config = catalogue.module(name).PRESETS[preset]
    if costs.measured(name, preset):
        assert costs.expected(name, preset).endswith("(measured on CPU, 2 cores).")
    else:
        assert costs.expected(name, preset).endswith(f"({estimates.ESTIMATED}).")
        assert costs.cost(name, preset).endswith(", estimated")
    seconds = estimates.estimated([config], [catalogue.module(name)])
    assert seconds is not None
    assert 60 < seconds < 24 * 3600


def test_estimates_are_steps_times_what_a_step_takes():
    """Steps with all measurements take as long as those that were timed; runs that several share count once, the longest."""

    def hours(preset, *names, config=None):
        modules = [catalogue.module(name) for name in names]
        configs = [config] if config else [module.PRESETS[preset] for module in modules]
        return estimates.estimated(configs, modules) / 3600

    whole = hours("overnight", "activation_drift")  # six runs of 15,000 steps
    evening = read_data(ROOT / "figures" / "activation_drift-evening.json")  # a third of the steps, timed
    np.testing.assert_allclose(whole, 3 * evening["seconds"] / 3600, rtol=1e-4)
    np.testing.assert_allclose(whole, 3.198, rtol=1e-3)
    both = hours("overnight", "activation_drift", "landscape")
    np.testing.assert_allclose(both, hours("overnight", "landscape"))
    together, each = hours("overnight", *OVERNIGHT), [hours("overnight", name) for name in OVERNIGHT]
    assert max(each) < together < sum(each)
    half = change(catalogue.module("activation_drift").PRESETS["overnight"], schedule={"num_steps": 7500})
    np.testing.assert_allclose(hours("", "activation_drift", config=half), whole / 2)
    wider = change(half, model={"width": 0.5})
    assert estimates.estimated([wider], [catalogue.module("activation_drift")]) is None
    assert costs.expected("activation_drift", "overnight", wider) == "Expected: not measured yet."


def test_a_long_run_measures_what_the_other_experiments_ask_for():
    """Whichever experiment trains it; of short presets an experiment measures its own alone."""
    others = ("landscape", "mameli")  # the latter trains with overnight_mameli
    beside = cli.beside("landscape", "overnight")
    assert {*beside} == {(name, "overnight") for name in (*OVERNIGHT, *OTHERS) if name not in others}
    assert cli.beside("landscape", "cpu") == []
    beside = {(name, "full_width") for name in ("training_curves", "activation_drift", "covariate_shift", "mameli")}
    assert {*cli.beside("landscape", "full_width")} == beside


@pytest.mark.thorough
def test_drift_at_three_places():
    """At the start a normaliser subtracts mean and divides by standard deviation, and ReLU cuts what is negative."""
    before, between, after = (trained()[place]["layers"]["layer_2"] for place in PLACES)
    mean, variance = np.array(before["mean"][0]), np.array(before["variance"][0])
    np.testing.assert_allclose(between["mean"][0], 0, atol=1e-5)
    epsilon = TINY.norm.epsilon
    np.testing.assert_allclose(between["variance"][0], variance / (variance + epsilon), rtol=1e-4)
    normalised = (np.array(before["quantiles"][0]) - mean[0]) / np.sqrt(variance[0] + epsilon)
    np.testing.assert_allclose(between["quantiles"][0], normalised, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(after["quantiles"][0], np.maximum(between["quantiles"][0], 0), atol=1e-5)
    assert before["units"] == between["units"] == after["units"]


@pytest.mark.thorough
def test_without_a_normaliser_there_is_nothing_before_it():
    """Its drift is that of the outputs themselves."""
    found = trained(change(TINY, norm=NoNorm()))
    assert found["drift_before_norm"] == found["drift"] != found["drift_after_activation"]


@pytest.mark.thorough
def test_smoothness_from_step_to_step():
    """A step of gradient descent is the learning rate times the gradient, of a layer and of everything."""
    for found in trained()["successive_gradients"]["layers"].values():
        length = TINY.optimizer.learning_rate * np.array(found["previous_norm"])
        np.testing.assert_allclose(found["step_length"], length, rtol=1e-3)
        np.testing.assert_allclose(found["step_smoothness"], np.array(found["step_distance"]) / length, rtol=1e-3)
    data = {"step": [0], "layers": {"layer_5": {"norm": [1.0]}, "all": {"step_smoothness": [2.0], "norm": [3.0]}}}
    kept = landscape.KEEP["arms"]["successive_gradients"]
    assert kept(data, 0)["layers"] == {"layer_5": {"norm": [1.0]}, "all": {"step_smoothness": [2.0]}}


@pytest.mark.slow
def test_sharpness_of_the_next_batches():
    """At step 0 it is that of the initial weights on the first two batches, each with its own statistics."""
    task = make_task(TINY.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    losses = [train.current_loss_fn(task.trainer, state.replace(step=jnp.asarray(i)), split) for i in (0, 1)]
    found = probes.batch_sharpness(losses, state.params)
    recorded = trained()["batch_sharpness"]
    np.testing.assert_allclose(recorded["samples"][0], found.samples, rtol=1e-4)
    np.testing.assert_allclose(recorded["sharpness"][0], found.sharpness, rtol=1e-4)
    np.testing.assert_allclose(recorded["gradient_norms"][0], found.gradient_norms, rtol=1e-4)
    assert found.samples[0] != found.samples[1]


@pytest.mark.thorough
def test_probes_share_the_step_and_forget_it():
    """Step and gradient of a state are computed once, as they are by themselves; nothing is left when the state is gone."""
    task = make_task(TINY.net(), None)
    split, trainer = task.load(0).train, task.stepper
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    known = len(probe._SHARED)  # pyright: ignore[reportPrivateUsage]
    batch, after = probe.next_step(trainer, state, split)
    assert probe.next_step(trainer, state, split)[1] is after
    gradient = probe.descent(trainer, state, split)
    assert probe.descent(trainer, state, split) is gradient is not probe.descent(trainer, after, split)
    moved, _ = train.train_step(trainer, state, batch)
    rate = TINY.optimizer.learning_rate
    for new, old, down in zip(*map(jax.tree.leaves, (moved.params, state.params, gradient)), strict=True):
        np.testing.assert_allclose(new, old + rate * down, rtol=1e-4, atol=1e-6)
    other = make_task(change(TINY, optimizer={"batch_size": 30}).net(), None).stepper
    assert probe.next_step(other, state, split)[1] is not after
    del state, after, moved
    gc.collect()
    assert len(probe._SHARED) == known  # pyright: ignore[reportPrivateUsage]


@pytest.mark.slow
def test_measurements_change_nothing_else():
    """Training and tests are those of the net that is not measured."""
    alone = trained(TINY.measuring())
    for kind in ("train", "test", "diverged_at"):
        assert trained()[kind] == alone[kind]


def test_a_deep_linear_network_has_one_batch():
    """All of its examples; and it has no activations."""
    run = landscape.PRESETS["cpu"].deep_linear.measuring("batch_sharpness", *PLACES)
    used = {each.kind: each.used(run) for each in run.probes}
    assert used["batch_sharpness"].batches == 1
    assert [used[place].of for place in PLACES] == ["unnormalised", "preactivations", "preactivations"]
    with pytest.raises(ValueError, match=r"batches must be at least 1, got 0\."):
        dataclasses.replace(used["batch_sharpness"], batches=0)


def test_perceptrons_train_as_in_preset_cpu():
    """The same runs, tested with recalibrated statistics, too."""
    long, short = mnist_mlp.PRESETS["overnight"], mnist_mlp.PRESETS["cpu"]
    for name in ("ioffe", "huber"):
        mine, theirs = getattr(long, name), getattr(short, name)
        assert mine.schedule.recalibrated_tests
        assert mine == change(theirs, schedule={"recalibrated_tests": True})

"""Where a source can be read in two ways, experiments offer both: each variant changes what it says, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import data, norms, train
from bnjax.runs import config_dict
from experiments import covariate_shift, landscape, lp_norms
from experiments._config import (
    BatchNorm,
    DeepLinearRun,
    HuberNorm,
    LpNorm,
    MLPRun,
    NoisyBatchNorm,
    NoNorm,
    Options,
    Schedule,
    VGGRun,
    change,
)
from experiments._evidence import drift
from experiments._figures import captions
from experiments._training.asked import Asked
from experiments._training.experiment import train_all
from experiments._training.tasks import make_task

pytestmark = pytest.mark.slow

RUN = change(
    MLPRun(norm=LpNorm(momentum=0.99, epsilon=1e-3)).measuring("landscape", "shift", "drift"),
    data={"dataset": "digits", "preprocessing": "unit"},
    model={"hidden": (8, 8), "activation": "relu"},
    schedule=Schedule(num_steps=20, eval_every=10, probe_every=10),
)
MEASURED = {"landscape": {"step_multiples": (0.5, 2.0)}, "shift": {"layers": (2,)}, "drift": {"layers": (2, 3)}}
MLP = change(RUN, probes=MEASURED)
BATCH_NORM = BatchNorm.like(MLP.norm)


def trained(tmp_path, config=MLP, **changes):
    """Return the curves of the net, some fields being changed."""
    found = train_all({"arms": {"net": change(config, **changes)}}, Options(results=str(tmp_path)))
    return found["arms"]["net"][0]


def differing(found, others, path=()):
    """List the paths of what is not the same in two runs, their seconds apart."""
    if isinstance(found, dict) and isinstance(others, dict):
        names = sorted({*found, *others} - {"seconds"})
        return [deeper for name in names for deeper in differing(found.get(name), others.get(name), (*path, name))]
    return [] if found == others else [path]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The curves of the net as it is."""
    return trained(tmp_path_factory.mktemp("usual"))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"probes": {"landscape": {"norm": "sum_of_layers"}}}, "landscape"),
        ({"probes": {"shift": {"weights_only": True}}}, "shift"),
        ({"probes": {"drift": {"of": "activations"}}}, "drift"),
        ({"schedule": {"recalibrated_tests": True}}, "test"),
    ],
)
def test_a_variant_of_a_measurement(changes, kind, usual, tmp_path):
    """It changes its own measurement alone; training goes on as if it were not there."""
    changed = differing(usual, trained(tmp_path, **changes))
    assert {path[0] for path in changed} == {kind}


def test_lengths_that_are_added_up_are_longer(usual, tmp_path):
    """The sum of lengths is at least that of the whole, and at most the root of the number of arrays times as long."""
    name, num_arrays = "gradient_distance", 3 * 2 + 2 * 2
    added = np.array(trained(tmp_path, probes={"landscape": {"norm": "sum_of_layers"}})["landscape"][name])
    whole = np.array(usual["landscape"][name])
    assert (added > whole).all()
    assert (added < num_arrays**0.5 * whole).all()


def test_activations_are_those_behind_relu(usual, tmp_path):
    """No unit of a hidden layer is negative behind its activation; the last layer has none."""
    layers = trained(tmp_path, probes={"drift": {"of": "activations"}})["drift"]["layers"]
    assert np.min(layers["layer_2"]["percentiles"]) == 0 > np.min(usual["drift"]["layers"]["layer_2"]["percentiles"])
    assert layers["layer_3"] == usual["drift"]["layers"]["layer_3"]


def test_the_second_test_has_recalibrated_statistics(tmp_path):
    """Its accuracy and loss are those of the trained net with statistics of all training examples, which are few here."""
    config = change(MLP.measuring(), norm=BATCH_NORM, schedule={"recalibrated_tests": True})
    found = train_all({"arms": {"net": config}}, Options(results=str(tmp_path)))["arms"]["net"][0]["test"]
    task = make_task(config.net(), None)
    split, test = task.load(0).train, task.load(0).test
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    state, _ = train.run_steps(task.trainer, state, split, num_steps=20)
    examples = data.take_batch(split, jnp.arange(len(split.labels)))
    again = norms.recalibrate(task.trainer.model, state.variables, [examples], show_progress=False)
    metrics = train.evaluate(task.trainer, again, test)
    np.testing.assert_allclose(found["recalibrated_loss"][-1], metrics.loss, rtol=0.05)
    assert found["recalibrated_loss"] != found["loss"]


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("norm", [NoNorm(), HuberNorm()], ids=["none", "huber"])
def test_a_net_without_statistics_of_batches_is_tested_once(norm, tmp_path):
    """What has no statistics has none to take again; Huber's running variance is not that of the data."""
    assert "recalibrated_loss" not in trained(tmp_path, norm=norm, schedule={"recalibrated_tests": True})["test"]


@pytest.mark.thorough
def test_noise_in_tests(tmp_path):
    """The noise disturbs what is measured on test images, not training."""
    config = change(MLP.measuring("percentiles", "drift"), norm=NoisyBatchNorm.like(MLP.norm))
    one, other = (trained(tmp_path, config, norm={"noise": {"in_tests": in_tests}}) for in_tests in (False, True))
    assert {path[0] for path in differing(one, other)} == {"test", "percentiles"}


def test_figures_tell_variants():
    """Words at the foot and at axes are those of the variant."""
    run = VGGRun(norm=NoisyBatchNorm()).measuring("landscape", "shift", "drift")

    def described(**changes):
        return config_dict(change(run, **changes))

    plain = described()
    assert captions.variants(plain) == []
    moved = {"shift": {"weights_only": True}}
    several = described(norm={"noise": {"in_tests": True}}, probes=moved)
    assert all(words in captions.recipe(several, "cpu") for words in captions.variants(several))
    assert len(captions.variants(several)) == 2
    assert captions.variants(described(norm=LpNorm(center_first=True))) == [captions.LP_CENTRED]
    assert "in place of BN, l2 norm after every hidden layer" in captions.recipe(described(norm=LpNorm()), "cpu")
    assert "in place of BN, noisy batch after every hidden layer" in captions.recipe(plain, "cpu")
    linear = change(DeepLinearRun().measuring("shift"), probes=moved)
    assert "weights alone move" in captions.deep_linear(config_dict(linear))
    behind = described(probes={"drift": {"of": "activations"}})
    summed = described(probes={"landscape": {"norm": "sum_of_layers"}})
    assert captions.place(behind) != captions.place(plain)
    assert drift.subject(behind) != drift.subject(plain)
    assert captions.length(summed) != captions.length(plain) == "l2"


@pytest.mark.thorough
def test_the_l2_norm_of_what_is_centred_is_batch_norm(usual, tmp_path):
    """With the mean taken off first, the net trains as with batch norm; as the paper prints it, as another one."""
    centred = trained(tmp_path, norm={"center_first": True})["train"]["loss"]
    batch = trained(tmp_path, norm=BATCH_NORM)["train"]["loss"]
    np.testing.assert_allclose(centred, batch, rtol=1e-4)
    assert np.max(np.abs(np.subtract(usual["train"]["loss"], batch))) > 0.01


def test_what_is_not_used_makes_no_other_run():
    """What is asked of a run does not depend on variants of what it does not do."""
    plain = change(MLP.measuring(), norm=NoNorm())
    changed = change(plain, schedule={"recalibrated_tests": True}, seeds=(4,))
    assert Asked.of(changed) == Asked.of(plain)
    linear = DeepLinearRun(norm=NoNorm()).measuring("drift", "shift")
    changed = change(linear, probes={"drift": {"of": "activations"}, "shift": {"weights_only": True}})
    assert Asked.of(changed) == Asked.of(linear)
    normalised = DeepLinearRun().measuring("shift")
    assert Asked.of(change(normalised, probes={"shift": {"weights_only": True}})) != Asked.of(normalised)


def test_deep_linear_networks_are_trained_once_for_three_experiments():
    """Plain or with batch norm, at the usual learning rate, they are the same runs."""
    shared = []
    for experiment, suffix in ((landscape, ""), (covariate_shift, "_1e-06"), (lp_norms, "")):
        arms = experiment.groups(experiment.PRESETS["cpu"])["deep_linear"]
        shared.append([(arms[net + suffix].identity(), arms[net + suffix].seeds) for net in ("plain", "batch_norm")])
    assert shared[0] == shared[1] == shared[2]
    assert len(shared[0][0][1]) >= 10

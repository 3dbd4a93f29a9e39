"""The experiment on LSTMs: its nets, its claims on data made by hand, and what is refused."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from faked import data_of

from bnjax import train
from bnjax.runs import config_dict
from experiments import recurrent
from experiments._config import HiddenGradients, LSTMRun, PlainNoise, VGGRun, change
from experiments._evidence.keep import keep
from experiments._evidence.verdict import judge
from experiments._training.tasks import make_task
from experiments.recurrent import figure, table
from experiments.recurrent.claims import CLAIMS, FLOW

CPU = recurrent.PRESETS["cpu"]
STEPS = [1560, 3120, 4690]
# Test accuracies at these steps, and the gradient's norm after the first time step as a multiple of that after the last.
NETS = {
    "plain": ((0.5, 0.8, 0.975), 0.05),
    "layer_norm_0.1": ((0.5, 0.92, 0.981), 0.3),
    "layer_norm_1": ((0.975, 0.98, 0.982), 0.3),
    "batch_norm_0.1": ((0.6, 0.972, 0.99), 0.5),
    "batch_norm_1": ((0.6, 0.9, 0.97), 0.01),
    "shared_batch_0.1": ((0.4, 0.5, 0.9), 0.5),
}


def made(config=recurrent.PRESETS["overnight"], changes: Any = ()):
    """Make the data of three seeds with these numbers; with mini-batches of 4 batch norm ends lower than layer norm."""
    nets = NETS | dict(changes)
    small = nets | {"batch_norm_0.1": ((0.3, 0.4, 0.5), 0.5)}

    def runs(accuracies, ratio):
        gradients = {"step": [0, 4690], "norm": [[ratio * 2, 1.0, 2.0], [1.0, 1.0, 1.0]]}
        test = {"step": STEPS, "accuracy": accuracies, "loss": [1.0] * 3}
        return [{"seed": n, "diverged_at": None, "test": test, "hidden_gradients": gradients} for n in range(3)]

    groups = {"small": small, "large": nets}
    arms = {group: {arm: runs(*numbers) for arm, numbers in of.items()} for group, of in groups.items()}
    return {
        "experiment": "recurrent",
        "preset": "overnight",
        "config": json.loads(json.dumps(config_dict(config))),
        **arms,
    }


def judged(data):
    """Judge every claim."""
    return {claim.name.removeprefix("recurrent_"): judge(claim, data) for claim in CLAIMS}


def test_claims_on_data_that_are_known():
    """Each statistic is the number that follows from the accuracies and gradients above."""
    found = judged(made())
    assert {name for name, one in found.items() if one.verdict != "supported"} == set()
    values = {name: one.median for name, one in found.items()}
    assert values["batch_norm_steps"] == values["batch_norm_steps_part"] == pytest.approx(4690 / 3120)
    assert values["layer_norm_steps"] == values["layer_norm_steps_part"] == pytest.approx(4690 / 1560)
    assert values["layer_norm_first"] == values["layer_norm_first_part"] == pytest.approx(2)
    assert values["accuracy"] == pytest.approx(0.015)
    assert (values["vanishing"], values["vanishing_plain"], values["flat"]) == pytest.approx((0.01, 0.05, 0.5))
    assert values["scale"] == pytest.approx(50)
    assert values["small_batch"] == pytest.approx(0.482)
    assert values["large_batch"] == pytest.approx(0.008)
    assert values["per_step"] == pytest.approx(0.09)


def test_claims_that_do_not_hold():
    """Batch norm that learns slowly, whose gradients vanish at the small scale alone, contradicts them."""
    slow = {"batch_norm_0.1": ((0.3, 0.4, 0.95), 0.001), "shared_batch_0.1": ((0.92, 0.95, 0.97), 0.001)}
    others = {"layer_norm_1": ((0.2, 0.3, 0.9), 1.0), "plain": ((0.5, 0.92, 0.975), 0.05)}
    found = judged(made(changes=slow | others))
    wrong = {name for name, one in found.items() if one.verdict == "contradicted"}
    assert {
        "accuracy",
        "flat",
        "scale",
        "scale_accuracy",
        "per_step",
        "per_step_steps",
        "batch_norm_steps_part",
    } <= wrong
    assert "vanishing" not in wrong


def test_a_part_of_the_images_decides_a_part_of_the_claims():
    """The others, and those on other sizes of mini-batches, say what they need."""
    found = judged(made(CPU))
    assert found["layer_norm_steps"].reason == "needs all 60,000 training images"
    assert found["layer_norm_steps_part"].verdict == "supported"
    other = change(CPU, large={"optimizer": {"batch_size": 64}}, small={"optimizer": {"batch_size": 8}})
    found = judged(made(other))
    assert found["accuracy"].reason == "needs mini-batches of 128"
    assert found["small_batch"].reason == "needs mini-batches of 4"


def test_a_gradient_that_float32_made_zero_has_no_ratio():
    """Nor has one that is not finite."""
    values = FLOW.values({"step": [0, 1, 2], "norm": [[0.0, 1.0], [None, 1.0], [1.0, 2.0]]})
    np.testing.assert_array_equal(values, [np.nan, np.nan, 0.5])


def test_nets_of_each_size():
    """All differ in their normaliser alone; sizes between see as many images, and a plain net has no scale."""
    found = recurrent.groups(recurrent.PRESETS["overnight"])
    assert list(found) == ["small", "large", "between"]
    assert len(found["small"]) == len(found["large"]) == len(found["between"]) == 7
    between = found["between"]["batch_norm_16_0.1"]
    assert between.optimizer.batch_size * between.schedule.num_steps == 128 * 4690
    shared = found["large"]["shared_batch_1"]
    assert (shared.model.norm_scale, shared.model.statistics) == (1.0, "shared")
    assert found["large"]["plain"].model == CPU.large.model
    assert "shared_batch_1" not in recurrent.groups(CPU)["large"]
    assert {getattr(run, "data").num_examples for run in recurrent.groups(CPU)["large"].values()} == {10_000}  # noqa: B009


def test_first_and_last_gradients_are_kept():
    """In five digits."""
    runs = [
        {"seed": 0, "diverged_at": None, "hidden_gradients": {"step": [0, 5, 9], "norm": [[1.234567], [2.0], [3.0]]}}
    ]
    kept = keep({"large": {"plain": runs}}, {"large": recurrent.KEEP["large"]})
    assert kept["large"]["plain"][0]["hidden_gradients"] == {"step": [0, 9], "norm": [[1.2346], [3.0]]}


def test_words_and_figure():
    """Table, findings and six panels, with sizes between and without."""
    data = data_of("recurrent")
    assert "BN, running statistics shared over time, batch 16, scale 0.1" in table.summarise(data)
    assert "With mini-batches of 128, the LSTM ends at a test accuracy of" in table.findings(data)
    assert len(figure.plot(data).draw().axes) == 6
    assert "with layer norm, batch 128, scale 1" in table.summarise(made())


@pytest.mark.thorough
def test_the_probe_measures_the_next_batch():
    """Its last norm is that of the loss by the logits times the last weights, on the state's own batch."""
    run = change(recurrent.groups(recurrent.PRESETS["smoke"])["small"]["plain"], model={"initial_noise": 0.0})
    task = make_task(run.net(), None)
    split = task.load(0).train
    state = train.init_state(task.trainer, jax.random.key(0), jax.numpy.zeros((1, 8, 8, 1)))
    batch = train.current_batch(task.trainer, state, split)
    logits, _ = task.trainer.model.apply(state.variables, batch.inputs, train=True)
    by_logits = (jax.nn.softmax(logits) - jax.nn.one_hot(batch.labels, 10)) / len(batch.labels)
    found = task.make_probe(HiddenGradients()).measure(state, split)["norm"]
    assert len(found) == 8
    expected = np.linalg.norm(by_logits @ state.params["dense_3"]["kernel"].T)
    np.testing.assert_allclose(found[-1], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dataclasses.replace(CPU, between=(256,)), "between must be none, or different numbers from 1 to 128"),
        (lambda: dataclasses.replace(CPU, scales=()), "scales must be one or more different numbers > 0 and finite"),
        (
            lambda: dataclasses.replace(CPU, shared=(0.5,)),
            "shared must be one or more different ones of the scales, 0.1, 1",
        ),
        (
            lambda: change(LSTMRun(), model={"recorded_steps": 20}).check_layers("large."),
            "large.model.recorded_steps must be at least 28, the rows of an image, each of which has statistics, got 20",
        ),
        (
            lambda: LSTMRun().measuring("drift").check_layers(),
            "probes must be without kinds that read inside the loop of an LSTM over time, got drift",
        ),
        (
            lambda: VGGRun().measuring("hidden_gradients").check_layers(),
            "probes.hidden_gradients must be left out, except for an LSTM, got it",
        ),
    ],
)
def test_misfits(make, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        make()


def test_normalisers_that_do_not_fit():
    """Noise inside the loop is not offered."""
    with pytest.raises(ValueError, match="norm must be one of none, batch, lp, layer for an LSTM, got noise"):
        LSTMRun(norm=PlainNoise()).check_layers()

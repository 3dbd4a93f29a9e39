"""Batch norm in evaluation: what is measured on shifted images, and what the claims make of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import as_read, make_run

from bnjax import data, norms, probes, train
from bnjax.models import MLPShape
from experiments._config import BatchNorm, BatchRenorm, Evaluation, Images, MLPRun, NoNorm, Optimizer, change
from experiments._config.probes import CORRUPTIONS
from experiments._evidence.setup import setup
from experiments._evidence.verdict import judge
from experiments._training.tasks import make_task
from experiments.evaluation import PRESETS, by_size, groups
from experiments.evaluation.claims import CLAIMS
from experiments.evaluation.table import findings

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
CLAIM = {claim.name: claim for claim in CLAIMS}
RUN = MLPRun(
    model=MLPShape(hidden=(6, 5), activation="relu"),
    data=Images("digits", classes=(0, 1, 2, 3, 4)),
    norm=BatchNorm(),
    optimizer=Optimizer(batch_size=10),
)
SETTINGS = Evaluation(num_examples=64, shifts=("contrast",))


@pytest.fixture(scope="module")
def measured():
    """Train a small net for some steps, and measure it."""
    task = make_task(RUN.net(), None)
    dataset, state = task.load(0), train.init_state(task.trainer, KEY, jnp.zeros((1, 8, 8, 1)))
    state, _ = train.run_steps(task.trainer, state, dataset.train, num_steps=40)
    return task, dataset, state, task.make_probe(SETTINGS).measure(state, dataset)


def first(split):
    """Take the first six batches of ten."""
    return data.take_batch(split, jnp.arange(60))


def test_accuracy_by_statistics(measured):
    """Running, batch by batch, pooled over training images and over the images themselves: each by another way."""
    task, dataset, state, found = measured
    model, batch = task.trainer.model, first(dataset.test)

    def accuracy(variables, x, in_training=False):
        return np.argmax(model.apply(variables, x, train=in_training)[0], axis=1)

    def recalibrated(split):
        batches = jnp.split(first(split).inputs, 6)
        return norms.recalibrate(model, state.variables, batches, show_progress=False)

    parts = [accuracy(state.variables, x, True) for x in jnp.split(batch.inputs, 6)]
    wanted = {
        "running": accuracy(state.variables, batch.inputs),
        "batch": np.concatenate(parts),
        "recalibrated": accuracy(recalibrated(dataset.train), batch.inputs),
        "adapted": accuracy(recalibrated(dataset.test), batch.inputs),
    }
    for mode, answers in wanted.items():
        assert found[f"clean_{mode}_accuracy"] == pytest.approx(float(np.mean(answers == batch.labels)), abs=1e-6)
    assert found["train_running_accuracy"] > 0.3
    assert not [name for name in found if name.startswith("held_out") and name.endswith("accuracy")]


def test_layers_by_hand(measured):
    """Distance and ratio to the running statistics of all images at once, and the largest value, in float64."""
    task, dataset, state, found = measured
    whole = data.load("digits", preprocessing=RUN.data.preprocessing)
    held_out = data.take_classes(whole.test, (5, 6, 7, 8, 9))
    for shift, split in (("train", dataset.train), ("held_out", held_out)):
        for number, layer in enumerate(("norm_1", "norm_2")):
            read = [
                np.asarray(
                    probes.capture(
                        task.trainer.model, state.variables, first(split).inputs, layer, where=w, train=False
                    )[layer],
                    float,
                )
                for w in ("inputs", "outputs")
            ]
            stats = {name: np.asarray(value, float) for name, value in state.batch_stats[layer].items()}
            var, other = read[0].var(0) + 1e-5, stats["var"] + 1e-5
            distance = np.sqrt(np.mean((read[0].mean(0) - stats["mean"]) ** 2 / other))
            wanted = distance, np.mean(abs(np.log(var / other))), abs(read[1]).max(), 0
            for name, value in zip(("distance", "log_ratio", "largest", "not_finite"), wanted, strict=True):
                np.testing.assert_allclose(found[f"{shift}_{name}"][number], value, rtol=1e-4)


def test_one_image_has_one_answer_with_running_statistics_only(measured):
    """Another rest of the batch changes nothing with running statistics, and much with those of the batch."""
    task, dataset, state, found = measured
    assert found["change_running"] == 0
    assert found["change_batch"] > 0.1
    largest = 0.0
    for i in range(8):
        logits = []
        for start in (8, 17):
            x = data.take_batch(dataset.test, jnp.array([i, *range(start, start + 9)])).inputs
            logits.append(task.trainer.model.apply(state.variables, x, train=True)[0][0])
        largest = max(largest, float(abs(logits[0] - logits[1]).max()))
    assert found["change_batch"] == pytest.approx(largest, rel=1e-4)


def test_corrupted_images_are_those_of_the_library(measured):
    """In units of pixels from 0 to 1, whatever the preprocessing."""
    task, dataset, state, found = measured
    pixels = dataset.test.images[:60].astype(jnp.float32) / 16
    images = data.corrupt("contrast", jax.random.key(0), pixels) * 16
    x = images * dataset.test.scale.reshape(1, 1, 1, 1) + dataset.test.offset.reshape(1, 1, 1, 1)
    answers = np.argmax(task.trainer.model.apply(state.variables, x, train=False)[0], axis=1)
    assert found["contrast_running_accuracy"] == pytest.approx(
        float(np.mean(answers == dataset.test.labels[:60])), abs=1e-6
    )
    assert {*CORRUPTIONS} == {*data.CORRUPTIONS}


def test_a_net_without_normalisers_is_restandardised():
    """With the moments of its training images it computes what it did; with those of other images, something else."""
    task = make_task(change(RUN, norm=NoNorm()).net(), None)
    dataset, state = task.load(0), train.init_state(task.trainer, KEY, jnp.zeros((1, 8, 8, 1)))
    found = task.make_probe(SETTINGS).measure(state, dataset)
    batch = first(dataset.test)
    logits = task.trainer.model.apply(state.variables, batch.inputs, train=False)[0]
    assert found["clean_running_accuracy"] == pytest.approx(
        float(np.mean(np.argmax(logits, 1) == batch.labels)), abs=1e-6
    )
    assert found["layers"] == ["dense_1", "dense_2"]
    np.testing.assert_allclose(found["train_distance"], 0, atol=1e-4)
    assert found["contrast_running_loss"] != found["contrast_adapted_loss"]
    assert found["change_running"] == 0 < found["change_batch"]


@pytest.mark.parametrize(
    ("images", "batch_size"),
    [
        (Images("digits", classes=(0, 1, 2, 3, 4, 5, 6, 8, 9), per_label=2), 10),
        (Images("digits", classes=tuple(range(10))), 10),
        (Images("digits", classes=(0, 1, 2, 3, 4)), 200),
    ],
    ids=["a class held out of sorted batches", "no class held out", "batches larger than the tested splits"],
)
def test_what_is_held_out_can_be_measured(images, batch_size):
    """However the net is trained: held-out images are not sorted by label, and no image is in a batch twice."""
    run = change(RUN, data=images, optimizer={"batch_size": batch_size})
    task = make_task(run.net(), None)
    dataset, state = task.load(0), train.init_state(task.trainer, KEY, jnp.zeros((1, 8, 8, 1)))
    found = task.make_probe(SETTINGS).measure(state, dataset)
    assert np.isfinite(found["clean_batch_loss"])
    assert ("held_out_largest" in found) is (images.num_classes < 10)
    if batch_size == 200:
        tested = data.take_batch(dataset.test, jnp.arange(len(dataset.test.labels)))
        logits = task.trainer.model.apply(state.variables, tested.inputs, train=True)[0]
        assert len(tested.labels) < 200
        wanted = float(np.mean(np.argmax(logits, 1) == tested.labels))
        assert found["clean_batch_accuracy"] == pytest.approx(wanted, abs=1e-6)


def test_the_nets():
    """Each group is trained on what it is named after, and sees as many images in batches of any size."""
    config = PRESETS["cpu"]
    found: Any = groups(config)
    assert found["arms"]["plain"].norm == NoNorm()
    assert found["classes"]["batch_norm"].data.classes == (0, 1, 2, 3, 4)
    assert [run.optimizer.batch_size for run in found["tiny"].values()] == [2, 4, 8]
    assert found["small"]["renorm"].norm == BatchRenorm(momentum=0.99, r_max=1.5, d_max=0.5)
    assert found["labels"]["batch_norm"].data.per_label == 2
    seen = {
        run.optimizer.batch_size * (run.schedule.num_steps - 1)
        for group in ("arms", "classes", "small", "labels", "sizes")
        for run in found[group].values()
    }
    assert seen == {48_000}
    same = found["early"]["batch_norm"]
    assert same.identity() == found["arms"]["batch_norm"].identity()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vgg": {"norm": NoNorm()}}, "vgg.norm must be batch, whose statistics are compared, got none"),
        ({"classes": {"data": {"classes": None}}}, "classes.data.classes must be some of the classes, got None"),
        (
            {"classes": {"data": {"classes": tuple(range(10))}}},
            r"classes.data.classes must be fewer than all 10 classes, of which the others are held out, got \(0, 1, .*, 9\)",
        ),
        ({"labels": {"data": {"per_label": None}}}, "labels.data.per_label must be a number of images, got None"),
        ({"tiny_batches": (101,)}, "tiny_batches must be one or more different numbers from 1 to 100, .*, got .101"),
        ({"batch_sizes": (32,)}, "batch_sizes must be different numbers of at least 1, without 32, got .32"),
        ({"early_steps": 15}, "early_steps must be a multiple of 10, got 15"),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(PRESETS["cpu"], **changes)


def test_corruptions_of_unknown_name_are_one_line():
    """It lists those that there are."""
    with pytest.raises(
        ValueError, match=r"shifts must be different ones of contrast, .*, blur, or none, got \('fog',\)"
    ):
        Evaluation(shifts=("fog",))


GAINS = dict(zip(CORRUPTIONS, (0.08, 0.12, 0.2, 0.02, 0.04, 0.1), strict=True))


def made():
    """Make data: adapted statistics gain, without batch norm half as much; activations of held-out classes double."""
    config = PRESETS["cpu"]

    def runs(arm, run):
        found = []
        for seed in run.seeds:
            made = make_run(run, seed, 0.01, {})
            accuracy = 0.6 if run.norm.kind == "renorm" else 0.55
            made["test"] |= {"accuracy": np.full(len(made["test"]["step"]), accuracy)}
            made["test"] |= {"recalibrated_accuracy": made["test"]["accuracy"] + 0.05}
            if "evaluation" in run.probes:
                made["evaluation"] = recorded(run)
            found.append(made)
        return found

    return as_read("evaluation", "cpu", config, groups(config), runs)


def recorded(run):
    """Make what is measured of a net at its end."""
    factor = 0.5 if run.norm.kind == "none" else 1.0
    found = {"clean_running_accuracy": 0.6, "clean_adapted_accuracy": 0.601, "clean_recalibrated_accuracy": 0.605}
    found |= {"clean_batch_accuracy": 0.68, "change_running": 0.0, "change_batch": 3.0}
    for place, shift in enumerate(run.probes.evaluation.shifts):
        accuracy = 0.5 - 0.05 * place
        found |= {f"{shift}_running_accuracy": accuracy, f"{shift}_adapted_accuracy": accuracy + factor * GAINS[shift]}
    largest = {"train": [1.0, 2.0], "clean": [1.0, 2.0 * (11 if run.data.subset else 1)], "held_out": [1.5, 4.0]}
    for shift, values in largest.items():
        found |= {f"{shift}_largest": values, f"{shift}_not_finite": [0.0, 0.0], f"{shift}_distance": [0.1, 0.3]}
    return {"step": [0, 1500], **{name: [value, value] for name, value in found.items()}}


def test_what_the_claims_make_of_known_numbers():
    """Each claim's number is the one that was put in; words name the images and batches that it was measured on."""
    data_made = made()
    found = {name: judge(claim, data_made) for name, claim in CLAIM.items()}
    value = {name: judgement.median for name, judgement in found.items()}
    wanted = {
        "one_answer": 0,
        "many_answers": 3,
        "explodes": 2,
        "leaves": 2,
        "not_finite": 0,
        "tiny_explodes": 11,
        "adapted_median": 0.09,
        "adapted_mean": 0.56 / 6,
        "adapted_worst": 0.1,
        "adapted_clean": 0.001,
        "adapted_contrast": 0.08,
        "adapted_noise": 0.12,
        "control": -0.28 / 6,
        "renorm_small": 0.05,
        "renorm_labels": 0.05,
        "labels_batch": 0.08,
        "early": 0.05,
        "late": 0.005,
    }
    for name, number in wanted.items():
        assert value[f"evaluation_{name}"] == pytest.approx(number, abs=1e-9), name
    verdicts = {
        name: found[f"evaluation_{name}"].verdict
        for name in ("leaves", "tiny_explodes", "early", "explodes", "control")
    }
    assert [*verdicts.values()] == ["supported"] * 3 + ["contradicted"] * 2
    words = {
        name: setup(CLAIM[f"evaluation_{name}"].statistic, data_made, 3).words for name in ("explodes", "tiny_explodes")
    }
    assert "5 of the classes of CIFAR-10" in words["explodes"]
    assert "100 images of CIFAR-10, 1,000 steps" in words["tiny_explodes"]
    assert [*by_size(data_made)] == [4, 8, 32]
    assert "+9.3 points with batch norm" in findings(data_made)

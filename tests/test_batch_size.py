"""Normalisers at several batch sizes: nets, steps and rates, claims on data made by hand, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import train
from experiments import batch_size
from experiments._config import GroupNorm, InstanceNorm, MLPRun, ResNetRun, change
from experiments._evidence.verdict import judge
from experiments._training.tasks import make_task
from experiments.batch_size import table
from experiments.batch_size.claims import CLAIMS

CPU = batch_size.PRESETS["cpu"]


def test_nets_see_as_many_images_at_rates_in_proportion():
    """At every batch size; normalisers of one net stand after the same layers."""
    nets = batch_size.groups(CPU)
    assert set(nets["arms"]) >= {f"{net}_b{n}" for net in batch_size.OFTEN for n in (2, 4, 8, 16, 32, 128)}
    assert len(nets["arms"]) == 3 * 6 + 2 * 2
    for runs in nets.values():
        for name, run in runs.items():
            size = run.optimizer.batch_size
            assert name.endswith(f"_b{size}")
            assert run.schedule.num_steps == 4 * (5000 // size) == run.schedule.eval_every
            assert run.optimizer.learning_rate / size == pytest.approx(CPU.vgg.optimizer.learning_rate / 128)
    layers = {run.norm.layers for name, run in nets["arms"].items() if not name.startswith("plain")}
    assert layers == {tuple(range(1, 9))}
    groups = {name: run.norm.group_size for name, run in nets["arms"].items() if run.norm.kind == "group"}
    assert groups == {
        **{f"group_norm_b{n}": 8 for n in (2, 4, 8, 16, 32, 128)},
        **{f"one_group_b{n}": None for n in (2, 128)},
    }


def test_an_epoch_is_over_the_classes_in_use():
    """Their images are counted, of sets too whose classes are not equally large."""
    images = {"dataset": "digits", "image_size": 8, "subset": None, "classes": (0, 1)}
    smoke = batch_size.PRESETS["smoke"]
    config = change(smoke, vgg={"data": images}, resnet={"data": images})
    nets = batch_size.groups(config)
    assert {run.schedule.num_steps for runs in nets.values() for run in runs.values()} == {
        config.epochs * (302 // size) for size in (8, 32)
    }


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("norm", [GroupNorm(group_size=2), GroupNorm(group_size=None), InstanceNorm()])
def test_normalisers_of_single_examples(norm):
    """Each group of channels of one example has mean 0 and variance 1; nothing depends on the other examples."""
    module, x = norm.make()(), jax.random.normal(jax.random.key(0), (3, 4, 5, 6))
    variables = module.init(jax.random.key(1), x, use_running_average=False)
    y = module.apply(variables, x, use_running_average=False)
    groups = {2: 3, None: 1}[norm.group_size] if isinstance(norm, GroupNorm) else 6
    parts = np.asarray(y, np.float64).reshape(3, 20, groups, -1)
    np.testing.assert_allclose(parts.mean(axis=(1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(parts.var(axis=(1, 3)), 1, atol=1e-3)
    np.testing.assert_allclose(module.apply(variables, x[:1], use_running_average=False), y[:1], atol=1e-6)


@pytest.mark.thorough
def test_a_residual_network_trains():
    """From its configuration: some steps lower the loss of a small net."""
    model = {"num_blocks": 1, "width": 2}
    data = {"dataset": "synthetic"}
    task = make_task(change(ResNetRun(), model=model, data=data, optimizer={"batch_size": 64}).net(), None)
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    _, metrics = train.run_steps(task.stepper, state, task.load(0).train, num_steps=20)
    assert metrics.loss[-5:].mean() < metrics.loss[:5].mean() - 0.1


def runs(accuracy, size, spread=0.0):
    """Make six runs that end at a test accuracy, plus a difference between every second pair of seeds."""
    steps = 4 * (5000 // size)
    points = {"step": [*range(0, steps, steps // 4)], "window": steps // 4}
    curve = {**points, "loss": [1.0] * 4, "accuracy": [accuracy] * 4}
    tests = [accuracy + spread * (seed % 2) for seed in range(6)]
    return [
        {"seed": seed, "diverged_at": None, "train": curve, "test": {"step": [steps], "accuracy": [value]}}
        for seed, value in enumerate(tests)
    ]


def made(blocks=3):
    """Make data as they are published."""
    ahead = {2: -4.1, 4: 4.2, 8: 6, 16: 6, 32: 6, 128: 5}
    arms = {f"batch_norm_b{n}": runs(0.7 + x / 100, n, 0.04 if n == 2 else 0.01) for n, x in ahead.items()}
    arms |= {f"{net}_b{n}": runs(0.7, n) for net in ("group_norm", "one_group", "instance_norm") for n in ahead}
    arms |= {f"plain_b{n}": runs(0.6, n) for n in ahead}
    levels = {"batch_norm": 0.922, "instance_norm": 0.904, "group_norm": 0.903, "one_group": 0.874}
    resnet = {f"{net}_b128": runs(level, 128) for net, level in levels.items()}
    resnet |= {"batch_norm_b2": runs(0.7, 2), "group_norm_b2": runs(0.8, 2)}
    config = {"epochs": 4, "vgg": {"seeds": [0]}, "resnet": {"seeds": [0], "model": {"num_blocks": blocks, "width": 8}}}
    return {"config": config, "arms": arms, "resnet": resnet}


def judged(data):
    """Judge every claim."""
    return {claim.name.removeprefix("batch_"): judge(claim, data) for claim in CLAIMS}


def test_published_numbers_support_what_they_are_published_for():
    """The counter-examples, which are other nets', do not hold in them."""
    found = judged(made())
    verdicts = {name: judgement.verdict for name, judgement in found.items()}
    for size in (2, 8, 32, 128):
        assert verdicts.pop(f"{size}_recalibrated") == "inconclusive"  # nothing was tested twice
    against = {"4_imagenet", "8_imagenet", "32_vgg", "resnet_group_imagenet"}
    assert {name for name, verdict in verdicts.items() if verdict == "contradicted"} == against
    assert {verdict for name, verdict in verdicts.items() if name not in against} == {"supported"}
    assert found["spread"].values == pytest.approx((4.0,) * 3)


def test_what_cannot_be_decided_says_what_it_needs():
    """A smaller residual network is no ResNet-20, and batches that were left out are named."""
    data = made(blocks=1)
    del data["arms"]["batch_norm_b16"]
    found = judged(data)
    assert found["resnet_layer"].reason == "needs a ResNet-20"
    assert found["16"].reason == found["spread"].reason == "these data have no runs of BN, batch 16"


def test_tables():
    """A row for each normaliser, a column for each batch size; training is that of the last epoch, and findings name both."""
    data = made()
    assert list(table.by_batch(data["arms"])) == [2, 4, 8, 16, 32, 128]
    curve = data["arms"]["plain_b2"][0]["train"]
    curve["accuracy"] = [0.1, 0.1, 0.1, 0.9]
    assert table.last_epoch(data["arms"], 4)[2].of(data["arms"]["plain_b2"][0]) == pytest.approx(0.9)
    lines = table.summarise(data).splitlines()
    row = next(line for line in lines if line.startswith("with BN"))
    assert row.split()[2::2] == ["67.9", "74.7", "76.5", "76.5", "76.5", "75.5"]
    assert "70.0 %, 70.0 %, 70.0 %, 70.0 %, 70.0 % and 70.0 % at batch 2, 4, 8, 16, 32 and 128 (GN)" in table.findings(
        data
    )
    assert math.isfinite(table.last_epoch(data["resnet"], 4)[128].of(data["resnet"]["batch_norm_b128"][0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sizes": (1, 2)}, "batch_sizes must be one or more different numbers from 2 to 5,000, the examples"),
        ({"resnet_batch_sizes": (6000,)}, "resnet_batch_sizes must be one or more .* from 2 to 5,000, .* got"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        (
            {"group_size": 3},
            "group_size must be a divisor of the features of each normalised layer, 8, 16, 32, 64, got 3",
        ),
        ({"resnet_nets": ()}, "resnet_nets must be one or more different ones of plain, batch_norm"),
        (
            {"vgg": {"norm": {"layers": "all"}}},
            "vgg.norm.layers must be convolutions, from 1 to 8, for instance norm, got",
        ),
    ],
)
def test_misfits(changes, message):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)


def test_normalisers_that_do_not_fit_a_net():
    """Groups must divide the features of the layers that have them, and instance norm needs maps."""
    perceptron = MLPRun(norm=GroupNorm(group_size=8))
    with pytest.raises(ValueError, match=r"norm\.group_size must be a divisor of .*, 100, got 8"):
        perceptron.check_layers()
    with pytest.raises(ValueError, match=r"mlp\.norm\.layers must be convolutions, from 1 to 0, for instance norm"):
        MLPRun(norm=InstanceNorm()).check_layers("mlp.")
    ResNetRun(norm=InstanceNorm()).check_layers()
    MLPRun(norm=GroupNorm(group_size=10)).check_layers()

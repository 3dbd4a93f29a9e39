"""Scale and bias: which nets are trained and which of their parameters, how scales are measured, and claims on data by hand."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_readable
from runs import ORIGIN

from bnjax import probes, train
from bnjax.probes.paths import named_leaves
from bnjax.runs import config_dict, folder_name
from experiments import scale_and_bias
from experiments._config import (
    BatchNorm,
    GroupNorm,
    MLPRun,
    NoNorm,
    Optimizer,
    Scales,
    VGGRun,
    change,
)
from experiments._config.parts import TRAINED
from experiments._evidence.keep import check_needs, keep
from experiments._evidence.verdict import judge
from experiments._training.tasks import make_task
from experiments.scale_and_bias import SCALES, depth, figure, initial, table
from experiments.scale_and_bias.claims import CLAIMS
from experiments.scale_and_bias.quantities import RATIO, SCALE, SMALL

CPU, SMOKE = scale_and_bias.PRESETS["cpu"], scale_and_bias.PRESETS["smoke"]


def started(run):
    """Make the task of a run, and its first state."""
    task = make_task(run.net(), None)
    split = task.load(0).train
    return task, split, train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))


def net(seed, test, band=1.0, ratio=(2.0, 0.5), small=0.0, steps=600, diverged_at=None) -> Any:
    """Make a run that ends at a test accuracy, with a range of the loss, and scales of two layers of 1 and 3 units."""
    layers = {
        f"layer_{n}": {
            "units": [n] * 3,
            "scale": [1.0, 1.0, 0.4 * n],
            "ratio": [ratio[0], 1.0, ratio[1]],
            "small": [0, 0, s],
        }
        for n, s in ((1, 0.0), (3, small))
    }
    curve = {"step": [*range(steps)], "window": 1, "loss": [1.0] * steps, "accuracy": [test] * steps}
    scan = {name: [[1.0, 1.0 + band]] * 3 for name in ("loss", "gradient_distance", "smoothness")}
    at = [0, 50, steps - 50]
    return {
        "seed": seed,
        "diverged_at": diverged_at,
        "train": curve,
        "test": {"step": [steps], "accuracy": [test], "recalibrated_accuracy": [test]},
        "scales": {"step": at, "layers": layers},
        "landscape": {"step": at, **scan},
    }


def made(preset="cpu", steps=600, gain=0.05, by_depth=0.05, small=0.4, band=0.5, factor=0.5) -> Any:
    """Make data of three seeds.

    Args:
        preset: whose nets there are.
        steps: of every run.
        gain: test accuracy of scale and bias both, and of bias.
        by_depth: what each deeper residual network gains.
        small: share of the second layer's scales below 0.01 where they alone are trained.
        band: range of the loss with batch norm; without, it is 1.
        factor: |scale| / sigma at the end.
    """
    config = scale_and_bias.PRESETS[preset]
    groups = scale_and_bias.groups(config)

    def of_arm(name):
        accuracy = 0.5 - gain * (name in ("no_affine", "fixed_bias"))
        scale = float(name.rpartition("_x")[2]) if "_x" in name else 1.0
        return [net(seed, accuracy, 1.0 if name == "plain" else band * scale**0.1, (2.0, factor)) for seed in range(3)]

    arms = {name: of_arm(name) for name in groups["arms"]}
    for run in arms["plain"]:
        run["scales"] = {**run["scales"], "layers": {}}
    tests = {depth(blocks).arm("norms_only"): 0.3 + by_depth * i for i, blocks in enumerate(config.blocks)}
    data = {
        "arms": arms,
        "alone": {"norms_only": [net(seed, 0.3, small=small) for seed in range(3)]},
        "resnet": {name: [net(seed, test, small=small) for seed in range(3)] for name, test in tests.items()},
    }
    for run in (run for group in data.values() for runs in group.values() for run in runs):
        long = net(run["seed"], 0.0, steps=steps)
        run |= {"train": long["train"], "test": {**run["test"], "step": [steps]}}
        run["scales"] = {**run["scales"], "step": long["scales"]["step"]}
    return {"config": config_dict(config), "preset": preset, "provenance": [ORIGIN], "seconds": 9.0, **data}


def judged(data):
    """Judge every claim."""
    return {claim.name.removeprefix("affine_"): judge(claim, data) for claim in CLAIMS}


def test_claims_go_either_way():
    """Each is decided by the nets that it names; longer windows ask for more steps, and for nets of another preset."""
    found = judged(made())
    assert found["gain"].values == found["bias"].values == pytest.approx((0.05,) * 3)
    assert {found[name].verdict for name in ("gain", "bias", "scale", "initial", "range", "gradient")} == {"supported"}
    assert {found[name].verdict for name in ("same_range", "start", "later", "factor")} == {"supported"}
    assert {found[name].verdict for name in ("alone", "alone_resnet", "alone_depth", "alone_each")} == {"supported"}
    assert found["alone_depth"].values == pytest.approx((0.1,) * 3)
    assert found["start"].values == pytest.approx((2**0.1,) * 3)
    assert found["small"].values == (0.0,) * 3
    assert (found["fixed"].verdict, found["fixed"].values) == ("supported", pytest.approx((0.0,) * 3))
    assert found["alone_small"].reason == "needs 5,001 steps, ran 600"
    assert found["alone_d14"].reason == "needs a ResNet of width 16, as preset paper has"
    data = made()
    del data["arms"]["fixed_scale_x0.1"]
    assert judged(data)["fixed"].reason == "these data have no runs of fixed scale, initial scale 0.1"
    found = judged(made(gain=-0.05, by_depth=-0.05, band=2.0, factor=2.0))
    for name in ("gain", "bias", "range", "smoothness", "factor", "alone_depth", "alone_each"):
        assert found[name].verdict == "contradicted", name


def test_claims_on_long_runs():
    """Levels, and scales close to 0, are those of the published length."""
    found = judged(made("paper", steps=62_400, by_depth=0.17))
    assert found["fixed"].verdict == "supported"
    assert found["alone_small"].values == pytest.approx((0.75 * 0.4,) * 3)
    assert found["alone_third"].values == pytest.approx((0.3,) * 3)
    assert found["alone_third"].verdict == "supported"
    assert found["alone_d14"].verdict == "contradicted"
    assert found["alone_d110"].values == pytest.approx((0.3 + 3 * 0.17,) * 3)
    assert judged(made("paper", steps=62_400, small=0.9))["alone_third"].verdict == "contradicted"


def test_units_count_alike():
    """The share of small scales is one of all units; sizes are medians of layers, and the plain net has none."""
    run = net(0, 0.5, small=0.4)
    assert SMALL.at_end().of(run) == pytest.approx(3 * 0.4 / 4)
    assert SCALE.at_end().of(run) == pytest.approx((0.4 + 1.2) / 2)
    assert RATIO.median(0, 0).of(run) == 2.0
    assert SMALL.values({"step": [0], "layers": {}}).size == 0


def test_what_a_data_file_keeps_is_enough():
    """Claims, tables and pictures need no more."""
    data = made()
    kept = keep(data, scale_and_bias.KEEP)
    before = judged(data)
    for name, found in judged(kept).items():
        assert found.values == pytest.approx(before[name].values, rel=1e-4, nan_ok=True), name
    assert [line[:30] for line in table.summarise(kept).splitlines()] == [
        line[:30] for line in table.summarise(data).splitlines()
    ]
    assert table.findings(kept) == table.findings(data)


def test_words():
    """A row for each net in each table that it belongs to; the findings name all test accuracies."""
    text = table.summarise(made())
    for name in ("initial scale 0.1", "scale fixed at 1", "without BN", "ResNet-32, these alone"):
        assert name in text
    lines = [line.split() for line in text.splitlines() if line.startswith("VGG, these alone")]
    assert lines[1][-2:] == ["30.0", "%"]
    found = table.findings(made())
    assert "50.0 % (initial scale 2)" in found
    assert "45.0 % (without scale and bias)" in found
    assert "40.0 % (ResNet-32)" in found
    assert "30.0 % of the VGG's scales are below 0.01 where scale and bias alone are trained, and 0.0 %" in found


@pytest.mark.thorough
@pytest.mark.parametrize("preset", ["cpu", "paper"])
@pytest.mark.parametrize("is_narrow", [False, True])
def test_pictures_can_be_read(preset, is_narrow):
    """Those of all nets, also where one has diverged."""
    data = made(preset)
    data["arms"]["plain"][0] |= {"diverged_at": 3}
    layouts = [figure.plot(data), *(make(data) for make in figure.more(data).values())]
    for layout in layouts:
        assert_readable(layout.draw(narrow=is_narrow))


@pytest.mark.parametrize("preset", scale_and_bias.PRESETS)
def test_presets_can_be_trained(preset):
    """Everything that claims and pictures need is measured, of nets that differ in their scales and biases alone."""
    config = scale_and_bias.PRESETS[preset]
    groups: Any = scale_and_bias.groups(config)
    check_needs(config, groups, scale_and_bias.KEEP)
    for run in (run for arms in groups.values() for run in arms.values()):
        run.check_layers()
    same = {change(run, norm=NoNorm(), optimizer={"trained": ""}).net() for run in groups["arms"].values()}
    assert len(same) == 1
    assert {run.optimizer.trained for run in [*groups["alone"].values(), *groups["resnet"].values()]} == {"norms"}
    assert len(groups["resnet"]) == len(config.blocks)
    scales = SMOKE.scales if preset == "smoke" else SCALES
    assert [groups["arms"][initial(scale).arm("batch_norm")].norm.initial_scale for scale in scales] == [*scales]


def test_older_runs_keep_their_folders():
    """A run that says nothing of initial scales and of what is trained is named as before these could be chosen."""
    assert folder_name("vgg", VGGRun().identity()) == "vgg-44136fa355"
    usual = {"norm": BatchNorm(initial_scale=1.0), "optimizer": Optimizer(trained="")}
    assert folder_name("vgg", VGGRun(**usual).identity()) == "vgg-44136fa355"
    names = {
        folder_name("vgg", change(VGGRun(), **fields).identity())
        for fields in ({}, {"norm": {"initial_scale": 0.5}}, {"optimizer": {"trained": "norms"}})
    }
    assert len(names) == 3


@pytest.mark.parametrize("group", ["arms", "resnet"])
def test_paths_of_what_is_trained(group):
    """Patterns tell scales and biases of the normalisers from the biases of weight layers."""
    nets: Any = scale_and_bias.groups(SMOKE)[group]
    run = next(run for name, run in nets.items() if name != "plain" and run.norm.affine)
    paths = {*named_leaves(started(run)[2].params)}

    def trains(what, path):
        return re.search(TRAINED[what], path) is not None

    scales, biases = ({path for path in paths if re.fullmatch(rf"norm_\d+/{name}", path)} for name in ("scale", "bias"))
    assert len(scales) == len(biases) == run.model.num_normalised
    assert {path for path in paths if trains("norms", path)} == scales | biases
    assert {path for path in paths if trains("all_but_norms", path)} == paths - scales - biases
    assert {path for path in paths if trains("all_but_scales", path)} == paths - scales
    assert {path for path in paths if trains("all_but_biases", path)} == paths - biases


@pytest.mark.slow
def test_initial_scales_and_frozen_weights():
    """Scales start where the configuration says, and, trained alone, leave all else as it was drawn."""
    run = change(
        scale_and_bias.groups(SMOKE)["alone"]["norms_only"],
        norm={"initial_scale": 0.1},
        model={"width": 1 / 32},
        optimizer={"batch_size": 4},
    )
    task, split, state = started(run)
    np.testing.assert_array_equal(state.params["norm_3"]["scale"], np.float32(0.1))
    before = jax.tree.map(np.asarray, named_leaves(state.params))
    after = named_leaves(train.run_steps(task.stepper, state, split, num_steps=2)[0].params)
    for path, leaf in after.items():
        assert np.array_equal(leaf, before[path]) == (not path.startswith("norm_")), path


@pytest.mark.slow
def test_fixed_scale_and_bias_are_no_scale_and_bias():
    """A net whose scales stay at 1 and whose biases stay at 0 takes the steps of the net without both."""
    shape = {"hidden": (8, 6), "kernel_init": "xavier_normal", "kernel_scale": 1.0}
    run = change(MLPRun(), data={"dataset": "digits"}, model=shape, optimizer={"batch_size": 16, "learning_rate": 0.1})
    runs = change(run, optimizer={"trained": "all_but_norms"}), change(run, norm={"affine": False})
    (fixed, losses), (without, others) = (
        train.run_steps(task.stepper, state, split, num_steps=5) for task, split, state in map(started, runs)
    )
    np.testing.assert_allclose(losses.loss, others.loss, rtol=1e-5)
    for path, leaf in named_leaves(without.params).items():
        np.testing.assert_allclose(named_leaves(fixed.params)[path], leaf, rtol=1e-4, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("has_scale", [True, False])
def test_scales_are_measured_by_their_definition(has_scale):
    """|scale|, |scale| / sigma of the normalised values of the next batch, and the share below the threshold."""
    shape = {"hidden": (5, 3), "kernel_init": "xavier_normal", "kernel_scale": 1.0}
    run = change(MLPRun(), data={"dataset": "digits"}, model=shape, norm={"affine": has_scale})
    task, split, state = started(change(run, optimizer={"batch_size": 32}))
    scale = np.array([0.001, -0.5, 2.0, -0.02, 0.3], np.float32)
    if has_scale:
        params = state.params | {"norm_1": {**state.params["norm_1"], "scale": jnp.asarray(scale)}}
        state = state.replace(params=params)
    else:
        scale = np.ones(5, np.float32)
    record = task.make_probe(Scales(threshold=0.1)).measure(state, split)
    assert record["layers"] == ["layer_1", "layer_2"]
    assert record["units"] == [5, 3]
    batch = train.current_batch(task.trainer, state, split)
    inputs = np.asarray(batch.inputs, np.float64).reshape(32, -1)
    sigma = (inputs @ np.asarray(state.params["dense_1"]["kernel"], np.float64)).std(axis=0)
    np.testing.assert_allclose(record["scale"][0], np.median(np.abs(scale)), rtol=1e-6)
    np.testing.assert_allclose(record["ratio"][0], np.median(np.abs(scale) / sigma), rtol=1e-4)
    np.testing.assert_allclose(record["small"][0], np.mean(np.abs(scale) < 0.1))
    collected = task.make_probe(Scales()).collect([{"step": 0, **record}])
    assert collected["layers"]["layer_2"]["units"] == [3]


@pytest.mark.thorough
def test_images_count_pixels_too():
    """Of a map, sigma is that over images and pixels; a net without normalisers has no layer to measure."""
    run = scale_and_bias.groups(SMOKE)["resnet"]["norms_only_d8"]
    task, split, state = started(run)
    record = task.make_probe(Scales()).measure(state, split)
    images = train.current_batch(task.trainer, state, split).inputs
    found = probes.capture(task.trainer.model, state.variables, images, "norm_1", where="inputs")["norm_1"]
    sigma = np.asarray(found, np.float64).reshape(-1, found.shape[-1]).std(axis=0)
    np.testing.assert_allclose(record["ratio"][0], np.median(1 / sigma), rtol=1e-5)
    assert len(record["layers"]) == run.model.num_normalised
    plain = started(change(run, norm=NoNorm(), optimizer={"trained": ""}))
    assert plain[0].make_probe(Scales()).measure(plain[2], plain[1])["layers"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (0.1, 2.0)}, r"scales must be numbers of which one is 1, as usual, got \(0.1, 2.0\)"),
        ({"fixed_scales": ()}, r"fixed_scales must be one or more different numbers > 0 and finite, got \(\)"),
        ({"scales": (1.0, -1.0)}, "scales must be one or more different numbers > 0 and finite, got"),
        ({"blocks": (2,)}, r"blocks must be two or more different numbers from 1, got \(2,\)"),
        ({"vgg": {"norm": NoNorm()}}, "vgg.norm must be batch, whose scales and biases are compared, got none"),
        (
            {"resnet": {"norm": GroupNorm()}},
            "resnet.norm must be batch, whose scales and biases are compared, got group",
        ),
        ({"vgg": {"norm": {"affine": False}}}, "vgg.norm.affine must be True: .*, got False"),
        ({"vgg": {"norm": {"initial_scale": 0.5}}}, "vgg.norm.initial_scale must be 1; see scales, got 0.5"),
        ({"vgg": {"optimizer": {"trained": "norms"}}}, "vgg.optimizer.trained must be empty, all, got norms"),
        ({"vgg": {"norm": {"initial_scale": 0.0}}}, "initial_scale must be > 0 and finite, got 0.0"),
        (
            {"vgg": {"norm": {"initial_scale": 0.5, "affine": False}}},
            "initial_scale must be 1 without a scale, got 0.5",
        ),
        ({"vgg": {"probes": {"scales": {"threshold": 0.0}}}}, "threshold must be > 0 and finite, got 0.0"),
    ],
)
def test_misfits(changes, message, as_a_user):
    """One line names the field, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        change(CPU, **changes)

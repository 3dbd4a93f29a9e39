"""Data files of an older form are read as if they had been written today."""

import json

import pytest
from committed import RUN, read

from bnjax.runs import config_dict
from experiments._command import catalogue, costs
from experiments._evidence.read import is_old, read_data, upgrade, write_data

# The configuration of a VGG as it was written before normalisers and probes had settings of their own.
FLAT = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": 64,
    "num_steps": 1000,
    "eval_every": 250,
    "probe_every": 50,
    "recalibrated_tests": False,
    "seeds": [0, 1, 2],
    "norm": "batch",
    "norm_layers": "all",
    "norm_momentum": 0.9,
    "norm_epsilon": 1e-5,
    "norm_center_first": False,
    "noise": "santurkar",
    "noise_strength": 1.0,
    "noise_in_tests": False,
    "probes": ["shift", "dummy_shift"],
    "step_multiples": [0.5, 1.0, 2.0, 4.0],
    "probe_penalty": False,
    "probe_norm": "global",
    "shift_layers": [5, 10],
    "shift_weights_only": False,
    "drift_layers": [3, 8],
    "drift_of": "preactivations",
    "drift_units": 8,
    "compute_dtype": "float32",
    "dataset": "cifar10",
    "preprocessing": "meanstd",
    "image_size": 32,
    "depth": "A",
    "head": "512",
    "width": 0.125,
    "kernel_init": "xavier_uniform",
}


@pytest.mark.parametrize("name", RUN)
def test_committed_configurations_are_those_of_their_presets(name):
    """Whatever form it has, a committed configuration is the preset's, field by field, and is read only once."""
    data = read(name)
    preset = catalogue.module(name).PRESETS[data["preset"]]
    assert costs.changes(data["config"], preset) == []
    assert not is_old(data["config"])
    assert upgrade(data["config"]) is data["config"]


@pytest.mark.parametrize("name", catalogue.names())
def test_presets_of_today_stay_as_they_are(name):
    """A configuration that is written today is not mistaken for an older one."""
    for preset in catalogue.module(name).PRESETS.values():
        config = config_dict(preset)
        assert upgrade(config) is config
        assert costs.changes(json.loads(json.dumps(config)), preset) == []


@pytest.mark.parametrize(
    ("changes", "norm"),
    [
        ({"norm": "none"}, {"kind": "none"}),
        ({"norm_layers": [4]}, {"kind": "batch", "layers": [4], "momentum": 0.9, "epsilon": 1e-5}),
        ({"norm": "linf"}, {"p": "inf", "center_first": False, "kind": "lp"}),
        (
            {"norm": "noise", "noise_strength": 2.0},
            {"noise": {"name": "santurkar", "strength": 2.0, "in_tests": False}},
        ),
        ({"norm": "huber"}, {"kind": "huber", "layers": "all", "epsilon": 1e-5}),
    ],
)
def test_old_normalisers(changes, norm):
    """Each has its own settings, and none that it does not use."""
    found = upgrade(FLAT | changes)["norm"]
    assert norm.items() <= found.items()
    assert found == norm or {"linf", "noise"} & {changes.get("norm")}


def test_old_probes():
    """Each has its own settings; the layers of the shift were those of several probes."""
    probes = ["shift", "dummy_shift", "successive_gradients", "percentiles"]
    found = upgrade(FLAT | {"probes": probes, "shift_weights_only": True})["probes"]
    assert found == {
        "dummy_shift": {"kind": "dummy_shift", "layer": 5},
        "percentiles": {"kind": "percentiles"},
        "shift": {"kind": "shift", "layers": [5, 10], "weights_only": True},
        "successive_gradients": {"kind": "successive_gradients", "layers": [5, 10]},
    }


@pytest.mark.parametrize("lacks", [set(FLAT) - {"norm_epsilon", "probe_every"}, {"norm_epsilon"}])
def test_an_old_configuration_that_is_not_whole(lacks, tmp_path):
    """It is refused in one line."""
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"config": {name: value for name, value in FLAT.items() if name not in lacks}}))
    with pytest.raises(ValueError, match=r"^its configuration has an older form, and is not whole \(KeyError: "):
        read_data(file)


def test_a_flipped_bit_is_noticed(tmp_path):
    """Wherever it is, the file is refused; one without a digest, as older ones are, is read as it is."""
    file, data = tmp_path / "data.json", {"arms": {"plain": [{"loss": [1.5, float("nan")]}]}, "seconds": 2.0}
    write_data(file, data)
    assert read_data(file) == {"arms": {"plain": [{"loss": [1.5, None]}]}, "seconds": 2.0}
    content = file.read_bytes()
    for place in range(content.index(b'"arms"') + 1, len(content) - 3):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        try:
            found = read_data(file)
        except ValueError:  # what is no JSON is one, too
            continue
        assert found == {"arms": {"plain": [{"loss": [1.5, None]}]}, "seconds": 2.0}  # a space that is another one
    file.write_text(json.dumps({"arms": 1}))
    assert read_data(file) == {"arms": 1}

"""Configurations that are made again of what JSON holds of them."""

import json

import pytest

from bnjax.runs import config_dict
from experiments._command import catalogue
from experiments._config.restore import restored

PRESETS = [(name, preset) for name in catalogue.names() for preset in catalogue.module(name).PRESETS]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_comes_back(name, preset):
    """From JSON, with the normaliser and the probes that it has."""
    config = catalogue.module(name).PRESETS[preset]
    written = json.loads(json.dumps(config_dict(config)))
    assert restored(type(config), written) == config


@pytest.mark.parametrize("value", [{"norm": {"kind": "nonsense"}}, {"norm": 1}, [], {"probes": {"luck": {}}}])
def test_anything_else_is_one_error(value):
    """Of one line, which names the class."""
    config = catalogue.module("quickstart").PRESETS["cpu"]
    with pytest.raises(ValueError, match="it is no configuration of VGGRun"):
        restored(type(config), value)

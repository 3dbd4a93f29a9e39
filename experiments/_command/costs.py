"""The cost of experiments, measured or estimated, and how far they have run."""

import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from experiments._command import catalogue
from experiments._command.estimates import ESTIMATED, estimated
from experiments._config import duration
from experiments._evidence.format import plural
from experiments._evidence.read import read_data

FIGURES = Path(__file__).parents[2] / "figures"


def expected(name: str, preset: str, config: Any = None) -> str:
    """Return one line with the expected time of a preset; for a changed configuration it is at best an estimate."""
    own = _presets(name)[preset]
    data = measured(name, preset) if config in (None, own) else None
    if data is not None:
        return f"Expected: about {duration(data['seconds'])} (measured on {hardware(data)})."
    seconds = estimated([own if config is None else config], [catalogue.module(name)])
    return f"Expected: about {duration(seconds)} ({ESTIMATED})." if seconds else "Expected: not measured yet."


def expected_of_all(names: list[str], preset: str) -> str:
    """Return one line with the expected time of several experiments, run one after another."""
    modules = [catalogue.module(name) for name in names]
    seconds = estimated([module.PRESETS[preset] for module in modules], modules)
    if seconds:
        return f"Expected for all: about {duration(seconds)} ({ESTIMATED}; what experiments share counts once)."
    known = [data["seconds"] for name in names if (data := measured(name, preset))]
    if len(known) < len(names):
        return "Expected for all: not measured yet."
    return (
        f"Expected for all: at most {duration(sum(known))} (measured, each by itself; what they share is trained once)."
    )


def cost(name: str, preset: str) -> str:
    """Return the measured or estimated time of a preset, or that it is not measured."""
    data = measured(name, preset)
    seconds = None if data else estimated([_presets(name)[preset]], [catalogue.module(name)])
    return _cost(data) if data else f"{duration(seconds)}, estimated" if seconds else "not measured"


def stem(name: str, preset: str, config: Any) -> str:
    """Name the files of an experiment: after the preset, or after a hash where the settings are not the preset's."""
    from bnjax.runs import config_hash

    return f"{name}-{preset if config == _presets(name)[preset] else config_hash(config)}"


def measured(name: str, preset: str, figures: Path | None = None) -> dict[str, Any] | None:
    """Return the data of a preset, or None if they are missing, unreadable or of other settings."""
    try:
        data = read_data((figures or FIGURES) / f"{name}-{preset}.json")
        if data["preset"] == preset and not changes(data["config"], _presets(name)[preset]) and _cost(data):
            return data
    except Exception:  # a damaged data file raises errors of many types
        pass
    return None


def state(name: str, preset: str, results: Path) -> str:
    """Return how far a preset has run in a folder of results: not run, partly or done."""
    from bnjax.runs import config_hash

    folder = results / f"{name}-{config_hash(_presets(name)[preset])}"
    if (folder / f"{name}-{preset}.json").exists():
        return "done"
    return "partly" if folder.exists() else "not run"


def changes(config: dict[str, Any], other: Any) -> list[tuple[str, Any, Any]]:
    """List the fields in which a configuration read from JSON differs from a dataclass: name, its value, the other's.

    A field that was added after the file was written had its default. Nested fields are named with a dot.
    """
    from bnjax.runs import config_dict

    theirs = flatten(json.loads(json.dumps(config_dict(other))))
    ours = {**flatten(json.loads(json.dumps(_defaults(other)))), **flatten(config)}
    return [(name, ours.get(name), value) for name, value in theirs.items() if ours.get(name) != value]


def other_normalisers(name: str, data: dict[str, Any]) -> list[str]:
    """List the normalisers, by their fields, that stand in the place of the preset's, whose name tables and claims use.

    >>> from experiments import training_curves
    >>> from bnjax.runs import config_dict
    >>> from experiments._config import LpNorm, change
    >>> config = change(training_curves.PRESETS["cpu"], norm=LpNorm(p=1))
    >>> other_normalisers("training_curves", {"preset": "cpu", "config": config_dict(config)})
    ['norm: lp instead of batch']
    """
    preset = _presets(name).get(data["preset"])
    return [
        f"{field.removesuffix('.kind')}: {ours} instead of {theirs}"
        for field, ours, theirs in ([] if preset is None else changes(data["config"], preset))
        if field.split(".")[-2:] == ["norm", "kind"] and ours is not None
    ]


def hardware(data: dict[str, Any]) -> str:
    """Return the hardware that an experiment ran on, the last one if it was resumed elsewhere."""
    origin = data["provenance"][-1]
    return f"{origin['device']}, {plural(origin['cpu_cores'], 'core')}"


def _cost(data: dict[str, Any]) -> str:
    """Format the time and the hardware."""
    return f"{duration(data['seconds'])} on {hardware(data)}"


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested fields, also those in a list, to names joined by dots."""
    flat = {}
    for name, item in value.items():
        is_list = isinstance(item, list) and bool(item) and isinstance(item[0], dict)
        parts = {str(i): part for i, part in enumerate(item)} if is_list else item
        flat.update(flatten(parts, f"{prefix}{name}.") if isinstance(parts, dict) else {f"{prefix}{name}": item})
    return flat


def _defaults(config: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields, where they have one, including nested fields."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    nested = {name: _defaults(value) for name, value in values.items() if is_dataclass(value)}
    return {field.name: field.default for field in fields(config) if field.default is not MISSING} | nested


def _presets(name: str) -> dict[str, Any]:
    """Return an experiment's presets."""
    return catalogue.module(name).PRESETS

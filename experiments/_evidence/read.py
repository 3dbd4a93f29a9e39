"""Reading and writing of data files.

This is the only place that knows the older form of their configurations, from before they were nested.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

# Fields that were added to the flat form over time, and the values that older files imply.
_LATER = {
    "norm_center_first": False,
    "noise_in_tests": False,
    "recalibrated_tests": False,
    "probe_norm": "global",
    "shift_weights_only": False,
    "drift_of": "preactivations",
    "compute_dtype": "float32",
    "image_size": None,
}
_LP = {"l1": 1, "l2": 2, "linf": "inf"}


def write_data(path: Path, data: dict[str, Any]) -> None:
    """Write an experiment's data with their digest, in one move; numbers that are not finite become null."""
    from bnjax.runs import write_json
    from bnjax.runs.json_files import finite

    data = _in_columns(json.loads(json.dumps(finite(data))))
    write_json(path, {"sha256": _digest(data), **data})


def read_data(path: Path) -> dict[str, Any]:
    """Read an experiment's data; a configuration of an older form is converted to the current one.

    Raises:
        OSError: if there is no such file.
        ValueError: if it holds no JSON, or an older configuration that is not whole, or its digest does not match; older
            files have none.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict) and data.pop("sha256", None) not in (None, _digest(data)):
        raise ValueError("it is damaged: its digest does not match. If you have changed it, remove the line sha256.")
    if not isinstance(data, dict):
        return data
    data = _in_runs(data)
    if not is_old(data.get("config")):
        return data
    try:
        return {**data, "config": upgrade(data["config"])}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"its configuration has an older form, and is not whole ({type(error).__name__}: {error})."
        ) from error


def _in_columns(data: dict[str, Any]) -> dict[str, Any]:
    """Store the names of a group's measured numbers once, not in every run, if all runs have the same names."""
    names = {}
    for group, runs in _measured(data).items():
        known = {tuple(run["measured"]) for run in runs}
        if len(known) == 1:
            (names[group],) = map(list, known)
            for run in runs:
                run["measured"] = [*run["measured"].values()]
    return data | ({"measured": names} if names else {})


def _in_runs(data: dict[str, Any]) -> dict[str, Any]:
    """Restore the names of each run's measured numbers; the inverse of `_in_columns`."""
    names = data.get("measured", {})
    for group, runs in _measured(data).items():
        for run in runs if group in names else []:
            run["measured"] = dict(zip(names[group], run["measured"], strict=True))
    return {name: value for name, value in data.items() if name != "measured"}


def _measured(data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """List the runs of each group that have measured numbers."""
    arms = {name: group for name, group in data.items() if isinstance(group, dict)}
    found = {
        name: [run for runs in group.values() if isinstance(runs, list) for run in runs if isinstance(run, dict)]
        for name, group in arms.items()
    }
    return {name: [run for run in runs if "measured" in run] for name, runs in found.items()}


def _digest(data: dict[str, Any]) -> str:
    """Compute the SHA-256 of the data as JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def is_old(config: Any, folder: str = "") -> bool:
    """Return whether a configuration, or one in its fields, has the form from before configurations were nested.

    Args:
        config: the configuration, as read from JSON.
        folder: name of a run's folder; the configurations of older runs contain their length.
    """
    if not isinstance(config, dict):
        return False
    if "schedule" in config and folder.startswith(f"{config.get('kind')}-"):
        return True
    return bool({"norm_epsilon", "norm_layers"} & {*config}) or any(map(is_old, config.values()))


def upgrade(config: dict[str, Any]) -> dict[str, Any]:
    """Convert an experiment's configuration to the current form; one in that form is returned as it is."""
    if not is_old(config):
        return config
    if "check_steps" in config:
        return _theory(config)
    if "probe_every" in config:
        return _run(config)
    new = {name: upgrade(value) if isinstance(value, dict) else value for name, value in config.items()}
    if "lp_probe_every" in config:
        new["center_first"] = config["vgg"].get("norm_center_first", False)
    return new


def _run(config: dict[str, Any]) -> dict[str, Any]:
    """Nest the fields of a run; fields that a subject has added stay where they are."""
    old = dict(_LATER | config)
    noise = {"name": old.pop("noise"), "strength": old.pop("noise_strength"), "in_tests": old.pop("noise_in_tests")}
    new = {
        "kind": "mlp" if "hidden" in old else "vgg" if "dataset" in old else "deep_linear",
        "norm": _norm(old, noise),
        "optimizer": {"name": old.pop("optimizer"), **_take(old, "learning_rate", "momentum", "weight_decay")}
        | _take(old, "batch_size", "compute_dtype"),
        "probes": _probes(old),
        "schedule": _take(old, "num_steps", "eval_every", "probe_every", "recalibrated_tests"),
        "model": _take(old, "depth", "head", "width", "hidden", "activation", "kernel_init", "kernel_scale"),
        "data": _take(old, "dataset", "preprocessing", "image_size"),
    }
    if new["kind"] == "deep_linear":
        del new["data"]
    if "noise_strengths" in old:
        new["noise"] = noise
    return new | old


def _norm(old: dict[str, Any], noise: dict[str, Any]) -> dict[str, Any]:
    """Move the normaliser's fields out of a flat configuration; return it with the settings that it uses."""
    name, layers = old.pop("norm"), {"layers": old.pop("norm_layers")}
    statistics = {"momentum": old.pop("norm_momentum"), "epsilon": old.pop("norm_epsilon")}
    center_first = old.pop("norm_center_first")
    settings = {
        "none": {},
        "batch": layers | statistics,
        "noisy_batch": layers | statistics | {"noise": noise},
        "huber": layers | {"epsilon": statistics["epsilon"]},
        "noise": layers | {"noise": noise},
        "relative_noise": layers | {"noise": noise},
    }
    if name in _LP:
        return {"kind": "lp", **layers, **statistics, "p": _LP[name], "center_first": center_first}
    return {"kind": name, **settings[name]}


def _probes(old: dict[str, Any]) -> dict[str, Any]:
    """Move the probes' fields out of a flat configuration; return the probes with the settings that each uses."""
    scan = {"step_multiples": old.pop("step_multiples"), "penalty": old.pop("probe_penalty")}
    scan["norm"] = old.pop("probe_norm")
    shifted = old.pop("shift_layers")
    settings = {
        "landscape": scan,
        "random_direction": scan,
        "successive_gradients": {"layers": shifted},
        "shift": {"layers": shifted, "weights_only": old.pop("shift_weights_only")},
        "dummy_shift": {"layer": shifted[0]},
        "drift": {"layers": old.pop("drift_layers"), "of": old.pop("drift_of"), "units": old.pop("drift_units")},
        "percentiles": {},
    }
    return {kind: {"kind": kind, **settings[kind]} for kind in sorted(old.pop("probes"))}


def _theory(config: dict[str, Any]) -> dict[str, Any]:
    """Nest the fields of theory_bounds, whose nets were trained by plain SGD."""
    old = dict(config)
    return {
        "model": _take(old, "hidden", "activation", "kernel_init"),
        "data": _take(old, "dataset", "preprocessing"),
        "norm": {"kind": "batch", "momentum": old.pop("norm_momentum"), "epsilon": old.pop("norm_epsilon")},
        "optimizer": {"name": "sgd", **_take(old, "learning_rate", "batch_size")},
    } | old


def _take(old: dict[str, Any], *names: str) -> dict[str, Any]:
    """Remove and return these fields, if present."""
    return {name: old.pop(name) for name in names if name in old}

"""From a run's folder to its curves."""

from pathlib import Path
from typing import Any

import numpy as np

from bnjax.runs import read_json, read_metrics
from experiments._training.errors import ConfigError
from experiments._training.probes import Probe
from experiments._training.probes.probe import columns

# How many points of a run's training curve are kept, each the mean of as many steps as needed.
_MAX_POINTS = 500


def read_run(folder: Path, probes: dict[str, Probe], loss_scale: float = 1.0) -> dict[str, Any]:
    """Return curves and seconds of a run that is finished.

    Raises:
        ConfigError: if its folder holds something else.
    """
    try:
        log = read_metrics(folder / "metrics.jsonl")
        return {**curves(log, probes, loss_scale), "seconds": read_record(folder)["seconds"]}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(
            f"The finished run in {folder} cannot be read ({problem}). Move that folder away to train it again."
        ) from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return the seconds and the provenance of a run that is finished."""
    found = read_json(folder / "finished.json")
    return {"seconds": float(found["seconds"]), "provenance": [dict(origin) for origin in found["provenance"]]}


def join_records(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the provenance of every command that trained some runs, and the seconds that all of them took."""
    origins = [origin for record in records for origin in record["provenance"]]
    return {
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(record["seconds"] for record in records), 1),
    }


def curves(log: list[dict[str, Any]], probes: dict[str, Probe], loss_scale: float = 1.0) -> dict[str, Any]:
    """Collect a run's log into one list per quantity, rounded to six digits."""
    kinds = {line["kind"]: [] for line in log}
    for line in log:
        kinds[line["kind"]].append({name: value for name, value in line.items() if name != "kind"})
    found = {
        "train": _training_curve(kinds["train"], loss_scale),
        "test": columns(kinds.get("test", [])),
        **{name: probe.collect(kinds.get(name, [])) for name, probe in probes.items()},
        "diverged_at": kinds["diverged"][0]["step"] if "diverged" in kinds else None,
    }
    found["test"].setdefault("loss", [])
    for name in (name for name in found["test"] if name.endswith("loss")):
        found["test"][name] = [loss_scale * loss for loss in found["test"][name]]
    return _round(found)


def _training_curve(chunks: list[dict[str, Any]], loss_scale: float) -> dict[str, Any]:
    """Average successive steps, as many as leave no more than `_MAX_POINTS`; the step is the first one's, and each counts.

    The change of the loss is its distance from that of the step before, which the first one has not.
    """
    values = {
        name: np.array([x for chunk in chunks for x in chunk[name]], dtype=float) for name in ("loss", "accuracy")
    }
    changes = np.abs(np.diff(values["loss"], prepend=values["loss"][:1]))
    window = -(-len(values["loss"]) // _MAX_POINTS)
    starts = np.arange(0, len(values["loss"]), window)
    sizes = np.diff(starts, append=len(values["loss"]))
    means = {name: np.add.reduceat(series, starts) / sizes for name, series in values.items()}
    counts = np.maximum(sizes - (starts == 0), 1)
    change = (loss_scale * np.add.reduceat(changes, starts) / counts).tolist()
    return {
        "step": starts.tolist(),
        "window": window,
        "loss": (loss_scale * means["loss"]).tolist(),
        "loss_change": [None, *change[1:]] if window == 1 else change,
        "accuracy": means["accuracy"].tolist(),
    }


def _round(value: Any) -> Any:
    """Keep six significant digits of every float."""
    if isinstance(value, dict):
        return {name: _round(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value

"""The curves in a run's log."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from experiments._training.asked import RECALIBRATED_TEST, TEST, Asked, log_name
from experiments._training.probes.probe import columns
from experiments._training.tasks import Task

# Largest number of points of a run's training curve, each the mean of as many steps as needed.
_MAX_POINTS = 500


def curves(log: Iterable[Mapping[str, Any]], asked: Asked, task: Task) -> dict[str, Any]:
    """Collect the requested lines of a run's log into one list per quantity, rounded to eight digits; skip the others."""
    wanted = {name: {*steps} for name, steps in asked.measured().items()}
    kinds: dict[str, list[dict[str, Any]]] = {"train": [], "diverged": [], **{name: [] for name in wanted}}
    for line in log:
        name, step = line["kind"], line["step"]
        if name in ("train", "diverged") or step in wanted.get(name, ()):
            kinds[name].append({field: value for field, value in line.items() if field != "kind"})
    diverged = [line["step"] for line in kinds["diverged"] if line["step"] < asked.num_steps]
    # NOTE: the log may be longer, as other experiments requested.
    num_steps = min([asked.num_steps, *[step + 1 for step in diverged]])
    found = {
        "train": _training_curve(kinds["train"], num_steps, task.loss_scale),
        "test": _tests(kinds[TEST], kinds.get(RECALIBRATED_TEST, []), task.loss_scale),
        **{probe.kind: task.make_probe(probe).collect(kinds[log_name(probe)]) for probe in asked.probes},
        "diverged_at": diverged[0] if diverged else None,
    }
    return _round(found)


def _tests(tests: list[dict[str, Any]], again: list[dict[str, Any]], loss_scale: float) -> dict[str, Any]:
    """Collect tests; tests with recalibrated statistics get separate names."""
    found = columns(tests)
    found |= {f"recalibrated_{name}": values for name, values in columns(again).items() if name != "step"}
    found.setdefault("loss", [])
    for name in (name for name in found if name.endswith("loss")):
        found[name] = [None if loss is None else loss_scale * loss for loss in found[name]]
    return found


def _training_curve(chunks: list[dict[str, Any]], num_steps: int, loss_scale: float) -> dict[str, Any]:
    """Average windows of steps, so that at most `_MAX_POINTS` points are left; a point has the step of its first one.

    Steps from `num_steps` on are left out. The change of the loss is the absolute difference from the step before; the first
    step has none.
    """
    values = {
        name: np.array([x for chunk in chunks for x in chunk[name]], dtype=float)[:num_steps]
        for name in ("loss", "accuracy")
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
    """Keep eight significant digits of every float, which tell losses apart along a random direction."""
    if isinstance(value, dict):
        return {name: _round(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value

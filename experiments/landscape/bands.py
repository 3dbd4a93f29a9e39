"""Bands over runs of one seed that differ in their learning rates alone: of losses, and of how far a gradient moves in a step.

At the same step such runs have come differently far, since each step of one is longer than that of another. Where learning
rate x steps is the same, small steps of all of them would have come equally far.
"""

from typing import Any

import numpy as np

from experiments._numbers import curves

Run = dict[str, Any]
NETS = ("plain", "batch_norm")


def bands(data: dict[str, Any]) -> dict[str, list[Run]]:
    """Join the runs of each net and seed to one; there is none in data without such runs.

    Returns:
        {net: one run per seed}, measured in three ways: `same_step` and `same_progress` are of the loss, the latter at equal
        learning rate x steps, counted in steps of the smallest rate; `gradient` is of how far the last layer's gradient moves
        from one step to the next. Each has the smallest (`low`) and largest (`high`) value of all runs, and the distance of
        the two (`width`); once any run has diverged, all of them are infinite.
    """
    settings = curves.settings(data.get("multirun", {}))
    found: dict[str, list[Run]] = {net: [] for net in NETS}
    for net, joined in found.items():
        by_rate = {float(rate): {run["seed"]: run for run in nets[net]} for rate, nets in settings.items()}
        for seed in next(iter(by_rate.values()), {}):
            joined.append({"seed": seed, **_join({rate: runs[seed] for rate, runs in by_rate.items()})})
    return found


def runs_of(data: dict[str, Any], net: str) -> list[Run]:
    """List the runs of a net at all learning rates."""
    return [run for nets in curves.settings(data.get("multirun", {})).values() for run in nets[net]]


def layer(data: dict[str, Any]) -> str:
    """Name the layer whose gradient was followed."""
    run = next(iter(data["multirun"].values()))[0]
    return next(iter(run["successive_gradients"]["layers"])).replace("_", " ")


def _join(runs: dict[float, Run]) -> Run:
    """Measure the bands over some runs, by their learning rate."""
    steps = max((_losses(run)[0] for run in runs.values()), key=lambda steps: max(steps, default=-1))
    probed = max((np.array(run["successive_gradients"]["step"]) for run in runs.values()), key=len)
    slowest = min(runs)
    return {
        "diverged_at": min(
            (run["diverged_at"] for run in runs.values() if run["diverged_at"] is not None), default=None
        ),
        "same_step": _band(steps, [_loss_at(run, steps) for run in runs.values()]),
        "same_progress": _band(steps, [_loss_at(run, steps * slowest / rate) for rate, run in runs.items()]),
        "gradient": _band(probed, [_moves(run, len(probed)) for run in runs.values()]),
    }


def _band(steps: np.ndarray, values: list[np.ndarray]) -> dict[str, Any]:
    """Take the ends of some curves at each step; infinite where one of them is not finite."""
    known = np.isfinite(values).all(axis=0)
    found = np.where(known, values, 0.0)
    ends = {"low": found.min(axis=0), "high": found.max(axis=0), "width": np.ptp(found, axis=0)}
    return {"step": steps.tolist(), **{name: np.where(known, end, np.inf) for name, end in ends.items()}}


def _losses(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a training curve that come before the first that is not finite, in the middle of their steps."""
    losses = curves.array(run["train"]["loss"])
    num = len(losses) if np.isfinite(losses).all() else int(np.argmin(np.isfinite(losses)))
    return np.array(run["train"]["step"][:num]) + (run["train"]["window"] - 1) / 2, losses[:num]


def _loss_at(run: Run, steps: np.ndarray) -> np.ndarray:
    """Take the loss at some steps, between the points of the training curve; infinite once the run has diverged."""
    at, losses = _losses(run)
    if not len(at):
        return np.full(len(steps), np.inf)
    end = np.inf if run["diverged_at"] is None else at[-1]
    return np.where(steps <= end, np.interp(steps, at, losses), np.inf)


def _moves(run: Run, num: int) -> np.ndarray:
    """Take how far the gradient moves at the first measurements; infinite where it was not measured any more."""
    (found,) = run["successive_gradients"]["layers"].values()
    moves = curves.array(found["step_distance"])
    return np.concatenate([moves, np.full(num - len(moves), np.inf)])

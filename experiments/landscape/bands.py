"""Bands over runs of one seed that differ only in learning rate: of losses, and of gradient changes per step.

At the same step, such runs have travelled different distances, since their steps differ in length. At equal learning rate x
steps, runs with small steps would have travelled equally far.
"""

import numpy as np

from experiments._evidence.quantities import TRAIN_LOSS, successive
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Data, Recorded, Run, num_steps, recorded, settings

NETS = ("plain", "batch_norm")


class BandRun(Run):
    """The runs of one net and seed at several learning rates, joined; each band has a `low`, a `high` and a `width`."""

    same_step: Recorded
    same_progress: Recorded
    gradient: Recorded


def band(kind: str, edge: str) -> Quantity:
    """Return an edge of a band, low or high, or its width."""
    what = {
        "same_step": "losses of a seed's runs at the same step",
        "same_progress": "losses at equal learning rate x steps",
        "gradient": "l2 change of the last layer's gradient from step to step, of a seed's runs",
    }[kind]
    words = {"low": f"smallest of the {what}", "high": f"largest {what}", "width": f"range of {what}"}
    return Quantity(kind, edge, words[edge])


def bands(data: Data) -> dict[str, list[Run]]:
    """Join the runs of each net and seed into one; the lists are empty for data without such runs.

    `same_progress` counts learning rate x steps in steps of the smallest rate. Once any run has diverged, the whole band
    is infinite.
    """
    joined: dict[str, list[Run]] = {net: [] for net in NETS}
    for net, runs_of_net in joined.items():
        rates = settings(data.get("multirun", {})).items()
        by_rate = {float(rate): {run["seed"]: run for run in nets.get(net, [])} for rate, nets in rates}
        shared = set.intersection(*map(set, by_rate.values())) if by_rate else set()
        for seed in sorted(shared):
            runs_of_net.append(_join(seed, {rate: runs[seed] for rate, runs in by_rate.items()}))
    return joined


def _join(seed: int, runs: dict[float, Run]) -> BandRun:
    """Join runs; the bands end with the shortest run that did not diverge."""
    finished = [run for run in runs.values() if run["diverged_at"] is None]
    longest = min(finished, key=num_steps) if finished else max(runs.values(), key=num_steps)
    steps, probed = _losses(longest)[0], np.array(recorded(longest, "successive_gradients").get("step", []))
    ends, slowest = [run["diverged_at"] for run in runs.values() if run["diverged_at"] is not None], min(runs)
    return {
        "seed": seed,
        "test": recorded(longest, "test"),
        "diverged_at": min(ends, default=None),
        "same_step": _band(steps, [_loss_at(run, steps) for run in runs.values()]),
        "same_progress": _band(steps, [_loss_at(run, steps * slowest / rate) for rate, run in runs.items()]),
        "gradient": _band(probed, [_moves(run, len(probed)) for run in runs.values()]),
    }


def _band(steps: np.ndarray, values: list[np.ndarray]) -> Recorded:
    """Return the extremes and the range of curves at each step; infinite where any curve is not finite."""
    known = np.isfinite(values).all(axis=0)
    finite = np.where(known, values, 0.0)
    ends = {"low": finite.min(axis=0), "high": finite.max(axis=0), "width": np.ptp(finite, axis=0)}
    return {"step": steps.tolist(), **{name: np.where(known, end, np.inf) for name, end in ends.items()}}


def _losses(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return a training curve up to its first non-finite loss, with steps at the middle of each averaging window."""
    steps, losses = TRAIN_LOSS.curve(run)
    num = len(losses) if np.isfinite(losses).all() else int(np.argmin(np.isfinite(losses)))
    return steps[:num] + (recorded(run, "train").get("window", 1) - 1) / 2, losses[:num]


def _loss_at(run: Run, steps: np.ndarray) -> np.ndarray:
    """Interpolate the training loss at some steps; infinite once the run has diverged."""
    at, losses = _losses(run)
    if not len(at):
        return np.full(len(steps), np.inf)
    end = np.inf if run["diverged_at"] is None else at[-1]
    return np.where(steps <= end, np.interp(steps, at, losses), np.inf)


def _moves(run: Run, num: int) -> np.ndarray:
    """Return the gradient's changes at the first `num` measurements; infinite after the run's last one."""
    layers = recorded(run, "successive_gradients").get("layers", {})
    moves = successive("step_distance", *layers).curve(run)[1][:num] if layers else np.array([])
    return np.concatenate([moves, np.full(num - len(moves), np.inf)])

"""The structure of an experiment's data: configuration, provenance, and the runs of each net."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np

Data = Mapping[str, Any]  # of an experiment: its configuration and, by group and arm, its runs
Recorded = Mapping[str, Any]  # of one kind: `step`, and numbers by name that have one entry per step


class Run(TypedDict):
    """One net, trained from one seed; a subject whose runs record something else extends this type.

    The record of a kind has `step`, and lists with an entry per step; None is a number that is not finite.

    Attributes:
        train: loss, loss_change and accuracy; each point is the mean over `window` steps from its own on.
        test: loss and accuracy of all test examples, and recalibrated ones; the last entry is after the last step.
        landscape, random_direction: loss, gradient_distance and smoothness, (scans, points); gradient_norm, (scans,).
        successive_gradients, shift: layers, {layer: {quantity: (measurements,)}}.
        hidden_gradients: norm, (measurements, time steps).
        drift: layers, too, with an entry per measurement and unit.
        measured: for one of many draws, in place of curves: numbers by the words of their measures.
        quartiles: for the first of many draws: quartiles over all draws by the quantities' words: step, low, middle and high.
        zero_units: layers, {layer: {units, dead, zero: (measurements,)}}.
        scales: layers, {layer: {units, scale, ratio, small: (measurements,)}}.
        layer_dependence: layers, a list; ratio, (measurements, step sizes); share, (measurements,); split, a few matrices.
        moment_control: layers, a list; gains at three places, (measurements, layers).
        horizon: start_loss, (measurements,); losses, cosine, smoothness and barriers, (measurements, numbers of steps ahead).
        batch_sharpness: sharpness, (measurements,).
        plane: xs, ys, (measurements, points); loss, (measurements, xs, ys); path, (measurements, points, 2).
        flatness: train_loss, gaps and curvatures, (measurements,); None where the loss is far from the levels asked for.
        learning_rate: for nets that are compared by their learning rates.
    """

    seed: int
    diverged_at: int | None
    seconds: NotRequired[float]
    train: NotRequired[Recorded]
    test: NotRequired[Recorded]
    landscape: NotRequired[Recorded]
    random_direction: NotRequired[Recorded]
    successive_gradients: NotRequired[Recorded]
    shift: NotRequired[Recorded]
    dummy_shift: NotRequired[Recorded]
    drift: NotRequired[Recorded]
    percentiles: NotRequired[Recorded]
    hidden_gradients: NotRequired[Recorded]
    measured: NotRequired[Mapping[str, float | None]]
    quartiles: NotRequired[Mapping[str, Mapping[str, Sequence[float]]]]
    zero_units: NotRequired[Recorded]
    scales: NotRequired[Recorded]
    layer_dependence: NotRequired[Recorded]
    moment_control: NotRequired[Recorded]
    horizon: NotRequired[Recorded]
    batch_sharpness: NotRequired[Recorded]
    plane: NotRequired[Recorded]
    flatness: NotRequired[Recorded]
    learning_rate: NotRequired[float]


Runs = Sequence[Run]
Arms = Mapping[str, Runs]


def recorded(run: Run, kind: str) -> Recorded:
    """Return a run's record of a kind (train, test, or the name of a probe); empty if it was not recorded."""
    return run.get(kind) or {}


def array(values: Any) -> np.ndarray:
    """Return an array of numbers; None, which stands for a non-finite number in JSON, becomes NaN."""
    return np.array(values, dtype=float)


def num_steps(run: Run) -> int:
    """Return how many steps a run took: until its last test, or its training curve's end, or its last measurement."""
    tested, curve = recorded(run, "test").get("step"), recorded(run, "train")
    if tested:
        return tested[-1]
    if curve.get("step"):
        return curve["step"][-1] + curve.get("window", 1)
    kinds = (found for found in run.values() if isinstance(found, Mapping))
    return max((int(found["step"][-1]) for found in kinds if found.get("step")), default=0)


def pairs(runs: Runs, others: Runs) -> Iterator[tuple[Run, Run]]:
    """Pair the runs of two arms by their seed; skip seeds that only one arm has."""
    partners = {run["seed"]: run for run in others}
    return ((run, partners[run["seed"]]) for run in runs if run["seed"] in partners)


def layer_names(runs: Runs, kind: str) -> list[str]:
    """List the layers that a probe followed, from input to output; none where it recorded nothing."""
    names = next((list(recorded(run, kind)["layers"]) for run in runs if recorded(run, kind).get("layers")), [])
    return sorted(names, key=layer_number) if all(name.rpartition("_")[2].isdigit() for name in names) else names


def layer_number(name: str) -> int:
    """Return the number of a layer of that name."""
    return int(name.rpartition("_")[2])


def settings(arms: Arms, nets: Iterable[str] = ("plain", "batch_norm")) -> dict[str, dict[str, Runs]]:
    """Group arms by the setting, the part of their names after the net's: {setting: {net: runs}}."""
    found: dict[str, dict[str, Runs]] = {}
    for arm, runs in arms.items():
        net = next(net for net in sorted(nets, key=len, reverse=True) if arm.startswith(f"{net}_"))
        found.setdefault(arm.removeprefix(f"{net}_"), {})[net] = runs
    return found


def all_runs(arms: Arms) -> list[Run]:
    """List the runs of all arms."""
    return [run for runs in arms.values() for run in runs]

"""What figures and tables take from the data of probed runs: curves over seeds, and one number per net."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LABELS = {
    "plain": "without BN",
    "batch_norm": "with BN",
    "batch_norm_4": "BN after layer 4 only",
    "noisy_batch": "noisy BN",
    "noise": "noise without BN",
    "relative_noise": "scaled noise without BN",
    "l1": "l1 norm",
    "l2": "l2 norm",
    "linf": "l-infinity norm",
    "huber": "Huber's BN, variance too small",
}


MANY = 8  # runs: the outermost of so many say little of the others


class Curve(NamedTuple):
    """A quantity at some steps: over seeds, its smallest, median and largest value, or other quantiles."""

    step: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray


def levels(num_runs: int) -> tuple[float, float, float]:
    """Choose the quantiles of a band and the line in it: of many runs the quartiles, else the smallest and the largest."""
    return (0.25, 0.5, 0.75) if num_runs >= MANY else (0.0, 0.5, 1.0)


def over_seeds(
    runs: list[dict],
    kind: str,
    value: Callable[[dict], np.ndarray],
    levels: tuple[float, float, float] = (0.0, 0.5, 1.0),
) -> Curve:
    """Join the runs of one arm; a run that diverged counts as long as it went, and values that are not finite never.

    Args:
        runs: of the arm, one per seed.
        kind: train, test, or the name of a probe.
        value: takes from what was recorded one number per step.
        levels: of the quantiles over seeds, from 0 to 1.
    """
    at: dict[int, list[float]] = {}
    for run in runs:
        for step, x in zip(run[kind].get("step", []), value(run[kind]) if run[kind] else [], strict=True):
            at.setdefault(step, []).extend([x] if np.isfinite(x) else [])
    steps = np.array(sorted(step for step, values in at.items() if values))
    counts = np.array([len(at[step]) for step in steps])
    quantiles = np.empty((len(levels), len(steps)))
    for count in np.unique(counts):
        quantiles[:, counts == count] = np.quantile([at[step] for step in steps[counts == count]], levels, axis=1)
    return Curve(steps, *quantiles)


def array(values: list) -> np.ndarray:
    """Make an array of numbers; None, JSON's word for a number that is not finite, becomes NaN."""
    return np.array(values, dtype=float)


def named(name: str) -> Callable[[dict], np.ndarray]:
    """Take a quantity by its name."""
    return lambda curves: array(curves[name])


def of_layer(layer: str, name: str) -> Callable[[dict], np.ndarray]:
    """Take a quantity of one layer, from what was measured layer by layer."""
    return lambda curves: array(curves["layers"][layer][name])


def settings(arms: dict[str, list[dict]]) -> dict[str, dict[str, list[dict]]]:
    """Group arms by what their names say behind the net, plain or batch_norm: {setting: {net: runs}}."""
    found: dict[str, dict[str, list[dict]]] = {}
    for arm, runs in arms.items():
        net = next(net for net in ("plain", "batch_norm") if arm.startswith(f"{net}_"))
        found.setdefault(arm.removeprefix(f"{net}_"), {})[net] = runs
    return found


def median(values: list[float]) -> float:
    """Take the median of the numbers that are known; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.median(known)) if known else float("nan")


def rolling_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Average each value with those up to `window` - 1 before it."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    first = np.maximum(np.arange(len(values)) - window + 1, 0)
    return (total[1:] - total[first]) / (np.arange(len(values)) - first + 1)


def coarser(train: dict, max_points: int, names: tuple[str, ...] = ("loss", "accuracy")) -> dict:
    """Join neighbouring points of a training curve, so that at most so many are left; of what is named, to five digits."""
    steps = train["step"]
    factor = -(-len(steps) // max_points)
    starts = np.arange(0, len(steps), factor)
    sizes = np.diff(starts, append=len(steps))
    joined = {name: np.add.reduceat(array(train[name]), starts) / sizes for name in names}
    rounded = {name: [float(f"{value:.5g}") for value in values] for name, values in joined.items()}
    return {"step": [steps[i] for i in starts], "window": train["window"] * factor, **rounded}


def num_points(run: dict, num_steps: int) -> int:
    """Count the points of a run's training curve that so many steps make."""
    return max(1, num_steps // run["train"]["window"])


def lowest_loss(probe: dict) -> np.ndarray:
    """Take the smallest loss of each scan."""
    return array(probe["loss"]).min(axis=1)


def highest_loss(probe: dict) -> np.ndarray:
    """Take the largest loss of each scan."""
    return array(probe["loss"]).max(axis=1)


def nearest_gradient(probe: dict) -> np.ndarray:
    """Take the smallest change of the gradient in each scan."""
    return array(probe["gradient_distance"]).min(axis=1)


def farthest_gradient(probe: dict) -> np.ndarray:
    """Take the largest change of the gradient in each scan."""
    return array(probe["gradient_distance"]).max(axis=1)


def effective_smoothness(probe: dict) -> np.ndarray:
    """Take the largest change of the gradient per distance in each scan."""
    return array(probe["smoothness"]).max(axis=1)


def loss_and_change(train: dict) -> np.ndarray:
    """Add to the loss how far it moves in a step."""
    return array(train["loss"]) + array(train["loss_change"])


def relative_change(train: dict) -> np.ndarray:
    """Divide how far the loss moves in a step by the loss."""
    return array(train["loss_change"]) / array(train["loss"])


def final(runs: list[dict], kind: str, name: str, num_steps: int = 1) -> float:
    """Average a curve over its last steps, then take the median over seeds; NaN where nothing was recorded."""
    ends = [np.mean(array(run[kind][name][-num_points(run, num_steps) :])) for run in runs if run[kind].get(name)]
    return float(np.median(ends)) if ends else float("nan")


def summary(data: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Boil each arm down to a number per quantity: medians over scans, then over seeds.

    A scan with a value that is not finite counts as infinite: a net that explodes must not look flat for it.
    """

    def over_scans(runs: list[dict], value: Callable[[dict], np.ndarray]) -> float:
        scans = (value(run["landscape"]) for run in runs)
        return float(np.median([np.median(np.where(np.isfinite(values), values, np.inf)) for values in scans]))

    return {
        arm: {
            "test accuracy": final(runs, "test", "accuracy"),
            "train accuracy": final(runs, "train", "accuracy", num_steps=50),
            "loss range": over_scans(runs, lambda probe: highest_loss(probe) - lowest_loss(probe)),
            "gradient predictiveness": over_scans(runs, farthest_gradient),
            "effective smoothness": over_scans(runs, effective_smoothness),
        }
        for arm, runs in data["arms"].items()
    }


def plural(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def count_seeds(data: dict[str, Any]) -> str:
    """Say how many seeds there are."""
    return plural(len(data["config"]["seeds"]), "seed")


def divergences(arms: dict[str, list[dict]]) -> list[str]:
    """Say of each run that diverged at which step it did."""
    return [
        f"{LABELS.get(arm, arm)}, seed {run['seed']}: the loss stopped being finite at step {run['diverged_at']}."
        for arm, runs in arms.items()
        for run in runs
        if run["diverged_at"] is not None
    ]


def table(data: dict[str, Any]) -> str:
    """Print the summary: a row per quantity, a column per net, and how many times larger it is without BN."""
    nets, arms = summary(data), list(data["arms"])
    meaning = {
        "test accuracy": "all test images, running statistics",
        "train accuracy": "mean of the last 50 batches",
        "loss range": "largest - smallest loss along the gradient",
        "gradient predictiveness": "largest change of the gradient there; smaller predicts better",
        "effective smoothness": "largest change per distance moved; smaller is smoother",
    }
    header = f"{'':24}" + "".join(f"{LABELS[arm]:>12}" for arm in arms) + f"{'ratio':>8}"
    rows = []
    for name, explained in meaning.items():
        values = [nets[arm][name] for arm in arms]
        cells = [f"{100 * x:10.1f} %" if "accuracy" in name else f"{x:12.3g}" for x in values]
        comparable = np.isfinite(values).all() and values[1]
        cells.append(f"{values[0] / values[1] if comparable else np.nan:8.2f}")
        rows.append(f"{name:24}" + "".join(cells).replace("nan %", "  -  ").replace("nan", "  -") + f"  {explained}")
    counts = ", ".join(
        f"{LABELS[arm]} {sum(len(run['landscape']['step']) for run in data['arms'][arm])}" for arm in arms
    )
    return "\n".join(
        [
            "",
            header,
            *rows,
            f"The last three are medians over all scans during training ({counts}; {count_seeds(data)}), late ones included,",
            "when a net that has learnt everything is flat by itself. The ratio is without BN / with BN.",
            *divergences(data["arms"]),
        ]
    )

"""What figures, tables and claims take from activations that were followed over training, by the probe `drift`."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from experiments._claims.measures import divide, median_of, pairs
from experiments._numbers.curves import array

Since = Literal["successive", "cumulative"]
Moment = Literal["mean", "variance", "wasserstein"]
_SINCE: tuple[Since, ...] = ("successive", "cumulative")
# Names under which shifts are recorded: the moment, and whether in the unit's own units.
_RECORDED: dict[str, tuple[Moment, bool]] = {
    "mean": ("mean", False),
    "variance": ("variance", False),
    "relative_mean": ("mean", True),
    "relative_variance": ("variance", True),
    "relative_wasserstein": ("wasserstein", True),
}


def subject(config: dict[str, Any]) -> str:
    """Say of what distributions are taken: activations, or what becomes one."""
    is_behind = config.get("drift_of") == "activations"
    return "what comes out of" if is_behind else "what goes into"


def layer_names(runs: list[dict]) -> list[str]:
    """List the layers that were followed, from input to output; none where nothing was recorded."""
    names = next((list(run["drift"]["layers"]) for run in runs if run["drift"].get("layers")), [])
    return sorted(names, key=number)


def number(layer: str) -> int:
    """Return the number of a layer of that name."""
    return int(layer.rpartition("_")[2])


def shift(layer: str, moment: Moment, since: Since, relative: bool = False) -> Callable[[dict], np.ndarray]:
    """Make a measure of how far the units of a layer have moved at each step: the median of their absolute shifts.

    Args:
        layer: its name.
        moment: the mean, the variance, or the distance W1 of the whole distributions.
        since: since the measurement before, or since the first one.
        relative: in units of what the unit's standard deviation, or its variance, was then; W1 always is relative.

    Returns:
        A function of what was recorded of a run's drift; of its values, one per step, the first is NaN, as is one at which no
        unit has a finite value.
    """
    name = f"relative_{moment}" if relative or moment == "wasserstein" else moment

    def measure(drift: dict) -> np.ndarray:
        recorded = drift["layers"][layer].get(since)  # of a single step there is none
        rows = np.abs(array(recorded[name]))[0 if since == "successive" else 1 :] if recorded else []
        middles = [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in rows]
        return np.array([np.nan, *middles])

    return measure


def typical(runs: list[dict], layer: str, moment: Moment, since: Since, relative: bool = False) -> float:
    """Take the median of a shift over steps, then over seeds; infinite where a run diverged before it was measured."""
    measure = median_of("drift", shift(layer, moment, since, relative), first=1)
    return float(np.median([measure(run) for run in runs if run["drift"].get("layers")]))


def typical_ratios(arms: dict[str, list[dict]], arm: str, other: str, *moved: Any) -> list[float]:
    """Divide the typical shifts of two nets, layer by layer."""
    layers = layer_names([*arms[arm], *arms[other]])
    return [divide(*(typical(arms[name], layer, *moved) for name in (arm, other))) for layer in layers]


def over_layers(
    arm: str, other: str, statistic: Callable[[list[float]], float], *moved: Any
) -> Callable[[dict[str, Any]], list[float]]:
    """Measure, for a claim, one net's median shift as a multiple of another's, seed by seed: a statistic of it over layers."""

    def measure(data: dict[str, Any]) -> list[float]:
        runs, others = data["arms"][arm], data["arms"][other]
        measures = [median_of("drift", shift(layer, *moved), first=1) for layer in layer_names([*runs, *others])]
        return [
            float(statistic([divide(measure(run), measure(partner)) for measure in measures]))
            for run, partner in pairs(runs, others)
        ]

    return measure


def published(drift: dict[str, Any], layers: list[str], max_shapes: int = 0) -> dict[str, Any]:
    """Take what is published of a run's drift: the median shifts, and what one unit's distribution looked like.

    Args:
        drift: what was recorded.
        layers: those that are wanted.
        max_shapes: how many steps the first unit's quantiles are taken from, evenly over the training; 0 leaves them, and its
            percentiles, out.

    Returns:
        What was recorded, of those layers; of shifts the medians over units, as if there were one unit.
    """
    kept = {}
    for layer in layers if drift.get("layers") else []:
        record = drift["layers"][layer]
        kept[layer] = {since: _median_shifts(drift, layer, since) for since in _SINCE if since in record}
        if max_shapes:
            chosen = np.unique(np.linspace(0, len(drift["step"]) - 1, max_shapes).round().astype(int))
            steps = [drift["step"][i] for i in chosen]
            kept[layer]["shapes"] = {"step": steps, "quantiles": [record["quantiles"][i] for i in chosen]}
            kept[layer]["percentiles"] = [values[0] for values in record["percentiles"]]
    return {"step": drift.get("step", []), "layers": kept}


def _median_shifts(drift: dict, layer: str, since: Since) -> dict[str, list[list[float]]]:
    """Take every shift's median over the units of a layer, to five digits."""
    found = {}
    for name, (moment, relative) in _RECORDED.items():
        values = shift(layer, moment, since, relative)(drift)[1:]
        found[name] = [[0.0]] * (since == "cumulative") + [[float(f"{value:.5g}")] for value in values]
    return found


def histogram(quantiles: np.ndarray, edges: np.ndarray, smooth: float = 1.5) -> np.ndarray:
    """Rebuild a histogram from a distribution's quantiles at (i + 1/2) / n; what lies outside them is left out.

    Args:
        quantiles: increasing.
        edges: of the bins.
        smooth: standard deviation of the Gaussian that smooths the steps between the quantiles, in bins.

    Returns:
        The share of all values in each bin, (bins,).
    """
    levels = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    below = np.interp(edges, quantiles, levels, left=levels[0], right=levels[-1])
    offsets = np.arange(-4 * smooth, 4 * smooth + 1).round()
    kernel = np.exp(-((offsets / smooth) ** 2) / 2)
    return np.convolve(np.diff(below), kernel / kernel.sum(), mode="same")

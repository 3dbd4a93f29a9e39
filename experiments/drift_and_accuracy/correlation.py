"""Rank correlations over nets, seed by seed."""

import numpy as np

from experiments._evidence.drift import Moment, followed, typical
from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data, Run, all_runs, layer_names
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import Missing
from experiments.drift_and_accuracy import NETS


def deepest_drift(data: Data, moment: Moment = "wasserstein") -> Measure:
    """Return how far distributions of the deepest layer that is followed typically move between measurements.

    Raises:
        NotInDataError: if none is followed.
    """
    layers = layer_names(all_runs(data.get("arms", {})), "drift")
    if not layers:
        raise NotInDataError("these data have no drift")
    return typical(layers[-1], moment)


def rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Return Spearman's rank correlation, (n,) and (n,); equal values share their mean rank.

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([3.0, 2.0, 1.0]))
    -1.0
    """
    # The correlation of Pearson, of ranks.
    ranks = [np.array([np.mean((x < value) + (x <= value)) for value in x]) for x in (values, others)]
    centred = [rank - rank.mean() for rank in ranks]
    length = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return round(float(centred[0] @ centred[1] / length), 12) if length else np.nan


def with_accuracy(accuracy: Measure, moment: Moment = "wasserstein") -> Statistic:
    """Return the rank correlation of the drift with an accuracy over all nets; an infinite drift is the largest."""

    def of(data: Data) -> BySeed:
        measure, arms = deepest_drift(data, moment), data["arms"]
        missing = [net for net in NETS if net not in arms]
        if missing:
            raise NotInDataError(f"these data have no runs of {missing[0].replace('_', ' ')}")
        by_seed: dict[int, list[Run]] = {}
        for net in NETS:
            for run in arms[net]:
                by_seed.setdefault(run["seed"], []).append(run)
        return {seed: correlation(measure, runs) for seed, runs in by_seed.items() if len(runs) == len(NETS)}

    def correlation(measure: Measure, runs: list[Run]) -> float:
        drifts, accuracies = ([each.of(run) for run in runs] for each in (measure, accuracy))
        for value in (*drifts, *accuracies):
            if np.isnan(value):
                return value if isinstance(value, Missing) else Missing("nothing to measure")
        return rank_correlation(np.array(drifts), np.array(accuracies))

    what = f"rank correlation of {typical('', moment).words} (deepest layer that is followed) with {accuracy.words}"
    arms = tuple(f"arms/{net}" for net in NETS)
    return Statistic(of, what, f"over {len(NETS)} nets", arms, Format("+z.2f"), accuracy.until, followed)

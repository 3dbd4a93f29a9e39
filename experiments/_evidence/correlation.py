"""Rank correlations of two numbers of each run over nets, seed by seed."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data, Run
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import Missing

OfData = Callable[[Data], Measure]  # a measure that needs to know which layers the data have


def rank_correlation(values: np.ndarray, others: np.ndarray) -> float:
    """Return Spearman's rank correlation, (n,) and (n,); equal values share their mean rank.

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([3.0, 2.0, 1.0]))
    -1.0
    """
    # Pearson's correlation of the ranks.
    ranks = [np.array([np.mean((x < value) + (x <= value)) for value in x]) for x in (values, others)]
    centred = [rank - rank.mean() for rank in ranks]
    length = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return round(float(centred[0] @ centred[1] / length), 12) if length else np.nan


def correlation(
    first: OfData, words: str, second: Measure, nets: Sequence[str], part: Callable[[Data], str] | None = None
) -> Statistic:
    """Return the rank correlation of two numbers of each run over nets; an infinite number is the largest.

    Args:
        first: returns the measure of the first number, given the data.
        words: description of the first number.
        second: measure of the second number.
        nets: the nets over which they are ranked; seeds that lack one of them are left out.
        part: names the measured part of the nets, see `Statistic`.
    """

    def of(data: Data) -> BySeed:
        measure, arms = first(data), data["arms"]
        missing = [net for net in nets if net not in arms]
        if missing:
            raise NotInDataError(f"these data have no runs of {missing[0].replace('_', ' ')}")
        by_seed: dict[int, list[Run]] = {}
        for net in nets:
            for run in arms[net]:
                by_seed.setdefault(run["seed"], []).append(run)
        return {seed: of_runs(measure, runs) for seed, runs in by_seed.items() if len(runs) == len(nets)}

    def of_runs(measure: Measure, runs: list[Run]) -> float:
        columns = [[each.of(run) for run in runs] for each in (measure, second)]
        for value in (*columns[0], *columns[1]):
            if np.isnan(value):
                return value if isinstance(value, Missing) else Missing("nothing to measure")
        return rank_correlation(*map(np.array, columns))

    what = f"rank correlation of {words} with {second.words}"
    arms = tuple(f"arms/{net}" for net in nets)
    return Statistic(of, what, f"over {len(nets)} nets", arms, Format("+z.2f", is_correlation=True), second.until, part)

"""The forest plot: published and measured ratios of all claims that have both, on one logarithmic axis."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from experiments._evidence.claim import Claim
from experiments._evidence.verdict import MIN_VALUES, Judgement
from experiments._report.load import Entry

_CLAUSE = re.compile(r"\bor ((?:(?!\bor\b).)*?) times?\b")
_AXIS = (1e-3, 1e4)  # ratios beyond it appear only in the table
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e\d+)?")


class Ratio(NamedTuple):
    """A row of the plot.

    Attributes:
        claim: the claim about the ratio.
        judgement: judgement of the claim.
        published: the smallest and the largest published ratio.
        places: places of 1, the published ends, and the measured interval's ends and median, in per cent of the axis.
    """

    claim: Claim
    judgement: Judgement
    published: tuple[float, float]
    places: dict[str, float]


def published_ratios(text: str) -> tuple[float, float] | None:
    """Extract the smallest and the largest ratio from a claim's published value; None if it names none.

    >>> published_ratios("1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times")
    (2.3, 7.9)
    """
    clause = _CLAUSE.search(text)
    numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(clause[1])] if clause else []
    positive = [number for number in numbers if number > 0]
    return (min(positive), max(positive)) if positive else None


def ratios(entries: list[Entry]) -> tuple[list[Ratio], dict[str, float]]:
    """Return the rows, and the places of the powers of ten by their labels."""
    claims = []
    for claim, judgement in (pair for entry in entries for pair in entry.judged):
        published = published_ratios(claim.published)
        measured = (judgement.low, judgement.median, judgement.high)
        ends = [*(published or ()), *measured]
        known = len(judgement.values) >= MIN_VALUES and all(_AXIS[0] <= end <= _AXIS[1] for end in ends)
        if claim.statistic.format.is_ratio and published and known:
            claims.append((claim, judgement, published))
    if not claims:
        return [], {}
    ends = [end for _, judgement, published in claims for end in (*published, judgement.low, judgement.high)]
    low, high = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    rows = [Ratio(claim, j, p, _places(j, p, (low, max(low + 1, high)))) for claim, j, p in claims]
    ticks = {_label(power): _place(10.0**power, (low, max(low + 1, high))) for power in range(low, high + 1)}
    return rows, ticks


def _places(judgement: Judgement, published: tuple[float, float], axis: tuple[int, int]) -> dict[str, float]:
    values = {"one": 1.0, "from": published[0], "to": published[1]}
    values |= {"low": judgement.low, "median": judgement.median, "high": judgement.high}
    return {name: _place(value, axis) for name, value in values.items()}


def _place(value: float, axis: Sequence[int]) -> float:
    """Return a place on the axis in per cent, with a margin of 2 at either end."""
    low, high = axis
    return round(2 + 96 * (math.log10(value) - low) / (high - low), 2)


def _label(power: int) -> str:
    return f"{10.0**power:g}" if power < 4 else f"{10**power:,}"

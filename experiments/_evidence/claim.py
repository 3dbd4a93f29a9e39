"""Claims: what a source says, as a statistic and the range of it in which the saying holds."""

import math
import re
from dataclasses import dataclass

from experiments._evidence.statistic import Statistic

Range = tuple[float, float]


@dataclass(frozen=True)
class Claim:
    """What a source says.

    Attributes:
        name: unique; lower-case words joined by underscores.
        statement: the claim, in one sentence that can turn out wrong.
        source: paper and figure or section.
        statistic: what decides it.
        holds: the open range in which the claim holds; an infinite end is part of it.
        published: the published value in words, or "-".
        caveat_of: name of the claim of which this one is the known counter-example.
        exists: a source says that something can be: one value in the range is enough.
        remark: why the statistic, or its range, is what it is.
    """

    name: str
    statement: str
    source: str
    statistic: Statistic
    holds: Range
    published: str = "-"
    caveat_of: str | None = None
    exists: bool = False
    remark: str = ""

    def __post_init__(self):
        low, high = self.holds
        if not low < high:
            raise ValueError(f"holds must be a range from low to high, got {self.holds}.")
        if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, got {self.name!r}.")


def above(low: float) -> Range:
    """Return the range above a number."""
    return low, math.inf


def below(high: float) -> Range:
    """Return the range below a number."""
    return -math.inf, high


def within(distance: float, of: float = 0.0) -> Range:
    """Return the range within a distance of a number."""
    return of - distance, of + distance

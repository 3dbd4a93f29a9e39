"""Claims: what a source says, as a statistic and the range of it in which the saying holds."""

import re
from dataclasses import dataclass, replace

from experiments._evidence.statistic import Criterion, Range, Statistic


@dataclass(frozen=True)
class Claim:
    """What a source says.

    Attributes:
        statement: the claim, in one sentence that can turn out wrong.
        source: paper and figure or section.
        criterion: the statistic that decides it, and the range in which it holds.
        published: the published value in words, or "-".
        caveat_of: name of the claim of which this one is the known counter-example.
        exists: a source says that something can be: one value in the range is enough.
        remark: why the statistic, or its range, is what it is.
        name: lower-case words joined by underscores; `claims` gives it.
    """

    statement: str
    source: str
    criterion: Criterion
    published: str = "-"
    caveat_of: str | None = None
    exists: bool = False
    remark: str = ""
    name: str = ""

    def __post_init__(self):
        low, high = self.holds
        if not low < high:
            raise ValueError(f"holds must be a range from low to high, got {self.holds}.")
        if not re.fullmatch("([a-z0-9]+(_[a-z0-9]+)*)?", self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, got {self.name!r}.")

    @property
    def statistic(self) -> Statistic:
        """What decides it."""
        return self.criterion.statistic

    @property
    def holds(self) -> Range:
        """The range in which it holds."""
        return self.criterion.holds


def claims(**by_name: Claim) -> tuple[Claim, ...]:
    """Give claims their names."""
    return tuple(replace(claim, name=name) for name, claim in by_name.items())

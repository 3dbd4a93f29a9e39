"""Claims: the statement of a source, as a statistic and the range in which the statement holds."""

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, get_args

from experiments._evidence.source import Origin, Source, ours
from experiments._evidence.statistic import Criterion, Range, Statistic

Hypothesis = Literal[
    "covariate shift", "distributions", "interdependence", "smoothness", "learning rates", "regularisation", "none"
]
HYPOTHESES: tuple[Hypothesis, ...] = get_args(Hypothesis)
Side = Literal["for", "against"]
Speaks = Literal["for", "against", "for, else against", "against, else for", "neither"]
SPEAKS: tuple[Speaks, ...] = get_args(Speaks)


@dataclass(frozen=True)
class Claim:
    """A claim that a source makes.

    Attributes:
        statement: the claim, in one sentence that can turn out wrong, and that needs no other one. Net, width, data,
            batch size, steps and seeds are not in it: they are added from the data that decide it.
        source: the source that makes the claim; a string is a comparison of ours.
        criterion: the statistic that decides it, and the range in which it holds.
        published: the published value in words, or "-"; never one of our own runs.
        caveat_of: name of the claim that this one qualifies: a known counter-example, or a control.
        repeats: name of an earlier claim on the same statistic, or on one of the same runs that shows the same effect. If the
            earlier one is decided, this one counts for neither side of the hypothesis, so that one effect counts once.
        exists: the claim is that something is possible: one value in the range is enough, and without one it stays open.
        remark: the reason for the choice of the statistic or its range.
        since: the day on which range and statistic were fixed, as in 2026-11-21.
        hypothesis: the explanation of batch norm's effect that the claim tests; "none" if it tests none of them.
        speaks: for or against its hypothesis, if it holds; see `side`.
        differs: how the set-up differs from the source's, apart from width, batch and number of steps.
        in_doubt: why values outside the range do not contradict it; the verdict then is inconclusive, for this reason.
        name: lower-case words joined by underscores; `claims` gives it.
    """

    statement: str
    source: Source | str
    criterion: Criterion
    published: str = "-"
    caveat_of: str | None = None
    repeats: str | None = None
    exists: bool = False
    remark: str = ""
    since: str = ""
    hypothesis: Hypothesis | None = None
    speaks: Speaks | None = None
    differs: str = ""
    in_doubt: str = ""
    name: str = ""

    def __post_init__(self):
        low, high = self.holds
        if not low < high:
            raise ValueError(f"holds must be a range from low to high, got {self.holds}.")
        if not re.fullmatch("([a-z0-9]+(_[a-z0-9]+)*)?", self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, got {self.name!r}.")
        if self.since:
            date.fromisoformat(self.since)
        if self.hypothesis not in (None, *HYPOTHESES):
            raise ValueError(f"hypothesis must be one of {', '.join(HYPOTHESES)}, got {self.hypothesis!r}.")
        if self.speaks not in (None, *SPEAKS):
            allowed = "; ".join(SPEAKS)
            raise ValueError(f"speaks of {self.name or 'a claim'} must be one of {allowed}, got {self.speaks!r}.")
        if isinstance(self.source, str):
            object.__setattr__(self, "source", ours(self.source))

    @property
    def origin(self) -> Origin:
        """The kind of source that makes the claim."""
        return self.source.origin if isinstance(self.source, Source) else "ours"

    @property
    def statistic(self) -> Statistic:
        """The statistic that decides the claim."""
        return self.criterion.statistic

    @property
    def holds(self) -> Range:
        """The range in which the claim holds."""
        return self.criterion.holds

    def side(self, holds: bool) -> Side | None:
        """Return the side of its hypothesis that the claim supports if it holds, or if contradicted; None for neither.

        A claim that holds speaks as `speaks` says. A contradicted one speaks the other way only if `speaks` says so ("for,
        else against"), that is, if every value outside the range is evidence for the other side. This applies to "the loss
        varies less with batch norm". It does not apply to a bound on an amount ("more than ten times less"), to a range with
        two ends, or to a sentence about every layer or every net, whose failure in one of them says little unless the
        hypothesis is about each of them: when contradicted, they count for neither.

        NOTE: that nets train better with batch norm is the fact to be explained, so it counts for neither. The same holds for
        a control of a measure; a proved result; a measure that its source uses but that is not about the subject of the
        hypothesis; a comparison of quantities that batch norm sets by construction, its output's mean and variance, with ones
        that nothing sets; and an argument with a premise that our data do not bear out.
        """
        own, _, other = (self.speaks or "neither").partition(", else ")
        sides: dict[str, Side] = {"for": "for", "against": "against"}
        return sides.get(own if holds else other)


def claims(
    hypothesis: Hypothesis = "none", since: str = "", speaks: Speaks | None = None, /, **by_name: Claim
) -> tuple[Claim, ...]:
    """Name claims, and fill in a missing hypothesis or day from their subject.

    A claim on the subject's hypothesis whose `speaks` is missing gets that of the subject.
    """
    return tuple(
        replace(
            claim,
            name=name,
            since=claim.since or since,
            hypothesis=claim.hypothesis or hypothesis,
            speaks=claim.speaks or (None if claim.hypothesis else speaks),
        )
        for name, claim in by_name.items()
    )

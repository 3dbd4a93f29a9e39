"""Verdicts: whether the interval of a claim's statistic over the seeds lies in the claim's range."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from experiments._evidence.claim import Claim
from experiments._evidence.format import plural
from experiments._evidence.run import Data, Run
from experiments._evidence.statistic import NotInDataError, Range
from experiments._evidence.value import AtLeast, AtMost, Bound, Missing, median

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "inconclusive", "not run")
MIN_VALUES = 3
CONFIDENCE = 0.95  # of the interval, where there are enough values


class Judgement(NamedTuple):
    """A claim, judged.

    Attributes:
        values: the statistic, once per seed or draw.
        median: of the values.
        low: lower end of the interval, see `interval`.
        high: its upper end.
        verdict: supported, contradicted, inconclusive or not run.
        reason: why the verdict is inconclusive; else empty.
        num_runs: runs that were counted.
        num_diverged: those of them whose loss stopped being finite.
    """

    values: tuple[float, ...]
    median: float
    low: float
    high: float
    verdict: Verdict
    reason: str
    num_runs: int
    num_diverged: int


def judge(claim: Claim, data: Data | None) -> Judgement:
    """Compute a claim's verdict from an experiment's data; None is an experiment that has not been run.

    Counted are the values that make up the interval: of fewer than nine all. All of them in the range: supported. All outside:
    contradicted. Anything else, a value on the edge, a value that is NaN or fewer than three values: inconclusive. Of a claim
    that something can be, one value in the range is enough, and all values count.
    """
    if data is None:
        return Judgement((), math.nan, math.nan, math.nan, "not run", "", 0, 0)
    runs = _runs(data, claim.statistic.arms)
    num_diverged = sum(run["diverged_at"] is not None for run in runs)
    try:
        values = tuple(claim.statistic.of(data).values())
        verdict, reason = _verdict(claim, values)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        values, verdict = (), "inconclusive"
        problem = f"cannot be measured in this data ({type(error).__name__}: {' '.join(str(error).split())})"
        reason = str(error) if isinstance(error, NotInDataError) else problem
    known = [value for value in values if not math.isnan(value)]
    counted = interval(known)
    low, high = (counted[0], counted[-1]) if known else (math.nan, math.nan)
    return Judgement(values, median(known), low, high, verdict, reason, len(runs), num_diverged)


def interval(values: Sequence[float]) -> list[float]:
    """Sort values, and leave out as many on either side as still enclose the median of what they are drawn from with 95 %.

    Of fewer than nine none can be left out; fewer than six enclose it with less.
    """
    num_left_out = 0
    while coverage(len(values), num_left_out + 1) >= CONFIDENCE:
        num_left_out += 1
    return sorted(values)[num_left_out : len(values) - num_left_out]


def coverage(num_values: int, num_left_out: int = 0) -> float:
    """Return the chance that independent values, without so many at either end, enclose the median of what they are drawn from.

    1 - 2 (C(n,0) + ... + C(n,k)) / 2^n: the median is missed where at most k of n values lie on one side of it.
    """
    missed = sum(math.comb(num_values, i) for i in range(num_left_out + 1))
    return 1 - 2 * missed / 2**num_values


def _verdict(claim: Claim, values: tuple[float, ...]) -> tuple[Verdict, str]:
    """Return the verdict, and the reason where it is inconclusive."""
    per = claim.statistic.per
    missing = [value for value in values if math.isnan(value)]
    if missing:
        reasons = dict.fromkeys(
            value.reason if isinstance(value, Missing) else "nothing to measure" for value in missing
        )
        which = "" if len(missing) == len(values) else f" in {len(missing)} of {plural(len(values), per)}"
        return "inconclusive", f"{'; '.join(reasons)}{which}"
    if len(values) < MIN_VALUES:
        return "inconclusive", plural(len(values), per)
    counted = interval(values)
    if claim.exists and any(_is_inside(value, claim.holds) for value in values):
        return "supported", ""
    if all(_is_inside(value, claim.holds) for value in counted):
        return "supported", ""
    if all(_is_outside(value, claim.holds) for value in counted):
        return "contradicted", ""
    is_open = any(isinstance(value, Bound) and not _is_outside(value, claim.holds) for value in counted)
    return "inconclusive", "runs too short" if is_open else f"{per}s disagree"


def _is_inside(value: float, holds: Range) -> bool:
    """Return whether a value is known to lie in a range; infinity does in one that has no end."""
    low, high = holds
    is_above = low == -math.inf or (low < value and not isinstance(value, AtMost))
    return is_above and (high == math.inf or (value < high and not isinstance(value, AtLeast)))


def _is_outside(value: float, holds: Range) -> bool:
    """Return whether a value is known to lie beyond an end of a range; one on an edge is neither inside nor outside."""
    low, high = holds
    return (value < low and not isinstance(value, AtLeast)) or (value > high and not isinstance(value, AtMost))


def _runs(data: Data, arms: Sequence[str]) -> list[Run]:
    """List the runs of some arms, named as group/arm, or of whole groups; of all groups if none is named."""
    groups = {group: nets for group, nets in data.items() if isinstance(nets, dict)}
    named = {f"{group}/{arm}": runs for group, nets in groups.items() for arm, runs in nets.items()}
    chosen = (runs for name, runs in named.items() if not arms or {name, name.split("/")[0]} & {*arms})
    found = [run for runs in chosen if isinstance(runs, list) for run in runs]
    return [cast(Run, run) for run in found if isinstance(run, dict) and "diverged_at" in run]

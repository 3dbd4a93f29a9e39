"""Verdicts: whether the interval of a claim's statistic over the seeds lies in the claim's range."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from experiments._evidence.claim import Claim
from experiments._evidence.format import plural
from experiments._evidence.run import Data, Run
from experiments._evidence.setup import Setup, setup
from experiments._evidence.statistic import NotInDataError, Range
from experiments._evidence.value import AtLeast, AtMost, Bound, spread

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MIN_VALUES = 3
CONFIDENCE = 0.95  # of the interval, if there are enough values


class Beside(NamedTuple):
    """The median of a claim's statistic in data with too few runs to decide."""

    setup: Setup
    median: float


class Judgement(NamedTuple):
    """A claim, judged."""

    values: tuple[float, ...]  # the statistic, once per seed or draw
    median: float
    low: float  # end of the interval, see `interval`
    high: float
    verdict: Verdict
    reason: str  # why the verdict is inconclusive; else empty
    num_runs: int  # number of counted runs
    num_diverged: int  # number of counted runs whose loss stopped being finite
    setup: Setup | None = None  # set-up of the values; the net alone if there are none
    beside: tuple[Beside, ...] = ()  # medians in data with too few runs to decide
    is_exploratory: bool = False  # range or statistic were fixed when these runs were known


def judge(claim: Claim, data: Data | None) -> Judgement:
    """Compute a claim's verdict from an experiment's data; None is an experiment that has not been run.

    The values in the interval are counted; of fewer than nine, all are. If all of them lie in the range, the claim is
    supported; if all lie outside, it is contradicted. Anything else, a value on the edge, a NaN or fewer than three values make
    it inconclusive. If the claim is that something is possible, one value in the range is enough, and all values count;
    without one it is inconclusive.
    """
    if data is None:
        return Judgement((), math.nan, math.nan, math.nan, "not run", "", 0, 0)
    num_runs, num_diverged = 0, 0
    try:
        runs = _runs(data, claim.statistic.counted(data))
        num_runs, num_diverged = len(runs), sum(run.get("diverged_at") is not None for run in runs)
        values = tuple(claim.statistic.of(data).values())
        verdict, reason = _verdict(claim, values)
        low, middle, high = spread(interval([value for value in values if not math.isnan(value)]))
    except Exception as error:  # damaged data raise errors of many types
        problem = f"cannot be measured in this data ({type(error).__name__}: {' '.join(str(error).split())})"
        reason = str(error) if isinstance(error, NotInDataError) else problem
        net = setup(claim.statistic, data, 0) if isinstance(error, NotInDataError) else None
        return Judgement((), math.nan, math.nan, math.nan, "inconclusive", reason, num_runs, num_diverged, net)
    measured_on = setup(claim.statistic, data, sum(not math.isnan(value) for value in values))
    return Judgement(values, middle, low, high, verdict, reason, num_runs, num_diverged, measured_on)


def judge_best(claim: Claim, files: Mapping[str, Data]) -> tuple[str, Judgement]:
    """Judge a claim by the one of several files that decides it.

    A file can decide if it has three values or more and all of them are known. Among these, the widest nets win, then the most
    steps, then the most values; if equally large ones differ in their verdict, it is inconclusive. Files with fewer runs are
    reported beside it. If none can decide, the first file whose values are all known is used; else the file with the most
    counted runs, preferably one that meets the claim's needs.

    Args:
        claim: the claim to judge.
        files: the data of an experiment by their name, one or more.

    Returns:
        The name of the file, and the judgement.
    """
    judged = {name: judge(claim, data) for name, data in files.items()}
    known = {name: found for name, found in judged.items() if found.values and not any(map(math.isnan, found.values))}
    enough = {name: found for name, found in known.items() if len(found.values) >= MIN_VALUES}
    speaking = next(iter(known), max(judged, key=lambda name: (bool(judged[name].values), judged[name].num_runs)))
    chosen = max(enough, key=lambda name: _weight(enough[name]), default=speaking)
    others = [known[name] for name in sorted(known.keys() - enough.keys() - {chosen})]
    beside = tuple(Beside(other.setup, other.median) for other in others if other.setup)
    found = judged[chosen]._replace(beside=beside)
    equal = {other.verdict for other in enough.values() if _weight(other) == _weight(found)}
    if len(equal) > 1:
        found = found._replace(verdict="inconclusive", reason="runs of the same size disagree")
    return chosen, found


def decided(claims: Iterable[Claim], data: Data, *names: str, unknown: str = "an unknown number of times") -> str:
    """Format the first known median of some claims, with its unit, as findings quote it; ratios with two digits.

    Args:
        claims: claims of an experiment.
        data: data of the experiment.
        names: names of claims; a claim on the whole window comes before one on a part.
        unknown: result if none of them has a median.
    """
    by_name = {claim.name: claim for claim in claims}
    for claim in (by_name[name] for name in names):
        median = judge(claim, data).median
        if not math.isnan(median):
            form = claim.statistic.format
            return f"{form.rounded(median)} {form.unit}" if form.is_ratio else form.written(median)
    return unknown


def _weight(judgement: Judgement) -> tuple[float, int, int]:
    """Return the sort key of a file: width, steps and number of values."""
    measured_on = judgement.setup
    return (measured_on.width, measured_on.steps[0], len(judgement.values)) if measured_on else (0.0, 0, 0)


def interval(values: Sequence[float]) -> list[float]:
    """Sort values and trim both ends while the rest enclose the median of their distribution with 95 % confidence.

    Of fewer than nine values none can be left out; fewer than six enclose the median with less confidence.
    """
    left_out = num_left_out(len(values))
    return sorted(values)[left_out : len(values) - left_out]


def num_left_out(num_values: int) -> int:
    """Return how many values are left out on either side."""
    left_out = 0
    while coverage(num_values, left_out + 1) >= CONFIDENCE:
        left_out += 1
    return left_out


def coverage(num_values: int, left_out: int = 0) -> float:
    """Return the probability that independent values, trimmed at both ends, enclose the median of their distribution.

    1 - 2 (C(n,0) + ... + C(n,k)) / 2^n: the median is missed if at most k of n values lie on one side of it.
    """
    missed = sum(math.comb(num_values, i) for i in range(left_out + 1))
    return 1 - 2 * missed / 2**num_values


def _verdict(claim: Claim, values: tuple[float, ...]) -> tuple[Verdict, str]:
    """Return the verdict, and the reason where it is inconclusive."""
    per = claim.statistic.per
    missing = [value for value in values if math.isnan(value)]
    if missing:
        reasons = dict.fromkeys(getattr(value, "reason", "nothing to measure") for value in missing)
        which = "" if len(missing) == len(values) else f" in {len(missing)} of {plural(len(values), per)}"
        return "inconclusive", f"{'; '.join(reasons)}{which}"
    if len(values) < MIN_VALUES:
        return "inconclusive", f"{plural(len(values), per)}, not judged"
    counted = interval(values)
    is_one_inside = claim.exists and any(is_inside(value, claim.holds) for value in values)
    if is_one_inside or all(is_inside(value, claim.holds) for value in counted):
        return "supported", ""
    if any(isinstance(value, Bound) and not _is_outside(value, claim.holds) for value in counted):
        return "inconclusive", "runs too short"
    if claim.exists:
        return "inconclusive", f"no case in {plural(len(values), per)}"
    if all(_is_outside(value, claim.holds) for value in counted):
        return ("inconclusive", claim.in_doubt) if claim.in_doubt else ("contradicted", "")
    is_on_edge = all(value in claim.holds for value in counted)
    return "inconclusive", "on the edge of the range" if is_on_edge else f"{per}s disagree"


def is_inside(value: float, holds: Range) -> bool:
    """Return whether a value is known to lie in a range; infinity lies in a range that has no end."""
    low, high = holds
    is_above = low == -math.inf or (low < value and not isinstance(value, AtMost))
    return is_above and (high == math.inf or (value < high and not isinstance(value, AtLeast)))


def _is_outside(value: float, holds: Range) -> bool:
    """Return whether a value is known to lie beyond an end of a range; a value on an edge is neither in nor out."""
    low, high = holds
    return (value < low and not isinstance(value, AtLeast)) or (value > high and not isinstance(value, AtMost))


def _runs(data: Data, arms: Sequence[str]) -> list[Run]:
    """List the runs of some arms, named as group/arm, or of whole groups."""
    groups = {name.split("/")[0]: data.get(name.split("/")[0], {}) for name in arms}
    named = {f"{group}/{arm}": runs for group, nets in groups.items() for arm, runs in nets.items()}
    return [run for name, runs in named.items() if {name, name.split("/")[0]} & {*arms} for run in runs]

"""A claim, and its verdict: whether the interval of its statistic over the seeds lies where the claim says."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

Data = dict[str, Any]
Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "inconclusive", "not run")
MIN_VALUES = 3
CONFIDENCE = 0.95  # of the interval, where there are enough values
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Bound(float):
    """A number of which only a bound is known, such as the steps to a level that a run had not come to at its end."""

    sign: ClassVar[str]


class AtLeast(Bound):
    """A number that is larger than this."""

    sign = ">"


class AtMost(Bound):
    """A number that is smaller than this."""

    sign = "<"


class Format(NamedTuple):
    """How a statistic is printed.

    Attributes:
        spec: of Python's `format`.
        unit: what follows the number.
        factor: multiplies the number first.
        is_ratio: whether 2 and 1/2 are equally far from 1, so that it is drawn on a logarithmic axis.
    """

    spec: str = "z.3g"
    unit: str = ""
    factor: float = 1.0
    is_ratio: bool = False

    def number(self, value: float) -> str:
        """Print a number without its unit, powers of ten where it would be long."""
        text = "-" if math.isnan(value) else format(self.factor * value, self.spec).replace("inf", "∞")
        mantissa, is_long, exponent = text.partition("e")
        power = str(int(exponent or 0)).translate(_SUPERSCRIPTS)
        mantissa = f"{value.sign} {mantissa}" if isinstance(value, Bound) else mantissa
        return mantissa.removesuffix(".") + (f"·10{power}" if is_long else "")


TIMES = Format("z#.3g", "times", is_ratio=True)
PERCENT = Format("z.1f", "%", 100)
POINTS = Format("+z.1f", "points", 100)
STEPS = Format("z,.0f", "steps")


@dataclass(frozen=True)
class Claim:
    """What a source says, as a statistic and the range of it in which the saying holds.

    Attributes:
        name: unlike that of any other claim; lower-case words joined by underscores.
        statement: the claim, in one sentence that can turn out wrong.
        source: paper and figure or section.
        statistic: what is computed, in which units, with which estimator, in one line.
        published: the published value in words, or "-".
        measure: takes an experiment's data, returns one number per seed, or per draw. NaN where nothing can be measured,
            such as steps that the run did not reach by design; what a diverged run counts as, `measures` says.
        supported: the open range in which the claim holds; an infinite end is part of it.
        format: how the statistic is printed.
        arms: those whose runs are counted, by name or as `group/name`; all by default.
        per: what has one value each: seed, or draw.
        caveat_of: name of the claim of which this one is the known counter-example.
        exists: a source says that something can be: one value in the range is enough.
    """

    name: str
    statement: str
    source: str
    statistic: str
    published: str
    measure: Callable[[Data], list[float]]
    supported: tuple[float, float]
    format: Format = Format()  # noqa: RUF009  # a NamedTuple, which nothing can change
    arms: tuple[str, ...] = ()
    per: str = "seed"
    caveat_of: str | None = None
    exists: bool = False

    def __post_init__(self):
        low, high = self.supported
        if not low < high:
            raise ValueError(f"supported must be a range from low to high, got {self.supported}.")
        if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, got {self.name!r}.")


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
    runs = list(_runs(data, claim.arms))
    num_diverged = sum(run["diverged_at"] is not None for run in runs)
    try:
        values = tuple(value if isinstance(value, Bound) else float(value) for value in claim.measure(data))
        verdict, reason = _verdict(claim, values)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        values, verdict = (), "inconclusive"
        reason = f"cannot be measured in this data ({type(error).__name__}: {' '.join(str(error).split())})"
    known = [value for value in values if not math.isnan(value)]
    counted = interval(known)
    middle, low, high = (_median(known), counted[0], counted[-1]) if known else (math.nan,) * 3
    return Judgement(values, middle, low, high, verdict, reason, len(runs), num_diverged)


def _median(values: Sequence[float]) -> float:
    """Take the median; it is a bound where one of the values in the middle is."""
    ordered, num = sorted(values), len(values)
    middle = ordered[(num - 1) // 2], ordered[num // 2]
    kind = next((type(value) for value in middle if isinstance(value, Bound)), float)
    return kind(sum(middle) / 2)


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
    num_missing = sum(map(math.isnan, values))
    if num_missing:
        which = "" if num_missing == len(values) else f" in {num_missing} of {len(values)} {claim.per}s"
        return "inconclusive", f"nothing to measure{which}"
    if len(values) < MIN_VALUES:
        return "inconclusive", f"{len(values)} {claim.per}" + "s" * (len(values) != 1)
    counted = interval(values)
    if claim.exists and any(_is_inside(value, claim.supported) for value in values):
        return "supported", ""
    if all(_is_inside(value, claim.supported) for value in counted):
        return "supported", ""
    if all(_is_outside(value, claim.supported) for value in counted):
        return "contradicted", ""
    is_open = any(isinstance(value, Bound) and not _is_outside(value, claim.supported) for value in counted)
    return "inconclusive", "runs too short" if is_open else f"{claim.per}s disagree"


def _is_inside(value: float, supported: tuple[float, float]) -> bool:
    """Tell whether a value is known to lie in a range; infinity does in one that has no end."""
    low, high = supported
    is_above = low == -math.inf or (low < value and not isinstance(value, AtMost))
    return is_above and (high == math.inf or (value < high and not isinstance(value, AtLeast)))


def _is_outside(value: float, supported: tuple[float, float]) -> bool:
    """Tell whether a value is known to lie beyond an end of a range; one on an edge is neither inside nor outside."""
    low, high = supported
    return (value < low and not isinstance(value, AtLeast)) or (value > high and not isinstance(value, AtMost))


def _runs(value: Any, paths: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Find the runs, which record whether they diverged, wherever they are in the data: all, or those below some paths."""
    if isinstance(value, dict) and "diverged_at" in value:
        yield from () if paths else (value,)
    elif isinstance(value, dict):
        for name, item in value.items():
            rests = tuple(
                path.removeprefix(name).removeprefix("/") if path.split("/")[0] == name else path for path in paths
            )
            yield from _runs(item, () if "" in rests else rests)
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        for item in value:
            yield from _runs(item, paths)

"""Numbers of which only a bound is known, or nothing, and what arithmetic makes of them."""

import math
import operator
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar, NamedTuple


class Bound(float):
    """A number of which only a bound is known, such as the steps to a level that a run had not reached at its end."""

    sign: ClassVar[str]


class AtLeast(Bound):
    """A number that is larger than this."""

    sign = ">"


class AtMost(Bound):
    """A number that is smaller than this."""

    sign = "<"


class Missing(float):
    """A number that the data do not hold: NaN, with the reason."""

    reason: str

    def __new__(cls, reason: str):
        """Make a NaN that knows its reason."""
        missing = super().__new__(cls, math.nan)
        missing.reason = reason
        return missing


def combine(function: Callable[..., float], *values: float) -> float:
    """Apply a function; if one of its arguments is missing, so is the result, for the same reason."""
    return next((value for value in values if isinstance(value, Missing)), None) or function(*values)


def divide(numerator: float, denominator: float) -> float:
    """Divide; x/0 is infinite, 0/0 and infinity by infinity are NaN, and so is the ratio of two bounds of one kind."""
    return combine(partial(_bounded, _ratio), numerator, denominator)


def subtract(value: float, other: float) -> float:
    """Subtract; infinity minus infinity is NaN, and so is the difference of two bounds of one kind."""
    return combine(partial(_bounded, operator.sub), value, other)


def _ratio(numerator: float, denominator: float) -> float:
    if denominator:
        return numerator / denominator
    return math.copysign(math.inf, numerator) if numerator else math.nan


def _bounded(function: Callable[[float, float], float], value: float, other: float) -> float:
    """Apply a function that grows with the first number and falls with the second; ratios, of no negative numbers."""
    is_larger = isinstance(value, AtLeast) or isinstance(other, AtMost)
    is_smaller = isinstance(value, AtMost) or isinstance(other, AtLeast)
    kind = AtLeast if is_larger else AtMost if is_smaller else float
    return math.nan if is_larger and is_smaller else kind(function(float(value), float(other)))


class Spread(NamedTuple):
    """The smallest, the median and the largest of some numbers."""

    low: float
    middle: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return the smallest, the median and the largest of the numbers that are known; what is missing, if none is."""
    values = list(values)
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        nothing = next((value for value in values if isinstance(value, Missing)), math.nan)
        return Spread(nothing, nothing, nothing)
    return Spread(known[0], median(known), known[-1])


def median(values: Iterable[float]) -> float:
    """Return the median of the numbers that are known, over seeds, draws or units; a bound if one of the middle ones is.

    This is the only median of numbers of several runs.
    """
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return math.nan
    middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    kind = next((type(value) for value in middle if isinstance(value, Bound)), float)
    return kind(sum(middle) / 2)

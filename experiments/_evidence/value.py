"""Numbers that are only bounded or missing, and arithmetic with them."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np


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
    """A number that is not in the data: NaN, with the reason."""

    reason: str

    def __new__(cls, reason: str):
        """Make a NaN that carries its reason."""
        missing = super().__new__(cls, math.nan)
        missing.reason = reason
        return missing


def combine(function: Callable[..., float], *values: float) -> float:
    """Apply a function; if one of its arguments is missing, so is the result, for the same reason."""
    return next((value for value in values if isinstance(value, Missing)), None) or function(*values)


def divide(numerator: float, denominator: float) -> float:
    """Divide; x/0 is infinite, and 0/0, infinity by infinity and the ratio of two bounds of one kind are `Missing`."""
    return combine(partial(_bounded, _ratio), numerator, denominator)


def subtract(value: float, other: float) -> float:
    """Subtract; infinity minus infinity and the difference of two bounds of one kind are `Missing`."""
    return combine(partial(_bounded, operator.sub), value, other)


def _ratio(numerator: float, denominator: float) -> float:
    if denominator:
        return numerator / denominator
    return math.copysign(math.inf, numerator) if numerator else math.nan


def _bounded(function: Callable[[float, float], float], value: float, other: float) -> float:
    """Apply a function that rises in the first number and falls in the second; for ratios, neither may be negative."""
    is_larger = isinstance(value, AtLeast) or isinstance(other, AtMost)
    is_smaller = isinstance(value, AtMost) or isinstance(other, AtLeast)
    kind = AtLeast if is_larger else AtMost if is_smaller else float
    if is_larger and is_smaller:
        return Missing("only a bound of both numbers is known")
    result = function(float(value), float(other))
    if math.isnan(result) and not (math.isnan(value) or math.isnan(other)):
        return Missing("both numbers are infinite" if math.isinf(value) else "both numbers are 0")
    return kind(result)


class Spread(NamedTuple):
    """The smallest, the median and the largest of some numbers."""

    low: float
    middle: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return the smallest, the median and the largest known number; the first `Missing` value if none is known."""
    values = list(values)
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        nothing = next((value for value in values if isinstance(value, Missing)), math.nan)
        return Spread(nothing, nothing, nothing)
    return Spread(smallest_of(*known), median(known), largest_of(*known))


def median(values: Iterable[float]) -> float:
    """Return the median of the known numbers, over seeds, draws or units.

    It is a bound if a middle number is one, or if a bounded number may lie beyond the middle ones. This is the only median
    over numbers of several runs.
    """
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    may_grow = any(isinstance(value, AtLeast) and value <= high for value in ordered)
    may_shrink = any(isinstance(value, AtMost) and value >= low for value in ordered)
    if may_grow and may_shrink:
        return Missing("bounds on both sides")
    kind = AtLeast if may_grow else AtMost if may_shrink else float
    return kind((low + high) / 2)


def quantiles(values: Iterable[float], shares: Sequence[float]) -> list[float]:
    """Return quantiles of the known numbers, not interpolated, since some may be infinite; NaN if none is known."""
    known = [value for value in values if not math.isnan(value)]
    return np.quantile(known, shares, method="nearest").tolist() if known else [math.nan] * len(shares)


def smallest_of(*values: float) -> float:
    """Return the smallest number; a bound if a number with only an upper bound may be smaller."""
    return _end(min, AtMost, AtLeast, values)


def largest_of(*values: float) -> float:
    """Return the largest number; a bound if a number with only a lower bound may be larger."""
    return _end(max, AtLeast, AtMost, values)


def _end(choose: Callable, beyond: type[Bound], before: type[Bound], values: Sequence[float]) -> float:
    """Choose the smallest or largest number; numbers bounded on that side may lie beyond it."""
    if any(map(math.isnan, values)):
        return math.nan
    end = choose(values)
    if any(isinstance(value, beyond) for value in values):
        return Missing("bounds on both sides") if isinstance(end, before) else beyond(end)
    return end

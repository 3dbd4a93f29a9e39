"""Formatting of numbers and units."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from experiments._evidence.value import Bound

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Format(NamedTuple):
    """How a number is printed.

    Attributes:
        spec: format specification, as for Python's `format`.
        unit: text after the number.
        factor: multiplies the number first.
        is_ratio: whether 2 and 1/2 are equally far from 1, so that the number is drawn on a logarithmic axis.
        is_correlation: whether 0 means no relation.
    """

    spec: str = "z.3g"
    unit: str = ""
    factor: float = 1.0
    is_ratio: bool = False
    is_correlation: bool = False

    @property
    def of_difference(self) -> "Format":
        """The format of a difference of two such numbers: percentages differ by points."""
        return self._replace(spec=f"+{self.spec.removeprefix('+')}", unit="points" if self.unit == "%" else self.unit)

    @property
    def no_difference(self) -> float | None:
        """The number that means no difference: 1 for a ratio, 0 for points and correlations, None for other numbers."""
        return 1.0 if self.is_ratio else 0.0 if self.unit == "points" or self.is_correlation else None

    def number(self, value: float) -> str:
        """Format a number without its unit, with a power of ten if it would be long."""
        text = "-" if math.isnan(value) else format(self.factor * value, self.spec).replace("inf", "∞")
        mantissa, is_long, exponent = text.partition("e")
        power = str(int(exponent or 0)).translate(_SUPERSCRIPTS)
        mantissa = f"{value.sign} {mantissa}" if isinstance(value, Bound) else mantissa
        return mantissa.removesuffix(".") + (f"·10{power}" if is_long else "")

    def written(self, value: float) -> str:
        """Format a number with its unit."""
        return self.number(value) if math.isnan(value) else f"{self.number(value)} {self.unit}".rstrip()

    def rounded(self, value: float) -> str:
        """Format a number with two significant digits, which three seeds justify, without its unit; mark a bound.

        Numbers of steps keep all digits, as do the ends of their ranges.
        """
        if math.isnan(value) or self.spec == STEPS.spec:
            return self.number(value)
        sign = f"{value.sign} " if isinstance(value, Bound) else ""
        plus = "+" if self.spec.startswith("+") and value > 0 else ""
        return f"{sign}{plus}{two_digits(self.factor * value)}"


TIMES = Format("z#.3g", "times", is_ratio=True)
PERCENT = Format("z.1f", "%", 100)
POINTS = PERCENT.of_difference
STEPS = Format("z,.0f", "steps")


def two_digits(value: float) -> str:
    """Write a number with two significant digits.

    >>> two_digits(3.704), two_digits(1.0), two_digits(112.9), two_digits(-0.954)
    ('3.7', '1.0', '110', '-0.95')
    """
    if not math.isfinite(value):
        return str(value).replace("inf", "∞")
    rounded = float(f"{value:.2g}")
    if not 1e-4 <= abs(rounded) < 100:
        return f"{rounded:,g}"
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(abs(rounded))))}f}"


def plural(number: int, noun: str) -> str:
    """Format a number with its noun, in the plural unless it is 1."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def listing(words: Iterable[str]) -> str:
    """Join words with commas and a final "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def capital(words: str) -> str:
    """Capitalise the first letter; unlike `str.capitalize`, keep the other letters."""
    return words[:1].upper() + words[1:]

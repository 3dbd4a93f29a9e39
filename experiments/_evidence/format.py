"""Numbers and units in print."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from experiments._evidence.value import Bound

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Format(NamedTuple):
    """How a number is printed.

    Attributes:
        spec: of Python's `format`.
        unit: what follows the number.
        factor: multiplies the number first.
        is_ratio: whether 2 and 1/2 are equally far from 1, so that it is drawn on a logarithmic axis.
        is_correlation: whether 0 is no relation.
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
        """The number that means no difference: 1 of a ratio, 0 of points and correlations; None where no number does."""
        return 1.0 if self.is_ratio else 0.0 if self.unit == "points" or self.is_correlation else None

    def number(self, value: float) -> str:
        """Print a number without its unit; powers of ten where it would be long."""
        text = "-" if math.isnan(value) else format(self.factor * value, self.spec).replace("inf", "∞")
        mantissa, is_long, exponent = text.partition("e")
        power = str(int(exponent or 0)).translate(_SUPERSCRIPTS)
        mantissa = f"{value.sign} {mantissa}" if isinstance(value, Bound) else mantissa
        return mantissa.removesuffix(".") + (f"·10{power}" if is_long else "")

    def written(self, value: float) -> str:
        """Print a number with its unit."""
        return self.number(value) if math.isnan(value) else f"{self.number(value)} {self.unit}".rstrip()

    def rounded(self, value: float) -> str:
        """Print a number with two significant digits, as many as three seeds justify, without its unit; a bound is marked.

        Steps have all digits, since the ends of their ranges do.
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
    """Write a number of things."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def listing(words: Iterable[str]) -> str:
    """Join words as a sentence does."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def capital(words: str) -> str:
    """Begin with a capital letter; the others stay, unlike those of `str.capitalize`."""
    return words[:1].upper() + words[1:]

"""Statistics: one number per seed, or per draw, from the data of an experiment.

Its words, unit and the runs that it counts come with a statistic, so that they cannot disagree with what is computed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

from experiments._evidence.format import TIMES, Format, listing
from experiments._evidence.run import Data, Run
from experiments._evidence.value import Missing, combine, divide, subtract
from experiments._nets import NETS, UNNAMED, Setting

BySeed = dict[int, float]
Range = tuple[float, float]
_PER = {"deep_linear": "draw"}  # of the linear map that the network learns; other groups have seeds
_JOINS: dict[str, Callable[[float, float], float]] = {"-": subtract, "/": divide}


class NotInDataError(LookupError):
    """The data lack the runs, or the setting, that a statistic is about; the message is the reason."""


@dataclass(frozen=True)
class Statistic:
    """One number per seed or draw.

    Attributes:
        of: maps the data of an experiment to the numbers, by seed.
        what: what is measured, in words.
        who: of which nets, in words.
        arms: those whose runs are counted, as group/arm.
        format: unit and digits.
    """

    of: Callable[[Data], BySeed]
    what: str
    who: str
    arms: tuple[str, ...]
    format: Format

    @property
    def words(self) -> str:
        """What is computed, in one line."""
        return f"{self.what}: {self.who}" if self.who else self.what

    @property
    def per(self) -> str:
        """What there is one number for: seed, or draw."""
        return _PER.get(self.arms[0].split("/")[0], "seed") if self.arms else "seed"

    def __sub__(self, other: "Statistic") -> "Statistic":
        """Subtract another statistic, seed by seed."""
        return join((self, other), subtract, " - ", self.format.of_difference)

    def __truediv__(self, other: "Statistic") -> "Statistic":
        """Divide by another statistic, seed by seed."""
        return join((self, other), divide, " / ", TIMES)

    def above(self, low: float) -> "Criterion":
        """Ask for more than a number."""
        return Criterion(self, (low, math.inf))

    def below(self, high: float) -> "Criterion":
        """Ask for less than a number."""
        return Criterion(self, (-math.inf, high))

    def between(self, low: float, high: float) -> "Criterion":
        """Ask for the open range between two numbers."""
        return Criterion(self, (low, high))

    def within(self, distance: float, of: float = 0.0) -> "Criterion":
        """Ask for less than a distance from a number."""
        return Criterion(self, (of - distance, of + distance))

    def in_units_of(self, unit: Callable[[Data], float], words: str) -> "Statistic":
        """Divide by a number that the configuration holds, such as 2 / learning rate."""

        def of(data: Data) -> BySeed:
            size = unit(data)
            known = size if not math.isnan(size) else Missing(f"{words} is not known here")
            return {seed: divide(value, known) for seed, value in self.of(data).items()}

        return replace(self, of=of, what=f"{self.what}, in units of {words}", format=TIMES)

    def where(self, **fields: Any) -> "Statistic":
        """Have no number in data whose configuration has other fields than these; names may be dotted."""

        def of(data: Data) -> BySeed:
            unlike = {name: value for name, value in fields.items() if _field(data["config"], name) != value}
            if unlike:
                needs = (f"{name.rpartition('.')[2].replace('_', ' ')} {value}" for name, value in unlike.items())
                raise NotInDataError(f"needs {listing(needs)}".removesuffix(" True"))
            return self.of(data)

        return replace(self, of=of)


class Criterion(NamedTuple):
    """A statistic, and the open range in which a claim holds; an infinite end is part of it."""

    statistic: Statistic
    holds: Range


def each(
    of: Callable[[Run], float], words: str, form: Format, net: str, at: Setting = UNNAMED, group: str = "arms"
) -> Statistic:
    """Return a statistic that measures every run of a net."""
    arm, who = at.arm(net), _at(NETS[net].short, at)

    def values(data: Data) -> BySeed:
        if arm not in data.get(group, {}):
            raise NotInDataError(f"these data have no runs of {who}")
        return {run["seed"]: of(run) for run in data[group][arm]}

    return Statistic(values, words, who, (f"{group}/{arm}",), form)


def compare(
    of: Callable[[Run], float],
    sign: str,
    words: str,
    form: Format,
    nets: tuple[str, str],
    at: Setting = UNNAMED,
    group: str = "arms",
) -> Statistic:
    """Return a statistic that joins the numbers of two nets by a sign, - or /, seed by seed."""
    net, other = (each(of, words, form, name, at, group) for name in nets)
    joined = join((net, other), _JOINS[sign], f" {sign} ", form)
    return replace(joined, who=_at(f"{NETS[nets[0]].short} {sign} {NETS[nets[1]].short}", at))


def smallest(*statistics: Statistic, who: str = "") -> Statistic:
    """Take the smallest of several statistics, seed by seed; none where one is not known."""
    return _choose(min, "small", statistics, who)


def largest(*statistics: Statistic, who: str = "") -> Statistic:
    """Take the largest of several statistics, seed by seed; none where one is not known."""
    return _choose(max, "large", statistics, who)


def _choose(choose: Callable[..., float], word: str, statistics: Sequence[Statistic], who: str) -> Statistic:
    joined = join(statistics, lambda *values: math.nan if any(map(math.isnan, values)) else choose(values))
    word += {"small": "er", "large": "r"}[word] if len(statistics) == 2 else {"small": "est", "large": "st"}[word]
    what, names = (listing(dict.fromkeys(words)) for words in zip(*((s.what, s.who) for s in statistics), strict=True))
    if what != statistics[0].what:
        return replace(joined, what=f"the {word} of {what}", who=who or names)
    return replace(joined, what=what, who=f"the {word} of {who or names}")


def join(
    statistics: Sequence[Statistic], function: Callable[..., float], sign: str = "", form: Format | None = None
) -> Statistic:
    """Apply a function to the numbers of several statistics, of the seeds that all of them have.

    Args:
        statistics: whose numbers are the function's arguments.
        function: of as many numbers; where one of them is missing, so is the result.
        sign: between the statistics' words.
        form: of the result; by default, that of the first statistic.
    """

    def of(data: Data) -> BySeed:
        columns = [statistic.of(data) for statistic in statistics]
        shared = [seed for seed in columns[0] if all(seed in column for column in columns)]
        return {seed: combine(function, *(column[seed] for column in columns)) for seed in shared}

    alike = len({statistic.what for statistic in statistics}) == 1
    parts = [statistic.who if alike else f"({statistic.words})" for statistic in statistics]
    what = statistics[0].what if alike else sign.join(parts)
    bracketed = sign.join(f"({part})" if " - " in part or " / " in part else part for part in parts)
    arms = tuple(dict.fromkeys(arm for statistic in statistics for arm in statistic.arms))
    return Statistic(of, what, bracketed if alike else "", arms, form or statistics[0].format)


def _at(who: str, at: Setting) -> str:
    return f"{who}, {at.words}" if at.words else who


def _field(config: Any, name: str) -> Any:
    """Return a field of a configuration, or a field of a field."""
    return reduce(lambda fields, part: fields.get(part, {}), name.split("."), config)

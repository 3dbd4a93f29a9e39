"""Statistics: one number per seed, or per draw, from the data of an experiment.

A statistic carries its words, its unit and the runs that it counts, so that they cannot disagree with its values.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

from experiments._evidence.format import TIMES, Format, listing
from experiments._evidence.run import Data
from experiments._evidence.value import combine, divide, largest_of, smallest_of, subtract

BySeed = dict[int, float]
Range = tuple[float, float]


class NotInDataError(LookupError):
    """The data lack the runs or the setting that a statistic needs; the message is the reason."""


@dataclass(frozen=True)
class Statistic:
    """One number per seed or draw.

    Attributes:
        of: maps the data of an experiment to the numbers, by seed.
        what: the measured quantity, in words.
        who: the nets, in words.
        arms: arms whose runs are counted, as group/arm, or a function that lists them for an experiment's data.
        format: unit and digits.
        until: the last step that it reads; infinity is the end of a run.
        part: names the measured part of the net, such as its layers, if the data decide it.
        of_pairs: there is one number for each of several pairs of seeds, see `between_seeds`.
    """

    of: Callable[[Data], BySeed]
    what: str
    who: str
    arms: tuple[str | Callable[[Data], Sequence[str]], ...]
    format: Format
    until: float = math.inf
    part: Callable[[Data], str] | None = None
    of_pairs: bool = False

    @property
    def words(self) -> str:
        """A description of the statistic, in one line."""
        return f"{self.what}: {self.who}" if self.who else self.what

    @property
    def per(self) -> str:
        """The unit with one number each: seed, pair of seeds, or draw of a deep linear network's target map."""
        if self.of_pairs:
            return "seed pair"
        return "draw" if any(str(arm).startswith(("deep_linear/", "unhalved/")) for arm in self.arms) else "seed"

    def counted(self, data: Data) -> list[str]:
        """List the arms whose runs are counted in some data."""
        return [name for arm in self.arms for name in ([arm] if isinstance(arm, str) else arm(data))]

    def __sub__(self, other: "Statistic") -> "Statistic":
        """Subtract another statistic, seed by seed."""
        return join((self, other), subtract, " - ", self.format.of_difference)

    def __truediv__(self, other: "Statistic") -> "Statistic":
        """Divide by another statistic, seed by seed."""
        return join((self, other), divide, " / ", TIMES)

    def above(self, low: float) -> "Criterion":
        """Return the criterion that the statistic is above a number."""
        return Criterion(self, (low, math.inf))

    def below(self, high: float) -> "Criterion":
        """Return the criterion that the statistic is below a number."""
        return Criterion(self, (-math.inf, high))

    def between(self, low: float, high: float) -> "Criterion":
        """Return the criterion that the statistic lies between two numbers, ends excluded."""
        return Criterion(self, (low, high))

    def within(self, distance: float, of: float = 0.0) -> "Criterion":
        """Return the criterion that the statistic lies within a distance of a number."""
        return Criterion(self, (of - distance, of + distance))

    def in_units_of(self, unit: Callable[[Data], float], words: str) -> "Statistic":
        """Divide by a number computed from the configuration, such as 2 / learning rate."""

        def of(data: Data) -> BySeed:
            size = unit(data)
            return {seed: divide(value, size) for seed, value in self.of(data).items()}

        return replace(self, of=of, what=f"{self.what}, in units of {words}", format=TIMES)

    def between_seeds(self) -> "Statistic":
        """Take the absolute difference of two seeds: of the first and the second, the third and the fourth, and so on.

        Pairs share no run, so their numbers are independent, unlike spreads over all seeds; a seed without a partner is left
        out. For normal values the mean is 2 / sqrt(pi) standard deviations.
        """

        def of(data: Data) -> BySeed:
            values = [*self.of(data).items()]
            pairs = zip(values[::2], values[1::2], strict=False)
            return {seed: combine(math.fabs, subtract(value, other)) for (seed, value), (_, other) in pairs}

        what = f"difference between two seeds, {self.what}"
        return replace(self, of=of, what=what, format=self.format.of_difference, of_pairs=True)

    def where(self, field: str, value: Any, words: str) -> "Statistic":
        """Restrict the statistic to data whose configuration has this value in a field; other data have no number.

        Args:
            field: dotted name of the field, such as model.head.
            value: required value.
            words: description of the requirement, for the reason that is given otherwise.
        """

        def of(data: Data) -> BySeed:
            if _field(data["config"], field) != value:
                raise NotInDataError(f"needs {words}")
            return self.of(data)

        return replace(self, of=of)


class Criterion(NamedTuple):
    """A statistic, and the open range in which a claim holds; an infinite end is part of it."""

    statistic: Statistic
    holds: Range


def smallest(*statistics: Statistic, who: str = "") -> Statistic:
    """Take the smallest of several statistics, seed by seed; NaN if one of them is."""
    return _choose(smallest_of, ("smaller", "smallest"), statistics, who)


def largest(*statistics: Statistic, who: str = "") -> Statistic:
    """Take the largest of several statistics, seed by seed; NaN if one of them is."""
    return _choose(largest_of, ("larger", "largest"), statistics, who)


def _choose(choose: Callable, words: tuple[str, str], statistics: Sequence[Statistic], who: str) -> Statistic:
    joined = join(statistics, choose)
    what, names = (listing(dict.fromkeys(parts)) for parts in zip(*((s.what, s.who) for s in statistics), strict=True))
    word = words[len(statistics) != 2]
    if what != statistics[0].what:
        return replace(joined, what=f"the {word} of {what}", who=who or names)
    return replace(joined, what=what, who=f"the {word} of {who or names}")


def join(
    statistics: Sequence[Statistic], function: Callable[..., float], sign: str = "", form: Format | None = None
) -> Statistic:
    """Apply a function to the numbers of several statistics, for each seed that all of them have.

    Args:
        statistics: statistics whose numbers are the function's arguments.
        function: function of as many numbers; if one of them is missing, so is the result.
        sign: text between the statistics' words.
        form: format of the result; by default, the format of the first statistic.
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
    until = max(statistic.until for statistic in statistics)
    part = next((statistic.part for statistic in statistics if statistic.part), None)
    of_pairs = any(statistic.of_pairs for statistic in statistics)
    return Statistic(of, what, bracketed if alike else "", arms, form or statistics[0].format, until, part, of_pairs)


def _field(config: Any, name: str) -> Any:
    """Return a field of a configuration by its dotted name, None if there is none."""
    return reduce(
        lambda fields, part: fields.get(part) if isinstance(fields, Mapping) else None, name.split("."), config
    )

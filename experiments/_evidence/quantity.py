"""Quantities that are recorded over training, and measures that reduce a run to a number.

This is the only place with the rules for values that are not finite, come after a divergence, or are missing:

- A value that is not finite counts as the quantity's `if_diverged`.
- A run that diverged by the end of a measure's steps counts as `if_diverged`. A level or a highest value that it reached
  before it diverged counts as reached.
- A run that took fewer steps than a measure needs has no number: `Missing`, with both numbers of steps as the reason.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from experiments._evidence.format import STEPS, TIMES, Format
from experiments._evidence.run import Data, Recorded, Run, array, num_steps, recorded
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import AtLeast, Missing, divide, subtract
from experiments._nets import NETS, UNNAMED, Setting


@dataclass(frozen=True)
class Measure:
    """One number per run.

    Attributes:
        of: maps a run to the number.
        words: description of the number; also the name of a row or column of a table.
        format: unit and digits.
        until: the last step that it reads; infinity is the end of a run.
    """

    of: Callable[[Run], float]
    words: str
    format: Format = Format()  # a NamedTuple, which nothing can change
    until: float = math.inf

    def each(self, net: str, at: Setting = UNNAMED, group: str = "arms") -> Statistic:
        """Measure every run of a net."""
        arm, who = at.arm(net), at.name(NETS[net].short)

        def of(data: Data) -> BySeed:
            if arm not in data.get(group, {}):
                raise NotInDataError(f"these data have no runs of {who}")
            return {run["seed"]: self.of(run) for run in data[group][arm]}

        return Statistic(of, self.words, who, (f"{group}/{arm}",), self.format, self.until)

    def minus(self, net: str, other: str, at: Setting = UNNAMED, group: str = "arms") -> Statistic:
        """Measure the difference of two nets, net minus other, seed by seed."""
        who = at.name(f"{NETS[net].short} - {NETS[other].short}")
        return replace(self.each(net, at, group) - self.each(other, at, group), who=who)

    def over(self, net: str, other: str, at: Setting = UNNAMED, group: str = "arms") -> Statistic:
        """Measure a net as a multiple of another, seed by seed."""
        who = at.name(f"{NETS[net].short} / {NETS[other].short}")
        return replace(self.each(net, at, group) / self.each(other, at, group), who=who)

    def __sub__(self, other: "Measure") -> "Measure":
        """Subtract another measure of the same run."""
        words = f"{self.words} - {other.words}"
        until = max(self.until, other.until)
        return Measure(lambda run: subtract(self.of(run), other.of(run)), words, self.format.of_difference, until)

    def __truediv__(self, other: "Measure") -> "Measure":
        """Divide by another measure of the same run."""
        words, until = f"{self.words} / {other.words}", max(self.until, other.until)
        return Measure(lambda run: divide(self.of(run), other.of(run)), words, TIMES, until)


@dataclass(frozen=True)
class Quantity:
    """Something that is recorded over training.

    Attributes:
        kind: train, test, or the name of a probe.
        value: name of the recorded values, or a function of the whole record of this kind that returns one number per step.
        words: description for claims, tables and axes.
        format: unit and digits.
        if_diverged: replaces a value that is not finite, or that comes after the run diverged. Infinity, the default, is for
            quantities for which smaller is better; NaN is for quantities about which divergence says nothing.
    """

    kind: str
    value: str | Callable[[Recorded], np.ndarray]
    words: str
    format: Format = Format()
    if_diverged: float = math.inf

    def values(self, record: Recorded) -> np.ndarray:
        """Return the values in a run's record of this kind, (points,), NaN where not finite; empty if not recorded."""
        if not record.get("step") or (isinstance(self.value, str) and self.value not in record):
            return np.array([])
        return array(record[self.value]) if isinstance(self.value, str) else self.value(record)

    def curve(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and values of a run, each (points,)."""
        record = recorded(run, self.kind)
        values = self.values(record)
        return np.array(record["step"] if values.size else []), values

    def median(self, first: float = 0, last: float = math.inf) -> Measure:
        """Take the median over the steps from `first` to `last`, both included."""
        return self._reduced("median", np.median, first, last)

    def mean(self, first: float = 0, last: float = math.inf) -> Measure:
        """Take the mean over the steps from `first` to `last`, both included."""
        return self._reduced("mean", np.mean, first, last)

    def largest(self, first: float = 0, last: float = math.inf) -> Measure:
        """Take the largest value of the steps from `first` to `last`, both included."""
        return self._reduced("largest value", np.max, first, last)

    def range(self, first: float = 0, last: float = math.inf) -> Measure:
        """Take the largest minus the smallest value of the steps from `first` to `last`, both included."""
        return self._reduced("largest - smallest value", np.ptp, first, last)

    def first(self, after: int) -> Measure:
        """Take the first value after a step."""
        words = f", first measurement after step {after:,}"
        found = self._measure(words, lambda steps, values: values[steps > after][:1], np.median, after, after + 1)

        def of(run: Run) -> float:
            steps, _ = self.curve(run)
            diverged_before = run["diverged_at"] is not None and steps.size and steps[-1] <= after
            return self._if_diverged if diverged_before else found.of(run)

        return replace(found, of=of)

    def late(self, share: float) -> Measure:
        """Take the median of the last measurements, a share of all."""
        words = f", median over the last {100 * share:g} % of the measurements"
        return self._measure(words, lambda _, values: values[-math.ceil(share * len(values)) :], np.median, math.inf, 0)

    def at(self, step: int, average: int = 50) -> Measure:
        """Average the values of the last `average` steps before a step; `Missing` if none was recorded in them."""
        return self._ending(step, average, f"at step {step:,}")

    def at_end(self, average: int = 1) -> Measure:
        """Average the values of the last `average` steps of a run, at least one value."""
        return self._ending(math.inf, average, "at the end")

    def highest(self) -> Measure:
        """Take the largest value; a run that diverged keeps what it had reached before."""

        def of(run: Run) -> float:
            _, values = self.curve(run)
            if not np.isfinite(values).any():
                return self._if_diverged if run["diverged_at"] is not None else _nothing(self)
            return float(np.nanmax(values))

        return Measure(of, f"best {self.words}", self.format)

    def steps_to(self, level: float, points: int = 5, within: int = 0) -> Measure:
        """Count the steps until the median of successive points reaches a level.

        Args:
            level: level to be reached.
            points: number of points in a median.
            within: a run that took fewer steps than this, and has neither reached the level nor diverged, has no number.

        Returns:
            A measure: `AtLeast` the number of steps of a run that has not reached the level, infinity if it diverged first.
        """

        def of(run: Run) -> float:
            ends, values = self._ends(run)
            if not np.isfinite(values).any():
                return math.inf if run["diverged_at"] is not None else _nothing(self)
            if len(values) >= points:
                medians = np.median(np.lib.stride_tricks.sliding_window_view(values, points), axis=1)
                reached = ends[points - 1 :][medians >= level]
                if reached.size:
                    return float(reached[0])
            if run["diverged_at"] is not None:
                return math.inf
            return AtLeast(num_steps(run)) if num_steps(run) >= max(within, 1) else _too_short(run, within)

        smoothed = f", median of {points} points" if points > 1 else ""
        reached = f"{self.format.factor * level:g} {self.format.unit}".strip()
        return Measure(of, f"steps to {reached} {self.words}{smoothed}", STEPS)

    @property
    def _if_diverged(self) -> float:
        return Missing("a run diverged") if math.isnan(self.if_diverged) else self.if_diverged

    def _reduced(self, name: str, reduce: Callable, first: float, last: float) -> Measure:
        """Reduce the values of some steps to a number."""
        if first == last:
            what = f"step {first:,.0f}"
        elif last < math.inf:
            what = f"{name} over steps {first:,.0f} to {last:,.0f}"
        else:
            what = f"{name} from step {first:,.0f} on" if first else f"{name} over all steps"
        needed = last if last < math.inf else first
        return self._measure(
            f", {what}", lambda steps, values: values[(steps >= first) & (steps <= last)], reduce, last, needed
        )

    def _ending(self, step: float, average: int, when: str) -> Measure:
        """Average values up to a step."""

        def choose(ends: np.ndarray, values: np.ndarray) -> np.ndarray:
            if not ends.size or ends[-1] < step < math.inf:
                return values[:0]
            end = min(step, ends[-1])
            # A point of the training curve stands for the steps since the one before it, a test for no other step.
            near = max([average, *np.diff(ends[:2])]) if self.kind == "train" else average
            if step < math.inf and not np.any((ends <= step) & (ends >= step - near)):
                return values[:0]
            num_averaged = np.count_nonzero((ends <= end) & (ends > end - average))
            return values[ends <= end][-max(1, num_averaged) :]

        mean = f", mean of {average:,} steps" if average > 1 and self.kind == "train" else ""
        return self._measure(f" {when}{mean}", choose, np.mean, step, step if step < math.inf else 0, by_end=True)

    def _measure(
        self, words: str, choose: Callable, reduce: Callable, last: float, needed: float, by_end: bool = False
    ) -> Measure:
        """Reduce chosen values of a curve to a number, for runs that are long enough and did not diverge by `last`."""

        def of(run: Run) -> float:
            diverged_at = run["diverged_at"]
            if diverged_at is not None and diverged_at <= last:
                return self._if_diverged
            if diverged_at is None and num_steps(run) < needed:
                return _too_short(run, needed)
            values = choose(*(self._ends if by_end else self.curve)(run))
            if not values.size:
                return self._known(run, f"{self.words}{words}")
            with np.errstate(invalid="ignore"):  # the range of infinite numbers
                found = float(reduce(np.where(np.isfinite(values), values, self.if_diverged)))
            return Missing(f"not finite: {self.words}") if math.isnan(found) else found

        return Measure(of, f"{self.words}{words}", self.format, last)

    def _known(self, run: Run, words: str) -> float:
        """Return a measure's number that was computed before the run's curves were dropped from the data file."""
        known = run.get("measured", {})
        if words not in known:
            return _nothing(self)
        value = known[words]
        return self._if_diverged if value is None else value

    def _ends(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        """Return a curve with the number of steps that had been taken when each value was complete."""
        steps, values = self.curve(run)
        return steps + (recorded(run, "train").get("window", 1) if self.kind == "train" else 0), values


def _too_short(run: Run, needed: float) -> Missing:
    return Missing(f"needs {needed:,.0f} steps, ran {num_steps(run):,}")


def _nothing(quantity: Quantity) -> Missing:
    return Missing(f"not recorded in these steps: {quantity.words}")

"""Which groups of points, or runs, were tried for one program, their times, and which group is tried next.

Groups of 1, 4, 16, ... are tried until memory ends or larger ones are no faster. The first group above size 1 is tried in all
forms of batched kernels, and so is any larger group that did not fit into memory in one of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bnjax._host.batched import FORMS, Form
from bnjax._host.memory import TooLargeError

_GROWTH = 4
_LARGEST = 256
_PATIENCE = 2  # stop after this many groups in a row that are slower than the fastest


class Group(NamedTuple):
    """A group of points or runs that are evaluated together.

    Attributes:
        size: how many.
        kernels: form of convolutions with a kernel for each of them, see `bnjax.ops.batched_kernels`.
    """

    size: int
    kernels: Form = "grouped"

    def __str__(self) -> str:
        return str(self.size) if self.kernels == "grouped" else f"{self.size} {self.kernels}"

    @classmethod
    def read(cls, text: str) -> "Group":
        """Parse a group from its text.

        Raises:
            ValueError: if the text does not describe a group.
        """
        size, _, kernels = text.partition(" ")
        if kernels and kernels not in FORMS:
            raise ValueError(f"kernels must be one of {', '.join(FORMS)}, got {kernels!r}.")
        return cls(int(size), kernels or "grouped")


class Key(NamedTuple):
    """The key of a remembered choice; the same text in all processes."""

    program: str
    device: str


class Trials:
    """The groups tried for one program, and their times.

    Args:
        key: of the program.
        seconds: times of groups that were tried before.
        too_large: reasons why groups were skipped before.
        forms: forms of batched kernels to compare.

    Attributes:
        seconds: per point or run, by group; infinite if the group did not fit, or would not have fitted, into memory.
        too_large: why a group was skipped.
        memory: bytes that must be free for a group, as the compiler predicts, for groups where it was asked.
        called: pairs of call size and group that are compiled, so that the next such call can be timed.
    """

    def __init__(
        self,
        key: Key,
        seconds: dict[Group, float] | None = None,
        too_large: dict[Group, str] | None = None,
        forms: Sequence[Form] = ("grouped",),
    ):
        self.key, self.seconds, self.too_large, self.forms = key, seconds or {}, too_large or {}, tuple(forms)
        self.memory: dict[Group, float] = {}
        self.called: set[tuple[int, Group]] = set()

    @property
    def by_size(self) -> dict[int, float]:
        """Seconds by group size, in the faster form."""
        best: dict[int, float] = {}
        for group, seconds in self.seconds.items():
            best[group.size] = min(seconds, best.get(group.size, np.inf))
        return best

    @property
    def is_settled(self) -> bool:
        """Whether no other group will be tried."""
        times = [*self.by_size.values()]
        slower = times[times.index(min(times)) + 1 :] if times else []
        is_at_end = len(slower) >= _PATIENCE or max(self.by_size, default=0) >= _LARGEST or np.inf in times
        return is_at_end and self._untried_form() is None

    def _untried_form(self) -> Group | None:
        """Return a group above size 1 whose form must be tried: all forms of the smallest, others where one did not fit."""
        first = min((size for size in self.by_size if size > 1), default=None)
        for size, seconds in self.by_size.items():
            if size == first or (size > 1 and np.isinf(seconds)):
                untried = [group for form in self.forms if (group := Group(size, form)) not in self.seconds]
                if untried:
                    return untried[0]
        return None

    @property
    def reason(self) -> str | None:
        """Why no larger group will be tried; None if one may be."""
        if not self.is_settled:
            return None
        sizes = self.by_size
        failed = [group for group in self.seconds if np.isinf(sizes[group.size])]
        if failed:
            return self.too_large.get(failed[-1], f"{failed[-1].size} together did not fit into memory.")
        if max(sizes) >= _LARGEST:
            return f"No more than {_LARGEST} together are tried."
        return f"More than {self.fastest.size} together were slower."

    @property
    def fastest(self) -> Group:
        """The fastest group; a group of 1 before anything was timed."""
        fitting = [group for group, seconds in self.seconds.items() if np.isfinite(seconds)]
        return min(fitting, key=self.seconds.__getitem__, default=Group(1))

    def untried(self, largest: int, *, ends_there: bool = False) -> Group | None:
        """Return the group to try next, of size `largest` at most; None if there is none.

        Args:
            largest: how many points or runs are available.
            ends_there: the last group to try consists of all of them.
        """
        group = self._untried_form()
        if group is None and not self.is_settled:
            sizes = self.by_size
            size = _GROWTH * max(sizes) if sizes else 1
            size = min(size, largest) if ends_there else size
            group = Group(size, self._faster_form()) if size not in sizes else None
        return group if group is not None and group.size <= min(largest, _LARGEST) else None

    def _faster_form(self) -> Form:
        """Return the faster form among the groups above size 1."""
        several = {group: seconds for group, seconds in self.seconds.items() if group.size > 1}
        return min(several, key=several.__getitem__).kernels if several else "grouped"

    def compare(self, forms: Sequence[Form]) -> None:
        """Compare these forms, unless a choice is final already, such as that of a record without forms."""
        if not self.is_settled:
            self.forms = tuple(forms)

    def note(self, size: int, group: Group, seconds: float) -> None:
        """Record the time of a call of `size` points in groups, except for the first such call, which compiles."""
        if (size, group) in self.called:
            self.seconds[group] = seconds / size
        self.called.add((size, group))

    def fail(self, group: Group, error: Exception) -> None:
        """Record that a group did not fit into memory, or was skipped because it would not fit."""
        self.seconds[group] = np.inf
        if isinstance(error, TooLargeError):
            self.too_large[group] = str(error)

    def reconsider(self) -> None:
        """Allow skipped groups to be tried again, since more memory may be free by now."""
        for group in self.too_large:
            self.seconds.pop(group, None)
        self.too_large.clear()

    def forget_programs(self) -> None:
        """Forget compiled calls and predicted memory, for another function with the same name and shapes."""
        self.called.clear()
        self.memory.clear()

    def record(self) -> dict[str, Any]:
        """Return the times for JSON: seconds, or the reason why there are none."""
        return {
            str(group): seconds if np.isfinite(seconds) else self.too_large.get(group)
            for group, seconds in self.seconds.items()
        }


def to_json(choices: dict[Key, Trials]) -> list[list[Any]]:
    """Convert a run's choices for JSON."""
    return [[*key, trials.record()] for key, trials in choices.items()]


def from_json(record: Any) -> dict[Key, Trials]:
    """Read the choices from a record; an invalid record has no choices."""
    try:
        keys = [(Key(program, device), times) for program, device, times in record]
        return {key: read_trials(key, times) for key, times in keys}
    except (ValueError, TypeError, AttributeError):
        return {}


def read_trials(key: Key, record: dict[str, Any]) -> Trials:
    """Make trials from the result of `Trials.record`.

    Raises:
        ValueError, TypeError, AttributeError: if the record is invalid.
    """
    found = {Group.read(text): value for text, value in record.items()}
    too_large = {group: reason for group, reason in found.items() if isinstance(reason, str)}
    seconds = {group: np.inf if isinstance(value, str | None) else float(value) for group, value in found.items()}
    return Trials(key, seconds, too_large)

"""Measure how many points or runs are evaluated together fastest, and remember it for each shape and device.

Groups of 1, 4, 16, ... are tried until memory runs out or larger groups are no faster. Groups of points are timed on the first
chunks of a scan, whose results are kept; groups of runs on a few steps before training, which are discarded. On accelerators
the first group of more than one is tried in both forms of `bnjax.ops.batched_kernels`, and the faster form is kept. `bounds`
predicts which groups would not fit. A choice affects only speed, memory and rounding. It is part of the record of its scan or
run, which therefore resumes to the same bits.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Hashable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jaxtyping import PyTree

from bnjax._host.batched import FORMS, Form
from bnjax._host.memory import TooLargeError
from bnjax._host.precision import current_precision
from bnjax._host.processes import first, smallest

_GROWTH = 4
_LARGEST = 256
_PATIENCE = 2  # stop after this many groups in a row that are slower than the fastest
_NUM_REMEMBERED = 1024

clock = time.perf_counter


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


class MeasuredBatching(NamedTuple):
    """The batching measured for one program, identified by the shapes of its arguments and its device.

    Attributes:
        program: what is evaluated, with a digest of its shapes and of the precision of its products.
        device: number and kind of the devices.
        milliseconds: per point or run, by group size, in the faster form; infinite for groups that did not fit into memory, or
            were not tried because they would not fit.
        batching: the fastest group size so far; None before anything was timed.
        kernels: its form of `bnjax.ops.batched_kernels`; without meaning if `batching` is 1 or None.
        is_settled: no larger group will be tried.
        reason: why no larger group will be tried; None if one may be.
    """

    program: str
    device: str
    milliseconds: dict[int, float]
    batching: int | None
    kernels: Form
    is_settled: bool
    reason: str | None


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


def agreed(seconds: float, is_shared: bool) -> float:
    """Return a time; if several processes evaluate together, the time of the first process, which decides for all."""
    return first(seconds)[0] if is_shared else seconds


def agreed_least(number: float, is_shared: bool) -> float:
    """Return a number; if several processes evaluate together, the minimum over all processes."""
    return smallest(number)[0] if is_shared else number


def measured_batching() -> list[MeasuredBatching]:
    """List the fastest batching of every program measured with `batching="measured"`, or with "auto" on accelerators.

    Returns:
        One for each program, its shapes and its device; programs of scans begin with "points", those of grids with "runs".

    Example:
        >>> from bnjax import probes
        >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=jnp.ones(64), batching="measured")
        >>> sorted(measured_batching()[-1].milliseconds)
        [1, 4]
    """
    return [
        MeasuredBatching(
            *trials.key,
            {size: 1000 * seconds for size, seconds in trials.by_size.items()},
            trials.fastest.size if trials.seconds else None,
            trials.fastest.kernels,
            trials.is_settled,
            trials.reason,
        )
        for trials in _known.values()
    ]


_known: dict[tuple[Key, int], Trials] = {}
# The choices of the active run, which are saved with it.
_kept: ContextVar[dict[Key, Trials] | None] = ContextVar("kept", default=None)


def trials_of(key: Key, owner: Hashable = None, forms: Sequence[Form] = FORMS[:1]) -> Trials:
    """Return the trials of a program: those of the active run, or else those of this process.

    A group that was skipped for lack of memory stays excluded in the active run, whose bits depend on it; any other call tries
    it again.

    Args:
        key: of the program, the same in all processes.
        owner: distinguishes programs with equal keys in this process, such as two models of the same shapes.
        forms: forms of batched kernels to compare.
    """
    kept, known = _kept.get(), (key, hash(owner))
    if kept and key in kept:
        kept[key].compare(forms)
        return kept[key]
    if known in _known:
        _known[known].reconsider()
    else:
        while len(_known) >= _NUM_REMEMBERED:
            del _known[next(iter(_known))]
        _known[known] = Trials(key, forms=forms)
    if kept is not None:
        kept[key] = _known[known]
    return _known[known]


@contextlib.contextmanager
def kept_in(choices: dict[Key, Trials]) -> Iterator[None]:
    """Look up choices in those of a run first, and add new ones to them, within the context."""
    token = _kept.set(choices)
    try:
        yield
    finally:
        _kept.reset(token)


def make_key(what: str, fn: Any, arrays: PyTree, devices: Sequence[Any]) -> Key:
    """Describe a program by its function, the shapes and types of its arguments, the precision of products, and devices.

    Args:
        what: kind of items that are evaluated together, "points" or "runs".
        fn: a function, or a callable pytree, whose arrays are arguments.
        arrays: the other arguments.
        devices: where it runs.
    """
    leaves = jax.tree.leaves((fn, arrays))
    shapes = [(np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves if not callable(leaf)]
    # NOTE: memory addresses differ between processes.
    form = re.sub(r" at 0x\w+", "", str((_form(fn), jax.tree.structure(arrays), shapes, current_precision())))
    several = " of several processes" if are_shared(devices) else ""
    return Key(
        f"{what} of {name_of(fn)} {hashlib.sha256(form.encode()).hexdigest()[:12]}",
        f"{len(devices)} x {devices[0].device_kind}{several}",
    )


def devices_of(tree: PyTree, mesh: Mesh | None = None) -> list[Any]:
    """Return the devices of a mesh, or of the first array of a tree."""
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Array)]
    if mesh is None and not arrays:
        return jax.local_devices()[:1]
    return [*mesh.devices.flat] if mesh is not None else sorted(arrays[0].devices(), key=lambda device: device.id)


def are_shared(devices: Sequence[Any]) -> bool:
    """Return whether the devices belong to several processes, which then make every call together."""
    return len({device.process_index for device in devices}) > 1


def name_of(fn: Any) -> str:
    """Return the name of a function, or of the function inside a partial."""
    while hasattr(fn, "func"):
        fn = fn.func
    return getattr(fn, "__name__", type(fn).__name__)


def _form(fn: Any) -> Any:
    """Return the structure of a pytree, or the name of any other function."""
    return name_of(fn) if jax.tree_util.all_leaves([fn]) else jax.tree.structure(fn)

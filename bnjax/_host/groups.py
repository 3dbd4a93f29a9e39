"""How many points, or runs, are evaluated together: measured where they run, and remembered for each shape and device.

Groups of 1, 4, 16, ... are tried until memory ends or larger ones are no faster: those of points by the first chunks of a scan,
which count, and those of runs by a few steps before a training. `bounds` says which groups would not fit. A choice changes
nothing but speed, memory and rounding. What a scan or a run has chosen is part of its record, so that it is resumed to the
same bits.
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

from bnjax._host.memory import TooLargeError
from bnjax._host.precision import current_precision
from bnjax._host.processes import first, smallest

_GROWTH = 4
_LARGEST = 256
_PATIENCE = 2  # groups in a row slower than the fastest, after which no larger one is tried
_NUM_REMEMBERED = 1024

clock = time.perf_counter


class MeasuredBatching(NamedTuple):
    """The batching that was measured for one program, by the shapes of its arguments and its device.

    Attributes:
        program: what is evaluated, with a digest of its shapes and of the precision of its products.
        device: how many of which kind.
        milliseconds: per point or run, by how many were evaluated together; infinite where they did not fit into memory, or
            were not tried because they would not.
        batching: the fastest so far, None before anything was timed.
        is_settled: no larger group will be tried.
        reason: why not; None where one may be.
    """

    program: str
    device: str
    milliseconds: dict[int, float]
    batching: int | None
    is_settled: bool
    reason: str | None


class Key(NamedTuple):
    """What a choice is remembered for; the same text in all processes."""

    program: str
    device: str


class Trials:
    """The groups that one program was tried with, and their times.

    Args:
        key: what is tried.
        seconds: of groups that were tried before.
        too_large: what was said of groups that were not tried before.

    Attributes:
        seconds: per point or run, by size of group; infinite where it did not fit into memory, or would not.
        too_large: why a group was not tried, by its size.
        memory: bytes that must be free for a group, as the compiler predicts, where that was asked for.
        called: sizes of calls and groups that were compiled, so that the next such call can be timed.
    """

    def __init__(self, key: Key, seconds: dict[int, float] | None = None, too_large: dict[int, str] | None = None):
        self.key, self.seconds, self.too_large = key, seconds or {}, too_large or {}
        self.memory: dict[int, float] = {}
        self.called: set[tuple[int, int]] = set()

    @property
    def is_settled(self) -> bool:
        """Whether no larger group will be tried."""
        times = [*self.seconds.values()]
        slower = times[times.index(min(times)) + 1 :] if times else []
        return len(slower) >= _PATIENCE or max(self.seconds, default=0) >= _LARGEST or np.inf in times

    @property
    def reason(self) -> str | None:
        """Why no larger group will be tried, None where one may be."""
        failed = [group for group, seconds in self.seconds.items() if np.isinf(seconds)]
        if failed:
            return self.too_large.get(failed[-1], f"{failed[-1]} together did not fit into memory.")
        if not self.is_settled:
            return None
        if max(self.seconds) >= _LARGEST:
            return f"No more than {_LARGEST} together are tried."
        return f"More than {self.fastest} together were slower."

    @property
    def fastest(self) -> int:
        """The size of the fastest group; 1 before anything was timed."""
        fitting = [group for group, seconds in self.seconds.items() if np.isfinite(seconds)]
        return min(fitting, key=self.seconds.__getitem__, default=1)

    def untried(self, largest: int, *, ends_there: bool = False) -> int | None:
        """Return the group to try next, of at most `largest`; None where there is none.

        Args:
            largest: how many points or runs there are for it.
            ends_there: the last group that is tried is of all of them.
        """
        size = _GROWTH * max(self.seconds) if self.seconds else 1
        size = min(size, largest) if ends_there else size
        return size if size <= min(largest, _LARGEST) and size not in self.seconds and not self.is_settled else None

    def note(self, size: int, group: int, seconds: float) -> None:
        """Take the time of a call of `size` points in groups, unless it was the first one, which compiles."""
        if (size, group) in self.called:
            self.seconds[group] = seconds / size
        self.called.add((size, group))

    def fail(self, group: int, error: Exception) -> None:
        """Note that a group did not fit into memory, or was not tried since it would not."""
        self.seconds[group] = np.inf
        if isinstance(error, TooLargeError):
            self.too_large[group] = str(error)

    def reconsider(self) -> None:
        """Let groups be tried that would not have fitted: more memory may be free by now."""
        for group in self.too_large:
            self.seconds.pop(group, None)
        self.too_large.clear()

    def forget_programs(self) -> None:
        """Forget what was compiled and predicted, where another function has the same name and shapes."""
        self.called.clear()
        self.memory.clear()

    def record(self) -> dict[str, Any]:
        """Return what JSON holds of the times: seconds, or why there are none."""
        return {
            str(group): seconds if np.isfinite(seconds) else self.too_large.get(group)
            for group, seconds in self.seconds.items()
        }


def to_json(choices: dict[Key, Trials]) -> list[list[Any]]:
    """Return what JSON holds of a run's choices."""
    return [[*key, trials.record()] for key, trials in choices.items()]


def from_json(record: Any) -> dict[Key, Trials]:
    """Return the choices of a record; none if it holds none."""
    try:
        keys = [(Key(program, device), times) for program, device, times in record]
        return {key: read_trials(key, times) for key, times in keys}
    except (ValueError, TypeError, AttributeError):
        return {}


def read_trials(key: Key, record: dict[str, Any]) -> Trials:
    """Return the trials of what `Trials.record` has returned.

    Raises:
        ValueError, TypeError, AttributeError: if it is none.
    """
    too_large = {int(group): reason for group, reason in record.items() if isinstance(reason, str)}
    timed = {int(group): seconds for group, seconds in record.items() if not isinstance(seconds, str | None)}
    seconds = {int(group): float(timed.get(int(group), np.inf)) for group in record}
    return Trials(key, seconds, too_large)


def agreed(seconds: float, is_shared: bool) -> float:
    """Return a time; where several processes evaluate together, that of the first one's clock, which decides for all."""
    return first(seconds)[0] if is_shared else seconds


def agreed_least(number: float, is_shared: bool) -> float:
    """Return a number; where several processes evaluate together, the smallest that any of them says."""
    return smallest(number)[0] if is_shared else number


def measured_batching() -> list[MeasuredBatching]:
    """List which batching was the fastest where it was measured: by `batching="measured"`, or by "auto" on accelerators.

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
            {group: 1000 * seconds for group, seconds in trials.seconds.items()},
            trials.fastest if trials.seconds else None,
            trials.is_settled,
            trials.reason,
        )
        for trials in _known.values()
    ]


_known: dict[tuple[Key, int], Trials] = {}
# The choices of the run that is at work, which are saved with it.
_kept: ContextVar[dict[Key, Trials] | None] = ContextVar("kept", default=None)


def trials_of(key: Key, owner: Hashable = None) -> Trials:
    """Return the trials of a program: of the run that is at work, else of this process.

    A group that memory ruled out stays ruled out for the run at work, whose bits depend on it; any other call tries it again.

    Args:
        key: what is tried, as another process knows it too.
        owner: what tells programs of one key apart in this process, such as two models of the same shapes.
    """
    kept, known = _kept.get(), (key, hash(owner))
    if kept and key in kept:
        return kept[key]
    if known in _known:
        _known[known].reconsider()
    else:
        while len(_known) >= _NUM_REMEMBERED:
            del _known[next(iter(_known))]
        _known[known] = Trials(key)
    if kept is not None:
        kept[key] = _known[known]
    return _known[known]


@contextlib.contextmanager
def kept_in(choices: dict[Key, Trials]) -> Iterator[None]:
    """Look choices up in those of a run first, and add new ones to them, for as long as the context lasts."""
    token = _kept.set(choices)
    try:
        yield
    finally:
        _kept.reset(token)


def make_key(what: str, fn: Any, arrays: PyTree, devices: Sequence[Any]) -> Key:
    """Describe a program by its function, the shapes and types of its arguments, the precision of products, and devices.

    Args:
        what: that is evaluated together, "points" or "runs".
        fn: a function, or a pytree that is called, whose arrays are arguments.
        arrays: the other arguments.
        devices: where it runs.
    """
    leaves = jax.tree.leaves((fn, arrays))
    shapes = [(np.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))) for leaf in leaves if not callable(leaf)]
    # NOTE: addresses are other ones in every process.
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
    """Return the name of a function, or of the one that was given its first arguments."""
    while hasattr(fn, "func"):
        fn = fn.func
    return getattr(fn, "__name__", type(fn).__name__)


def _form(fn: Any) -> Any:
    """Return the structure of a pytree, or the name of any other function."""
    return name_of(fn) if jax.tree_util.all_leaves([fn]) else jax.tree.structure(fn)

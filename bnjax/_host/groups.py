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
from bnjax._host.precision import current_precision
from bnjax._host.processes import first, smallest
from bnjax._host.trials import Key, Trials

_NUM_REMEMBERED = 1024

clock = time.perf_counter


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

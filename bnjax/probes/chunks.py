"""A long evaluation in pieces: with a bar, within memory, and resumable."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bnjax._host import bounds, groups
from bnjax._host.archives import read_arrays
from bnjax._host.batched import Form, form_context
from bnjax._host.digest import digest
from bnjax._host.files import is_passing, write_whole
from bnjax._host.memory import TooLargeError, halved, is_out_of_memory
from bnjax._host.output import one_line
from bnjax._host.progress import progress_bar
from bnjax._host.trials import Group, Key, Trials, read_trials

_FIRST_CHUNK = 16  # points: few enough that the bar moves for a large model
_LARGEST_CHUNK = 16**4
_FAST = 0.05  # seconds: a chunk that takes less is followed by larger ones
_SAVE_EVERY = 10.0  # seconds


def run_chunks(
    evaluate: Callable[[np.ndarray, int | None], PyTree],
    rows: np.ndarray,
    *,
    group_size: int | None = None,
    one_by_one: bool = False,
    multiple_of: int = 1,
    trials: Trials | None = None,
    devices: Sequence[Any] = (),
    resume: str | os.PathLike | None = None,
    identity: PyTree = None,
    show_progress: bool = True,
) -> PyTree:
    """Evaluate rows in chunks, and gather the results.

    Args:
        evaluate: returns a tree of arrays with one entry per row, given rows and how many to run together (None: one).
            It compiles once per number of rows.
        rows: the points to evaluate, (rows, coordinates).
        group_size: how many rows to run together. If memory runs out, the number of rows in a call is halved, down to a group,
            and then the size of the group.
        one_by_one: call `evaluate` for each row.
        multiple_of: the number of rows in a call is a multiple of this.
        trials: measure how many rows to run together, by calls with growing groups, and record it there; None is `group_size`.
        devices: where it runs. Their free memory bounds the groups that are tried. If they belong to several processes, these
            make every call together, and one clock decides for all.
        resume: file of the results so far.
        identity: arrays that, together with the rows, identify the evaluation.
        show_progress: show a bar.

    Returns:
        The tree with one entry per row, in the order of `rows`.
    """
    done = _Done(len(rows), Path(resume) if resume is not None else None, (rows, identity), trials)
    missing, position = done.missing, 0
    calls = _Calls(len(rows), len(missing), group_size, one_by_one, multiple_of, done.trials, devices)
    try:
        done.check(lambda known: evaluate(rows[np.resize(known, multiple_of)], None))
    except jax.errors.JaxRuntimeError as error:
        halved(None, error, "point")
    with progress_bar("points", total=len(rows), done=len(rows) - len(missing), show=show_progress) as advance:
        try:
            while position < len(missing):
                size = calls.prepare(len(missing) - position)
                chunk, start = missing[position : position + size], groups.clock()
                try:
                    with calls.within_memory(), calls.form():
                        values = jax.device_get(evaluate(rows[np.resize(chunk, size)], calls.group_size))
                    seconds = groups.clock() - start
                except (jax.errors.JaxRuntimeError, TooLargeError) as error:
                    calls.fail(error)
                    continue
                done.add(chunk, values)
                position += len(chunk)
                advance(len(chunk))
                calls.note(seconds, len(missing) - position)
        finally:
            done.save()
    return done.results(lambda: jax.eval_shape(lambda: evaluate(rows[np.resize(0, multiple_of)], None)))


class _Calls:
    """The sizes of calls and of their groups: calls get more rows if they are fast, and fewer if memory runs out.

    Attributes:
        group_size: how many rows run together; None is one after another.
        kernels: the form of their batched kernels; None is the context's form.
    """

    def __init__(
        self,
        num_rows: int,
        num_missing: int,
        group_size: int | None,
        one_by_one: bool,
        multiple_of: int,
        trials: Trials | None,
        devices: Sequence[Any],
    ):
        self.group_size: int | None = group_size
        self.kernels: Form | None = None
        # NOTE: if groups are measured, a resumed scan makes calls of the same size, for the same bits.
        self._size = 1 if one_by_one else _first_size(num_missing if trials is None else num_rows, group_size)
        self._num_rows, self._multiple_of, self._trials = num_rows, multiple_of, trials
        self._devices, self._is_shared = devices, groups.are_shared(devices)
        self._largest = 1 if one_by_one else _LARGEST_CHUNK
        self._seen: set[int] = set()
        self._tried: Group | None = None

    def prepare(self, num_left: int) -> int:
        """Return how many of the remaining rows the next call gets."""
        if self._trials is not None:
            self._tried = self._trials.untried(num_left // self._multiple_of)
            self._group_by(self._tried or self._trials.fastest)
        self._size = _rounded(self._size, self._multiple_of)
        return self._size

    def _group_by(self, group: Group) -> None:
        """Set the size and the form of groups."""
        group_size = None if group.size == 1 else group.size
        if (group_size, group.kernels) != (self.group_size, self.kernels):
            self.group_size, self.kernels, self._seen = group_size, group.kernels, set()
            self._size = min(_first_size(self._num_rows, group_size), self._largest)

    def form(self) -> AbstractContextManager[None]:
        """Return a context for the next call that sets the form of its batched kernels."""
        return nullcontext() if self.kernels is None else form_context(self.kernels)

    def within_memory(self) -> AbstractContextManager[None]:
        """Return a context for the next call that raises before running a group that would not fit into memory."""
        if self._trials is None or self._tried is None:
            return nullcontext()
        return bounds.within_memory(self._trials, self._size, self._tried, self._devices, self._is_shared)

    def note(self, seconds: float, num_left: int) -> None:
        """Record the time of a call; after a short call that did not compile, calls become larger."""
        seconds = groups.agreed(seconds, self._is_shared)
        if self._tried is not None and self._trials is not None:
            self._trials.note(self._size, self._tried, seconds)
        larger = min(16 * self._size, self._largest)
        is_fast = self._size in self._seen and seconds < _FAST
        self._seen.add(self._size)
        if is_fast and self._tried is None and larger <= num_left:
            self._size = larger

    def fail(self, error: Exception) -> None:
        """Make calls smaller, and then groups, after a call that did not fit into memory.

        Raises:
            MemoryError: if the call had a single point.
            Exception: `error`, if it has another cause.
        """
        share = self._size // self._multiple_of  # of a device
        if self._trials is not None and self.group_size is not None and is_out_of_memory(error):
            self._trials.fail(Group(self.group_size, self.kernels or "grouped"), error)
            return
        fewer = halved(share, error, "point")
        if self.group_size is not None and share <= self.group_size:
            self.group_size = fewer
        self._size = self._largest = fewer * self._multiple_of


def _rounded(size: int, multiple_of: int) -> int:
    """Round up to a multiple."""
    return -(-size // multiple_of) * multiple_of


def _first_size(num_rows: int, group_size: int | None) -> int:
    """Choose how many rows the first calls evaluate, such that the last call is nearly full."""
    smallest = max(group_size or 1, _FIRST_CHUNK)
    return -(-num_rows // max(-(-num_rows // smallest), 1))


class _Saved(NamedTuple):
    """The content of a file, with the trials of measured groups."""

    identity: str
    is_done: np.ndarray
    leaves: list[np.ndarray]
    trials: Trials | None


class _Done:
    """The results so far, in memory and, if wanted, in a file."""

    def __init__(self, num_rows: int, path: Path | None, identity: PyTree, trials: Trials | None):
        self.is_done, self.trials = np.zeros(num_rows, bool), trials
        self._path = path
        self._identity = "" if path is None else digest(identity)
        self._leaves: list[np.ndarray] = []
        self._treedef: Any = None
        self._saved_at = time.monotonic()
        if path is not None and path.exists():
            saved = _read(path)
            shapes = {saved.is_done.shape, *(leaf.shape[:1] for leaf in saved.leaves)}
            if saved.identity != self._identity or shapes != {(num_rows,)} or saved.is_done.dtype != bool:
                raise self._another()
            self.is_done, self._leaves = saved.is_done, saved.leaves
            if trials and saved.trials and trials.key == saved.trials.key:  # else it was made on other devices
                saved.trials.compare(trials.forms)
                self.trials = saved.trials
        elif path is not None and not path.parent.is_dir():
            raise ValueError(f"resume must be a file in a folder that exists, got {path}.")

    @property
    def missing(self) -> np.ndarray:
        """The rows without a result."""
        return np.flatnonzero(~self.is_done)

    def check(self, evaluate: Callable[[np.integer], PyTree]) -> None:
        """Raise if the first or the last row from the file now has another result: the function was another one."""
        if not self.is_done.any():
            return
        known = np.unique(np.flatnonzero(self.is_done)[[0, -1]])
        # One by one, so that nothing larger than a single point is compiled or needs memory.
        points = [jax.device_get(jax.tree.leaves(evaluate(row))) for row in known]
        values = [np.stack([leaf[0] for leaf in leaves]) for leaves in zip(*points, strict=True)]
        if not _are_close(values, [leaf[known] for leaf in self._leaves]):
            raise self._another()

    def _another(self) -> ValueError:
        """Explain that the file belongs to another scan."""
        return ValueError(f"resume must be a file of the same scan, got {self._path} of another one.")

    def add(self, chunk: np.ndarray, values: PyTree) -> None:
        """Store the results of some rows; further rows of `values` are padding."""
        leaves, self._treedef = jax.tree.flatten(values)
        if not self._leaves:
            self._leaves = [np.empty((len(self.is_done), *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        for target, leaf in zip(self._leaves, leaves, strict=True):
            target[chunk] = leaf[: len(chunk)]
        self.is_done[chunk] = True
        if time.monotonic() - self._saved_at > _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None or not self._leaves:
            return
        arrays: dict[str, Any] = {f"leaf_{i}": leaf for i, leaf in enumerate(self._leaves)}
        arrays |= {"identity": np.asarray(self._identity), "is_done": self.is_done}
        arrays["dtypes"] = np.asarray([leaf.dtype.name for leaf in self._leaves])
        if self.trials is not None:
            arrays["batching"] = np.asarray(json.dumps([self.trials.key, self.trials.record()]))
        write_whole(self._path, lambda file: np.savez(file, **arrays))
        self._saved_at = time.monotonic()

    def results(self, example: Callable[[], PyTree]) -> PyTree:
        """Return all results as arrays on the device, in the structure of an example if nothing was evaluated."""
        treedef = jax.tree.structure(example()) if self._treedef is None else self._treedef
        return treedef.unflatten([jnp.asarray(leaf) for leaf in self._leaves])


def _are_close(values: list[np.ndarray], saved: list[np.ndarray]) -> bool:
    """Return whether results agree up to the rounding of another machine; NaN is a value."""
    if [(leaf.shape, leaf.dtype) for leaf in values] != [(leaf.shape, leaf.dtype) for leaf in saved]:
        return False
    scales = [_scale(leaf) for leaf in saved]
    # Values that are 0 except for rounding, such as the gradient change at step size 0, have no scale of their own.
    overall = max(scales, default=0.0)
    return all(map(partial(_is_close, overall=overall), values, saved, scales))


def _scale(leaf: np.ndarray) -> float:
    """Return the largest finite magnitude in a floating-point array, 0 for any other array."""
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return 0.0
    sizes = np.abs(_widened(leaf))
    return float(np.max(sizes, initial=0, where=np.isfinite(sizes)))


def _is_close(value: np.ndarray, saved: np.ndarray, scale: float, overall: float) -> bool:
    """Compare two arrays of one shape and type, up to rounding."""
    if not jnp.issubdtype(saved.dtype, jnp.inexact):
        return bool(np.array_equal(value, saved))
    rounding = 4 * float(jnp.finfo(saved.dtype).eps)
    rtol, atol = max(1e-3, rounding), max(1e-4, rounding) * scale + 1e-6 * overall
    return bool(np.allclose(_widened(value), _widened(saved), rtol=rtol, atol=atol, equal_nan=True))


def _widened(leaf: np.ndarray) -> np.ndarray:
    """Convert to float64 or complex128, in which NumPy can compute for every type."""
    return leaf.astype(np.complex128 if np.iscomplexobj(leaf) else np.float64)


def _read(path: Path) -> _Saved:
    """Read a file, or raise a one-line error if that fails."""
    try:
        arrays = read_arrays(path)
        leaves = [arrays[f"leaf_{i}"] for i in range(sum(name.startswith("leaf_") for name in arrays))]
        # NOTE: numpy does not store the names of types that are not its own, such as bfloat16.
        dtypes = map(str, arrays.get("dtypes", [leaf.dtype.name for leaf in leaves]))
        leaves = [leaf.view(jnp.dtype(name)) for leaf, name in zip(leaves, dtypes, strict=True)]
        key, times = json.loads(str(arrays.get("batching", "[null, {}]")))
        trials = key and read_trials(Key(*key), times)
        return _Saved(str(arrays["identity"]), arrays["is_done"], leaves, trials)
    except Exception as error:
        if is_passing(error):
            raise
        problem = one_line(error).removesuffix(".")
        raise ValueError(f"resume must be a file that a scan has written, got {path}: {problem}.") from None

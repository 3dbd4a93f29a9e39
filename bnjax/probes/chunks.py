"""A long evaluation in pieces: with a bar, within memory, and resumable."""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bnjax.digest import digest
from bnjax.files import write_whole
from bnjax.progress import progress_bar

_FIRST_CHUNK = 16  # points: few enough that a bar moves on a large model
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
    resume: str | os.PathLike | None = None,
    identity: PyTree = None,
    show_progress: bool = True,
) -> PyTree:
    """Evaluate rows in chunks, and gather the results.

    Args:
        evaluate: returns a tree of arrays with one entry per row, given rows and how many to run together (None: one).
            It compiles once per number of rows.
        rows: what to evaluate, (rows, coordinates).
        group_size: how many rows to run together; halved where memory does not suffice.
        one_by_one: call `evaluate` for each row.
        multiple_of: the number of rows in a call is a multiple of this.
        resume: file of what is done.
        identity: arrays which, with the rows, tell one evaluation from another.
        show_progress: show a bar.

    Returns:
        The tree with one entry per row, in the order of `rows`.
    """
    done = _Done(len(rows), Path(resume) if resume is not None else None, (rows, identity))
    missing, position = done.missing, 0
    size = 1 if one_by_one else _first_size(len(missing), group_size)
    done.check(lambda known: evaluate(rows[np.resize(known, _rounded(max(size, len(known)), multiple_of))], group_size))
    with progress_bar("points", total=len(rows), done=len(rows) - len(missing), show=show_progress) as advance:
        try:
            seen: set[int] = set()
            while position < len(missing):
                size = _rounded(size, multiple_of)
                chunk, start = missing[position : position + size], time.perf_counter()
                try:
                    values = jax.device_get(evaluate(rows[np.resize(chunk, size)], group_size))
                except jax.errors.JaxRuntimeError as error:
                    group_size = size = _halved(group_size, error)
                    continue
                done.add(chunk, values)
                position += len(chunk)
                advance(len(chunk))
                if size in seen and not one_by_one and time.perf_counter() - start < _FAST:
                    size = min(16 * size, _LARGEST_CHUNK)
                seen.add(size)
        finally:
            done.save()
    return done.results(lambda: jax.eval_shape(lambda: evaluate(rows[:multiple_of], None)))


def _rounded(size: int, multiple_of: int) -> int:
    """Round up to a multiple."""
    return -(-size // multiple_of) * multiple_of


def _first_size(num_rows: int, group_size: int | None) -> int:
    """Choose how many rows the first calls evaluate: such that the last one is nearly full."""
    smallest = max(group_size or 1, _FIRST_CHUNK)
    return -(-num_rows // max(-(-num_rows // smallest), 1))


def _halved(group_size: int | None, error: Exception) -> int:
    """Halve a group that did not fit into memory, or say that nothing fits; other errors are raised again."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    if group_size is None or group_size == 1:
        raise MemoryError(f"One point must fit into the device's memory: {str(error).splitlines()[0]}") from None
    warnings.warn(f"{group_size} points do not fit into memory together: trying {group_size // 2}.", stacklevel=4)
    return group_size // 2


class _Saved(NamedTuple):
    """What a file holds."""

    identity: str
    is_done: np.ndarray
    leaves: list[np.ndarray]


class _Done:
    """The results so far, in memory and, if wanted, in a file."""

    def __init__(self, num_rows: int, path: Path | None, identity: PyTree):
        self.is_done = np.zeros(num_rows, bool)
        self._path = path
        self._identity = "" if path is None else digest(identity)
        self._leaves: list[np.ndarray] = []
        self._treedef: Any = None
        self._saved_at = time.monotonic()
        if path is not None and path.exists():
            saved = _read(path)
            if saved.identity != self._identity:
                raise self._another()
            self.is_done, self._leaves = saved.is_done, saved.leaves
        elif path is not None and not path.parent.is_dir():
            raise ValueError(f"resume must be a file in a folder that exists, got {path}.")

    @property
    def missing(self) -> np.ndarray:
        """The rows without a result."""
        return np.flatnonzero(~self.is_done)

    def check(self, evaluate: Callable[[np.ndarray], PyTree]) -> None:
        """Raise where the first or the last row from a file has another result now: its function was another one."""
        if not self.is_done.any():
            return
        known = np.flatnonzero(self.is_done)[[0, -1]]
        values = [np.asarray(leaf)[: len(known)] for leaf in jax.tree.leaves(jax.device_get(evaluate(known)))]
        saved = [leaf[known] for leaf in self._leaves]
        is_same = len(values) == len(saved) and all(map(_is_close, values, saved))
        if not is_same:
            raise self._another()

    def _another(self) -> ValueError:
        """Say that the file belongs to another scan."""
        return ValueError(f"resume must be a file of the same scan, got {self._path} of another one.")

    def add(self, chunk: np.ndarray, values: PyTree) -> None:
        """Take the results of some rows; what is behind them has filled the call up."""
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
        write_whole(self._path, lambda file: np.savez(file, **arrays))
        self._saved_at = time.monotonic()

    def results(self, example: Callable[[], PyTree]) -> PyTree:
        """Return everything as arrays on the device, in the structure of an example where nothing was evaluated."""
        treedef = jax.tree.structure(example()) if self._treedef is None else self._treedef
        return treedef.unflatten([jnp.asarray(leaf) for leaf in self._leaves])


def _is_close(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two results differ by rounding alone, as much as another machine's may; NaN is a value."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not np.issubdtype(a.dtype, np.inexact):
        return bool(np.array_equal(a, b))
    scale = np.max(np.abs(b), initial=0, where=np.isfinite(b))
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True))


def _read(path: Path) -> _Saved:
    """Read a file, or say in a line that it cannot be."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            leaves = [arrays[f"leaf_{i}"] for i in range(len(arrays.files) - 2)]
            return _Saved(str(arrays["identity"]), arrays["is_done"], leaves)
    except Exception as error:
        raise ValueError(f"resume must be a file that a scan has written, got {path}: {error}.") from None

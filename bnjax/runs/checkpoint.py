"""States on disk: saved atomically, checked before and after, and restored bit for bit.

A thin layer over orbax, which silently restores a flipped bit, casts a changed type and skips a repeated step.
"""

import errno
import hashlib
import itertools
import json
import logging
import operator
import os
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from bnjax._host.arguments import checked, whole
from bnjax._host.digest import digest
from bnjax._host.files import is_passing, system_error
from bnjax._host.output import harmless, say
from bnjax._host.processes import largest
from bnjax.runs.folder import STEP_PREFIX, list_steps
from bnjax.runs.json_files import as_json

_OVERHEAD = 2**18  # bytes of a checkpoint beside its arrays
_PATIENCE = 2.0  # seconds to wait for the threads of a failed save to end


class Restored(NamedTuple):
    """A state from disk, the step it was saved at, and the record saved with it.

    Example:
        >>> import tempfile
        >>> from bnjax import runs
        >>> with tempfile.TemporaryDirectory() as folder, runs.Checkpoints(folder) as checkpoints:
        ...     checkpoints.save(10, {"w": jnp.zeros(2)})
        ...     state, step, meta = checkpoints.restore(like={"w": jnp.zeros(2)})
        >>> print(state, step, meta)
        {'w': Array([0., 0.], dtype=float32)} 10 {}
    """

    state: Any
    step: int
    meta: dict[str, Any]


class CheckpointError(Exception):
    """A checkpoint cannot be written, or none in a folder can be restored; the message is one line."""


class NothingWholeError(CheckpointError):
    """There are checkpoints in a folder, and all of them are damaged."""


class Checkpoints:
    """The checkpoints of one run, each in a folder of its own, `bnjax_<step>`; nothing else is ever touched.

    Args:
        folder: created if it does not exist.
        max_to_keep: older checkpoints are deleted.
        report: called with one line when a damaged checkpoint is skipped.

    Raises:
        CheckpointError: if a checkpoint is a symbolic link, or the folder has checkpoints of an older version.

    Example:
        >>> import tempfile
        >>> from bnjax import runs
        >>> state = {"w": jnp.array([1.0, 2.0])}
        >>> with tempfile.TemporaryDirectory() as folder, runs.Checkpoints(folder) as checkpoints:
        ...     checkpoints.save(10, state, {"seed": 0})
        ...     restored = checkpoints.restore(like=state)
        >>> print(restored.state["w"], restored.step, restored.meta)
        [1. 2.] 10 {'seed': 0}
    """

    @checked(max_to_keep=whole(1))
    def __init__(self, folder: str | os.PathLike, *, max_to_keep: int = 2, report: Callable[[str], object] = say):
        self._report, self._folder = harmless(report), Path(folder).absolute()
        self._max_to_keep = max_to_keep
        self._check_folder()
        # NOTE: an asynchronous save reports success for a step that never lands on a full disk.
        options = ocp.CheckpointManagerOptions(step_prefix=STEP_PREFIX, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self._clear()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()

    @checked(step=whole(0))
    def save(self, step: int, state: Any, meta: dict[str, Any] | None = None) -> None:
        """Save a pytree of arrays and numbers, with JSON data `meta`; on return it is on disk.

        Raises:
            ValueError: if the step is no whole number >= 0, or `meta` no JSON data; if two leaves have the same path once the
                keys are joined by dots; if a checkpoint of this step or a later one exists, or something else in its place.
            CheckpointError: if it cannot be written, as on a full disk; earlier checkpoints are kept, nothing of this one is
                left, and a later one may be saved once there is space.
        """
        step = operator.index(step)  # of NumPy or JAX too
        latest = max(list_steps(self._folder), default=None)
        if latest is not None and step <= latest:
            raise ValueError(f"step must be beyond the last checkpoint's, {latest}, got {step}.")
        if self._path(step).exists():
            raise ValueError(f"{self._path(step)} is none of our checkpoints. Move it away.")
        _check_names(state)
        record = {
            "step": step,
            "leaves": _describe(state),
            "digest": digest(state),
            "meta": as_json(meta or {}, "meta"),
        }
        record["own_digest"] = _digest_record(record)
        stored = jax.tree.map(_stored, _boxed(state))
        parts = ocp.args.Composite(state=ocp.args.StandardSave(stored), record=ocp.args.JsonSave(record))
        try:
            self._clear()
            self._check_space(state)
            self._manager.save(step, args=parts, force=True)  # even if other files hold a later step
            self._delete_old()
        except Exception as error:  # orbax and tensorstore raise many types if a disk is full
            self._clear()
            message = f"The checkpoint of step {step} could not be written to {self._folder}: {_reason(error)}."
            raise CheckpointError(message) from error

    def _check_folder(self) -> None:
        """Raise if a folder of checkpoints holds a symbolic link, or checkpoints of an older version."""
        for path in self._folder.glob("*"):
            if path.name.startswith(f"{STEP_PREFIX}_") and path.is_symlink():
                raise CheckpointError(f"{path} is a link, which a folder of checkpoints must not hold. Move it away.")
            if path.name.isdigit() and (path / "record").is_dir():
                raise CheckpointError(
                    f"{path} is a checkpoint of an older version, which is not continued. Move its folder away."
                )

    def _path(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self._folder / f"{STEP_PREFIX}_{step}"

    def _delete_old(self) -> None:
        """Delete all except the newest of the checkpoints that have our record."""
        for step in list_steps(self._folder)[: -self._max_to_keep]:
            self._manager.delete(step)

    def _move_aside(self, step: int) -> None:
        """Rename a damaged checkpoint, which would otherwise be the latest and could not be saved again."""
        if jax.process_index() == 0:
            names = (self._folder / f"damaged-{STEP_PREFIX}_{step}{f'-{i}' if i else ''}" for i in itertools.count())
            self._path(step).rename(next(name for name in names if not name.exists()))
        largest(0)  # the other processes wait for it
        self._manager.reload()

    def _clear(self) -> None:
        """Remove the remains of failed saves, which take space."""
        if jax.process_index() > 0:  # the first process begins a save, so no other one is writing
            return
        deadline = time.monotonic() + _PATIENCE
        while halves := list(self._folder.glob(f"{STEP_PREFIX}_*.orbax-checkpoint-tmp*")):
            for half in halves:
                shutil.rmtree(half, ignore_errors=True)
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)  # a thread of tensorstore's may still write into a folder that is being removed

    def _check_space(self, state: Any) -> None:
        """Raise if a state cannot fit: orbax would raise on a dozen threads, and continue to write."""
        disk = shutil.disk_usage(self._folder)
        needed = sum(_as_array(leaf).nbytes for leaf in jax.tree.leaves(state)) + _OVERHEAD
        # NOTE: some network file systems report 0; with several processes, the others would wait for this one.
        if disk.total > 0 and disk.free < needed and jax.process_count() == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def restore(self, like: Any, check: Callable[[dict[str, Any]], str] = lambda _meta: "") -> Restored | None:
        """Restore the newest checkpoint that is whole.

        A damaged checkpoint is reported, moved aside and passed over for an older one.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct` in the form of the state; NumPy arrays are restored as such.
            check: describes a problem with the files of a checkpoint, given the data saved with it; empty if there is none.

        Returns:
            The state, bit for bit as saved, or None if there is no checkpoint.

        Raises:
            ValueError: if the checkpoint is of another structure, shape or type, naming the leaf.
            NothingWholeError: if there are checkpoints but none is whole.
            CheckpointError: if one cannot be read for a temporary reason, such as lack of memory or of permission.
        """
        _check_names(like)
        damaged: list[int] = []
        for step in reversed(list_steps(self._folder)):
            restored, problem = self._try(step, like)
            problem = check(restored.meta) if restored else problem
            if restored and not problem:
                for bad in damaged:
                    self._move_aside(bad)
                return restored
            self._report(f"Skipped the checkpoint of step {step}: {problem}.")
            damaged.append(step)
        if damaged:
            raise NothingWholeError(f"None of the checkpoints in {self._folder} is whole: steps {damaged}.")
        return None

    def _try(self, step: int, like: Any) -> tuple[Restored | None, str]:
        """Restore one step, or return the reason why it cannot be restored."""
        try:
            record = self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
            if record.pop("own_digest", None) not in (None, _digest_record(record)):  # older ones have none
                return None, "its record's digest does not match"
            if record.get("step", step) != step:
                return None, f"it is that of step {record['step']}"
            leaves, expected, meta = record["leaves"], record["digest"], record["meta"]
        except Exception as error:  # orbax and tensorstore raise many types for files that are cut or missing
            self._check_damage(step, error)
            return None, f"its record cannot be read ({type(error).__name__})"
        _check_description(leaves, _describe(like))
        try:
            state = self._restore_state(step, like)
        except Exception as error:
            self._check_damage(step, error)
            return None, f"its arrays cannot be read ({type(error).__name__})"
        return (Restored(state, step, meta), "") if digest(state) == expected else (None, "its digest does not match")

    def _check_damage(self, step: int, error: Exception) -> None:
        """Raise if a checkpoint could not be read for a temporary reason: it may be intact, and must not be skipped."""
        if is_passing(error):
            message = f"The checkpoint of step {step} in {self._folder} cannot be read now: {_reason(error)}."
            raise CheckpointError(message) from error

    def _restore_state(self, step: int, like: Any) -> Any:
        """Read the arrays of one step."""
        abstract = jax.tree.map(lambda leaf: _abstract(_stored(leaf)), _boxed(like))
        stored = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))["state"]
        (stored,) = (stored,) if jax.tree.structure(stored) == jax.tree.structure(like) else stored.values()
        return jax.tree.map(_unstored, stored, like) if jax.tree.leaves(like) else like


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a log record is not an exception of orbax's threads, which the caller gets as well."""
    frames = traceback.walk_tb(record.exc_info[2]) if record.exc_info else ()
    return not any(os.path.join("orbax", "checkpoint") in frame.f_code.co_filename for frame, _ in frames)


for _logger in ("absl", "asyncio"):
    logging.getLogger(_logger).addFilter(_is_news)


def _reason(error: Exception) -> str:
    """Extract the system's error message from an error of orbax or tensorstore, in one line."""
    number = system_error(error)
    return os.strerror(number) if number else f"{type(error).__name__}: {' '.join(str(error).split())}"


def _as_array(leaf: Any) -> Any:
    """Return a leaf that has a shape and a type, or a Python number as an array."""
    return leaf if hasattr(leaf, "dtype") else np.asarray(leaf)


def _boxed(state: Any) -> Any:
    """Put an array that is the whole state, and a state without arrays, into a dictionary: orbax refuses them."""
    if not jax.tree.leaves(state):
        return {"nothing": np.zeros(1, np.int8)}
    return {"state": state} if jax.tree_util.all_leaves([state]) else state


def _stored(leaf: Any) -> Any:
    """Return the array that orbax stores in place of a leaf; orbax does not accept empty arrays."""
    array = _as_array(leaf)
    return array if array.size else np.zeros(1, np.int8)


def _unstored(stored: Any, like: Any) -> Any:
    """Return a leaf from the array that is stored in its place."""
    if not _as_array(like).size:
        return np.zeros(like.shape, like.dtype) if isinstance(like, np.ndarray) else jnp.zeros(like.shape, like.dtype)
    return stored if hasattr(like, "dtype") else type(like)(stored)


def _abstract(leaf: Any) -> Any:
    """Return the target for restoring a leaf: an array on its devices, or a NumPy array."""
    sharding = getattr(leaf, "sharding", None)
    is_numpy = isinstance(leaf, np.ndarray | np.generic)
    return np.asarray(leaf) if is_numpy else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _check_names(state: Any) -> None:
    """Raise if two leaves would be the same file: orbax joins the keys of a path by dots, and keeps the last leaf."""
    seen: dict[str, str] = {}
    for path, _ in jax.tree.leaves_with_path(state):
        name, shown = jax.tree_util.keystr(path, simple=True, separator="."), jax.tree_util.keystr(path)
        if name in seen:
            raise ValueError(
                f"state must have names that differ when joined by dots, got {seen[name]} and {shown}: rename one of them."
            )
        seen[name] = shown


def _describe(state: Any) -> dict[str, str]:
    """Describe type and shape of each leaf by its path."""
    leaves = ((path, _as_array(leaf)) for path, leaf in jax.tree.leaves_with_path(state))
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _digest_record(record: dict[str, Any]) -> str:
    """Compute the SHA-256 of a record's JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _check_description(saved: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise at the first leaf whose saved type or shape differs from the requested one."""
    for path in wanted | saved:
        if saved.get(path) != wanted.get(path):
            raise ValueError(
                f"The checkpoint does not fit: at {path} it holds {saved.get(path, 'nothing')}, "
                f"the run needs {wanted.get(path, 'nothing')}."
            )

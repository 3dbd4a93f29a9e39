"""States on disk: saved whole or not at all, checked before and after, restored to the same bits.

A thin layer over orbax, which restores a flipped bit, casts a changed type and skips a repeated step without a word.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from bnjax.digest import digest


class Restored(NamedTuple):
    """A state from disk, the step it was saved at, and what was saved beside it."""

    state: Any
    step: int
    meta: dict[str, Any]


class CheckpointError(Exception):
    """No checkpoint in a folder can be restored."""


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    Args:
        folder: made if it is not there.
        max_to_keep: older checkpoints are deleted.
        report: called with one line when a damaged checkpoint is skipped.
    """

    def __init__(self, folder: str | os.PathLike, *, max_to_keep: int = 2, report: Callable[[str], None] = print):
        self._report = report
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=max_to_keep,
                cleanup_tmp_directories=True,
                # NOTE: an asynchronous save reports success for a step that never lands on a full disk.
                enable_async_checkpointing=False,
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()

    def save(self, step: int, state: Any, meta: dict[str, Any] | None = None) -> None:
        """Save a pytree of arrays, and anything that JSON holds beside it; on return it is on disk.

        Raises:
            ValueError: if a checkpoint of this step or a later one is already there.
        """
        latest = self._manager.latest_step()
        if latest is not None and step <= latest:
            raise ValueError(f"step must be beyond the last checkpoint's, {latest}, got {step}.")
        record = {"leaves": _describe(state), "digest": digest(state), "meta": meta or {}}
        self._manager.save(
            step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record))
        )

    def restore(self, like: Any) -> Restored | None:
        """Restore the newest checkpoint that is whole.

        A damaged checkpoint is reported, deleted and passed over for an older one.

        Args:
            like: a pytree of arrays or of `jax.ShapeDtypeStruct`, as the state must be.

        Returns:
            The state, bit for bit as saved, or None where there is no checkpoint.

        Raises:
            ValueError: if the checkpoint is of another structure, shape or type, naming the leaf.
            CheckpointError: if there are checkpoints but none is whole.
        """
        damaged: list[int] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            restored, problem = self._try(step, like)
            if restored is not None:
                for bad in damaged:
                    self._manager.delete(bad)  # else it would be the latest, and could not be saved again
                return restored
            self._report(f"Skipped the checkpoint of step {step}: {problem}.")
            damaged.append(step)
        if damaged:
            raise CheckpointError(f"None of the checkpoints in {self._manager.directory} is whole: steps {damaged}.")
        return None

    def _try(self, step: int, like: Any) -> tuple[Restored | None, str]:
        """Restore one step, or say why it cannot be."""
        try:
            record = self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
            leaves, expected, meta = record["leaves"], record["digest"], record["meta"]
        except Exception as error:  # orbax and tensorstore raise many types for files that are cut or missing
            return None, f"its record cannot be read ({type(error).__name__})"
        _check_description(leaves, _describe(like))
        try:
            state = self._restore_state(step, like)
        except Exception as error:
            return None, f"its arrays cannot be read ({type(error).__name__})"
        return (Restored(state, step, meta), "") if digest(state) == expected else (None, "its digest does not match")

    def _restore_state(self, step: int, like: Any) -> Any:
        """Read the arrays of one step."""
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        return self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))["state"]


def _describe(state: Any) -> dict[str, str]:
    """Write down type and shape of each leaf by its path."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in jax.tree.leaves_with_path(state)
    }


def _check_description(saved: dict[str, str], wanted: dict[str, str]) -> None:
    """Raise at the first leaf that was saved otherwise than it is wanted."""
    for path in wanted | saved:
        if saved.get(path) != wanted.get(path):
            raise ValueError(
                f"The checkpoint does not fit: at {path} it holds {saved.get(path, 'nothing')}, "
                f"the run needs {wanted.get(path, 'nothing')}."
            )

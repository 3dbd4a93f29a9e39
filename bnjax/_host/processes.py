"""Several processes that `jax.distributed` has joined: all run the same program, and the first one alone writes files."""

import sys
from typing import Any

import numpy as np


def is_first() -> bool:
    """Return whether this process writes: it is alone, or the first of several."""
    return not _are_joined() or sys.modules["jax"].process_index() == 0


def largest(*numbers: int) -> tuple[int, ...]:
    """Find the largest that any process says, number by number: what one decides for all by a signal, a file or its clock.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.int32).max(axis=0).tolist()) if _are_joined() else numbers


def first(*numbers: float) -> tuple[float, ...]:
    """Return the numbers of the first process, as float32: what its clock decides for all.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.float32)[0].tolist()) if _are_joined() else numbers


def smallest(*numbers: float) -> tuple[float, ...]:
    """Find the smallest that any process says, number by number, as float32: the memory that all of them have.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.float32).min(axis=0).tolist()) if _are_joined() else numbers


def _gather(numbers: tuple[float, ...], dtype: Any) -> np.ndarray:
    """Collect what each process says, (processes, numbers)."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.array(numbers, dtype))


def _are_joined() -> bool:
    """Return whether there are several; where jax has not been imported yet, there is one."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1

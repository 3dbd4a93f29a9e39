"""Several processes that `jax.distributed` has joined: all run the same program, and the first one alone writes files."""

import sys
from typing import Any

import numpy as np


def is_first() -> bool:
    """Return whether this process writes: it is alone, or the first of several."""
    return not _are_joined() or sys.modules["jax"].process_index() == 0


def largest(*numbers: int) -> tuple[int, ...]:
    """Return the element-wise maximum over all processes, for decisions by one process's signal, file or clock.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.int32).max(axis=0).tolist()) if _are_joined() else numbers


def first(*numbers: float) -> tuple[float, ...]:
    """Return the numbers of the first process as float32, for decisions by its clock.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.float32)[0].tolist()) if _are_joined() else numbers


def smallest(*numbers: float) -> tuple[float, ...]:
    """Return the element-wise minimum over all processes as float32, such as the memory that is free on all of them.

    Args:
        numbers: of this process. All processes call this, in the same order of calls.

    Returns:
        The same numbers in all processes.
    """
    return tuple(_gather(numbers, np.float32).min(axis=0).tolist()) if _are_joined() else numbers


def _gather(numbers: tuple[float, ...], dtype: Any) -> np.ndarray:
    """Gather the numbers of all processes, (processes, numbers)."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.array(numbers, dtype))


def _are_joined() -> bool:
    """Return whether several processes are joined; before jax is imported, there is only one."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1

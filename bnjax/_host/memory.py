"""Limits of memory: what a program needs, what a device has, and halves of what does not fit."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from bnjax._host.output import warn

_UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


class ProgramMemory(NamedTuple):
    """Bytes on each device that a compiled program needs, as its compiler predicts.

    Attributes:
        arguments: what it is called with.
        outputs: what it returns.
        temporaries: what it holds while it runs.
        aliased: of the outputs, what is written over arguments.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int

    @property
    def total(self) -> int:
        """All that is on the device while it runs."""
        return self.arguments + self.added

    @property
    def added(self) -> int:
        """What must be free when it is called, since its arguments are on the device by then."""
        return self.outputs + self.temporaries - self.aliased


class TooLargeError(Exception):
    """A program is predicted to need more memory than is free, and does not run."""


def predicted_memory(compiled: Any) -> ProgramMemory | None:
    """Return the memory that a compiled program needs, such as `jitted.lower(...).compile()`.

    Returns:
        Of each device; None where its compiler does not predict it.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    names = ("argument", "output", "temp", "alias")
    return ProgramMemory(*(int(getattr(analysis, f"{name}_size_in_bytes", 0)) for name in names))


def free_memory(devices: Sequence[Any]) -> float:
    """Return how many bytes are free on every one of this process's devices.

    Returns:
        bytes_limit - bytes_in_use of the device that has the least; infinite where none says so, as on a CPU.
    """
    own = [device for device in devices if device.process_index == jax.process_index()]
    return min(map(_free, own), default=math.inf)


def _free(device: Any) -> float:
    """Return how many bytes are free on a device."""
    try:
        stats = device.memory_stats() or {}
    except jax.errors.JaxRuntimeError:  # a backend without such numbers
        stats = {}
    limit = stats.get("bytes_limit")
    return float(max(limit - stats.get("bytes_in_use", 0), 0)) if limit else math.inf


def size_text(num_bytes: float | int) -> str:
    """Write a number of bytes in the largest unit of which it has one, to three digits."""
    for unit, size in _UNITS.items():
        if num_bytes >= 0.9995 * size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes:.0f} bytes"


def halved(group_size: int | None, error: Exception, thing: str) -> int:
    """Halve a group that did not fit into memory, with a warning.

    Args:
        group_size: how many were tried together; None is one.
        error: what came of it.
        thing: what each of them is called.

    Returns:
        How many to try next.

    Raises:
        MemoryError: if it was one already.
        Exception: `error`, if it says something else.
    """
    if not is_out_of_memory(error):
        raise error
    if group_size is None or group_size == 1:
        raise MemoryError(f"One {thing} must fit into the device's memory: {str(error).splitlines()[0]}") from None
    warn(f"{group_size} {thing}s do not fit into memory together: trying {group_size // 2}.", stacklevel=4)
    return group_size // 2


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory did not suffice."""
    return isinstance(error, TooLargeError) or "RESOURCE_EXHAUSTED" in str(error)

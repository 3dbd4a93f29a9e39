"""Memory limits: what a program needs, what a device has free, and halving groups that do not fit."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from bnjax._host.output import warn

_UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


class ProgramMemory(NamedTuple):
    """Bytes that a compiled program needs on each device, as its compiler predicts.

    Attributes:
        arguments: of the arguments.
        outputs: of the results.
        temporaries: of buffers that exist only while it runs.
        aliased: of the outputs that overwrite arguments.
    """

    arguments: int
    outputs: int
    temporaries: int
    aliased: int

    @property
    def total(self) -> int:
        """Bytes on the device while the program runs."""
        return self.arguments + self.added

    @property
    def added(self) -> int:
        """Bytes that must be free at the call, when the arguments are already on the device."""
        return self.outputs + self.temporaries - self.aliased


class TooLargeError(Exception):
    """A program is predicted to need more memory than is free, and does not run."""


def predicted_memory(compiled: Any) -> ProgramMemory | None:
    """Return the memory that a compiled program, such as `jitted.lower(...).compile()`, needs.

    Returns:
        The memory on each device; None if its compiler does not predict it.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    names = ("argument", "output", "temp", "alias")
    return ProgramMemory(*(int(getattr(analysis, f"{name}_size_in_bytes", 0)) for name in names))


def free_memory(devices: Sequence[Any]) -> float:
    """Return how many bytes are free on every one of this process's devices.

    Returns:
        The smallest bytes_limit - bytes_in_use of the devices; infinite if none reports it, as on a CPU.
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
    """Format a number of bytes to three digits, in the largest unit in which it is at least 1."""
    for unit, size in _UNITS.items():
        if num_bytes >= 0.9995 * size:
            return f"{num_bytes / size:.3g} {unit}"
    return f"{num_bytes:.0f} bytes"


def halved(group_size: int | None, error: Exception, thing: str) -> int:
    """Halve a group that did not fit into memory, with a warning.

    Args:
        group_size: how many were tried together; None is one.
        error: the exception that this raised.
        thing: name of a single item, for the messages.

    Returns:
        How many to try next.

    Raises:
        MemoryError: if the group was a single item.
        Exception: `error`, if it has another cause.
    """
    if not is_out_of_memory(error):
        raise error
    if group_size is None or group_size == 1:
        raise MemoryError(f"One {thing} must fit into the device's memory: {str(error).splitlines()[0]}") from None
    warn(f"{group_size} {thing}s do not fit into memory together: trying {group_size // 2}.", stacklevel=4)
    return group_size // 2


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out."""
    return isinstance(error, TooLargeError) or "RESOURCE_EXHAUSTED" in str(error)

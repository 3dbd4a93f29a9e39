"""Limits of memory: what does not fit is tried in halves, and compiled programs are given back before there are too many."""

import gc
from pathlib import Path

import jax

from bnjax._host.output import warn


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
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    if group_size is None or group_size == 1:
        raise MemoryError(f"One {thing} must fit into the device's memory: {str(error).splitlines()[0]}") from None
    warn(f"{group_size} {thing}s do not fit into memory together: trying {group_size // 2}.", stacklevel=4)
    return group_size // 2


def free_programs(share: float = 0.0) -> None:
    """Give back what JAX has compiled; what is needed again is compiled again, or read from its cache on disk.

    On Linux each program takes hundreds of the process's memory maps, of which there are 65,530 unless a machine says
    otherwise: a process that compiles programs of many nets is aborted by the compiler when it has no more.

    Args:
        share: of the maps that a process may have; nothing is done before it has as many.
    """
    if _mapped_share() >= share:
        jax.clear_caches()
        gc.collect()


def _mapped_share() -> float:
    """Return how much of the memory maps that this process may have it has; 0 where that is not known."""
    try:
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps) / limit
    except (OSError, ValueError):
        return 0.0

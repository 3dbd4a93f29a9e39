"""Limits of memory: what does not fit is tried in halves."""

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
    if not is_out_of_memory(error):
        raise error
    if group_size is None or group_size == 1:
        raise MemoryError(f"One {thing} must fit into the device's memory: {str(error).splitlines()[0]}") from None
    warn(f"{group_size} {thing}s do not fit into memory together: trying {group_size // 2}.", stacklevel=4)
    return group_size // 2


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory did not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error)

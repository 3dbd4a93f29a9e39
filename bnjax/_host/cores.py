"""The cores that this process may use."""

import os


def count_cores() -> int:
    """Count them; fewer than the machine has where a container or a batch system gives fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

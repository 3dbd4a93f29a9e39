"""Skip groups of points or runs that, as the compiler predicts, do not fit into memory.

The first program of each group is compiled before it runs, and its predicted memory is compared with the free memory. Memory
grows linearly with the number of points, so once two groups are known, a far too large group is not even compiled.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from bnjax._host.groups import agreed_least
from bnjax._host.memory import TooLargeError, free_memory, is_out_of_memory, predicted_memory, size_text
from bnjax._host.programs import checked_before_running
from bnjax._host.trials import Group, Trials

# A group is not compiled if, extrapolated from smaller groups, it needs more than this multiple of the free memory. The memory
# of scans of a VGG-A at batch 128, compiled for an H100 in groups of 1 to 64 points, deviates from a straight line by up to
# 4 %, so below this bound the compiler decides.
_CERTAINLY_TOO_LARGE = 1.1


@contextlib.contextmanager
def within_memory(trials: Trials, size: int, group: Group, devices: Sequence[Any], is_shared: bool) -> Iterator[None]:
    """Run the first call of a group only if its program fits into the free memory of all devices.

    Args:
        trials: of the program that is called in the context.
        size: how many points or runs the call has.
        group: how many run together; a group of one always runs.
        devices: where they run.
        is_shared: several processes make the call together.

    Raises:
        TooLargeError: if the group would not fit: before it runs, or, where smaller groups predict it, before it is compiled.
    """
    is_first = (size, group) not in trials.called
    free = agreed_least(free_memory(devices), is_shared) if is_first else np.inf
    if np.isinf(free):
        yield
        return
    _check_estimate(trials, group, free)
    with checked_before_running(partial(_check, trials, group, devices, is_shared)):
        yield


def _check_estimate(trials: Trials, group: Group, free: float) -> None:
    """Raise if this group's known memory exceeds the free memory, or the two largest known groups predict far more."""
    if group.size == 1:
        return
    if trials.memory.get(group, 0) > free:
        raise _too_large(group, f"need {size_text(trials.memory[group])}, as the compiler predicts", free)
    known = {each.size: bytes for each, bytes in trials.memory.items() if each.kernels == group.kernels}
    if group in trials.memory or len(known) < 2:
        return
    (few, less), (many, more) = sorted(known.items())[-2:]
    # needed = a + b * size
    needed = more + (more - less) / (many - few) * (group.size - many)
    if needed > _CERTAINLY_TOO_LARGE * free:
        raise _too_large(group, f"would need about {size_text(needed)}, as {few} and {many} suggest", free)


def _check(trials: Trials, group: Group, devices: Sequence[Any], is_shared: bool, compiled: Any) -> None:
    """Record the memory that a group's compiled program needs besides its arguments, and raise if it is not free.

    If compilation failed in one of several processes, `compiled` is the error there, and all processes leave the call, as the
    others would wait for that process.
    """
    error = compiled if isinstance(compiled, Exception) else None
    status = 1 if error is None else 0 if is_out_of_memory(error) else -1
    least = agreed_least(float(status), is_shared)
    if least == 0:
        raise TooLargeError(f"{group.size} together were not tried: there is no memory for compiling them.") from error
    if least < 0:
        if error is not None:
            return  # the caller raises it
        raise RuntimeError(f"Another process could not compile {group.size} together; its message says why.")
    memory = predicted_memory(compiled)
    if agreed_least(float(memory is not None), is_shared) == 0:
        return
    needed = -agreed_least(-float(memory.added if memory else 0), is_shared)
    # NOTE: measured here, where the arguments already take memory on the devices.
    free = agreed_least(free_memory(devices), is_shared)
    trials.memory[group] = max(needed, trials.memory.get(group, 0.0))
    if group.size > 1 and needed > free:
        raise _too_large(group, f"need {size_text(needed)}, as the compiler predicts", free)


def _too_large(group: Group, needs: str, free: float) -> TooLargeError:
    """Make the error for a group that does not fit."""
    return TooLargeError(
        f"{group.size} together were not tried: they {needs}, and {size_text(free)} of memory are free."
    )

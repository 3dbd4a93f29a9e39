"""What JAX's own libraries print where several processes are joined: passed on, or put into one line.

Where a process of a job dies, or never comes, JAX's C++ code ends the others with forty lines about RPCs and addresses, which
no code in these processes can catch. They print it to file 2, which `join` turns over to a process that runs this file; what
Python prints goes past it. It imports nothing of ours, so that it starts at once.
"""

import re
import signal
import sys
from collections.abc import Iterable, Iterator

LOST = "error: Another process of this job has ended, and this one cannot go on. The same command continues from what is saved."
NOT_THERE = "error: distributed must be for processes that start together, but the others of this job have not come."
# How a message begins, with the level and the file; it goes on until the next one begins.
_BEGINS = re.compile(r"[IWEF]\d{4} .*?(?P<file>[\w./]+):\d+\] ")
_ABOUT_PROCESSES = (
    "client.h",
    "coordination_service.cc",
    "coordination_service_agent.cc",
    "preemption_sync_manager.cc",
)
_FATAL = "Terminating process because the JAX distributed service"
_CALL = "RPC: "


def in_one_line(lines: Iterable[str]) -> Iterator[str]:
    """Pass lines on, except for messages about other processes; one that ends this process becomes a line, said once.

    Args:
        lines: as libraries print them, and `LOST`, where Python notices first that a process has ended.

    Yields:
        Lines to be printed.
    """
    is_about, is_fatal, verdict = False, False, ""
    for line in lines:
        begins = _BEGINS.match(line)
        if begins:
            is_about = begins["file"].rsplit("/", 1)[-1] in _ABOUT_PROCESSES
            is_fatal = is_fatal or (is_about and _FATAL in line)
        if not verdict and (line == f"{LOST}\n" or (is_fatal and line.startswith(_CALL))):
            verdict = NOT_THERE if "RegisterTask" in line else LOST
            yield from _below_the_bar(verdict)
        elif not is_about and line != f"{LOST}\n":
            yield line
    if is_fatal and not verdict:  # it was cut
        yield from _below_the_bar(LOST)


def _below_the_bar(verdict: str) -> list[str]:
    """Return the lines of a verdict: of a process that was at work, the bar may stand where it would begin."""
    return ["\n"] * (verdict == LOST) + [f"{verdict}\n"]


def main() -> None:
    """Read what is printed to file 2 until nobody can print to it any more."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # which are for the others
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    for line in in_one_line(sys.stdin):
        sys.stderr.write(line)
        sys.stderr.flush()


if __name__ == "__main__":
    main()

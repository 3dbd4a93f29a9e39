"""Filter the output of JAX's own libraries when several processes are joined: pass it on, or reduce it to one line.

If a process of a job dies, or never joins, JAX's C++ code ends the others with forty lines about RPCs and addresses, which no
code in these processes can catch. They are printed to file 2, which `join` redirects to a process that runs this file; Python's
own output bypasses it. This file imports nothing of ours, so that it starts at once.
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
    """Pass lines on, except for messages about other processes; a fatal one becomes a single line, printed once.

    Args:
        lines: the output of libraries, and `LOST`, if Python is the first to notice that a process has ended.

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
    if is_fatal and not verdict:  # the message was cut off
        yield from _below_the_bar(LOST)


def _below_the_bar(verdict: str) -> list[str]:
    """Return the lines of a verdict; after `LOST`, start on a new line, since a progress bar may be on this one."""
    return ["\n"] * (verdict == LOST) + [f"{verdict}\n"]


def main() -> None:
    """Read file 2 until no process can print to it any more."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # these signals are for the other processes
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    for line in in_one_line(sys.stdin):
        sys.stderr.write(line)
        sys.stderr.flush()


if __name__ == "__main__":
    main()

"""Commands in processes of their own that are stopped in time, and never outlive the process that started them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_HURRY = 5.0  # seconds between the signals where this process is asked to stop itself
_KILLED = 5.0  # seconds in which the system removes a process that was killed
# Linux kills the command with its parent, of which nothing else would tell it where the parent is killed itself.
_TIED = """
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def run_within(
    command: list[str], seconds: float, log: Path, grace: float, environment: Mapping[str, str] | None = None
) -> tuple[int | None, float]:
    """Run a command, and stop it when its time is over: by SIGTERM, on which experiments save, and then by SIGKILL.

    An interrupt stops it too, with at most five seconds between the signals, and is raised then.

    Args:
        command: to run.
        seconds: after which it is stopped.
        log: file to which its output is appended.
        grace: seconds between the two signals.
        environment: its environment; by default, that of this process.

    Returns:
        (status, seconds): its exit status, None where it was stopped, and how long it took.
    """
    start = time.monotonic()
    tied = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command]
    with log.open("ab") as output:
        process = subprocess.Popen(tied, stdout=output, stderr=output, env=environment, start_new_session=True)
        try:
            status = process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            status = None
        except BaseException:
            grace = min(grace, _HURRY)
            raise
        finally:
            _stop(process, grace)
    return status, time.monotonic() - start


def _stop(process: subprocess.Popen, grace: float) -> None:
    """Stop a process if it is at work, and all that it has started."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED)

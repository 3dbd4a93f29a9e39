"""Several processes that train together, as a launcher starts them; all but the first are silent, and write nothing."""

import os
import re
import subprocess
import sys
import threading
from typing import NoReturn

from bnjax._host.output import say, unfailing
from experiments._training import quiet_libraries

_PATIENCE = 300  # seconds within which all processes must join
_QUIET = 30  # seconds before a note about missing processes
# Messages of the errors that JAX's collectives raise when a process has died.
_LOST = re.compile(r"Gloo [\w-]+ failed|NCCL operation .* failed|heartbeat timeout|CoordinationService")


class Elsewhere(Exception):  # noqa: N818  # not an error
    """The first process does the rest of the work; the others stop."""


def join() -> None:
    """Join the processes of this job, unless already joined; print a note if some are late.

    Raises:
        ValueError: if no launcher that JAX knows has started them, or they do not find each other.
    """
    import jax

    if not jax.distributed.is_initialized():
        _quieten_libraries()
        words = f"note: Not all processes of this job are there after {_QUIET} s; they have {_PATIENCE} s to come."
        waiting = threading.Timer(_QUIET, say, (words, sys.stderr))
        waiting.daemon = True
        waiting.start()
        try:
            jax.distributed.initialize(initialization_timeout=_PATIENCE)
        except (ValueError, RuntimeError) as error:
            rule = "distributed must be for processes that Slurm, Open MPI, Kubernetes or a TPU pod slice has started"
            raise ValueError(f"{rule}: {' '.join(str(error).split())}") from error
        finally:
            waiting.cancel()
    if jax.process_index() > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process


def _quieten_libraries() -> None:
    """Pass the standard error of libraries through `quiet_libraries`; Python's own bypasses it."""
    past = os.dup(2)
    command = [sys.executable, "-I", "-S", quiet_libraries.__file__]
    reader = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=past, start_new_session=True
    )
    assert reader.stdin is not None
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    encoding, errors = getattr(sys.stderr, "encoding", None), getattr(sys.stderr, "errors", None)
    sys.stderr = unfailing(os.fdopen(past, "w", buffering=1, encoding=encoding, errors=errors))


def check_lost(error: BaseException | str) -> None:
    """End this process with one line if an error says that another process of this job has ended."""
    if _are_several() and _LOST.search(str(error)):
        # NOTE: written to the file that libraries print to, so that it appears once, whoever notices first.
        os.write(2, f"{quiet_libraries.LOST}\n".encode())
        leave(1)


def leave(status: int) -> NoReturn:
    """End this process; if others wait for it, end it at once, which ends them too."""
    if _are_several():
        for stream in (sys.stdout, sys.stderr):
            unfailing(stream).flush()
        os._exit(status)
    sys.exit(status)


def _are_several() -> bool:
    """Return whether this process is joined with others."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1

"""Several processes that train together, as a launcher starts them; all but the first are silent, and write nothing."""

import os
import sys
from typing import NoReturn

from bnjax._host.output import unfailing


class Elsewhere(Exception):  # noqa: N818  # not an error
    """What is left to do, the first process does."""


def join() -> None:
    """Join the processes of this job, if that has not been done.

    Raises:
        ValueError: if no launcher that JAX knows has started them, or they do not find each other.
    """
    import jax

    if not jax.distributed.is_initialized():
        try:
            jax.distributed.initialize()
        except (ValueError, RuntimeError) as error:
            rule = "distributed must be for processes that Slurm, Open MPI, Kubernetes or a TPU pod slice has started"
            raise ValueError(f"{rule}: {' '.join(str(error).split())}") from error
    if jax.process_index() > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process


def leave(status: int) -> NoReturn:
    """End this process; where others wait for it, at once, which ends them too."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1:
        for stream in (sys.stdout, sys.stderr):
            unfailing(stream).flush()
        os._exit(status)
    sys.exit(status)

"""Training of groups of runs by `bnjax.sweep` as the options specify, with a progress bar and one-line errors."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from bnjax import sweep
from bnjax._host.output import printable, unfailing
from bnjax._host.processes import is_first
from experiments._config import Options
from experiments._training.errors import config_errors
from experiments._training.processes import check_lost

_QUIET_SECONDS = 2.0  # before the bar appears, so that an immediate refusal prints only its one line


def train(groups: Sequence[sweep.Group], options: Options) -> None:
    """Train or resume every run of each group, to its end.

    Raises:
        ConfigError: if a run cannot be trained, or not from the state in its folder; as BusyError, once all others are trained,
            if another process uses its folder.
        MissingDataError: if a data set is not prepared.
        Interrupted: after a signal, once the state is saved.
        SaveError: if the last save of a run has failed.
    """
    total = sum(group.plan.num_steps * len(group.members) for group in groups)
    options_of_bar: dict[str, Any] = {"unit": "step", "delay": _QUIET_SECONDS, "dynamic_ncols": True, "smoothing": 0.05}
    with tqdm(total=total, disable=not is_first(), file=unfailing(sys.stderr), **options_of_bar) as bar:

        def progress(num_steps: int, words: str) -> None:
            if words:
                bar.set_postfix_str(words, refresh=False)
            bar.update(num_steps)

        with config_errors():
            sweep.train_groups(
                groups,
                way=_way(options),
                parallel=options.parallel,
                save_seconds=options.checkpoint_seconds,
                report=partial(_tell, sys.stdout),
                warn=partial(_tell, sys.stderr),
                progress=progress,
            )


def _tell(stream: Any, line: str) -> None:
    """Print a line above the bar; a failure to print is ignored.

    If the line reports a failed save because another process has ended, this process ends too.
    """
    check_lost(line)
    tqdm.write(printable(line), file=unfailing(stream))


def shared_mesh(options: Options) -> Mesh | None:
    """Return the mesh of all devices, including those of other processes, if they share each batch; else None."""
    shares = options.distributed or options.batching == "sharded"
    return Mesh(np.array(jax.devices()), ("batch",)) if shares else None


def chooses(options: Options) -> bool:
    """Return whether runs are trained in threads unless their group sets a faster way."""
    return options.batching == "auto" and not options.distributed and jax.default_backend() == "cpu"


def _way(options: Options) -> sweep.Way:
    """Return how runs share the machine: side by side, one after another, or together and spread over all devices."""
    if options.distributed or options.batching == "sharded":
        return sweep.Way("loop")
    if options.batching == "threads" or chooses(options):
        return sweep.Way("threads")
    devices = jax.devices()
    mesh = Mesh(np.array(devices), (sweep.Way().axis,)) if len(devices) > 1 else None
    return sweep.Way(options.batching, mesh)

"""The training of every experiment: all arms and seeds, side by side or together.

A run lies in a folder named after what determines it, `<kind>-<hash>/seed<n>`: experiments that need the same run share it.
"""

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from bnjax import sweep
from bnjax._host.processes import is_first
from bnjax.runs import provenance
from experiments._config import Options, RunConfig, change
from experiments._training.processes import Elsewhere
from experiments._training.run import Command, Run, config_errors
from experiments._training.saving import Saves
from experiments._training.signals import StopRequest
from experiments._training.tasks import make_task
from experiments._training.threads import SharedClock, run_all
from experiments._training.together import Together

Arms = Mapping[str, RunConfig]

_QUIET_SECONDS = 2.0  # before the bar appears: what is refused at once is answered in one line


def train_all(groups: dict[str, Arms], options: Options) -> dict[str, Any]:
    """Train every arm and seed of each group, or continue where they were left.

    Args:
        groups: configurations by name of the group and of the arm.
        options: where results and data are.

    Returns:
        {group: {arm: [curves of each seed]}, "provenance": of every command that trained, "seconds": that they took}.

    Raises:
        ConfigError: if a configuration cannot be run.
        MissingDataError: if a data set is not prepared.
        Interrupted: after a signal, once the state is saved.
        SaveError: if the last save of a run has failed.
        Elsewhere: in all but the first of several processes, once everything is trained.
    """
    with config_errors():
        tasks = {
            (group, arm): make_task(config.identity(), options.data_dir, _sharing(options))
            for group, arms in groups.items()
            for arm, config in arms.items()
        }
    with StopRequest() as stop, _progress_bar() as bar:
        saves = Saves(partial(tqdm.write, file=sys.stderr))
        command = Command(options, stop, SharedClock(), bar, provenance(), saves)
        runs = {
            (group, arm, seed): Run(config, tasks[group, arm], seed, arm.replace("_", " "), command)
            for group, arms in groups.items()
            for arm, config in arms.items()
            for seed in config.seeds
        }
        unlike = {run.folder: run for run in runs.values()}
        bar.total = sum(run.config.schedule.num_steps for run in unlike.values())
        if _sharing(options):
            run_all([partial(_finish_each, [*unlike.values()])], stop, parallel=1)
        elif _in_threads(options):
            # First one seed of every net: whatever trains side by side then compiles a program of its own.
            jobs = sorted(unlike.values(), key=lambda run: run.config.seeds.index(run.seed))
            run_all([run.finish for run in jobs], stop, options.parallel)
        else:
            for alike in _alike(unlike.values()):
                _train_together(alike, stop, options)
    saves.check()
    if not is_first():
        raise Elsewhere
    found = {
        group: {
            arm: [{"seed": seed, **runs[group, arm, seed].read()} for seed in config.seeds]
            for arm, config in arms.items()
        }
        for group, arms in groups.items()
    }
    origins = [origin for run in unlike.values() for origin in run.record()["provenance"]]
    return {
        **found,
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(run.record()["seconds"] for run in unlike.values()), 1),
    }


def _progress_bar() -> tqdm:
    """Make the bar that moves with every step."""
    return tqdm(unit="step", delay=_QUIET_SECONDS, dynamic_ncols=True, smoothing=0.05, disable=not is_first())


def _sharing(options: Options) -> Mesh | None:
    """Make the mesh of all devices, those of other processes included, where they share each batch."""
    shares = options.distributed or options.batching == "sharded"
    return Mesh(np.array(jax.devices()), ("batch",)) if shares else None


def _in_threads(options: Options) -> bool:
    """Tell whether each run takes its steps by itself."""
    return options.batching == "threads" or (options.batching == "auto" and jax.default_backend() == "cpu")


def _finish_each(runs: Iterable[Run]) -> None:
    """Train runs one after another, in the same order in all processes."""
    for run in runs:
        run.finish()


def _alike(runs: Iterable[Run]) -> list[list[Run]]:
    """Sort runs by what they are but for seed and learning rate."""
    groups: dict[RunConfig, list[Run]] = {}
    for run in runs:
        groups.setdefault(change(run.config.identity(), optimizer={"learning_rate": 1.0}), []).append(run)
    return [*groups.values()]


def _train_together(runs: list[Run], stop: StopRequest, options: Options) -> None:
    """Train runs that are alike, their steps as one program, spread over all devices."""
    devices = jax.devices()
    mesh = Mesh(np.array(devices), (sweep.Way().axis,)) if len(devices) > 1 else None
    way = sweep.Way(options.batching if options.batching in ("map", "vmap") else "auto", mesh)
    # NOTE: as many rows as there are runs, finished ones too: in a program of another size the others would round otherwise.
    together = Together(runs[0].task.stepper, len(runs), way, own_split=runs[0].task.own_data)

    def finish(run: Run) -> None:
        try:
            run.finish(together.run_steps)
        finally:
            together.leave()

    run_all([partial(finish, run) for run in runs], stop, parallel=len(runs))

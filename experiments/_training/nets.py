"""The nets of experiments, each trained from one seed: finished runs are read, others are trained or resumed.

The folder of a run is named after the settings that determine its numbers, `<kind>-<hash>/seed<n>`; experiments that need the
same run share it. A run that lacks a probe is trained again in a folder beside it; the new run replaces it once finished.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from bnjax import sweep, train
from bnjax._host.output import say
from bnjax._host.processes import is_first, largest
from bnjax.runs import (
    LockedError,
    check_no_link,
    folder_name,
    is_locked,
    latest_step,
    lock,
    parse_lines,
    write_json,
)
from experiments._config import Options, RunConfig, change, duration
from experiments._config.probes import Probe as Settings
from experiments._training.asked import RECALIBRATED_TEST, TEST, Asked, lacking, log_name, plan_of, union
from experiments._training.errors import BusyError, config_errors
from experiments._training.evaluation import evaluate
from experiments._training.probes import Probe
from experiments._training.processes import Elsewhere
from experiments._training.store import Found, again_of, all_asked, find_finished, name_of, read_asked, settle
from experiments._training.tasks import Task
from experiments._training.train import chooses
from experiments._training.train import train as train_groups


class Net(NamedTuple):
    """A net of an experiment, trained from one seed.

    Attributes:
        config: configuration of the run; its measurements play no role here.
        task: data, trainer and probes.
        asked: the experiment's request.
        seed: of weights, batches and noise.
        label: its name on the progress bar.
        folder: folder of the run, which may not exist.
    """

    config: RunConfig
    task: Task
    asked: Asked
    seed: int
    label: str
    folder: Path


def net_name(net: Net) -> str:
    """Return the name of a net's folder without the facts about its data and how weights are drawn."""
    return folder_name(net.config.kind, net.config.identity())


class Job(NamedTuple):
    """A run that is to be trained.

    Attributes:
        nets: the nets that share it.
        folder: folder in which it is trained.
        num_steps: number of steps.
        asked: requests of these nets, and of the run before.
        before: the finished run that it replaces; None if it continues, or there is none.
        lacks: requested measurements that are missing from that run, or from an unfinished one.
    """

    nets: tuple[Net, ...]
    folder: Path
    num_steps: int
    asked: frozenset[Asked]
    before: Found | None = None
    lacks: tuple[str, ...] = ()

    @property
    def net(self) -> Net:
        """One of the nets, which differ only in their requests."""
        return self.nets[0]


def train_nets(
    nets: Iterable[Net], options: Options, beside: Iterable[Net] = (), packed: Mapping[Path, Found] = {}
) -> dict[Path, Found]:
    """Train or resume every net that is not finished.

    Args:
        nets: nets of an experiment; nets that share a folder are one run.
        options: where results are, and how runs share the machine.
        beside: nets of later experiments; their requests for a run that is trained here are fulfilled at once.
        packed: packed finished runs, by the folder in which they would lie.

    Returns:
        The finished runs by their folders.

    Raises:
        ConfigError: if a net cannot be trained, or not from the state in its folder; as BusyError, once all others are trained,
            if another process still trains it.
        MissingDataError: if a data set is not prepared.
        Interrupted: after a signal, once the state is saved.
        SaveError: if the last save of a run has failed.
        Elsewhere: in all but the first of several processes, once everything is trained.
    """
    runs = _by_folder(nets)
    later = _by_folder(net for net in beside if net.folder in runs)
    found: dict[Path, Found] = {}
    busy: list[BusyError] = []
    for _ in range(2):  # runs in use by other processes come last, and may be finished by then
        left = {folder: same for folder, same in runs.items() if any(largest(is_first() and folder not in found))}
        busy = _train(left, later, packed, options, found) if left else []
    for error in busy:
        raise error
    if not is_first():
        raise Elsewhere
    return found


def _train(
    runs: Mapping[Path, Sequence[Net]],
    later: Mapping[Path, Sequence[Net]],
    packed: Mapping[Path, Found],
    options: Options,
    found: dict[Path, Found],
) -> list[BusyError]:
    """Train unfinished runs, except for those in use by another process; add the finished runs to `found`.

    Returns:
        An error for each run that was skipped.
    """
    jobs, busy = [], []
    for folder, same in runs.items():
        error = _settle(folder)
        finished = find_finished(folder, _choices(same))
        done = _first_that_covers(same, finished, packed.get(folder))
        if done:
            found[folder] = done
        elif error:
            busy.append(error)
        else:
            jobs.append(_make_job((*same, *later.get(folder, [])), finished, packed.get(folder)))
    largest(0)  # all processes have read the files that the first one is about to write
    for line in _notes(jobs):
        say(line)
    for job in jobs:
        _keep_asked(job)
    try:
        train_groups([_make_group(same, options) for same in _by_program(jobs)], options)
    except BusyError as error:
        busy.append(error)
    for job in jobs:
        error, folder = _settle(job.net.folder), job.net.folder
        done = _first_that_covers(runs[folder], find_finished(folder, _choices(job.nets)))
        if done:
            found[folder] = done
        else:
            busy.append(
                error or BusyError(f"Another process has trained {folder} meanwhile; the same command continues.")
            )
    return busy


def _settle(folder: Path) -> BusyError | None:
    """Move a finished replacement into a run's folder; return an error if another process uses either."""
    try:
        with config_errors():
            check_no_link(folder)
            for place in (folder, again_of(folder)):
                if is_locked(place):
                    raise LockedError(f"Another process is at work in {place}.")
            if is_first():
                settle(folder)
            largest(0)  # the other processes wait for the first
    except BusyError as error:
        return error
    return None


def _first_that_covers(same: Iterable[Net], *runs: Found | None) -> Found | None:
    """Return the first of some finished runs that fulfils the requests of all nets."""
    return next((run for run in runs if run and all(run.covers(net.asked) for net in same)), None)


def _by_folder(nets: Iterable[Net]) -> dict[Path, list[Net]]:
    """Group the nets by run."""
    runs: dict[Path, list[Net]] = {}
    for net in nets:
        runs.setdefault(net.folder, []).append(net)
    return runs


def _choices(nets: Iterable[Net]) -> dict[str, type[Settings]]:
    """Return the probes by kind that can be measured for one of the nets."""
    return {kind: choice for net in nets for kind, choice in net.task.choices.items()}


def _make_job(nets: tuple[Net, ...], finished: Found | None, packed: Found | None) -> Job:
    """Decide where a run is trained: from its last checkpoint, or again in a folder beside it if it lacks something.

    Earlier measurements are repeated; the planned length of a run that was stopped does not count.
    """
    folder, again, choices = nets[0].folder, again_of(nets[0].folder), _choices(nets)
    asked = frozenset(net.asked for net in nets)
    length = max(one.num_steps for one in asked)
    step = latest_step(folder / "checkpoints") or 0

    def with_those(num_steps: int, *before: Iterable[Asked]) -> frozenset[Asked]:
        return asked.union(*[[one.clipped(num_steps) for one in some] for some in before])

    num_steps = max(length, step)
    more = with_those(num_steps, all_asked(read_asked(folder), choices), packed.asked if packed else ())
    lacks = _lacks(folder, more, num_steps)
    if not lacks and (step or not finished):
        return Job(nets, folder, num_steps, more, None if step else packed)
    num_steps = max(length, finished.num_steps if finished else 0, latest_step(again / "checkpoints") or 0)
    more = with_those(num_steps, more, all_asked(read_asked(again), choices))
    return Job(nets, again, num_steps, more, finished, lacks)


def _lacks(folder: Path, asked: Iterable[Asked], num_steps: int) -> tuple[str, ...]:
    """List the requested measurements that the run in a folder lacks up to its last checkpoint, where it can resume.

    NOTE: an unreadable log lacks nothing here: the run returns to a checkpoint before the damage, or reports the damage.
    """
    step, log = latest_step(folder / "checkpoints"), folder / "metrics.jsonl"
    try:
        whole, _, _ = log.read_bytes().rpartition(b"\n")
        lines = parse_lines(whole, log) if step else []
        diverged = [line["step"] for line in lines if line["kind"] == "diverged"]
        # Measurements that are due at the checkpoint's step are made when the run resumes.
        end = min([*diverged, step if step == num_steps else step - 1]) if step else 0
        return tuple(lacking(lines, union(asked), end)) if step else ()
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _keep_asked(job: Job) -> None:
    """Save the requests for a run; remove a partial replacement that was trained for fewer measurements."""
    if not is_first():
        return
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.suppress(ValueError),
        lock(job.folder, joined=False),
    ):  # a run that another process has locked is refused later
        if job.folder != job.net.folder and _lacks(job.folder, job.asked, job.num_steps):
            for path in job.folder.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        known = [one.as_json() for one in sorted(job.asked, key=repr)]
        before = [*read_asked(job.folder), *read_asked(job.net.folder)]
        others = [
            one for i, one in enumerate(before) if one not in before[:i] and not all_asked([one], _choices(job.nets))
        ]
        asked = {"net": net_name(job.net), "seed": job.net.seed, "asked": known + others}
        write_json(job.folder / "asked.json", asked)


def _notes(jobs: Iterable[Job]) -> list[str]:
    """Explain why existing runs start again at step 0, and how long that takes."""
    notes = []
    for job in jobs:
        is_again, before = job.folder != job.net.folder, job.before
        if not (is_again or before) or latest_step(job.folder / "checkpoints"):
            continue
        kinds = sorted({lack.partition("-")[0].replace("_", " ") for lack in job.lacks})
        reasons = [f"lacks some of what is measured now ({', '.join(kinds)})"] if kinds else []
        if before and before.place.is_file():
            reasons += [f"is packed with {before.num_steps:,} steps, without its checkpoints"]
        reason = " and ".join(reasons) or "has no checkpoint to go on from"
        cost = ""
        if before:
            seconds = before.seconds * job.num_steps / max(1, before.num_steps)
            cost = f" in about {duration(seconds)}; until then, the finished one of {before.num_steps:,} steps stays"
        name = f"{name_of(job.net.folder)} ({job.net.label})"
        notes.append(f"{name} {reason}: it is trained from step 0 to {job.num_steps:,}{cost}.")
    return notes


def _by_program(jobs: Iterable[Job]) -> list[list[Job]]:
    """Group nets with equal requests that differ only in seed and learning rate: one program trains them."""
    groups: dict[Any, list[Job]] = {}
    for job in jobs:
        alike = change(job.net.config.net(), optimizer={"learning_rate": 1.0})
        groups.setdefault((alike, job.asked, job.num_steps), []).append(job)
    return [*groups.values()]


def _make_group(jobs: Sequence[Job], options: Options) -> sweep.Group:
    """Make the group of nets that one program trains; a learning rate is part of a state."""
    task = jobs[0].net.task
    keys = jax.vmap(jax.random.key)(np.array([job.net.seed for job in jobs], np.uint32))
    program = sweep.Program(tuple(range(len(jobs))), _same(task.stepper), {}, keys)
    members = [_make_member(job) for job in jobs]
    plan = plan_of(jobs[0].num_steps, jobs[0].asked)
    is_together = task.together and len(jobs) > 1 and chooses(options)
    way = sweep.Way("vmap") if is_together else None
    return sweep.Group(program, plan, members, task.own_data, task.loss_scale, way)


def _make_member(job: Job) -> sweep.Member:
    """Make a net's member of a group."""
    net, task, steps = job.net, job.net.task, union(job.asked)

    def start(inputs: Array) -> train.TrainState:
        return train.init_state(task.trainer, jax.random.key(net.seed), inputs)

    def test(trainer: train.Trainer, state: train.TrainState, dataset: Any, again: bool) -> dict[str, float]:
        return evaluate(net.config, trainer, state, dataset, recalibrated=again)

    settings = {log_name(probe): probe for asked in job.asked for probe in asked.probes}
    makers = {kind: each.task.make_probe for each in job.nets for kind in each.task.choices}
    measured = {
        name: _host_probe(makers[settings[name].kind](settings[name]), steps[name]) for name in sorted(settings)
    }
    probes = {name: probe for name, probe in measured.items() if not settings[name].at_tests}
    tests: dict[str, sweep.HostProbe] = {
        name: sweep.HostProbe(partial(test, again=name == RECALIBRATED_TEST), None, frozenset(steps[name]))
        for name in (TEST, RECALIBRATED_TEST)
        if name in steps
    }
    tests |= {name: probe for name, probe in measured.items() if name not in probes}
    return sweep.Member(net.label, name_of(net.folder), job.folder, partial(task.load, net.seed), start, probes, tests)


def _host_probe(probe: Probe, steps: Iterable[int]) -> sweep.HostProbe:
    """Wrap a probe, which already has its trainer."""
    measure = probe.measure
    return sweep.HostProbe(lambda _trainer, state, split: measure(state, split), probe.split, frozenset(steps))


@cache
def _same(trainer: train.Trainer) -> Callable[[], train.Trainer]:
    """Return a function that returns a trainer, the same one for equal trainers: compiled programs belong to it."""
    return lambda: trainer

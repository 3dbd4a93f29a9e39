"""The training loop: runs are measured, trained and tested chunk by chunk, side by side or together in one program.

Runs of a group that are trained together wait for the one that has taken the fewest steps: resumed runs keep their bits.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from bnjax import train
from bnjax._host import groups as measured
from bnjax._host.output import harmless, say, warn
from bnjax._host.processes import largest
from bnjax._host.programs import free_programs
from bnjax.data import Split
from bnjax.runs import provenance
from bnjax.sweep.plan import Group, HostProbe
from bnjax.sweep.run import BusyError, Run, RunError, Session
from bnjax.sweep.saving import Saves
from bnjax.sweep.signals import Interrupted, StopRequest
from bnjax.sweep.steps import Probe, measure, run_steps, settle_way
from bnjax.sweep.threads import SharedClock, run_all
from bnjax.sweep.ways import AUTO, Way, resolve, stack, unstack
from bnjax.train import Metrics, Trainer, TrainState

_SAVING = 0.02  # largest share of the time spent on checkpoints


def train_groups(
    groups: Sequence[Group],
    *,
    way: Way = AUTO,
    parallel: int | None = None,
    save_seconds: float = 60.0,
    report: Callable[[str], object] = say,
    warn: Callable[[str], object] = warn,
    progress: Callable[[int, str], object] = lambda _num_steps, _words: None,
    keep_states: bool = False,
) -> list[list[Run]]:
    """Train every run of each group to its end, or continue where it was left.

    After a signal (Ctrl-C, SIGTERM or SIGHUP), runs with a folder finish their chunk and save; a second signal ends the process
    at once. Runs whose folders are in use by other processes are left out; the others are trained first.

    Args:
        groups: of runs; in threads and loops each run is trained by itself.
        way: how runs share the machine, except for groups that have their own way.
        parallel: how many runs train at once in threads; None is one per core on CPU, else one.
        save_seconds: least time between two checkpoints of a run; more where saving would take more than 2 % of the time. 0 is
            a checkpoint after every chunk.
        report: called with one line when a damaged checkpoint is skipped.
        warn: called with one line when a save fails, and when saves succeed again.
        progress: called with a number of steps that are done, and words about the run.
        keep_states: keep the last states in the returned runs.

    Returns:
        The runs of each group.

    Raises:
        RunError: if a run cannot be trained, or cannot be continued from its folder.
        Interrupted: after a signal, once the runs are saved.
        SaveError: if the last save of a run has failed.
        BusyError: if another process is using the folder of a run; raised once all other runs are trained.

    Example:
        >>> from functools import partial
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=[0]))
        >>> split = data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> start, load = partial(train.init_state, trainer, jax.random.key(0)), lambda: data.Dataset(split, split)
        >>> members = [sweep.Member("run 0", "run0", None, load, start, {}, {})]
        >>> ((run,),) = sweep.train_groups([sweep.Group(program, sweep.make_plan(4, 2), members)], keep_states=True)
        >>> print(run.step, run.state.step)
        4 4
    """
    batching = resolve(way)
    members = [member for group in groups for member in group.members]
    on_disk = any(member.folder is not None for member in members)
    with StopRequest() if on_disk else contextlib.nullcontext(StopRequest()) as stop:
        origin = provenance() if on_disk else {}
        session = Session(
            stop, SharedClock(), Saves(harmless(warn)), origin, save_seconds, progress, report, keep_states, []
        )
        crews = [_make_runs(group, session) for group in groups]
        apart, together = [], []
        for group, crew in zip(groups, crews, strict=True):
            (apart if resolve(group.way or way) in ("loop", "threads") else together).append((group, crew))
        jobs = [partial(_finish, *alone, Way("loop"), session) for alone in _one_by_one(apart)]
        jobs += [partial(_finish, *both, both[0].way or way, session) for both in together]
        try:
            run_all(jobs, stop, parallel if batching == "threads" else 1)
        except Interrupted as stopped:
            saved = [run.member.folder for crew in crews for run in crew if run.member.folder and run.is_saved()]
            raise Interrupted(stopped.signal_number, saved) from None
    session.saves.check()
    for error in session.busy:
        raise error
    return crews


def _make_runs(group: Group, session: Session) -> list[Run]:
    """Make the runs of a group; if they differ in no number, they share a trainer, which is compiled once."""
    numbers = group.program.numbers
    make_trainer = group.program.make_trainer
    if not numbers:
        trainer = make_trainer()
        return [Run(member, group.plan, lambda: trainer, session) for member in group.members]

    def make(row: int) -> Trainer:
        return make_trainer(**{name: float(values[row]) for name, values in numbers.items()})

    return [Run(member, group.plan, partial(make, row), session) for row, member in enumerate(group.members)]


def _one_by_one(pairs: Sequence[tuple[Group, list[Run]]]) -> list[tuple[Group, list[Run]]]:
    """List groups of one run: first one of each group, so that threads compile different programs side by side."""
    rows = [[(group.alone(i), [run]) for i, run in enumerate(crew)] for group, crew in pairs]
    return [alone for row in itertools.zip_longest(*rows) for alone in row if alone]


def _finish(group: Group, runs: list[Run], way: Way, session: Session) -> None:
    """Train the runs of a group to their end."""
    with contextlib.ExitStack() as stack:
        ours = []
        for run in runs:
            try:
                stack.enter_context(run.held())
                ours.append(run)
            except BusyError as error:
                session.busy.append(error)
        waiting = [run for run in ours if not run.is_over()]
        if waiting:
            session.check()
        for run in waiting:
            stack.enter_context(run.opened())
        Crew(group, runs, way, session).train()
    free_programs(share=0.5)


class Crew:
    """The runs of a group, which take their steps together."""

    def __init__(self, group: Group, runs: list[Run], way: Way, session: Session):
        self.group, self.runs, self.way, self.session = group, runs, way, session
        self._saved_at, self._pause = time.perf_counter(), session.save_seconds

    def train(self) -> None:
        """Take chunk after chunk, until every run is finished."""
        if resolve(self.way) == "measured" and (waiting := self._waiting()):
            self._settle_way(waiting)
        while waiting := self._waiting():
            step = min(run.step for run in waiting)
            active = [run for run in waiting if run.step == step]
            self.take_chunk(active)
            self._save(active)

    def _waiting(self) -> list[Run]:
        """Return the runs that have steps to take."""
        return [run for run in self.runs if run.state is not None and not run.finished]

    def _settle_way(self, waiting: list[Run]) -> None:
        """Measure how many runs are fastest together, unless a run has recorded it, and record it in all runs."""
        choices = {key: trials for run in reversed(self.runs) for key, trials in run.choices.items()}
        with measured.kept_in(choices):
            self.way = settle_way(
                self.group.program,
                self._states(waiting),
                self._data("train"),
                own_split=self.group.own_data,
                way=self.way,
            )
        for run in self.runs:
            run.choices = choices | run.choices

    def take_chunk(self, active: list[Run]) -> None:
        """Measure, train and test runs that have taken the same number of steps."""
        plan, start = self.group.plan, active[0].step
        stop = plan.end_of_chunk(start)
        self._test(active)
        self._probe(active)
        self._take_steps(active, stop - start)
        active = [run for run in active if not run.diverged]
        self._test(active)
        if stop == plan.num_steps:
            self._probe(active)

    def _take_steps(self, active: list[Run], num_steps: int) -> None:
        """Take the steps of a chunk."""
        program = self.group.program
        if len(self.runs) == 1 and not program.numbers and self.way.batching == "loop":
            # NOTE: without copies, and bit-identical to a hand-written loop.
            (run,) = active
            assert run.state is not None
            found = train.run_steps(run.make_trainer(), run.state, self._data("train"), num_steps=num_steps)
            run.advance(found[0], found[1], self.group.loss_scale)
            return
        found = run_steps(
            program,
            self._states(active),
            self._data("train"),
            num_steps=num_steps,
            active=self._mask(active),
            own_split=self.group.own_data,
            way=self.way,
        )
        steps: list[tuple[TrainState, Metrics]] = unstack(found)
        for run, each in zip(self.runs, steps, strict=True):
            if run in active:
                run.advance(*each, self.group.loss_scale)

    def _probe(self, active: list[Run]) -> None:
        """Run the probes that come before a chunk."""
        if active and active[0].step in self.group.plan.probe_steps:
            for name in active[0].member.probes:
                self._measure(name, {run: run.member.probes[name] for run in active}, "train")

    def _test(self, active: list[Run]) -> None:
        """Run the probes and tests that come after a chunk."""
        if active and active[0].step in self.group.plan.test_steps:
            for name in active[0].member.tests:
                self._measure(name, {run: run.member.tests[name] for run in active}, "test")

    def _measure(self, name: str, probes: Mapping[Run, Probe | HostProbe], split: str) -> None:
        """Measure runs that were not measured yet: one by one for a HostProbe, otherwise batched as for steps."""
        probes = {run: probe for run, probe in probes.items() if _is_due(probe, run.step) and not run.has(name)}
        active = [*probes]
        for run, probe in probes.items():
            if isinstance(probe, HostProbe):
                data: Any = run.dataset if probe.split is None else getattr(run.dataset, probe.split)
                assert run.state is not None
                with measured.kept_in(run.choices):
                    run.note(name, probe.measure(run.make_trainer(), run.state, data))
        first = next(iter(probes.values()), None)
        if first is not None and not isinstance(first, HostProbe):
            options: Any = {"active": self._mask(active), "own_split": self.group.own_data, "way": self.way}
            with _pure(name):
                found = measure(first, self.group.program, self._states(active), self._data(split), **options)
            found = jax.tree.map(np.asarray, found)
            for i, run in enumerate(self.runs):
                if run in active:
                    run.note(name, flat(jax.tree.map(lambda leaf, i=i: leaf[i], found)))

    def _save(self, active: list[Run]) -> None:
        """Save finished runs, and all active runs when due; raise Interrupted if runs are to stop."""
        stop, now = self.session.stop, time.perf_counter()
        asked, is_due = largest(stop.asked, now - self._saved_at >= self._pause)
        for run in active:
            if run.finished or asked or is_due:
                run.save()
        if is_due:
            self._saved_at, self._pause = time.perf_counter(), self.session.save_seconds
            if self._pause and not any(run.failed_to_save() for run in active):
                self._pause = max(self._pause, (self._saved_at - now) / _SAVING)
        if asked:
            self.session.check()

    def _mask(self, active: list[Run]) -> np.ndarray:
        """Return which rows of the program are active."""
        return np.array([run in active for run in self.runs])

    def _states(self, active: list[Run]) -> TrainState:
        """Stack the states of all runs; another state fills the rows of runs that were finished before.

        NOTE: there are always as many rows as runs, since a program of another size would round differently.
        """
        return stack([active[0].state if run.state is None else run.state for run in self.runs])

    def _data(self, split: str) -> Split:
        """Return a split of the runs' data: one for all runs, or a stack with one for each."""
        known = [run.dataset for run in self.runs if run.dataset is not None]
        if not self.group.own_data or (len(self.runs) == 1 and self.way.batching == "loop"):
            return getattr(known[0], split)
        return stack([getattr(run.dataset or known[0], split) for run in self.runs])


def _is_due(probe: Probe | HostProbe, step: int) -> bool:
    """Return whether a probe is measured at a step of the plan."""
    return not isinstance(probe, HostProbe) or probe.steps is None or step in probe.steps


@contextlib.contextmanager
def _pure(name: str) -> Iterator[None]:
    """Shorten JAX's error for a probe that is not a pure function to one line."""
    try:
        yield
    except jax.errors.JAXTypeError as error:
        rule = f"{name} must be a pure function of JAX arrays, or be wrapped as sweep.HostProbe(...)"
        raise RunError(f"{rule}: {str(error).splitlines()[0]}") from error


def flat(tree: PyTree) -> Mapping[str, Any]:
    """Name the leaves of a probe's result by their paths, or `value` for a single array."""
    named = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "value": leaf for path, leaf in named}

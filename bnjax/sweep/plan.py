"""Groups of runs that one program can train, and their measurements."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jax import Array

from bnjax._host.arguments import checked, described
from bnjax.data import Dataset
from bnjax.sweep.grid import Program, only
from bnjax.sweep.steps import Probe
from bnjax.sweep.ways import Way
from bnjax.train import TrainState


class Plan(NamedTuple):
    """The steps of a run, and before which of them it is measured or tested; the steps in between form a chunk.

    Attributes:
        num_steps: length of the run.
        probe_steps: how many steps were taken before each measurement, ascending.
        test_steps: how many steps were taken before each test, ascending.
    """

    num_steps: int
    probe_steps: Sequence[int]
    test_steps: Sequence[int]

    def end_of_chunk(self, step: int) -> int:
        """Return the step at which the chunk that begins at `step` ends."""
        return min(stop for stop in (*self.probe_steps, *self.test_steps, self.num_steps) if stop > step)


@checked()
def make_plan(num_steps: int, chunk_size: int, test_every: int | None = None) -> Plan:
    """Make a plan of chunks of one size: a measurement before each, and a test after some of them and after the last.

    Args:
        num_steps: length of the run.
        chunk_size: steps between measurements.
        test_every: steps between tests, a multiple of chunk_size; None tests at the end alone.

    Returns:
        Plan.

    Raises:
        ValueError: if a number is less than 1, or test_every is not a multiple of chunk_size.

    Example:
        >>> from bnjax import sweep
        >>> plan = sweep.make_plan(100, 25, test_every=50)
        >>> print([*plan.probe_steps], plan.test_steps, plan.end_of_chunk(0))
        [0, 25, 50, 75] (50, 100) 25
    """
    test_every = num_steps if test_every is None else test_every
    num_steps, chunk_size, test_every = int(num_steps), int(chunk_size), int(test_every)
    if test_every % chunk_size and test_every < num_steps:
        raise ValueError(f"test_every must be a multiple of chunk_size, {chunk_size}, got {test_every}.")
    return Plan(num_steps, range(0, num_steps, chunk_size), (*range(test_every, num_steps, test_every), num_steps))


class HostProbe(NamedTuple):
    """A probe that is called without compilation, run by run, so it may use NumPy and any other code.

    Attributes:
        measure: maps (trainer, state, split) to numbers, arrays or lists by name.
        split: part of the data set that it gets; None is the whole data set.
        steps: steps of the plan at which it is measured, in `train_grid` multiples of chunk_size; None is all of them.

    Example:
        >>> from bnjax import sweep
        >>> probe = sweep.HostProbe(lambda trainer, state, split: {"step": int(state.step)}, steps=(0, 100))
        >>> print(probe.split, probe.steps)
        train (0, 100)
    """

    measure: Callable[[Any, TrainState, Any], Mapping[str, Any]]
    split: Literal["train", "test"] | None = "train"
    steps: Collection[int] | None = None


Probes = Mapping[str, Probe | HostProbe]


def check_probes(probes: Any, plan: Plan) -> None:
    """Raise unless probes are functions or HostProbes by name, each with a known split and a step of the plan.

    Args:
        probes: measurements before chunks.
        plan: of the runs that are measured.

    Raises:
        ValueError: with a line that names what is wrong, and where.
    """
    if not isinstance(probes, Mapping):
        raise ValueError(f"probes must be a dictionary of probes by name, got {described(probes)}.")
    for name, probe in probes.items():
        if not isinstance(probe, HostProbe):
            if not callable(probe):
                raise ValueError(f"probes must be functions or HostProbes, got {described(probe)} for {name!r}.")
            continue
        if probe.split not in (None, "train", "test"):
            raise ValueError(f"split must be 'train', 'test' or None, got {described(probe.split)} for {name!r}.")
        if not isinstance(probe.steps, Collection | None) or isinstance(probe.steps, str):
            raise ValueError(f"steps must be a list of steps or None, got {described(probe.steps)} for {name!r}.")
        steps = None if probe.steps is None else list(probe.steps)
        if steps and not any(step in plan.probe_steps for step in steps):
            rule = "steps must hold one or more of those before chunks, which are chunk_size apart"
            raise ValueError(f"{rule}, got {described(steps)} for {name!r} and chunks from {_listed(plan)}.")


def _listed(plan: Plan) -> str:
    """List the first steps at which probes are measured, and the last."""
    steps = [str(step) for step in plan.probe_steps]
    return ", ".join(steps if len(steps) < 5 else [*steps[:3], "...", steps[-1]])


class Member(NamedTuple):
    """One run of a group.

    Attributes:
        label: its name on the progress bar.
        name: its name in its checkpoints, which identifies checkpoints of other runs.
        folder: holds its log and checkpoints; None keeps the log in memory.
        load: returns its data set.
        start: makes its first state, given inputs of the model's shape.
        probes: measurements before chunks, by name. A HostProbe may be this member's own; other probes are the group's.
        tests: measurements after chunks, by name; probes here get the test split.

    Example:
        >>> from functools import partial
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> start, load = partial(train.init_state, trainer, jax.random.key(0)), partial(data.load, "digits")
        >>> member = sweep.Member("run 0", "run0", None, load, start, {}, {})
        >>> print(len(member.load().test.labels), member.start(jnp.ones((1, 4))).step)
        297 0
    """

    label: str
    name: str
    folder: Path | None
    load: Callable[[], Dataset]
    start: Callable[[Array], TrainState]
    probes: Probes
    tests: Probes


class Group(NamedTuple):
    """Runs that one program can train, and that share a plan.

    Attributes:
        program: of these runs, whose rows are the members.
        plan: of each.
        members: the runs.
        own_data: each run has training data of its own.
        loss_scale: factor of the losses on the progress bar.
        way: how its runs share the machine; None is the way of the call.

    Example:
        >>> from functools import partial
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> (program,), load = sweep.programs(lambda: trainer, sweep.grid(seed=range(2))), partial(data.load, "digits")
        >>> starts = [partial(train.init_state, trainer, key) for key in program.keys]
        >>> members = [sweep.Member(f"run {i}", f"run{i}", None, load, start, {}, {}) for i, start in enumerate(starts)]
        >>> group = sweep.Group(program, sweep.make_plan(4, 2), members)
        >>> print(group.alone(1).program.rows, group.alone(1).members[0].label)
        (1,) run 1
    """

    program: Program
    plan: Plan
    members: Sequence[Member]
    own_data: bool = False
    loss_scale: float = 1.0
    way: Way | None = None

    def alone(self, row: int) -> "Group":
        """Return the group that consists of one of its members."""
        return self._replace(program=only(self.program, row), members=[self.members[row]])

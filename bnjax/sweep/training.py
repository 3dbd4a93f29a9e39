"""A grid of runs from start to end: their curves, what is measured on the way, and one checkpoint for all of them."""

import contextlib
import os
import re
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from bnjax._host.digest import digest
from bnjax._host.progress import progress_bar
from bnjax.data import Dataset
from bnjax.runs import CheckpointError, Checkpoints, lock
from bnjax.sweep.grid import Fields, Program, programs
from bnjax.sweep.steps import MakeTrainer, Probe, evaluate, init_states, measure, run_steps
from bnjax.sweep.ways import AUTO, Way, unstack
from bnjax.train import TrainState


class GridResult(NamedTuple):
    """What became of the runs of a grid, in its order; NaN is what a run that diverged did not come to.

    Attributes:
        runs: the fields of each.
        loss: of each step's batch, before the step, (runs, steps).
        accuracy: of each step's batch, (runs, steps).
        test_step: how many steps were taken before each test, (tests,).
        test_loss: over all test examples, (runs, tests).
        test_accuracy: over all test examples, (runs, tests).
        probe_step: how many steps were taken before each measurement, (chunks,).
        probes: by name, what was measured, (runs, chunks, ...).
        diverged_at: the step whose loss was not finite, or None.
        states: at the end, or at the end of the chunk in which the run diverged.
    """

    runs: list[dict[str, Any]]
    loss: Float[np.ndarray, "runs steps"]
    accuracy: Float[np.ndarray, "runs steps"]
    test_step: np.ndarray
    test_loss: Float[np.ndarray, "runs tests"]
    test_accuracy: Float[np.ndarray, "runs tests"]
    probe_step: np.ndarray
    probes: dict[str, PyTree]
    diverged_at: list[int | None]
    states: list[TrainState]


def train_grid(
    make_trainer: MakeTrainer,
    runs: Sequence[Fields],
    dataset: Dataset,
    *,
    num_steps: int,
    chunk_size: int = 100,
    test_every: int | None = None,
    probes: Mapping[str, Probe] = {},
    fixed: Collection[str] = (),
    way: Way = AUTO,
    folder: str | os.PathLike | None = None,
    save_seconds: float = 60.0,
    show_progress: bool = True,
) -> GridResult:
    """Train every run of a grid; each comes out as if it had been alone, up to rounding where runs are batched.

    Runs that differ in seeds and in numbers are one program, others are several. A run whose loss is not finite is trained no
    further; it does not disturb the others.

    Args:
        make_trainer: called with the fields of a run but its seed, which gives the run's key; see `programs`.
        runs: the fields of each, as `grid` lists them.
        dataset: for all of them.
        num_steps: of each run.
        chunk_size: steps between measurements, taken as one program.
        test_every: steps between tests, a multiple of chunk_size; the last step is always followed by one. None is no other.
        probes: what is measured before each chunk, by name; see `measure`.
        fixed: floats that `make_trainer` gets as they are.
        way: how runs share the machine.
        folder: keeps a checkpoint of the whole grid; the same call then continues where it was stopped. Of another model or
            optimiser than before only what shows in the shapes of a state is noticed.
        save_seconds: least time between two checkpoints.
        show_progress: show a bar on a terminal.

    Returns:
        GridResult.

    Raises:
        ValueError: if the grid, a number of steps or the way is none, or the folder holds another grid or is in use.
        CheckpointError: if the folder's checkpoints are damaged, every one, or the last one cannot be written.
    """
    plan = _Plan(num_steps, chunk_size, num_steps if test_every is None else test_every)
    _check(plan)
    parts = [_Part(program, plan, dataset, dict(probes), way) for program in programs(make_trainer, runs, fixed=fixed)]
    total = num_steps * len(runs)
    with contextlib.ExitStack() as stack:
        save = stack.enter_context(_saved(folder, parts, lambda: _describe(plan, runs, parts)))
        done = sum(part.step * len(part.program.rows) for part in parts)
        advance = stack.enter_context(progress_bar("steps", total=total, done=done, show=show_progress))
        saved_at = time.monotonic()
        for part in parts:
            while part.step < num_steps:
                advance(part.take_chunk() * len(part.program.rows))
                if time.monotonic() - saved_at >= save_seconds:
                    with _only_told():
                        save()
                    saved_at = time.monotonic()
        save()
    return _join(parts, plan, [dict(run) for run in runs])


class _Plan(NamedTuple):
    """When what is done."""

    num_steps: int
    chunk_size: int
    test_every: int

    @property
    def chunk_steps(self) -> np.ndarray:
        """The first step of each chunk."""
        return np.arange(0, self.num_steps, self.chunk_size)

    @property
    def test_steps(self) -> np.ndarray:
        """The steps before which runs are tested."""
        return np.unique([*range(self.test_every, self.num_steps, self.test_every), self.num_steps])


class _Part:
    """The runs of one program, and all that is known of them."""

    def __init__(self, program: Program, plan: _Plan, dataset: Dataset, probes: dict[str, Probe], way: Way):
        self.program, self.plan, self.dataset, self.probes, self.way = program, plan, dataset, probes, way
        inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
        self.step = 0
        self.states = init_states(program, inputs)
        num_runs = len(program.rows)
        steps, tests = (num_runs, plan.num_steps), (num_runs, len(plan.test_steps))
        self.diverged_at = np.full(num_runs, -1, np.int32)
        self.curves: dict[str, Any] = {
            "loss": np.full(steps, np.nan, np.float32),
            "accuracy": np.full(steps, np.nan, np.float32),
            "test_loss": np.full(tests, np.nan, np.float32),
            "test_accuracy": np.full(tests, np.nan, np.float32),
            "probes": {name: jax.tree.map(self._empty, self._shape(probe)) for name, probe in probes.items()},
        }

    @property
    def active(self) -> np.ndarray:
        """Which runs have not diverged."""
        return self.diverged_at < 0

    def take_chunk(self) -> int:
        """Measure, train and test once; return how many steps were taken."""
        start, num_steps = self.step, min(self.plan.chunk_size, self.plan.num_steps - self.step)
        chunk = start // self.plan.chunk_size
        for name, probe in self.probes.items():
            _put(self.curves["probes"][name], chunk, self._call(measure, probe))
        self.states, metrics = self._call(run_steps, num_steps=num_steps)
        stop = self.step = start + num_steps
        losses, self.curves["accuracy"][:, start:stop] = (np.asarray(values) for values in metrics)
        self.curves["loss"][:, start:stop] = losses
        failed = self.active & ~np.isfinite(losses).all(1)
        self.diverged_at[failed] = start + np.argmin(np.isfinite(losses[failed]), axis=1)
        for test in np.flatnonzero(self.plan.test_steps == stop):
            found = self._call(evaluate, split=self.dataset.test)
            self.curves["test_loss"][:, test], self.curves["test_accuracy"][:, test] = found
        return num_steps

    def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function of many runs for these."""
        options = {"split": self.dataset.train, "active": self.active, "way": self.way, **options}
        return function(*arguments, self.program, self.states, **options)

    def _shape(self, probe: Probe) -> PyTree:
        """Find out what a probe returns for all runs, without computing it."""
        return jax.eval_shape(lambda: self._call(measure, probe, way=Way("map")))

    def _empty(self, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        """Make room for a measurement of each run before each chunk."""
        nothing = np.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
        return np.full((leaf.shape[0], len(self.plan.chunk_steps), *leaf.shape[1:]), nothing, leaf.dtype)

    @property
    def saved(self) -> PyTree:
        """What a checkpoint holds."""
        host = {"step": np.int32(self.step), "diverged_at": self.diverged_at, "curves": self.curves}
        return {"states": self.states, **jax.tree.map(jnp.asarray, host)}

    def restore(self, saved: PyTree) -> None:
        """Go on from a checkpoint."""
        self.states, self.step = saved["states"], int(saved["step"])
        self.diverged_at, self.curves = jax.tree.map(np.array, (saved["diverged_at"], saved["curves"]))


def _put(target: PyTree, chunk: int, values: PyTree) -> None:
    """Write down what was measured before a chunk."""

    def put(room: np.ndarray, leaf: Any) -> None:
        room[:, chunk] = leaf

    jax.tree.map(put, target, values)


def _check(plan: _Plan) -> None:
    """Raise unless the plan can be carried out."""
    for name, value in plan._asdict().items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
    if plan.test_every % plan.chunk_size and plan.test_every < plan.num_steps:
        raise ValueError(f"test_every must be a multiple of chunk_size, {plan.chunk_size}, got {plan.test_every}.")


@contextlib.contextmanager
def _only_told() -> Iterator[None]:
    """Warn where a checkpoint cannot be written, as on a full disk; the last one raises."""
    try:
        yield
    except CheckpointError as error:
        warnings.warn(f"{error} Training goes on.", stacklevel=4)


def _describe(plan: _Plan, runs: Sequence[Fields], parts: Sequence[_Part]) -> str:
    """Write down a grid, its batches and its data such that another process writes the same."""
    fields = [{name: _describe_value(value) for name, value in sorted(run.items())} for run in runs]
    trainers = [part.program.make_trainer(**{name: x[0] for name, x in part.program.numbers.items()}) for part in parts]
    batches = [(trainer.batch_size, _describe_value(trainer.loss)) for trainer in trainers]
    return f"{plan._asdict()}, {fields}, {batches}, {digest(parts[0].dataset)}"


def _describe_value(value: Any) -> str:
    """Name a function or class, and write down anything else, without the addresses of functions in it."""
    return getattr(value, "__qualname__", re.sub(r"(<(?:bound method|function) [^<>]*) at 0x\w+", r"\1", repr(value)))


@contextlib.contextmanager
def _saved(
    folder: str | os.PathLike | None, parts: list[_Part], describe: Callable[[], str]
) -> Iterator[Callable[[], None]]:
    """Take up the checkpoint in a folder, if there is one; yield a function that saves the next one."""
    if folder is None:
        yield lambda: None
        return
    folder, grid = Path(folder), describe()
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder), Checkpoints(folder) as checkpoints:
        restored = checkpoints.restore([part.saved for part in parts])
        if restored and restored.meta["grid"] != grid:
            raise ValueError(f"folder must be this grid's or empty, {folder} holds another grid.")
        for part, saved in zip(parts, restored.state if restored else [], strict=False):
            part.restore(saved)
        last = restored.step if restored else -1

        def save() -> None:
            nonlocal last
            step = sum(part.step for part in parts)
            if step > last:
                checkpoints.save(step, [part.saved for part in parts], {"grid": grid})
                last = step

        yield save


def _join(parts: list[_Part], plan: _Plan, runs: list[dict[str, Any]]) -> GridResult:
    """Put the runs of all programs into the order of the grid."""
    order = np.argsort([row for part in parts for row in part.program.rows])
    curves = jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *(part.curves for part in parts))
    diverged_at = np.concatenate([part.diverged_at for part in parts])[order]
    states = [state for part in parts for state in unstack(part.states)]
    return GridResult(
        runs=runs,
        test_step=plan.test_steps,
        probe_step=plan.chunk_steps,
        diverged_at=[int(step) if step >= 0 else None for step in diverged_at],
        states=[states[i] for i in order],
        **curves,
    )

"""A grid of runs from start to end: curves and probes, in a folder per run."""

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PyTree

from bnjax import data
from bnjax._host.digest import digest
from bnjax._host.progress import progress_bar
from bnjax.data import Dataset
from bnjax.runs import lock, read_json, write_json
from bnjax.sweep.grid import Fields, Program, only, programs
from bnjax.sweep.loop import flat, train_groups
from bnjax.sweep.plan import Group, HostProbe, Member, Plan, Probes, check_probes, make_plan
from bnjax.sweep.run import Run, RunError, run_errors
from bnjax.sweep.steps import MakeTrainer, Probe, average_state, init_states, measure, recalibrated_state
from bnjax.sweep.ways import AUTO, Way, resolve, stack, unstack
from bnjax.train import TrainState

_TESTS: Probes = {"test": average_state}
_RECALIBRATED = "recalibrated_test"
_NUMBER = jax.ShapeDtypeStruct((), np.dtype(np.float32))


class GridResult(NamedTuple):
    """The results of a grid of runs, in its order; NaN marks non-finite values, and steps after a run diverged.

    Attributes:
        runs: the fields of each.
        loss: of each step's batch, before the step, (runs, steps).
        accuracy: of each step's batch, (runs, steps).
        test_step: how many steps were taken before each test, (tests,).
        test_loss: over all test examples, (runs, tests).
        test_accuracy: over all test examples, (runs, tests).
        probe_step: how many steps were taken before each measurement, (chunks,).
        probes: measurements by name, (runs, chunks, ...); of a HostProbe, a list of its records for each run.
        diverged_at: the step whose loss was not finite, or None.
        states: at the end, or at the end of the chunk in which the run diverged.
        recalibrated_test_loss: with recalibrated statistics, (runs, tests); None if not requested.
        recalibrated_test_accuracy: with recalibrated statistics, (runs, tests); None if not requested.
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
    recalibrated_test_loss: Float[np.ndarray, "runs tests"] | None = None
    recalibrated_test_accuracy: Float[np.ndarray, "runs tests"] | None = None


def train_grid(
    make_trainer: MakeTrainer,
    runs: Sequence[Fields],
    dataset: Dataset,
    *,
    num_steps: int,
    chunk_size: int = 100,
    test_every: int | None = None,
    recalibrated_tests: bool = False,
    probes: Mapping[str, Probe | HostProbe] = {},
    fixed: Collection[str] = (),
    way: Way = AUTO,
    folder: str | os.PathLike | None = None,
    save_seconds: float = 60.0,
    show_progress: bool = True,
) -> GridResult:
    """Train every run of a grid, with the same results as alone, up to rounding if runs are batched.

    Runs that differ only in seeds and numbers share a program. A run whose loss is not finite is stopped, without affecting the
    others.

    Args:
        make_trainer: called with the fields of a run except its seed, which determines the run's key; see `programs`.
        runs: the fields of each run, as `grid` lists them.
        dataset: for all of them.
        num_steps: of each run.
        chunk_size: steps between measurements, taken as one program.
        test_every: steps between tests, a multiple of chunk_size; one always follows the last step. None tests only there.
        recalibrated_tests: test a second time, with statistics of the first 10,000 training examples, pooled as by
            `norms.recalibrate` over batches of the run's size. In short trainings running statistics lag behind: at a momentum
            of 0.99, 13 % of the initial ones are left after 200 steps. Only such tests fairly compare normalisers with
            and without running statistics. Runs are tested one after another.
        probes: measurements before each chunk, by name: pure functions, see `measure`, or HostProbes.
        fixed: names of floats that are passed to `make_trainer` as constants.
        way: how runs share the machine.
        folder: gets a folder per run, with its log and checkpoints; the same call then continues where it was stopped. It is
            refused for other data, batches, steps, learning rates, fields or names of probes; changed code of a model or a
            probe is noticed only if shapes have changed.
        save_seconds: least time between two checkpoints.
        show_progress: show a bar on a terminal.

    Returns:
        GridResult.

    Raises:
        ValueError: if the grid, the data set, a number of steps, a probe or the way is invalid, or the folder holds another
            grid or is in use; a RunError if the saved data of a run are damaged or cannot be continued.
        Interrupted: after Ctrl-C or SIGTERM, once the runs are saved, where there is a folder.
        SaveError: if the last checkpoint of a run could not be written; before that, training goes on with a warning.

    Example:
        >>> from bnjax import adapters, data, sweep, train
        >>> from flax import linen as nn
        >>> def make_trainer(learning_rate):
        ...     return train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", learning_rate), batch_size=4)
        >>> split, runs = data.from_arrays(jnp.eye(4), [0, 1, 0, 1]), sweep.grid(learning_rate=[0.1, 1.0], seed=[0])
        >>> result = sweep.train_grid(make_trainer, runs, data.Dataset(split, split), num_steps=4)
        >>> print(result.loss.shape, result.test_accuracy.shape, bool(result.loss[1, -1] < result.loss[0, -1]))
        (2, 4) (2, 1) True
    """
    plan = make_plan(num_steps, chunk_size, test_every)
    resolve(way)
    check_probes(probes, plan)
    if not all(hasattr(getattr(dataset, name, None), "images") for name in Dataset._fields):
        got = "other parts" if isinstance(dataset, Dataset) else type(dataset).__name__
        raise ValueError(f"dataset must be a Dataset of two splits: write data.Dataset(train, test), got {got}.")
    folder = None if folder is None else Path(folder)
    groups = _make_groups(make_trainer, runs, dataset, plan, probes, fixed, folder, recalibrated_tests)
    with contextlib.ExitStack() as exits:
        if folder is not None:
            exits.enter_context(_kept(folder, lambda: _describe(plan, runs, groups, dataset)))
        advance = exits.enter_context(progress_bar("steps", total=num_steps * len(runs), show=show_progress))
        crews = train_groups(
            groups,
            way=way,
            save_seconds=save_seconds,
            progress=lambda num_steps, _words: advance(num_steps),
            keep_states=True,
        )
    return _join(groups, crews, plan, [dict(run) for run in runs])


def _make_groups(
    make_trainer: MakeTrainer,
    runs: Sequence[Fields],
    dataset: Dataset,
    plan: Plan,
    probes: Probes,
    fixed: Collection[str],
    folder: Path | None,
    recalibrated_tests: bool,
) -> list[Group]:
    """Make a group of each program."""
    reserved = {"train", "test", "diverged", _RECALIBRATED} & {*probes}
    if reserved:
        rule = f"probes must not be called train, test, diverged or {_RECALIBRATED}"
        raise ValueError(f"{rule}, got {', '.join(sorted(reserved))}.")
    groups = []
    for program in programs(make_trainer, runs, fixed=fixed):
        members = []
        for i, row in enumerate(program.rows):
            place = None if folder is None else folder / f"run{row}"
            alone = only(program, i)
            again = {_RECALIBRATED: HostProbe(partial(_test_again, alone), None)} if recalibrated_tests else {}
            start = partial(_start, alone)
            members.append(
                Member(f"run {row}", f"run{row}", place, lambda: dataset, start, probes, {**_TESTS, **again})
            )
        groups.append(Group(program, plan, members))
    return groups


def _start(program: Program, inputs: Array) -> TrainState:
    """Make the first state of a program's only run."""
    (state,) = unstack(init_states(program, inputs))
    return state


def _test_again(program: Program, _trainer: Any, state: TrainState, dataset: Dataset) -> dict[str, Any]:
    """Test a program's only run with recalibrated statistics; the program, unlike its trainers, is compiled once for all."""
    (found,) = unstack(measure(recalibrated_state, program, stack([state]), dataset, way=Way("map")))
    return found._asdict()


@contextlib.contextmanager
def _kept(folder: Path, describe: Any) -> Iterator[None]:
    """Lock a folder for this process, and check that it belongs to this grid.

    Raises:
        RunError: if it is in use, belongs to another grid, or dates from before grids had a folder per run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with run_errors():
            stack.enter_context(lock(folder))
            file, grid = folder / "grid.json", {"grid": describe()}
            before = read_json(file) if file.exists() else grid
            is_older = not file.exists() and any(path.name.isdigit() for path in folder.iterdir())
        if before != grid or is_older:
            known = before["grid"] if isinstance(before, dict) and isinstance(before.get("grid"), dict) else {}
            other = [name for name in grid["grid"] if name in known and known[name] != grid["grid"][name]]
            which = f" with other {', '.join(other)}" if other else ""
            raise RunError(f"folder must be this grid's or empty, {folder} holds another grid{which}.")
        write_json(file, grid)
        yield


def _describe(plan: Plan, runs: Sequence[Fields], groups: Sequence[Group], dataset: Dataset) -> dict[str, Any]:
    """Describe a grid, its batches, optimisers, probes and data, identically in every process."""
    fields = [{name: _describe_value(value) for name, value in sorted(run.items())} for run in runs]
    _check_names(runs, fields)
    programs = [group.program for group in groups]
    trainers = [program.make_trainer(**{name: x[0] for name, x in program.numbers.items()}) for program in programs]
    inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
    probes = {name: _describe_value(probe) for name, probe in groups[0].members[0].probes.items()}
    recalibrated = {"tests": "recalibrated too"} if _RECALIBRATED in groups[0].members[0].tests else {}
    return {
        **recalibrated,
        "steps": str(plan),
        "runs": fields,
        "batches": [f"{trainer.batch_size}, {_describe_value(trainer.loss)}" for trainer in trainers],
        "optimizer": [digest(_start(only(program, 0), inputs).opt_state) for program in programs],
        "probes": probes,
        "data": data.digest(dataset),
    }


def _describe_value(value: Any) -> str:
    """Describe a value: a function or class by its name, an array by its digest, anything else by its repr.

    Memory addresses, which differ between processes, are removed from functions in the repr. Other objects keep them and are
    refused in another process, since nothing else distinguishes them.
    """
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        return f"array {digest(value)}"
    if isinstance(value, np.generic):
        value = value.item()
    name = getattr(value, "__qualname__", None)
    if name:
        return f"{value.__module__}.{name}"
    return re.sub(r"(<(?:bound method|function) \S+) at 0x\w+", r"\1", repr(value))


def _check_names(runs: Sequence[Fields], described: Sequence[Mapping[str, str]]) -> None:
    """Raise if two values of a field have the same text, so that a folder could not distinguish their runs."""
    known: dict[tuple[str, str], Any] = {}
    for run, words in zip(runs, described, strict=True):
        for name, value in run.items():
            first = known.setdefault((name, words[name]), value)
            if first is not value and not np.all(first == value):
                raise RunError(
                    f"{name} must have values of different names where there is a folder, two are {words[name]}."
                )


def _join(groups: Sequence[Group], crews: Sequence[list[Run]], plan: Plan, fields: list[dict[str, Any]]) -> GridResult:
    """Collect the logs of the runs of all programs, in the order of the grid."""
    order = np.argsort([row for group in groups for row in group.program.rows])
    logs = [_by_kind(run.records()) for crew in crews for run in crew]
    states = [run.state for crew in crews for run in crew]
    probes = {name: _collect(name, groups, crews, logs, order, plan) for name in groups[0].members[0].probes}
    ordered = [logs[i] for i in order]
    losses = {name: _steps(ordered, name, plan.num_steps) for name in ("loss", "accuracy")}
    kinds = [kind for kind in ("test", _RECALIBRATED) if kind in groups[0].members[0].tests]
    tests = {f"{k}_{name}": _at(ordered, k, name, plan.test_steps) for k in kinds for name in ("loss", "accuracy")}
    diverged = [log.get("diverged", [{"step": None}])[0]["step"] for log in ordered]
    return GridResult(
        runs=fields,
        test_step=np.array(plan.test_steps),
        probe_step=np.array(plan.probe_steps),
        probes=probes,
        diverged_at=diverged,
        states=[states[i] for i in order],
        **losses,
        **tests,
    )


def _by_kind(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group the lines of a log by kind."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        kinds.setdefault(record["kind"], []).append(record)
    return kinds


def _steps(logs: Sequence[Any], name: str, num_steps: int) -> np.ndarray:
    """Collect a metric of every step; missing steps are NaN."""
    found = np.full((len(logs), num_steps), np.nan, np.float32)
    for row, log in zip(found, logs, strict=True):
        for record in log["train"]:
            row[record["step"] : record["step"] + len(record[name])] = np.array(record[name], float)
    return found


def _at(logs: Sequence[Any], kind: str, name: str, steps: Sequence[int], like: Any = _NUMBER) -> np.ndarray:
    """Collect measurements at some steps; missing ones are NaN, or 0 for integers."""
    nothing = np.nan if jnp.issubdtype(like.dtype, jnp.inexact) else 0
    found = np.full((len(logs), len(steps), *like.shape), nothing, like.dtype)
    places = {step: i for i, step in enumerate(steps)}
    for row, log in zip(found, logs, strict=True):
        for record in log.get(kind, []):
            shape = np.shape(record[name]) if name in record else None
            # NOTE: in a log, lists of no entries have lost their other axes.
            if shape != like.shape and not (shape and 0 in shape and 0 in like.shape):
                raise RunError(f"{kind} measures something else than it did before in this folder; choose another one.")
            values = np.array(record[name], float if nothing else like.dtype)
            row[places[record["step"]]] = values.reshape(like.shape)
    return found


def _collect(
    name: str, groups: Sequence[Group], crews: Sequence[list[Run]], logs: list[Any], order: np.ndarray, plan: Plan
) -> PyTree:
    """Collect a probe's measurements in the structure that it returns, or the log lines of a HostProbe."""
    probe = groups[0].members[0].probes[name]
    if isinstance(probe, HostProbe):
        return [logs[i].get(name, []) for i in order]
    group, run = groups[0].alone(0), crews[0][0]
    assert run.dataset is not None
    states, split = stack([run.state]), run.dataset.train
    shapes = jax.eval_shape(lambda: measure(probe, group.program, states, split, way=Way("map")))
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
    ordered = [logs[i] for i in order]
    leaves = [_at(ordered, name, path, plan.probe_steps, leaf) for path, leaf in flat(one).items()]
    return jax.tree.unflatten(jax.tree.structure(one), leaves)

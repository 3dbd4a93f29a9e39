"""The training loop of every experiment: all arms and seeds, measured, logged, resumable to the same bits.

A run lies in a folder named after what determines it, `<kind>-<hash>/seed<n>`: experiments that need the same run share it.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bnjax import data, train
from bnjax.checkpoint import CheckpointError, Checkpoints
from bnjax.records import MetricsLog, lock, provenance, read_json, read_metrics, run_folder, write_json
from experiments._config import Options, RunConfig
from experiments._probes import Probe
from experiments._probes.probe import as_lists, columns
from experiments._saving import SaveError as SaveError
from experiments._saving import Saves
from experiments._signals import Interrupted as Interrupted
from experiments._signals import StopRequest
from experiments._tasks import Task, make_task
from experiments._threads import SharedClock, run_all

Arms = Mapping[str, RunConfig]

# How many points of a run's training curve are kept, each the mean of as many steps as needed.
_MAX_POINTS = 500


class ConfigError(Exception):
    """A configuration that cannot be run; the message is one line."""


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Turn what can be wrong with a run's configuration or its folder into ConfigErrors."""
    try:
        yield
    except CheckpointError as error:
        raise ConfigError(f"{error} Remove that folder to train from the start.") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


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
    """
    with config_errors():
        tasks = {
            (group, arm): make_task(config.identity(), options.data_dir)
            for group, arms in groups.items()
            for arm, config in arms.items()
        }
    with StopRequest() as stop, tqdm(unit="step", dynamic_ncols=True, smoothing=0.05) as bar:
        saves = Saves(partial(tqdm.write, file=sys.stderr))
        command = Command(options, stop, SharedClock(), bar, provenance(), saves)
        runs = {
            (group, arm, seed): Run(config, tasks[group, arm], seed, arm.replace("_", " "), command)
            for group, arms in groups.items()
            for arm, config in arms.items()
            for seed in config.seeds
        }
        unlike = {run.folder: run for run in runs.values()}
        bar.reset(total=sum(run.config.num_steps for run in unlike.values()))
        # First one seed of every net: whatever trains side by side then compiles a program of its own.
        jobs = sorted(unlike.values(), key=lambda run: run.config.seeds.index(run.seed))
        run_all([run.finish for run in jobs], stop, options.parallel)
    saves.check()
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


class Command(NamedTuple):
    """What all runs of a command share.

    Attributes:
        options: where results and data are.
        stop: whether runs are to stop.
        clock: from which runs have their seconds.
        bar: that moves with every step.
        origin: the provenance, taken once: files may change while this process runs what it has read.
        saves: which runs could not be saved.
    """

    options: Options
    stop: StopRequest
    clock: SharedClock
    bar: tqdm
    origin: dict[str, Any]
    saves: Saves


class Run:
    """One net, trained from one seed, in its own folder: `metrics.jsonl`, `checkpoints/`, and `finished.json` at the end.

    A chunk is a measurement, `probe_every` steps as one program, and a test where one is due. Checkpoints are taken between
    chunks only, so that a run that was killed repeats whole chunks, from the same bits to the same bits.
    """

    def __init__(self, config: RunConfig, task: Task, seed: int, arm: str, command: Command):
        self.config, self.task, self.seed, self.command = config, task, seed, command
        self.label = f"{arm}, seed {seed}"
        with config_errors():
            self.folder = run_folder(command.options.results, config.kind, config.identity()) / f"seed{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def finish(self) -> None:
        """Train to the end from the last checkpoint."""
        with contextlib.ExitStack() as stack:
            with config_errors():
                stack.enter_context(lock(self.folder))
            if self._file.exists():
                self.command.bar.update(self.config.num_steps)
            else:
                meta = self._resume()
                if not self.command.saves.failed(self.folder):
                    with self.command.saves.attempt(self.folder):
                        write_json(self._file, {name: meta[name] for name in ("seconds", "provenance")})

    def read(self) -> dict[str, Any]:
        """Return curves and seconds of a run that is finished."""
        log = read_metrics(self.folder / "metrics.jsonl")
        return {**curves(log, self.task.probes, self.task.loss_scale), "seconds": self.record()["seconds"]}

    def record(self) -> dict[str, Any]:
        """Return the seconds and the provenance of a run that is finished."""
        return read_json(self._file)

    @property
    def _file(self) -> Path:
        """What is there when a run is finished."""
        return self.folder / "finished.json"

    def _resume(self) -> dict[str, Any]:
        """Train from the last checkpoint to the end; return what the last one says beside the state."""
        if self.command.stop.asked:
            raise Interrupted(self.command.stop.signal_number)
        with config_errors():
            dataset = self.task.load(self.seed)
            data.steps_per_epoch(len(dataset.train.labels), self.config.batch_size)
        inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
        state = train.init_state(self.task.trainer, jax.random.key(self.seed), inputs)
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(Checkpoints(self.folder / "checkpoints", report=tqdm.write))
            with config_errors():
                restored = checkpoints.restore(state)
                state, meta = (restored.state, restored.meta) if restored else (state, {})
                path = self.folder / "metrics.jsonl"
                log = stack.enter_context(contextlib.closing(MetricsLog(path, length=meta.get("log_bytes", 0))))
            self.command.bar.update(int(state.step))
            return meta if meta.get("finished") else self._train(state, dataset, log, checkpoints, meta)

    def _train(
        self,
        state: train.TrainState,
        dataset: data.Dataset,
        log: MetricsLog,
        checkpoints: Checkpoints,
        meta: dict[str, Any],
    ) -> dict[str, Any]:
        """Take all remaining chunks; return what the last checkpoint says beside the state."""
        options, stop, clock, bar, origin, saves = self.command
        before, saved_at = meta.get("seconds", 0.0), time.perf_counter()
        origins = [*(known for known in meta.get("provenance", []) if known != origin), origin]
        step, num_steps = int(state.step), self.config.num_steps
        with clock.running() as seconds:
            while True:
                state, loss = self._chunk(state, dataset, log)
                finished = int(state.step) >= num_steps or not np.isfinite(loss)
                bar.set_postfix_str(f"{self.label}: loss {loss:.4g}", refresh=False)
                bar.update((num_steps if finished else int(state.step)) - step)
                step, stopped = int(state.step), stop.asked
                now = time.perf_counter()
                if finished or stopped or now - saved_at >= options.checkpoint_seconds:
                    saved_at = now
                    meta = {"finished": finished, "provenance": origins, "seconds": round(before + seconds(), 3)}
                    with saves.attempt(self.folder):
                        checkpoints.save(step, state, {**meta, "log_bytes": log.sync()})
                if stopped:
                    raise Interrupted(stop.signal_number)
                if finished:
                    return meta

    def _chunk(self, state: train.TrainState, dataset: data.Dataset, log: MetricsLog) -> tuple[train.TrainState, float]:
        """Measure, train and test once; return the new state and the last loss, NaN once any loss was not finite."""
        config, step = self.config, int(state.step)
        for name, probe in self.task.probes.items():
            log.append(kind=name, step=step, **as_lists(probe.measure(state, getattr(dataset, probe.split))))
        num_steps = min(config.probe_every, config.num_steps - step)
        state, metrics = train.run_steps(self.task.trainer, state, dataset.train, num_steps=num_steps)
        losses, accuracies = (np.asarray(values) for values in metrics)
        log.append(kind="train", step=step, loss=losses.tolist(), accuracy=accuracies.tolist())
        if not np.isfinite(losses).all():
            log.append(kind="diverged", step=step + int(np.argmin(np.isfinite(losses))))
            return state, float("nan")
        if int(state.step) % config.eval_every == 0 or int(state.step) == config.num_steps:
            test = train.evaluate(self.task.trainer, state.variables, dataset.test)
            log.append(kind="test", step=int(state.step), loss=float(test.loss), accuracy=float(test.accuracy))
        return state, float(self.task.loss_scale * losses[-1])


def curves(log: list[dict[str, Any]], probes: dict[str, Probe], loss_scale: float = 1.0) -> dict[str, Any]:
    """Collect a run's log into one list per quantity, rounded to six digits."""
    kinds = {line["kind"]: [] for line in log}
    for line in log:
        kinds[line["kind"]].append({name: value for name, value in line.items() if name != "kind"})
    found = {
        "train": _training_curve(kinds["train"], loss_scale),
        "test": columns(kinds.get("test", [])),
        **{name: probe.collect(kinds.get(name, [])) for name, probe in probes.items()},
        "diverged_at": kinds["diverged"][0]["step"] if "diverged" in kinds else None,
    }
    found["test"]["loss"] = [loss_scale * loss for loss in found["test"].get("loss", [])]
    return _round(found)


def _training_curve(chunks: list[dict[str, Any]], loss_scale: float) -> dict[str, Any]:
    """Average successive steps, as many as leave no more than `_MAX_POINTS`; the step is the first one's, and each counts."""
    values = {
        name: np.array([x for chunk in chunks for x in chunk[name]], dtype=float) for name in ("loss", "accuracy")
    }
    window = -(-len(values["loss"]) // _MAX_POINTS)
    starts = np.arange(0, len(values["loss"]), window)
    sizes = np.diff(starts, append=len(values["loss"]))
    means = {name: np.add.reduceat(series, starts) / sizes for name, series in values.items()}
    return {
        "step": starts.tolist(),
        "window": window,
        "loss": (loss_scale * means["loss"]).tolist(),
        "accuracy": means["accuracy"].tolist(),
    }


def _round(value: Any) -> Any:
    """Keep six significant digits of every float."""
    if isinstance(value, dict):
        return {name: _round(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value

"""One run: trained in chunks, measured, logged, and resumed to the same bits."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bnjax import data, train
from bnjax._host.memory import free_programs
from bnjax._host.processes import largest
from bnjax._host.sharding import everywhere
from bnjax.runs import (
    CheckpointError,
    Checkpoints,
    MetricsLog,
    NothingWholeError,
    lock,
    read_json,
    read_metrics,
    run_folder,
    write_json,
)
from experiments._config import Options, RunConfig
from experiments._training.evaluation import evaluate
from experiments._training.log import curves
from experiments._training.probes.probe import as_lists
from experiments._training.saving import Saves
from experiments._training.signals import Interrupted, StopRequest
from experiments._training.tasks import Task
from experiments._training.threads import SharedClock

_SAVING = 0.02  # largest share of the time that goes into checkpoints

RunSteps = Callable[..., tuple[train.TrainState, train.Metrics]]


class ConfigError(Exception):
    """A configuration that cannot be run; the message is one line."""


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Turn what can be wrong with a run's configuration or its folder into ConfigErrors."""
    try:
        yield
    except NothingWholeError as error:
        raise ConfigError(f"{error} Remove that folder to train from the start.") from error
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


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

    def finish(self, run_steps: RunSteps = train.run_steps) -> None:
        """Train to the end from the last checkpoint; `run_steps` takes the steps."""
        self.run_steps = run_steps
        with contextlib.ExitStack() as stack:
            with config_errors():
                stack.enter_context(lock(self.folder))
            if any(largest(self._file.exists())):
                self.command.bar.update(self.config.schedule.num_steps)
            else:
                meta = self._resume()
                if not self.command.saves.failed(self.folder):
                    with self.command.saves.attempt(self.folder):
                        write_json(self._file, {name: meta[name] for name in ("seconds", "provenance")})
                free_programs(share=0.5)

    def read(self) -> dict[str, Any]:
        """Return curves and seconds of a run that is finished.

        Raises:
            ConfigError: if its folder holds something else.
        """
        try:
            log = read_metrics(self.folder / "metrics.jsonl")
            return {**curves(log, self.task.probes, self.task.loss_scale), "seconds": self.record()["seconds"]}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(
                f"The finished run in {self.folder} cannot be read ({problem}). Move that folder away to train it again."
            ) from error

    def record(self) -> dict[str, Any]:
        """Return the seconds and the provenance of a run that is finished."""
        found = read_json(self._file)
        return {"seconds": float(found["seconds"]), "provenance": [dict(origin) for origin in found["provenance"]]}

    @property
    def _name(self) -> str:
        """Name the run, wherever its folder lies."""
        return "/".join(self.folder.parts[-2:])

    @property
    def _file(self) -> Path:
        """What is there when a run is finished."""
        return self.folder / "finished.json"

    def _resume(self) -> dict[str, Any]:
        """Train from the last checkpoint to the end; return what the last one says beside the state."""
        asked, signal_number = largest(self.command.stop.asked, self.command.stop.signal_number)
        if asked:
            raise Interrupted(signal_number)
        with config_errors():
            dataset = everywhere(self.task.load(self.seed), self.task.trainer.mesh)
            data.steps_per_epoch(len(dataset.train.labels), self.config.optimizer.batch_size)
        inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
        state = train.init_state(self.task.trainer, jax.random.key(self.seed), inputs)
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(Checkpoints(self.folder / "checkpoints", report=tqdm.write))
            with config_errors():
                restored = checkpoints.restore(state)
                state, meta = (restored.state, restored.meta) if restored else (state, {})
                if meta.get("run", self._name) != self._name:
                    raise ValueError(f"{self.folder} holds checkpoints of {meta['run']!r}. Move that folder away.")
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
        before, saved_at, pause = meta.get("seconds", 0.0), time.perf_counter(), options.checkpoint_seconds
        origins = [*(known for known in meta.get("provenance", []) if known != origin), origin]
        step, num_steps = int(state.step), self.config.schedule.num_steps
        with clock.running() as seconds:
            while True:
                state, loss = self._chunk(state, dataset, log)
                finished = int(state.step) >= num_steps or not np.isfinite(loss)
                bar.set_postfix_str(f"{self.label}: loss {loss:.4g}", refresh=False)
                bar.update((num_steps if finished else int(state.step)) - step)
                step, now = int(state.step), time.perf_counter()
                is_due = now - saved_at >= pause
                stopped, signal_number, is_due = largest(stop.asked, stop.signal_number, is_due)
                if finished or stopped or is_due:
                    meta = {"run": self._name, "finished": finished, "provenance": origins}
                    meta["seconds"] = round(before + seconds(), 3)
                    with saves.attempt(self.folder):
                        checkpoints.save(step, state, {**meta, "log_bytes": _sync(log)})
                    saved_at = time.perf_counter()
                    pause = options.checkpoint_seconds
                    if pause and not saves.failed(self.folder):
                        pause = max(pause, (saved_at - now) / _SAVING)
                if stopped:
                    raise Interrupted(signal_number)
                if finished:
                    return meta

    def _chunk(self, state: train.TrainState, dataset: data.Dataset, log: MetricsLog) -> tuple[train.TrainState, float]:
        """Measure, train and test once; return the new state and the last loss, NaN once any loss was not finite."""
        config, step = self.config.schedule, int(state.step)
        for name, probe in self.task.probes.items():
            log.append(kind=name, step=step, **as_lists(probe.measure(state, getattr(dataset, probe.split))))
        num_steps = min(config.probe_every, config.num_steps - step)
        state, metrics = self.run_steps(self.task.stepper, state, dataset.train, num_steps=num_steps)
        losses, accuracies = (np.asarray(values) for values in metrics)
        log.append(kind="train", step=step, loss=losses.tolist(), accuracy=accuracies.tolist())
        if not np.isfinite(losses).all():
            log.append(kind="diverged", step=step + int(np.argmin(np.isfinite(losses))))
            return state, float("nan")
        if int(state.step) % config.eval_every == 0 or int(state.step) == config.num_steps:
            log.append(kind="test", step=int(state.step), **evaluate(self.config, self.task.stepper, state, dataset))
        return state, float(self.task.loss_scale * losses[-1])


def _sync(log: MetricsLog) -> int:
    """Put a log on disk and return its length; where the first process cannot, the others do not begin to save either."""
    problem, length = None, 0
    try:
        length = log.sync()
    except OSError as error:
        problem = error
    if any(largest(problem is not None)):
        raise problem or CheckpointError("The first process cannot write its log.")
    return length

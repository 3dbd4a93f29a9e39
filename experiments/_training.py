"""The training loop of every experiment: all arms and seeds, measured, logged, resumable to the same bits.

A run lies in a folder named after what determines it, `<kind>-<hash>/seed<n>`: experiments that need the same run share it.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

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
from experiments._signals import Interrupted as Interrupted
from experiments._signals import StopRequest
from experiments._tasks import Task, make_task

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
    """
    with config_errors():
        tasks = {
            (group, arm): make_task(config.identity(), options.data_dir)
            for group, arms in groups.items()
            for arm, config in arms.items()
        }
    results: dict[str, Any] = {group: {arm: [] for arm in arms} for group, arms in groups.items()}
    origin = provenance()  # once: files may change while this process runs what it has read
    with StopRequest() as stop:
        for (group, arm), task in tasks.items():
            config = groups[group][arm]
            for seed in config.seeds:
                run = Run(config, task, seed, options, stop, origin)
                results[group][arm].append({"seed": seed, **run.finish(label=f"{arm.replace('_', ' ')}, seed {seed}")})
    runs = [run for arms in results.values() for arm in arms.values() for run in arm]
    origins = [origin for run in runs for origin in run.pop("provenance")]
    return {
        **results,
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(run["seconds"] for run in runs), 1),
    }


class Run:
    """One net, trained from one seed, in its own folder: `metrics.jsonl`, `checkpoints/`, and `finished.json` at the end.

    A chunk is a measurement, `probe_every` steps as one program, and a test where one is due. Checkpoints are taken between
    chunks only, so that a run that was killed repeats whole chunks, from the same bits to the same bits.
    """

    def __init__(
        self, config: RunConfig, task: Task, seed: int, options: Options, stop: StopRequest, origin: dict[str, Any]
    ):
        self.config, self.task, self.seed, self.stop, self.origin = config, task, seed, stop, origin
        self.trainer, self.checkpoint_seconds = task.trainer, options.checkpoint_seconds
        with config_errors():
            self.folder = run_folder(options.results, config.kind, config.identity()) / f"seed{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def finish(self, label: str) -> dict[str, Any]:
        """Train to the end from the last checkpoint, and return the curves."""
        finished = self.folder / "finished.json"
        with contextlib.ExitStack() as stack:
            with config_errors():
                stack.enter_context(lock(self.folder))
            if not finished.exists():
                meta = self._resume(label)
                write_json(finished, {name: meta[name] for name in ("seconds", "provenance")})
            log = read_metrics(self.folder / "metrics.jsonl")
        return {**curves(log, self.task.probes, self.task.loss_scale), **read_json(finished)}

    def _resume(self, label: str) -> dict[str, Any]:
        """Train from the last checkpoint to the end; return what the last one says beside the state."""
        with config_errors():
            dataset = self.task.load(self.seed)
            data.steps_per_epoch(len(dataset.train.labels), self.config.batch_size)
        inputs = jnp.zeros((1, *dataset.train.images.shape[1:]))
        state = train.init_state(self.trainer, jax.random.key(self.seed), inputs)
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(Checkpoints(self.folder / "checkpoints", report=tqdm.write))
            with config_errors():
                restored = checkpoints.restore(state)
                state, meta = (restored.state, restored.meta) if restored else (state, {})
                path = self.folder / "metrics.jsonl"
                log = stack.enter_context(contextlib.closing(MetricsLog(path, length=meta.get("log_bytes", 0))))
            return meta if meta.get("finished") else self._train(state, dataset, log, checkpoints, meta, label)

    def _train(
        self,
        state: train.TrainState,
        dataset: data.Dataset,
        log: MetricsLog,
        checkpoints: Checkpoints,
        meta: dict[str, Any],
        label: str,
    ) -> dict[str, Any]:
        """Take all remaining chunks; return what the last checkpoint says beside the state."""
        start = saved_at = time.perf_counter()
        seconds = meta.get("seconds", 0.0)
        origins = [*(known for known in meta.get("provenance", []) if known != self.origin), self.origin]
        step, num_steps = int(state.step), self.config.num_steps
        with tqdm(total=num_steps, initial=step, desc=label, unit="step", dynamic_ncols=True) as bar:
            while True:
                state, loss = self._chunk(state, dataset, log)
                bar.update(int(state.step) - step)
                bar.set_postfix(loss=f"{loss:.4g}")
                step = int(state.step)
                finished = step >= num_steps or not np.isfinite(loss)
                now = time.perf_counter()
                stopped_by = self.stop.signal_number
                if finished or stopped_by is not None or now - saved_at >= self.checkpoint_seconds:
                    saved_at = now
                    meta = {"log_bytes": log.sync(), "finished": finished, "provenance": origins}
                    meta["seconds"] = round(seconds + now - start, 1)
                    checkpoints.save(step, state, meta)
                if stopped_by is not None:
                    raise Interrupted(stopped_by)
                if finished:
                    return meta

    def _chunk(self, state: train.TrainState, dataset: data.Dataset, log: MetricsLog) -> tuple[train.TrainState, float]:
        """Measure, train and test once; return the new state and the last loss, NaN once any loss was not finite."""
        config, step = self.config, int(state.step)
        for name, probe in self.task.probes.items():
            log.append(kind=name, step=step, **as_lists(probe.measure(state, getattr(dataset, probe.split))))
        num_steps = min(config.probe_every, config.num_steps - step)
        state, metrics = train.run_steps(self.trainer, state, dataset.train, num_steps=num_steps)
        losses, accuracies = (np.asarray(values) for values in metrics)
        log.append(kind="train", step=step, loss=losses.tolist(), accuracy=accuracies.tolist())
        if not np.isfinite(losses).all():
            log.append(kind="diverged", step=step + int(np.argmin(np.isfinite(losses))))
            return state, float("nan")
        if int(state.step) % config.eval_every == 0 or int(state.step) == config.num_steps:
            test = train.evaluate(self.trainer, state.variables, dataset.test)
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

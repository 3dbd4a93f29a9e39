"""The training loop of the VGG experiments: both nets, every seed, probed, logged, resumable to the same bits."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bnjax import data, linen, models, objective, probes, train
from bnjax.checkpoint import CheckpointError, Checkpoints
from bnjax.records import MetricsLog, lock, provenance, read_metrics
from experiments._config import Options, TrainingConfig
from experiments._signals import Interrupted as Interrupted
from experiments._signals import StopRequest

ARMS = ("plain", "batch_norm")


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


def make_trainer(config: TrainingConfig, arm: str) -> train.Trainer:
    """Make model and optimiser of one arm."""
    norm = partial(linen.BatchNorm, momentum=config.norm_momentum, epsilon=config.norm_epsilon)
    model = models.make_model(
        models.VGGConfig(
            depth=config.depth,
            head=config.head,
            width=config.width,
            norm=norm if arm == "batch_norm" else None,
            norm_layers=config.norm_layers,
            kernel_init=config.kernel_init,
        )
    )
    optimizer = train.make_optimizer(
        config.optimizer, config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    return train.Trainer(model, optimizer, config.batch_size)


def train_all(config: TrainingConfig, options: Options, folder: Path) -> dict[str, Any]:
    """Train every arm and seed, or continue where they were left.

    Returns:
        {"arms": {arm: [curves of each seed]}, "provenance": of every command that trained, "seconds": that they took}.

    Raises:
        ConfigError: if the configuration cannot be run.
        MissingDataError: if the data set is not prepared.
        Interrupted: after a signal, once the state is saved.
    """
    with config_errors():
        trainers = {arm: make_trainer(config, arm) for arm in ARMS}  # before the data, which take longer
        dataset = data.load(
            config.dataset,
            preprocessing=config.preprocessing,
            image_size=config.image_size,
            data_dir=options.data_dir,
        )
        data.steps_per_epoch(len(dataset.train.labels), config.batch_size)
    arms: dict[str, list] = {arm: [] for arm in ARMS}
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        with config_errors():
            stack.enter_context(lock(folder))
        for seed in config.seeds:
            for arm, trainer in trainers.items():
                run = Run(config, trainer, dataset, folder / f"{arm}-seed{seed}", options, stop)
                arms[arm].append({"seed": seed, **run.finish(seed, label=f"{arm}, seed {seed}")})
    runs = [run for runs_of_arm in arms.values() for run in runs_of_arm]
    origins = [origin for run in runs for origin in run.pop("provenance")]
    return {
        "arms": arms,
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(run["seconds"] for run in runs), 1),
    }


class Run:
    """One net, trained from one seed, in its own folder: `metrics.jsonl` and `checkpoints/`.

    A chunk is a probe, `probe_every` steps as one program, and a test where one is due. Checkpoints are taken between
    chunks only, so that a run that was killed repeats whole chunks, from the same bits to the same bits.
    """

    def __init__(
        self,
        config: TrainingConfig,
        trainer: train.Trainer,
        dataset: data.Dataset,
        folder: Path,
        options: Options,
        stop: StopRequest,
    ):
        self.config, self.trainer, self.dataset, self.stop = config, trainer, dataset, stop
        self.log_path, self.checkpoint_path = folder / "metrics.jsonl", folder / "checkpoints"
        self.checkpoint_seconds = options.checkpoint_seconds
        folder.mkdir(parents=True, exist_ok=True)

    def finish(self, seed: int, label: str) -> dict[str, Any]:
        """Train to the end from the last checkpoint, and return the curves."""
        images = jnp.zeros((1, *self.dataset.train.images.shape[1:]))
        state = train.init_state(self.trainer, jax.random.key(seed), images)
        with contextlib.ExitStack() as stack:
            checkpoints = stack.enter_context(Checkpoints(self.checkpoint_path, report=tqdm.write))
            with config_errors():
                restored = checkpoints.restore(state)
                state, meta = (restored.state, restored.meta) if restored else (state, {})
                log = stack.enter_context(
                    contextlib.closing(MetricsLog(self.log_path, length=meta.get("log_bytes", 0)))
                )
            if not meta.get("finished"):
                meta = self._train(state, log, checkpoints, meta, label)
        return {
            **curves(read_metrics(self.log_path)),
            "seconds": round(meta["seconds"], 1),
            "provenance": meta["provenance"],
        }

    def _train(
        self, state: train.TrainState, log: MetricsLog, checkpoints: Checkpoints, meta: dict[str, Any], label: str
    ) -> dict[str, Any]:
        """Take all remaining chunks; return what the last checkpoint says beside the state."""
        start = saved_at = time.perf_counter()
        seconds, origin = meta.get("seconds", 0.0), provenance()
        origins = [*(known for known in meta.get("provenance", []) if known != origin), origin]
        step, num_steps = int(state.step), self.config.num_steps
        with tqdm(total=num_steps, initial=step, desc=label, unit="step", dynamic_ncols=True) as bar:
            while True:
                state, loss = self._chunk(state, log)
                bar.update(int(state.step) - step)
                bar.set_postfix(loss=f"{loss:.3f}")
                step = int(state.step)
                finished = step >= num_steps or not np.isfinite(loss)
                now = time.perf_counter()
                stopped_by = self.stop.signal_number
                if finished or stopped_by is not None or now - saved_at >= self.checkpoint_seconds:
                    saved_at = now
                    meta = {"log_bytes": log.sync(), "finished": finished, "provenance": origins}
                    meta["seconds"] = seconds + now - start
                    checkpoints.save(step, state, meta)
                if stopped_by is not None:
                    raise Interrupted(stopped_by)
                if finished:
                    return meta

    def _chunk(self, state: train.TrainState, log: MetricsLog) -> tuple[train.TrainState, float]:
        """Probe, train and test once; return the new state and the last loss, NaN once any loss was not finite."""
        config, step = self.config, int(state.step)
        scan = self.probe(state)
        log.append(kind="probe", step=step, **{name: np.asarray(value).tolist() for name, value in scan.items()})
        num_steps = min(config.probe_every, config.num_steps - step)
        state, metrics = train.run_steps(self.trainer, state, self.dataset.train, num_steps=num_steps)
        losses, accuracies = (np.asarray(values) for values in metrics)
        log.append(kind="train", step=step, loss=losses.tolist(), accuracy=accuracies.tolist())
        if not np.isfinite(losses).all():
            log.append(kind="diverged", step=step + int(np.argmin(np.isfinite(losses))))
            return state, float("nan")
        if int(state.step) % config.eval_every == 0 or int(state.step) == config.num_steps:
            test = train.evaluate(self.trainer, state.variables, self.dataset.test)
            log.append(kind="test", step=int(state.step), loss=float(test.loss), accuracy=float(test.accuracy))
        return state, float(losses[-1])

    def probe(self, state: train.TrainState) -> dict[str, jax.Array]:
        """Scan the loss along minus its gradient, on the batch and with the random masks of the step about to be taken."""
        config = self.config
        loss_fn = objective.make_loss_fn(
            self.trainer.model,
            state.batch_stats,
            train.current_batch(self.trainer, state, self.dataset.train),
            rngs=train.step_rngs(state),
            l2=config.weight_decay if config.probe_penalty else 0.0,
        )
        sizes = tuple(config.learning_rate * multiple for multiple in config.step_multiples)
        scan = probes.scan_line(loss_fn, state.params, step_sizes=sizes)
        fields = ("step_sizes", "start_loss", "loss", "gradient_norm", "gradient_distance", "gradient_cosine")
        return {**{name: getattr(scan, name) for name in fields}, "smoothness": scan.smoothness}


def curves(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Collect a run's log into one list per quantity, rounded to six digits."""
    of_kind = {
        kind: [line for line in metrics if line["kind"] == kind] for kind in ("train", "test", "probe", "diverged")
    }
    chunks = of_kind["train"]
    return {
        "train": {
            "step": [chunk["step"] + i for chunk in chunks for i in range(len(chunk["loss"]))],
            **{name: [_round(x) for chunk in chunks for x in chunk[name]] for name in ("loss", "accuracy")},
        },
        "test": _columns(of_kind["test"]),
        "probe": _columns(of_kind["probe"]),
        "diverged_at": of_kind["diverged"][0]["step"] if of_kind["diverged"] else None,
    }


def _columns(lines: list[dict[str, Any]]) -> dict[str, list]:
    """Turn records with the same fields into one list per field."""
    names = [name for name in lines[0] if name != "kind"] if lines else []
    return {name: [_round(line[name]) for line in lines] for name in names}


def _round(value: Any) -> Any:
    """Keep six significant digits of every float."""
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value

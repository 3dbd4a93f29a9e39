"""Training for the theorems: both nets, every seed, stopped at some steps to check every layer; one file per run."""

import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bnjax import data, linen, models, train
from bnjax.runs import provenance, read_json, write_json
from bnjax.types import Batch, Model, Variables
from experiments._config import Options
from experiments._training.run import Command, config_errors
from experiments._training.saving import Saves
from experiments._training.signals import Interrupted, StopRequest
from experiments._training.threads import SharedClock, run_all
from experiments.theory_bounds import Config, layer_checks
from experiments.theory_bounds.quantities import EDGES, RATIOS, SHOWN

_DECILES = (0.1, 0.5, 0.9)  # the quantiles over units that are kept


def run(config: Config, options: Options, folder: Path) -> dict[str, Any]:
    """Train and check every seed and arm, or read what was finished before.

    Returns:
        {"arms": {arm: [checks of each seed]}, "provenance": of every command that trained, "seconds": that they took}; the
        folder gets a file `<arm>-seed<seed>.json` per run.

    Raises:
        ConfigError: if the configuration cannot be run.
        MissingDataError: if the data set is not prepared.
        Interrupted: after a signal, once the steps and the check at hand are done; unfinished runs start again.
        SaveError: if a run could not be written.
    """
    with config_errors():
        if options.distributed:
            raise ValueError("distributed must be left out: these nets are trained and checked on one device.")
        if options.batching not in ("auto", "threads"):
            raise ValueError(f"batching must be threads here, or left out, got {options.batching}.")
        dataset = data.load(
            config.data.dataset,
            preprocessing=config.data.preprocessing,
            image_size=config.data.image_size,
            data_dir=options.data_dir,
        )
        data.steps_per_epoch(len(dataset.train.labels), config.optimizer.batch_size)
    files = {(arm, seed): folder / f"{arm}-seed{seed}.json" for seed in config.seeds for arm in SHOWN}
    total, saves = len(files) * len(config.check_steps), Saves(partial(tqdm.write, file=sys.stderr))
    with StopRequest() as stop, tqdm(total=total, unit="check", delay=2.0, dynamic_ncols=True) as bar:
        command = Command(options, stop, SharedClock(), bar, provenance(), saves)
        run_all([partial(_finish, command, config, dataset, *run) for run in files.items()], stop, options.parallel)
    saves.check()
    arms = {arm: [_read(files[arm, seed]) for seed in config.seeds] for arm in SHOWN}
    runs = [run for runs_of_arm in arms.values() for run in runs_of_arm]
    origins = [run.pop("provenance") for run in runs]
    first = [origin for i, origin in enumerate(origins) if origin not in origins[:i]]
    return {"arms": arms, "provenance": first, "seconds": round(sum(run["seconds"] for run in runs), 1)}


def _read(file: Path) -> Any:
    """Read a finished run; raise ConfigError if the file holds something else."""
    with config_errors():
        run = read_json(file)
        if not isinstance(run, dict) or not {"seed", "seconds", "provenance", "probe", "diverged_at"} <= run.keys():
            raise ValueError(f"{file} must hold a finished run. Move it away to train it again.")
        return run


def _finish(command: Command, config: Config, dataset: data.Dataset, run: tuple[str, int], file: Path) -> None:
    """Train and check the net of an arm and seed, unless that is done."""
    if file.exists():
        command.bar.update(len(config.check_steps))
        return
    with command.clock.running() as seconds:
        found = _run(command, config, dataset, *run)
        with command.saves.attempt(file):
            write_json(file, {**found, "seconds": round(seconds(), 3), "provenance": command.origin})


@cache
def make_model(config: Config, norm_layers: tuple[int, ...], epsilon: float) -> Model:
    """Make the network with batch norm after some of its layers; the same one for the same arguments, compiled once."""
    norm = partial(linen.BatchNorm, momentum=config.norm.momentum, epsilon=epsilon) if norm_layers else None
    return models.make_model(models.MLPConfig(**vars(config.model), norm=norm, norm_layers=norm_layers or "all"))


def _layers(config: Config) -> tuple[int, ...]:
    return tuple(range(1, len(config.model.hidden) + 1))


def _run(command: Command, config: Config, dataset: data.Dataset, arm: str, seed: int) -> dict[str, Any]:
    """Train one net from one seed, and check it on the way, as long as its loss is finite."""
    layers, o = _layers(config), config.optimizer
    trainer = train.Trainer(
        make_model(config, layers if arm == "batch_norm" else (), config.norm.epsilon),
        train.make_optimizer(o.name, o.learning_rate, momentum=o.momentum, weight_decay=o.weight_decay),
        config.optimizer.batch_size,
    )
    state = train.init_state(trainer, jax.random.key(seed), jnp.zeros((1, *dataset.train.images.shape[1:])))
    first = jax.tree.map(np.asarray, state.params)
    diverged_at, tests, checks = None, [], []
    for step in config.check_steps:
        if command.stop.asked:
            raise Interrupted(command.stop.signal_number)
        if step > 0:
            before = int(state.step)
            state, metrics = train.run_steps(trainer, state, dataset.train, num_steps=step - before)
            if not np.isfinite(metrics.loss).all():
                diverged_at = before + int(np.argmin(np.isfinite(metrics.loss)))
                break
        test = train.evaluate(trainer, state.variables, dataset.test)
        tests.append({"loss": float(f"{test.loss:.6g}"), "accuracy": float(f"{test.accuracy:.6g}")})
        batch = train.current_batch(trainer, state, dataset.train)
        checks.append([check_layer(config, arm, n, state.variables, batch, first) for n in layers])
        command.bar.set_postfix_str(f"{arm.replace('_', ' ')}, seed {seed}", refresh=False)
        command.bar.update()
    steps = {"step": list(config.check_steps[: len(checks)])}
    return {
        "seed": seed,
        "test": {**steps, **{name: [test[name] for test in tests] for name in tests[0]}},
        "probe": {**steps, **_columns(checks)},
        "diverged_at": diverged_at,
    }


def check_layer(
    config: Config, arm: str, layer: int, variables: Variables, batch: Batch, first: Any
) -> dict[str, dict[str, Any]]:
    """Check everything on one layer of a net in training, in float64; batch norm that is not there is inserted.

    The batch is that of the next step, `first` are the parameters at the start of training.

    Returns:
        "errors", "counts", "ratios" (three quantiles) and "histogram", each by name.
    """
    with jax.enable_x64(True):
        variables, first = (_widen(tree) for tree in (variables, first))
        batch = Batch(_widen(batch.inputs), batch.labels)
        norm_layers = (layer,) if arm == "plain" else _layers(config)
        model = make_model(config, norm_layers, 0.0)
        site, errors = (model, layer, variables, batch), {}
        if arm == "plain":
            plain = make_model(config, (), config.norm.epsilon)
            inserted = layer_checks.insert_batch_norm(plain, layer, variables, batch)
            site = (model, layer, inserted, batch)
            errors = layer_checks.check_insertion(plain, model, layer, variables, inserted, batch)
        units = layer_checks.check_units(*site)
        errors |= layer_checks.check_rescaling(*site)
        errors |= layer_checks.check_optimum(*site, first[f"dense_{layer}"]["kernel"])
        holds = {}
        for epsilon in config.epsilons:
            loose = make_model(config, norm_layers, epsilon)
            gap, held = layer_checks.check_epsilon(loose, *site[1:], epsilon)
            errors[f"gap {epsilon:g}"], holds[f"epsilon {epsilon:g}"] = gap, held
    found, active = summarise_units(units), np.asarray(units["active"])
    found["errors"] |= {name: _largest(error) for name, error in errors.items()}
    found["counts"] |= {name: int(np.sum(np.asarray(held)[active])) for name, held in holds.items()}
    return found


def summarise_units(found: dict[str, jax.Array]) -> dict[str, dict[str, Any]]:
    """Reduce a layer's checks to the largest errors, numbers of units that satisfy a condition, quantiles and a histogram.

    Units without a gradient are counted, and left out of the rest.
    """
    active = np.asarray(found["active"])
    kept = {name: np.asarray(value)[active] for name, value in found.items() if name != "active"}
    conditions = {name: value for name, value in kept.items() if value.dtype == bool}
    conditions["smoother"] = kept["aligned"] & kept["positive"]
    removed = np.clip(1 - kept["gradient_ratio"] ** 2, EDGES[0], None)
    return {
        "errors": {name: _largest(kept[name]) for name in sorted(kept.keys() - conditions.keys() - {*RATIOS.values()})},
        "counts": {"units": len(active), "active": int(active.sum())}
        | {name: int(value.sum()) for name, value in conditions.items()},
        "ratios": {name: _quantiles(kept[name]) for name in RATIOS.values()},
        "histogram": {"removed": np.histogram(removed, EDGES)[0].tolist()},
    }


def _largest(values: Any) -> float:
    """Return the largest finite number, to three digits; NaN if there is none."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return float(f"{finite.max():.2e}") if finite.size else float("nan")


def _quantiles(values: Any) -> list[float]:
    """Return the first decile, the median and the last decile of what is finite, to five digits."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return [float(f"{x:.4e}") for x in np.quantile(finite, _DECILES)] if finite.size else [float("nan")] * len(_DECILES)


def _widen(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)


def _columns(checks: list[list[dict[str, dict[str, Any]]]]) -> dict[str, dict[str, list]]:
    """Turn a dictionary per step and layer into lists over steps; of errors the largest over layers, of histograms the sum."""
    joined = {"errors": _largest, "histogram": lambda counts: np.sum(counts, axis=0).tolist()}

    def column(kind: str, name: str) -> list:
        return [joined.get(kind, list)([layer[kind][name] for layer in step]) for step in checks]

    return {kind: {name: column(kind, name) for name in names} for kind, names in checks[0][0].items()}

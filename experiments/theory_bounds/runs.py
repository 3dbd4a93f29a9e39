"""Training for the theorems: both nets from every seed, and a probe that checks every layer at some steps."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import data, linen, models, sweep, train
from bnjax.types import Batch, Model, Variables
from experiments._config import Options
from experiments._training.errors import config_errors
from experiments._training.log import join_records, read_record, read_run
from experiments._training.probes import Probe
from experiments._training.train import train as train_groups
from experiments.theory_bounds import Config, layer_checks
from experiments.theory_bounds.quantities import EDGES, RATIOS, SHOWN

_DECILES = (0.1, 0.5, 0.9)  # the quantiles over units that are kept


def run(config: Config, options: Options, folder: Path) -> dict[str, Any]:
    """Train and check every seed and arm, or continue where they were left.

    Returns:
        {"arms": {arm: [checks of each seed]}, "provenance": of every command that trained, "seconds": that they took}; the
        folder gets a folder `<arm>-seed<seed>` per run.

    Raises:
        ConfigError: if the configuration cannot be run.
        MissingDataError: if the data set is not prepared.
        Interrupted: after a signal, once the check and the steps at hand are done and saved.
        SaveError: if the last save of a run has failed.
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
        _refuse_older(folder)
    folders = {arm: [folder / f"{arm}-seed{seed}" for seed in config.seeds] for arm in SHOWN}
    options = replace(options, batching="threads")
    train_groups([_make_group(config, dataset, arm, folders[arm]) for arm in SHOWN], options)
    probes = {"probe": Probe(lambda _state, _split: {}, _collect)}
    arms = {
        arm: [
            {"seed": seed, **_as_kept(read_run(place, probes))}
            for seed, place in zip(config.seeds, folders[arm], strict=True)
        ]
        for arm in SHOWN
    }
    return {"arms": arms, **join_records([read_record(place) for places in folders.values() for place in places])}


def _refuse_older(folder: Path) -> None:
    """Raise where runs lie in files, as they did before each had a folder with its log and checkpoints."""
    for file in sorted(folder.glob("*-seed*.json")):
        raise ValueError(f"{file} is a run as it was kept before runs had folders. Move it away to train it again.")


def _make_group(config: Config, dataset: data.Dataset, arm: str, folders: list[Path]) -> sweep.Group:
    """Make the group of one arm's seeds: checked and tested at the same steps."""
    trainer = _make_trainer(config, arm)
    last = config.check_steps[-1]
    plan = sweep.Plan(last, config.check_steps, config.check_steps)
    keys = jax.vmap(jax.random.key)(np.array(config.seeds, np.uint32))
    program = sweep.Program(tuple(range(len(folders))), lambda: trainer, {}, keys)
    probes = {"probe": sweep.HostProbe(partial(check, config, arm))}
    tests = {"test": sweep.HostProbe(_test, split="test")}
    members = [
        sweep.Member(
            f"{arm.replace('_', ' ')}, seed {seed}",
            "/".join(place.parts[-2:]),
            place,
            lambda: dataset,
            partial(train.init_state, trainer, jax.random.key(seed)),
            probes,
            tests,
        )
        for seed, place in zip(config.seeds, folders, strict=True)
    ]
    return sweep.Group(program, plan, members)


def _make_trainer(config: Config, arm: str) -> train.Trainer:
    """Make what trains a net."""
    model, o = make_model(config, _layers(config) if arm == "batch_norm" else (), config.norm.epsilon), config.optimizer
    optimizer = train.make_optimizer(o.name, o.learning_rate, momentum=o.momentum, weight_decay=o.weight_decay)
    return train.Trainer(model, optimizer, o.batch_size)


def _test(trainer: train.Trainer, state: train.TrainState, split: data.Split) -> dict[str, Any]:
    """Return loss and accuracy with running statistics."""
    return train.evaluate(trainer, state.variables, split)._asdict()


def check(
    config: Config, arm: str, trainer: train.Trainer, state: train.TrainState, split: data.Split
) -> dict[str, Any]:
    """Check every layer of a net, in float64, on the batch of the step about to be taken: the probe of this experiment."""
    batch = train.current_batch(trainer, state, split)
    first = train.init_state(trainer, state.key, jnp.zeros_like(batch.inputs[:1])).params
    layers = [check_layer(config, arm, n, state.variables, batch, first) for n in _layers(config)]
    return {kind: _join(kind, [layer[kind] for layer in layers]) for kind in layers[0]}


def _join(kind: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the layers of a kind: of errors the largest, of histograms the sum, else a list."""
    joined = {"errors": _largest, "histogram": lambda counts: np.sum(counts, axis=0).tolist()}.get(kind, list)
    return {name: joined([layer[name] for layer in layers]) for name in layers[0]}


def _collect(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn the checks of each step into lists over steps, by kind and name."""
    kinds = [kind for kind in records[0] if kind != "step"]
    return {
        "step": [record["step"] for record in records],
        **{kind: {name: [r[kind][name] for r in records] for name in records[0][kind]} for kind in kinds},
    }


def _as_kept(curves: dict[str, Any]) -> dict[str, Any]:
    """Leave out the loss of every step."""
    return {name: curves[name] for name in ("test", "probe", "diverged_at", "seconds")}


@cache
def make_model(config: Config, norm_layers: tuple[int, ...], epsilon: float) -> Model:
    """Make the network with batch norm after some of its layers; the same one for the same arguments, compiled once."""
    norm = partial(linen.BatchNorm, momentum=config.norm.momentum, epsilon=epsilon) if norm_layers else None
    return models.make_model(models.MLPConfig(**vars(config.model), norm=norm, norm_layers=norm_layers or "all"))


def _layers(config: Config) -> tuple[int, ...]:
    return tuple(range(1, len(config.model.hidden) + 1))


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

"""Training for the theorems: both nets, every seed, stopped at some steps to check every layer; one file per run."""

import contextlib
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bnjax import data, linen, models, train
from bnjax.records import provenance, read_json, write_json
from bnjax.types import Batch, Model, Variables
from experiments._config import Options
from experiments._training.run import config_errors
from experiments._training.saving import Saves
from experiments._training.signals import Interrupted, StopRequest
from experiments._training.threads import SharedClock, run_all
from experiments.theory_bounds import layer_checks

ARMS = ("plain", "batch_norm")


def check_all(config: Any, options: Options, folder: Path) -> dict[str, Any]:
    """Train and check every seed and arm, or read what was finished before.

    Args:
        config: a `theory_bounds.Config`.
        options: where the data are.
        folder: gets a file `<arm>-seed<seed>.json` per run.

    Returns:
        {"arms": {arm: [checks of each seed]}, "provenance": of every command that trained, "seconds": that they took}.

    Raises:
        ConfigError: if the configuration cannot be run.
        MissingDataError: if the data set is not prepared.
        Interrupted: after a signal, once the steps and the check at hand are done; runs that are not finished begin anew.
        SaveError: if a run could not be written.
    """
    with config_errors():
        if options.distributed:
            raise ValueError("distributed must be left out: these nets are trained and checked on one device.")
        if options.batching not in ("auto", "threads"):
            raise ValueError(f"batching must be threads here, or left out, got {options.batching}.")
        dataset = data.load(config.dataset, preprocessing=config.preprocessing, data_dir=options.data_dir)
        data.steps_per_epoch(len(dataset.train.labels), config.batch_size)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        total = len(config.seeds) * len(ARMS) * len(config.check_steps)
        bar = stack.enter_context(tqdm(total=total, unit="check", delay=2.0, dynamic_ncols=True))
        saves = Saves(partial(tqdm.write, file=sys.stderr))
        command = _Command(folder, stop, SharedClock(), bar, provenance(), saves)
        jobs = [partial(_finish, config, dataset, arm, seed, command) for seed in config.seeds for arm in ARMS]
        run_all(jobs, stop, options.parallel)
    saves.check()
    arms = {arm: [_read(_file(folder, arm, seed)) for seed in config.seeds] for arm in ARMS}
    runs = [run for runs_of_arm in arms.values() for run in runs_of_arm]
    origins = [run.pop("provenance") for run in runs]
    return {
        "arms": arms,
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(run["seconds"] for run in runs), 1),
    }


class _Command(NamedTuple):
    """What all runs of a command share: folder, whether to stop, clock, bar, provenance as it was at the start, and saves."""

    folder: Path
    stop: StopRequest
    clock: SharedClock
    bar: tqdm
    origin: dict[str, Any]
    saves: Saves


def _file(folder: Path, arm: str, seed: int) -> Path:
    """Name what is there when a run is finished."""
    return folder / f"{arm}-seed{seed}.json"


def _read(file: Path) -> dict[str, Any]:
    """Read a finished run.

    Raises:
        ConfigError: if it holds something else.
    """
    with config_errors():
        run = read_json(file)
        if not isinstance(run, dict) or not {"seed", "seconds", "provenance", "probe", "diverged_at"} <= run.keys():
            raise ValueError(f"{file} must hold a finished run. Move it away to train it again.")
        return run


def _finish(config: Any, dataset: data.Dataset, arm: str, seed: int, command: _Command) -> None:
    """Train and check one net, unless that is done."""
    file = _file(command.folder, arm, seed)
    if file.exists():
        command.bar.update(len(config.check_steps))
        return
    with command.clock.running() as seconds:
        found = _run(config, dataset, arm, seed, command)
        with command.saves.attempt(file):
            write_json(file, {**found, "seconds": round(seconds(), 3), "provenance": command.origin})


@cache
def make_model(config: Any, norm_layers: tuple[int, ...], epsilon: float) -> Model:
    """Make the network with batch norm behind some of its layers; the same one for the same arguments, compiled once."""
    return models.make_model(
        models.MLPConfig(
            hidden=config.hidden,
            activation=config.activation,
            kernel_init=config.kernel_init,
            norm=partial(linen.BatchNorm, momentum=config.norm_momentum, epsilon=epsilon) if norm_layers else None,
            norm_layers=norm_layers or "all",
        )
    )


def _all_layers(config: Any) -> tuple[int, ...]:
    """Number the hidden layers."""
    return tuple(range(1, len(config.hidden) + 1))


def _run(config: Any, dataset: data.Dataset, arm: str, seed: int, command: _Command) -> dict[str, Any]:
    """Train one net from one seed, and check it on the way, as long as its loss is finite."""
    norm_layers = _all_layers(config) if arm == "batch_norm" else ()
    trainer = train.Trainer(
        make_model(config, norm_layers, config.norm_epsilon),
        train.make_optimizer("sgd", config.learning_rate),
        config.batch_size,
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
        checks.append([check_layer(config, arm, n, state.variables, batch, first) for n in _all_layers(config)])
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
    config: Any, arm: str, layer: int, variables: Variables, batch: Batch, first: Any
) -> dict[str, dict[str, Any]]:
    """Check everything on one layer of a net in training, in float64; batch norm that is not there is inserted.

    Args:
        config: of the network.
        arm: "plain" or "batch_norm".
        layer: from 1 at the input.
        variables: of the network as it is trained.
        batch: on which.
        first: the parameters at the start of training.

    Returns:
        "errors", "counts", "ratios" (three quantiles), "medians" and "histogram", each by name.
    """
    with jax.enable_x64(True):
        variables, first = (_widen(tree) for tree in (variables, first))
        batch = Batch(_widen(batch.inputs), batch.labels)
        norm_layers = (layer,) if arm == "plain" else _all_layers(config)
        model = make_model(config, norm_layers, 0.0)
        site, errors = (model, layer, variables, batch), {}
        if arm == "plain":
            plain = make_model(config, (), config.norm_epsilon)
            inserted = layer_checks.insert_batch_norm(plain, layer, variables, batch)
            site = (model, layer, inserted, batch)
            errors = layer_checks.check_insertion(plain, model, layer, variables, inserted, batch)
        units, rescaling = layer_checks.check_units(*site), layer_checks.check_rescaling(*site)
        lemma = layer_checks.check_optimum(*site, first[f"dense_{layer}"]["kernel"])
        loose = {
            f"{epsilon:g}": layer_checks.check_epsilon(make_model(config, norm_layers, epsilon), *site[1:], epsilon)
            for epsilon in config.epsilons
        }
    found, active = layer_checks.summarise_units(units), np.asarray(units["active"])
    errors = {**errors, **rescaling, **{name: lemma[name] for name in ("lemma_4_5", "lemma_4_5_outputs")}}
    found["errors"].update({name: layer_checks.largest(error) for name, error in errors.items()})
    found["medians"]["distance_ratio"] = layer_checks.quantiles(lemma["distance_ratio"])[1]
    found["counts"]["nearer"] = int(np.isfinite(lemma["distance_ratio"]).sum())
    for epsilon, values in loose.items():
        found["errors"][f"gap {epsilon}"] = layer_checks.largest(values["gap"])
        found["medians"][f"epsilon {epsilon}"] = layer_checks.quantiles(values["epsilon_ratio"])[1]
        found["counts"][f"epsilon {epsilon}"] = int(np.sum(np.asarray(values["epsilon_holds"])[active]))
    return found


def _widen(tree: Any) -> Any:
    """Copy arrays to float64."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)


def _columns(checks: list[list[dict[str, dict[str, Any]]]]) -> dict[str, dict[str, list]]:
    """Turn a dictionary per step and layer into lists over steps; of errors the largest over layers, of histograms the sum."""
    joined = {"errors": layer_checks.largest, "histogram": lambda counts: np.sum(counts, axis=0).tolist()}
    first = checks[0][0]
    return {
        kind: {
            name: [joined.get(kind, list)([layer[kind][name] for layer in step]) for step in checks]
            for name in first[kind]
        }
        for kind in first
    }

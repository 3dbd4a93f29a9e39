"""The nets of the theorems, and the probe that checks every layer of them at some steps."""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import data, linen, models, train
from bnjax.models import MLPShape
from bnjax.types import Batch, Model, Variables
from experiments._config import MLPRun, NoNorm, Options
from experiments._config.probes import Probe as Settings
from experiments._training.asked import Asked
from experiments._training.errors import config_errors
from experiments._training.experiment import Nets, list_nets
from experiments._training.probes import Probe
from experiments._training.tasks import Task
from experiments.theory_bounds import Config, layer_checks
from experiments.theory_bounds.quantities import EDGES, RATIOS, SHOWN

_DECILES = (0.1, 0.5, 0.9)  # quantiles over units that are kept


@dataclass(frozen=True)
class Checks(Settings):
    """Every theorem on every layer; see `Config`."""

    epsilons: tuple[float, ...] = ()

    kind: ClassVar[str] = "checks"


def nets(config: Config, options: Options, *, with_data: bool = True) -> Nets:
    """List the nets of both arms, which are checked and tested at the same steps; see `list_nets`.

    Raises:
        ConfigError: if they cannot be trained with these options.
        MissingDataError: if the data set is not prepared.
    """
    with config_errors():
        if options.distributed:
            raise ValueError("distributed must be left out: these nets are trained and checked on one device.")
        if options.batching not in ("auto", "threads"):
            raise ValueError(f"batching must be threads here, or left out, got {options.batching}.")
    alike: dict[str, Any] = {name: getattr(config, name) for name in ("model", "data", "optimizer", "seeds")}
    norms = {"plain": NoNorm(), "batch_norm": config.norm}
    groups = {"arms": {arm: MLPRun(norm=norms[arm], **alike) for arm in SHOWN}}
    steps = config.check_steps
    asked = Asked(steps[-1], steps, steps, recalibrated_tests=False, probes=(Checks(config.epsilons),))
    found = list_nets(groups, replace(options, batching="threads"), with_data=with_data)
    return {
        (group, arm, seed): net._replace(asked=asked, task=_task(config, arm, net.task))
        for (group, arm, seed), net in found.items()
    }


def _task(config: Config, arm: str, task: Task) -> Task:
    """Add the checks to a task."""

    def make_probe(settings: Any) -> Probe:
        return Probe(partial(check, replace(config, epsilons=settings.epsilons), arm, task.stepper), _collect)

    return task._replace(make_probe=make_probe, choices={Checks.kind: Checks})


def check(
    config: Config, arm: str, trainer: train.Trainer, state: train.TrainState, split: data.Split
) -> dict[str, Any]:
    """Check every layer of a net, in float64, on the next step's batch: the probe of this experiment."""
    batch = train.current_batch(trainer, state, split)
    first = train.init_state(trainer, state.key, jnp.zeros_like(batch.inputs[:1])).params
    layers = [check_layer(config, arm, n, state.variables, batch, first) for n in _layers(config)]
    return {kind: _join(kind, [layer[kind] for layer in layers]) for kind in layers[0]}


def _join(kind: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the layers' results of a kind: the largest error, the sum of histograms, or else a list."""
    joined = {"errors": _largest, "histogram": lambda counts: np.sum(counts, axis=0).tolist()}.get(kind, list)
    return {name: joined([layer[name] for layer in layers]) for name in layers[0]}


def _collect(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn the checks of each step into lists over steps, by kind and name."""
    kinds = [kind for kind in (records[0] if records else []) if kind != "step"]
    return {
        "step": [record["step"] for record in records],
        **{kind: {name: [r[kind][name] for r in records] for name in records[0][kind]} for kind in kinds},
    }


@cache
def make_model(shape: MLPShape, momentum: float, norm_layers: tuple[int, ...], epsilon: float) -> Model:
    """Make the network with batch norm after some of its layers; cached by its arguments, so that it compiles once."""
    norm = partial(linen.BatchNorm, momentum=momentum, epsilon=epsilon) if norm_layers else None
    return models.make_model(models.MLPConfig(**vars(shape), norm=norm, norm_layers=norm_layers or "all"))


def _layers(config: Config) -> tuple[int, ...]:
    return tuple(range(1, len(config.model.hidden) + 1))


def check_layer(
    config: Config, arm: str, layer: int, variables: Variables, batch: Batch, first: Any
) -> dict[str, dict[str, Any]]:
    """Check everything on one layer of a net in training, in float64; batch norm is inserted if there is none.

    `batch` is that of the next step, `first` are the initial parameters.

    Returns:
        "errors", "counts", "ratios" (three quantiles) and "histogram", each by name.
    """
    with jax.enable_x64(True):
        variables, first = (_widen(tree) for tree in (variables, first))
        batch = Batch(_widen(batch.inputs), batch.labels)
        norm_layers = (layer,) if arm == "plain" else _layers(config)
        make = partial(make_model, config.model, config.norm.momentum)
        model = make(norm_layers, 0.0)
        site, errors = (model, layer, variables, batch), {}
        if arm == "plain":
            plain = make((), config.norm.epsilon)
            inserted = layer_checks.insert_batch_norm(plain, layer, variables, batch)
            site = (model, layer, inserted, batch)
            errors = layer_checks.check_insertion(plain, model, layer, variables, inserted, batch)
        units = layer_checks.check_units(*site)
        errors |= layer_checks.check_rescaling(*site)
        errors |= layer_checks.check_optimum(*site, first[f"dense_{layer}"]["kernel"])
        holds = {}
        for epsilon in config.epsilons:
            loose = make(norm_layers, epsilon)
            gap, held = layer_checks.check_epsilon(loose, *site[1:], epsilon)
            errors[f"gap {epsilon:g}"], holds[f"epsilon {epsilon:g}"] = gap, held
    found, active = summarise_units(units), np.asarray(units["active"])
    found["errors"] |= {name: _largest(error) for name, error in errors.items()}
    found["counts"] |= {name: int(np.sum(np.asarray(held)[active])) for name, held in holds.items()}
    return found


def summarise_units(found: dict[str, jax.Array]) -> dict[str, dict[str, Any]]:
    """Reduce a layer's checks to the largest errors, numbers of units that satisfy a condition, quantiles and a histogram.

    Units without a gradient are counted, but left out of everything else.
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
    """Return the first decile, the median and the last decile of the finite values, to five digits."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return [float(f"{x:.4e}") for x in np.quantile(finite, _DECILES)] if finite.size else [float("nan")] * len(_DECILES)


def _widen(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)

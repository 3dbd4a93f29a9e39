"""The distributions of activations over training (Santurkar et al. 2018, Fig. 1c and 8)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from experiments._config import Drift, RunConfig
from experiments._training.probes.probe import Probe, Record, as_lists, columns

_NUM_QUANTILES = 40
_KEPT = ("mean", "variance", "percentiles", "outlier_share")
_SHIFTS = ("mean", "variance", "relative_mean", "relative_variance", "relative_wasserstein")


def make_drift(settings: Drift, config: RunConfig, trainer: train.Trainer, _loss_scale: float) -> Probe:
    """Follow some units of each layer on the training batches, before the normaliser, before or after the activation.

    A record has the statistics of every layer. Collected are, per layer and step: moments and percentiles of each unit, the
    histogram and quantiles of the first unit, and how far each unit has moved since the last record and since the first.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        batch = train.current_batch(trainer, state, split)
        return jax.tree.map(
            lambda values: np.asarray(values).tolist(),
            _statistics(trainer, state, batch, _plan(settings, config, state.params)),
        )

    return Probe(measure, _collect)


class _Layer(NamedTuple):
    """A followed layer: its number, the module whose output is followed, the activation after that, and the units."""

    number: int
    module: str
    activation: str
    units: tuple[int, ...]


def _plan(settings: Drift, config: RunConfig, params: Any) -> tuple[_Layer, ...]:
    """List the followed layers, with units that are the same for every net and seed."""
    plan = []
    for layer in settings.layers:
        weights = next(name for name in (f"conv_{layer}", f"dense_{layer}") if name in params)
        features = params[weights]["kernel"].shape[-1]
        units = np.random.default_rng(layer).permutation(features)[: settings.units]
        last = max(int(name.split("_")[1]) for name in params if name.startswith(("conv_", "dense_")))
        has_norm = config.norm.follows(layer) and (layer < last or config.is_linear) and settings.of != "unnormalised"
        is_behind = settings.of == "activations" and layer < last
        activation = getattr(config.model, "activation", "relu") if is_behind else "identity"
        plan.append(_Layer(layer, f"norm_{layer}" if has_norm else weights, activation, tuple(map(int, units))))
    return tuple(plan)


@compiled_once("trainer", "plan")
def _statistics(
    trainer: train.Trainer, state: train.TrainState, batch: Any, plan: tuple[_Layer, ...]
) -> dict[str, Any]:
    """Describe every layer's activations in training mode."""
    found = probes.capture(
        trainer.model,
        state.variables,
        batch.inputs,
        [layer.module for layer in plan],
        train=True,
        rngs=train.step_rngs(state),
    )
    return {
        f"layer_{number}": probes.activation_statistics(
            getattr(jax.nn, activation)(found[module]), units=list(units), num_quantiles=_NUM_QUANTILES
        )._asdict()
        for number, module, activation, units in plan
    }


def _collect(records: list[Record]) -> Record:
    """Turn records into curves, layer by layer."""
    names = [name for name in (records[0] if records else []) if name.startswith("layer_")]
    return {
        "step": [record["step"] for record in records],
        "layers": {name: _collect_layer([record[name] for record in records]) for name in names},
    }


def _collect_layer(records: list[Record]) -> Record:
    """Keep the values of one layer that figures and claims read."""
    stacked = {name: np.array(values, dtype=float) for name, values in columns(records).items()}
    statistics = probes.ActivationStatistics(**{name: jnp.asarray(values) for name, values in stacked.items()})
    kept = {name: stacked[name] for name in _KEPT}
    kept |= {name: stacked[name][:, 0] for name in ("histogram", "quantiles")}
    record = as_lists({**kept, "bin_edges": stacked["bin_edges"][0], "units": stacked["units"][0]})
    if len(records) > 1:
        drift = probes.drift(statistics)
        for since, moved in (("successive", drift.successive), ("cumulative", drift.cumulative)):
            record[since] = as_lists({name: getattr(moved, name) for name in _SHIFTS})
    return record

"""The scales of the normalisers, and the standard deviations that they multiply, on the training batches."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from bnjax.types import Batch
from experiments._config import RunConfig, Scales
from experiments._training.probes.probe import Probe, Record, by_layer


def make_scales(settings: Scales, config: RunConfig, trainer: train.Trainer, _loss_scale: float) -> Probe:
    """Describe the scale of each unit of the normalised layers, and its ratio to the unit's standard deviation.

    The ratio is the factor by which batch norm changes gradients in Theorem 4.1 of Santurkar et al. 2018: |scale| / sigma,
    where sigma is the standard deviation (1/m) of the normaliser's input over the next step's batch and over the pixels. A
    normaliser without a scale counts as one whose scale is 1.

    A record has, for each layer, the number of units, the medians of |scale| and of the ratio over them, and the share of
    units whose |scale| is smaller than a threshold.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        params, layers = state.params, config.model.num_normalised
        numbers = [layer for layer in range(1, layers + 1) if config.norm.follows(layer)]
        batch = train.current_batch(trainer, state, split)
        deviations = _deviations(trainer, state, batch, tuple(f"norm_{layer}" for layer in numbers)) if numbers else {}
        record: dict[str, list[Any]] = {"layers": [], "units": [], "scale": [], "ratio": [], "small": []}
        for layer in numbers:
            sigma = np.asarray(deviations[f"norm_{layer}"], np.float64)
            scale = np.abs(np.asarray(params.get(f"norm_{layer}", {}).get("scale", np.ones_like(sigma)), np.float64))
            with np.errstate(divide="ignore", invalid="ignore"):  # of a unit with the same value for all examples
                ratio = scale / sigma
            values = (
                f"layer_{layer}",
                scale.size,
                *map(np.median, (scale, ratio)),
                np.mean(scale < settings.threshold),
            )
            for name, value in zip(record, values, strict=True):
                record[name].append(value if isinstance(value, str | int) else float(value))
        return record

    return Probe(measure, by_layer)


@compiled_once("trainer", "names")
def _deviations(
    trainer: train.Trainer, state: train.TrainState, batch: Batch, names: tuple[str, ...]
) -> dict[str, Array]:
    """Return the standard deviation of each normaliser's input, by unit, in training mode."""
    found = probes.capture(
        trainer.model,
        state.variables,
        batch.inputs,
        names,
        where="inputs",
        train=True,
        rngs=train.step_rngs(state),
    )
    return {
        name: jnp.std(values.astype(jnp.float32), axis=tuple(range(values.ndim - 1))) for name, values in found.items()
    }

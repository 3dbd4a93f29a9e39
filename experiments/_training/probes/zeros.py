"""Units whose outputs are zero, on the same test images throughout."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split, take_batch
from experiments._config import RunConfig, ZeroUnits
from experiments._training.probes.probe import Probe, Record, by_layer, weight_layers

_BATCH = 500  # images at a time, at most


def make_zeros(settings: ZeroUnits, config: RunConfig, trainer: train.Trainer, _loss_scale: float) -> Probe:
    """Count the dead units of each hidden layer, whose activation is zero on all images, at all pixels.

    A unit is one feature. The activation's output is used, whether the normaliser comes before or after it. A record has, for
    each layer, the number of units, the number of dead ones, and the share of zeros among all outputs.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        modules = _modules(config, state.params)
        shares = _zero_shares(trainer, state, split, tuple(modules.values()), config.model.activation, settings.images)
        known = {layer: np.asarray(shares[module], np.float64) for layer, module in modules.items()}
        return {
            "layers": [f"layer_{layer}" for layer in known],
            "units": [len(share) for share in known.values()],
            "dead": [int((share == 1).sum()) for share in known.values()],
            "zero": [float(share.mean()) for share in known.values()],
        }

    return Probe(measure, by_layer, "test")


def _modules(config: RunConfig, params: Any) -> dict[int, str]:
    """Return the name of the module before each hidden layer's activation, by layer."""
    modules = {}
    for layer in weight_layers(params)[:-1]:
        weights = next(name for name in (f"conv_{layer}", f"dense_{layer}") if name in params)
        is_normalised = config.norm.follows(layer) and config.model.norm_position == "before"
        modules[layer] = f"norm_{layer}" if is_normalised else weights
    return modules


@compiled_once("trainer", "modules", "activation", "num_images")
def _zero_shares(
    trainer: train.Trainer,
    state: train.TrainState,
    split: Split,
    modules: tuple[str, ...],
    activation: str,
    num_images: int,
) -> dict[str, Array]:
    """Return each unit's share of zeros, by module, over batches of equal size; the last few images may be dropped."""
    num = min(num_images, len(split.labels))
    num_batches = -(-num // _BATCH)
    apply = getattr(jax.nn, activation)

    def of_batch(indices: Array) -> dict[str, Array]:
        images = take_batch(split, indices).inputs
        found = probes.capture(
            trainer.model, state.variables, images, modules, train=False, rngs=train.step_rngs(state)
        )
        return {module: probes.zero_share(apply(values)) for module, values in found.items()}

    shares = jax.lax.map(of_batch, jnp.arange(num // num_batches * num_batches).reshape(num_batches, -1))
    return jax.tree.map(lambda values: values.mean(axis=0), shares)

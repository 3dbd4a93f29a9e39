"""The change of the gradient from one training step to the next, each on its own batch."""

import math

import jax

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from bnjax.types import Params
from experiments._config import RunConfig, SuccessiveGradients
from experiments._training.probes.probe import Probe, Record, by_layer, descent, next_step


def make_comparison(
    settings: SuccessiveGradients, _config: RunConfig, trainer: train.Trainer, loss_scale: float
) -> Probe:
    """Compare the gradients of the next two steps: for the weights of some layers, and for all parameters.

    The sum norm of a layer is called gradient predictiveness in Mameli's repository. The smoothness from step to step is the
    distance of the gradients divided by the distance of the weights, for a layer its own.
    """
    layers = {f"layer_{n}": rf"^(conv|dense)_{n}/kernel$" for n in settings.layers}

    parts = (tuple(layers.items()), (("all", ""),))

    def measure(state: train.TrainState, split: Split) -> Record:
        _, next_state = next_step(trainer, state, split)
        gradients = descent(trainer, next_state, split), descent(trainer, state, split)
        found = _compare(*gradients, next_state.params, state.params, parts)
        record: Record = {"layers": [*layers, "all"]}
        for name in ("norm", "previous_norm", "step_distance", "step_sum"):
            record[name] = [loss_scale * float(value) for part in found for value in getattr(part, name)]
        for name in ("step_cosine", "relative_sum"):
            record[name] = [float(value) for part in found for value in getattr(part, name)]
        record["step_length"] = [float(value) for part in found for value in part.update_norm]
        distances = zip(record["step_distance"], record["step_length"], strict=True)
        record["step_smoothness"] = [distance / length if length else math.nan for distance, length in distances]
        return record

    return Probe(measure, by_layer)


@compiled_once("parts")
def _compare(
    gradient: Params, previous: Params, new: Params, old: Params, parts: tuple[tuple[tuple[str, str], ...], ...]
) -> list[probes.GradientStatistics]:
    """Compare two gradients layer by layer; each part lists some layers."""
    step = jax.tree.map(lambda new, old: new - old, new, old)
    return [probes.gradient_statistics(gradient, previous, update=step, layers=dict(part)) for part in parts]

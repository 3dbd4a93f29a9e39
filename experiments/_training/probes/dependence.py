"""Dependence between layers: their interaction along the gradient, and the changes of their units' moments."""

import itertools
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax._host.trees import norm
from bnjax.data import Split
from bnjax.types import Batch, Params, Variables
from experiments._config import LayerDependence, MomentControl, RunConfig
from experiments._training.probes.probe import (
    Probe,
    Record,
    as_lists,
    columns,
    descent,
    layer_pattern,
    make_loss_fn,
    weight_layers,
)

PLACES = ("unnormalised", "preactivations", "activations")
GAINS = ("earlier_gain", "own_gain", "relative_gain", "earlier_share")
_PROBE_KEY = 6  # folded into a run's key, so that random vectors are its own


def make_dependence(settings: LayerDependence, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure the interaction of all weight layers, each with its normaliser, and the second order between them.

    Step sizes are the multiples of the learning rate, then the sizes whose steps have the relative lengths. A record has R,
    its second-order value, its rounding and the relative length for each step size; and the curvature between layers along
    the gradient at length 1, its off-diagonal share, and the squared norms of the blocks of one layer.
    """
    multiples = tuple(loss_scale * config.optimizer.learning_rate * multiple for multiple in settings.step_multiples)

    def measure(state: train.TrainState, split: Split) -> Record:
        direction = descent(trainer, state, split)
        ratio = float(norm(state.params)) / (float(norm(direction)) or float("nan"))
        # NOTE: without a gradient every step has length 0; its results are NaN.
        relative = [ratio * relative if np.isfinite(ratio) else 1.0 for relative in settings.relative_steps]
        loss_fn = make_loss_fn(trainer, state, train.current_batch(trainer, state, split))
        layers = _layers(state.params)
        sizes = np.array([*multiples, *relative], np.float32)
        found = probes.layer_dependence(loss_fn, state.params, layers, direction, step_sizes=sizes)
        key = jax.random.fold_in(jax.random.fold_in(state.key, _PROBE_KEY), state.step)
        of = {"of": f"layer_{settings.layer}", "num_probes": settings.num_vectors}
        blocks = probes.hessian_blocks(loss_fn, state.params, layers, key=key, **of)
        return as_lists(
            {
                "layers": found.layers,
                "step_sizes": sizes / loss_scale,
                "ratio": found.interaction_ratio,
                "second_order_ratio": found.second_order_ratio,
                "rounding": found.rounding,
                "relative_distance": found.relative_distances,
                "share": found.off_diagonal_share,
                "curvature": loss_scale * found.curvature,
                "block_squares": loss_scale**2 * blocks.mean,
                "block_errors": loss_scale**2 * blocks.standard_error,
            }
        )

    return Probe(measure, _collect)


def make_control(_settings: MomentControl, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure how a learning-rate step along minus the gradient changes the moments of hidden layers' units.

    The layers are all hidden layers after the first; the places are their outputs before the normaliser, before the activation
    and after it. A record has, for each place and layer: the changes caused by earlier layers and by its own parameters, per
    unit of their step; the change caused by earlier layers, relative to moments and weights; and their share of both changes.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        batch = train.current_batch(trainer, state, split)
        size = loss_scale * config.optimizer.learning_rate
        update = optax.tree.scale(size, descent(trainer, state, split))
        plan = _plan(config, state.params)
        gains = {name: np.asarray(values) for name, values in _control(trainer, state, batch, update, plan).items()}
        record: Record = {"layers": list(dict.fromkeys(output.layer for output in plan))}
        for place in PLACES:
            chosen = [output.place == place for output in plan]
            record |= {f"{place}_{name}": values[chosen].tolist() for name, values in gains.items()}
        return record

    return Probe(measure, _collect)


class _Output(NamedTuple):
    """A measured output: its place and layer, the module that produces it, and the activation after that."""

    place: str
    layer: str
    module: str
    activation: str

    @property
    def name(self) -> str:
        """The name of the output."""
        return f"{self.place} of {self.layer}"


def _layers(params: Params) -> dict[str, str]:
    """Return the patterns of all weight layers by name, from the input on."""
    return {f"layer_{n}": layer_pattern(n) for n in weight_layers(params)}


def _plan(config: RunConfig, params: Params) -> tuple[_Output, ...]:
    """List the outputs of the hidden layers that have layers before them, at all places."""
    plan = []
    for place, layer in itertools.product(PLACES, weight_layers(params)[1:-1]):
        weights = next(name for name in (f"conv_{layer}", f"dense_{layer}") if name in params)
        is_normalised = config.norm.follows(layer) and place != "unnormalised"
        activation = config.model.activation if place == "activations" else "identity"
        plan.append(_Output(place, f"layer_{layer}", f"norm_{layer}" if is_normalised else weights, activation))
    return tuple(plan)


@compiled_once("trainer", "plan")
def _control(
    trainer: train.Trainer, state: train.TrainState, batch: Batch, update: Params, plan: tuple[_Output, ...]
) -> dict[str, Any]:
    """Measure the effect of an update on the moments of some outputs, in training mode."""

    def outputs(params: Params) -> dict[str, Any]:
        variables, modules = Variables(params, state.batch_stats), list(dict.fromkeys(output.module for output in plan))
        found = probes.capture(trainer.model, variables, batch.inputs, modules, train=True, rngs=train.step_rngs(state))
        return {output.name: getattr(jax.nn, output.activation)(found[output.module]) for output in plan}

    of = {output.name: output.layer for output in plan}
    found = probes.moment_control(outputs, state.params, update, _layers(state.params), of=of)
    return {name: getattr(found, name) for name in GAINS}


def _collect(records: list[Record]) -> Record:
    """Turn records into one list per field, and one list of layers."""
    found = columns(records)
    return found | ({"layers": found["layers"][0]} if records else {})

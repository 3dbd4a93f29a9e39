"""Internal covariate shift, by its definition and as Mameli's repository measures it."""

import jax
import numpy as np
from jax import Array

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split
from bnjax.types import Batch, Params
from experiments._config import DummyShift, RunConfig, Shift
from experiments._training.probes.probe import (
    Probe,
    Record,
    by_layer,
    descent,
    layer_pattern,
    make_loss_fn,
    next_step,
    weight_layers,
)


def make_shift(settings: Shift, _config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure Definition 2.1 of Santurkar et al. 2018, with the optimiser's next step.

    Gradients are with respect to the weights alone. All parameters of earlier layers move, including biases and normalisers,
    unless `weights_only` is set.
    """
    names = [f"layer_{n}" for n in settings.layers]

    def measure(state: train.TrainState, split: Split) -> Record:
        batch, next_state = next_step(trainer, state, split)
        update = jax.tree.map(lambda new, old: new - old, next_state.params, state.params)
        found = probes.covariate_shift(
            make_loss_fn(trainer, state, batch),
            state.params,
            update,
            {f"layer_{n}": layer_pattern(n) for n in weight_layers(state.params)},
            of=names,
            moved="kernel$" if settings.weights_only else None,
            compared="kernel$",
        )
        return {
            "layers": names,
            "difference": loss_scale * found.difference,
            "relative_difference": found.relative_difference,
            "cosine": found.cosine,
            "gradient_norm": loss_scale * found.gradient_norm,
        }

    return Probe(measure, by_layer)


def make_dummy_shift(settings: DummyShift, _config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure as in the repository of Mameli's article, and the same without any step.

    A second net has the kernels of the convolutions, but its own randomly initialised biases, normalisers and classifier. The
    net's gradient with respect to the measured layer's kernel is compared with the second net's, after its convolutions up to
    and including that layer have taken their step. "zero_step" is the same comparison before any of them has: the part of the
    measure that is not shift at all.
    """
    layer = settings.layer

    def measure(state: train.TrainState, split: Split) -> Record:
        batch, next_state = next_step(trainer, state, split)
        dummy = train.init_state(trainer, jax.random.fold_in(state.key, 5), batch.inputs)
        still = _with_kernels(dummy.params, state.params, _convolutions(state.params))
        moved = _with_kernels(still, next_state.params, [n for n in _convolutions(state.params) if n <= layer])
        gradient = -_kernel(descent(trainer, state, split), layer)
        record: Record = {}
        for name, params in (("step", moved), ("zero_step", still)):
            # its own dropout masks come with its own key
            other = _kernel(_gradients(trainer, dummy.replace(step=state.step), params, batch), layer)
            difference, lengths = np.linalg.norm(gradient - other), np.linalg.norm(gradient) * np.linalg.norm(other)
            record[f"{name}_difference"] = float(loss_scale * difference)
            record[f"{name}_cosine"] = float(np.vdot(gradient, other) / lengths) if lengths else float("nan")
        return record

    return Probe(measure)


def _convolutions(params: Params) -> list[int]:
    """List the numbers of the convolutions."""
    return [n for n in weight_layers(params) if f"conv_{n}" in params]


def _with_kernels(params: Params, source: Params, layers: list[int]) -> Params:
    """Take the kernels of some convolutions from another net."""
    names = {f"conv_{n}" for n in layers}
    return {
        name: {**leaves, "kernel": source[name]["kernel"]} if name in names else leaves
        for name, leaves in params.items()
    }


def _kernel(gradient: Params, layer: int) -> np.ndarray:
    """Return a convolution's kernel from a gradient, in float64, in which no square of a float32 number underflows."""
    return np.asarray(gradient[f"conv_{layer}"]["kernel"], np.float64)


@compiled_once("trainer")
def _gradients(
    trainer: train.Trainer, state: train.TrainState, params: Params, batch: Batch
) -> dict[str, dict[str, Array]]:
    """Differentiate the loss of a step at other parameters."""
    return jax.grad(make_loss_fn(trainer, state, batch))(params)

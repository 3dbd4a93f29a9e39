"""Flatness of the training loss, and the generalisation gap, once the loss has fallen to certain levels."""

import math
from typing import Any

import jax
import numpy as np

from bnjax import objective, probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Dataset
from bnjax.types import Batch
from experiments._config import Flatness, RunConfig
from experiments._training.probes.generalisation import average, measure_images, whole_batches
from experiments._training.probes.probe import Probe, Record, columns, weight_layers

_PROBE_KEY = 7  # folded into a run's key, so that random vectors are its own
_IMAGES = ("train", "running", "batch", "population")
_CURVATURES = ("eigenvalue", "residual", "trace", "trace_error", "ascent", "random", "random_error", "sample_loss")
# Measurements besides the training loss: accuracies, other losses, and curvatures.
REACHED = (*(f"{images}_accuracy" for images in _IMAGES), *(f"{images}_loss" for images in _IMAGES[1:]), *_CURVATURES)


def make_flatness(settings: Flatness, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure the training loss, and, when it first reaches a level, quantities said to predict generalisation.

    The training loss is of the same images throughout, in batches of the training's size, in training mode without dropout. A
    record also has: loss and accuracy on training and test images, as `generalisation` measures them; the largest eigenvalue
    of the Hessian, with its residual, and its trace, with a standard error; the rise of the loss when the weights of each layer
    move by a share of their length, along the gradient and in random directions; and the loss of the images used for these
    curvatures. At all other steps these are NaN.

    NOTE: a run's earlier losses are remembered while the process lasts. A run that resumes from a checkpoint measures once
    more than it needs to; that measurement is dropped when the run's records are collected.
    """
    remembered: dict[bytes, tuple[int, float]] = {}

    def measure(state: train.TrainState, dataset: Dataset) -> Record:
        loss = loss_scale * float(_training_loss(trainer, state, dataset, settings.num_examples))
        run, step = np.asarray(jax.random.key_data(state.key)).tobytes(), int(state.step)
        before, lowest = remembered.get(run, (-1, math.inf))
        lowest = lowest if step > before else math.inf  # a run that begins again
        remembered[run] = step, min(loss, lowest)
        record = {"train_loss": loss, **dict.fromkeys(REACHED, math.nan)}
        if not settings.are_reached(loss, lowest):
            return record
        found = measure_images(trainer, state, dataset, settings.num_examples, config.norm.is_recalibrated)
        for images, metrics in found.items():
            record[f"{images}_accuracy"] = float(metrics.accuracy)
            if images != "train":
                record[f"{images}_loss"] = loss_scale * float(metrics.loss)
        flatness = _curvature(settings, trainer, state, dataset)
        return record | {name: loss_scale * value for name, value in flatness.items()}

    def collect(records: list[Record]) -> Record:
        """Drop measurements at which the training loss had been as low before."""
        kept, lowest = [], math.inf
        for record in records:
            loss = math.inf if record["train_loss"] is None else record["train_loss"]
            is_first = settings.are_reached(loss, lowest)
            kept.append(record if is_first else record | dict.fromkeys(REACHED))
            lowest = min(loss, lowest)
        return columns(kept)

    return Probe(measure, collect, split=None)


@compiled_once("trainer", "num_examples")
def _training_loss(trainer: train.Trainer, state: train.TrainState, dataset: Dataset, num_examples: int) -> Any:
    """Average the loss over training images."""
    seen = whole_batches(dataset.train, trainer.batch_size, num_examples)
    return average(trainer, state.variables, seen, train.step_rngs(state), in_training=True).loss


def _curvature(
    settings: Flatness, trainer: train.Trainer, state: train.TrainState, dataset: Dataset
) -> dict[str, float]:
    """Measure the Hessian of the loss of some training images, and the relative sharpness of their loss."""
    stacked = whole_batches(dataset.train, trainer.batch_size, settings.curvature_examples)
    batches: list[Batch] = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(stacked.labels))]
    loss_fn = objective.make_loss_fn(
        trainer.model, state.batch_stats, batches, loss=trainer.loss, rngs=train.step_rngs(state)
    )
    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, _PROBE_KEY), state.step), 3)
    options: Any = {"tolerance": settings.tolerance, "max_matvecs": settings.max_products}
    top = probes.curvature.top_eigenpairs(loss_fn, state.params, key=keys[0], **options)
    trace = probes.curvature.trace(loss_fn, state.params, key=keys[1], num_probes=settings.num_vectors)
    layers = {f"layer_{n}": rf"^(conv|dense)_{n}/kernel$" for n in weight_layers(state.params)}
    moves: Any = {"radius": settings.radius, "num_directions": settings.num_directions, "alone": False}
    moved = probes.relative_sharpness(loss_fn, state.params, layers, key=keys[2], **moves)
    values = top.eigenvalues[0], top.residuals[0], trace.trace, trace.standard_error
    rises = moved.ascent, moved.mean, moved.standard_error, moved.start_loss
    return {name: float(np.asarray(value)) for name, value in zip(_CURVATURES, (*values, *rises), strict=True)}

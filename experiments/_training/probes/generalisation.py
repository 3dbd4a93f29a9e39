"""Loss and accuracy on training and on test images, by normalisation statistics (Wu & Johnson 2021, Sec. 3)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from bnjax import train
from bnjax._host.programs import compiled_once
from bnjax.data import Dataset, Split, take_batch
from bnjax.losses import is_correct, loss_of_each
from bnjax.norms.population import pooled_statistics
from bnjax.types import Batch, Rngs, Variables
from experiments._config import Generalisation, RunConfig
from experiments._training.probes.evaluation import first_rows
from experiments._training.probes.probe import Probe, Record


def make_generalisation(
    settings: Generalisation, config: RunConfig, trainer: train.Trainer, loss_scale: float
) -> Probe:
    """Measure the same images at every step, in batches of the training's size, without dropout.

    Training images are normalised by their batches' statistics, as in training; test images by their batches' statistics, by
    the running ones, and by population statistics, which are pooled over the training images. Without a normaliser that has
    statistics of batches, there is one number for all three.
    """

    def measure(state: train.TrainState, dataset: Dataset) -> Record:
        found = measure_images(trainer, state, dataset, settings.num_examples, config.norm.is_recalibrated)
        return {
            f"{images}_{name}": (loss_scale if name == "loss" else 1.0) * float(value)
            for images, metrics in found.items()
            for name, value in metrics._asdict().items()
        }

    return Probe(measure, split=None)


@compiled_once("trainer", "num_examples", "has_statistics")
def measure_images(
    trainer: train.Trainer, state: train.TrainState, dataset: Dataset, num_examples: int, has_statistics: bool
) -> dict[str, train.Metrics]:
    """Average loss and accuracy over training images, and over test images in three ways."""
    rngs, variables = train.step_rngs(state), state.variables
    seen, unseen = (whole_batches(split, trainer.batch_size, num_examples) for split in dataset)
    found = {
        "train": average(trainer, variables, seen, rngs, in_training=True),
        "running": average(trainer, variables, unseen, rngs, in_training=False),
    }
    if not has_statistics:
        return {**found, "batch": found["running"], "population": found["running"]}
    pooled = Variables(state.params, pooled_statistics(trainer.model, variables, [seen.inputs], rngs))
    return {
        **found,
        "batch": average(trainer, variables, unseen, rngs, in_training=True),
        "population": average(trainer, pooled, unseen, rngs, in_training=False),
    }


def average(
    trainer: train.Trainer, variables: Variables, batches: Batch, rngs: Rngs, *, in_training: bool
) -> train.Metrics:
    """Average loss and accuracy over a stack of batches, without dropout."""

    def of_batch(batch: Batch) -> train.Metrics:
        with nn.intercept_methods(_without_dropout):
            outputs, _ = trainer.model.apply(variables, batch.inputs, train=in_training, rngs=rngs)
        losses = loss_of_each(trainer.loss, outputs, batch)
        return train.Metrics(jnp.mean(losses), jnp.mean(is_correct(outputs, batch.labels)))

    return jax.tree.map(jnp.mean, jax.lax.map(of_batch, batches))


def _without_dropout(next_fn: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
    """Make dropout return its input."""
    return args[0] if isinstance(context.module, nn.Dropout) else next_fn(*args, **kwargs)


def whole_batches(split: Split, size: int, num_examples: int) -> Batch:
    """Stack the first examples as whole batches, at least one, which is as large as the split at most."""
    indices = first_rows(len(split.labels), size, num_examples)
    return jax.vmap(lambda rows: take_batch(split, rows))(indices)

"""The accuracy on test examples: with running statistics, and with recalibrated ones where they are asked for."""

from collections.abc import Iterator

import jax.numpy as jnp

from bnjax import data, norms, train
from bnjax.types import Batch, Variables
from experiments._config import RunConfig

_MAX_EXAMPLES = 10_000  # that statistics are taken from


def evaluate(
    config: RunConfig, trainer: train.Trainer, state: train.TrainState, dataset: data.Dataset
) -> dict[str, float]:
    """Return loss and accuracy of a state, `recalibrated_loss` and `recalibrated_accuracy` too where the run wants them."""
    rngs, noise = train.step_rngs(state), getattr(config.norm, "noise", None)

    def measured(variables: Variables) -> dict[str, float]:
        rngs_in_tests = rngs if noise and noise.in_tests else None
        metrics = train.evaluate(trainer, variables, dataset.test, rngs=rngs_in_tests)
        return {name: float(value) for name, value in metrics._asdict().items()}

    found = measured(state.variables)
    if config.schedule.recalibrated_tests and config.norm.is_recalibrated:
        batches = _batches(dataset.train, config.optimizer.batch_size)
        again = norms.recalibrate(trainer.model, state.variables, batches, rngs=rngs, show_progress=False)
        found |= {f"recalibrated_{name}": value for name, value in measured(again).items()}
    return found


def _batches(split: data.Split, size: int) -> Iterator[Batch]:
    """Cut the first examples into batches."""
    num = min(_MAX_EXAMPLES, len(split.labels))
    for start in range(0, num, size):
        yield data.take_batch(split, jnp.arange(start, min(start + size, num)))

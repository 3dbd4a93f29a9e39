"""Test accuracy and loss, with running or with recalibrated statistics."""

from collections.abc import Iterator

import jax.numpy as jnp

from bnjax import data, norms, train
from bnjax.types import Batch
from experiments._config import RunConfig
from experiments._training.tasks import make_quiet_model

_MAX_EXAMPLES = 10_000  # from which recalibrated statistics are taken


def evaluate(
    config: RunConfig, trainer: train.Trainer, state: train.TrainState, dataset: data.Dataset, *, recalibrated: bool
) -> dict[str, float]:
    """Return loss and accuracy of a state.

    Statistics are recalibrated without the noise of a normaliser, unless tests have it too: they belong to the tested net.
    """
    rngs, noise, variables = train.step_rngs(state), getattr(config.norm, "noise", None), state.variables
    if recalibrated:
        batches = _batches(dataset.train, config.optimizer.batch_size, whole_only=config.norm.kind == "ghost_batch")
        model = trainer.model if noise is None or noise.in_tests else make_quiet_model(config)
        variables = norms.recalibrate(model, variables, batches, rngs=rngs, show_progress=False)
    metrics = train.evaluate(trainer, variables, dataset.test, rngs=rngs if noise and noise.in_tests else None)
    return {name: float(value) for name, value in metrics._asdict().items()}


def _batches(split: data.Split, size: int, *, whole_only: bool) -> Iterator[Batch]:
    """Cut the first examples into batches; `whole_only` drops a last, smaller one, which may not divide into ghosts."""
    num = min(_MAX_EXAMPLES, len(split.labels))
    num -= num % size if whole_only else 0
    for start in range(0, num, size):
        yield data.take_batch(split, jnp.arange(start, min(start + size, num)))

"""The largest eigenvalues of the Hessian, and the gradient's share in their space (Ghorbani et al. 2019)."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from bnjax import objective, probes, train
from bnjax.data import Split, take_batch
from bnjax.types import LossFn, Params
from experiments._config import Eigenvalues, RunConfig
from experiments._training.probes.probe import Probe, Record


def make_eigenvalues(settings: Eigenvalues, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure the loss of the same images at every step, in training mode with the current random masks.

    A record has the eigenvalues in descending order, and for each the share of the gradient's squared norm along its
    eigenvector. If the normaliser has statistics of batches, it has both a second time, as `frozen_...`: for the loss with the
    running statistics, which stay fixed when the weights move. Pairs that have not converged are NaN.
    """

    def losses(state: train.TrainState, split: Split) -> Iterator[tuple[str, LossFn]]:
        batch = take_batch(split, jnp.arange(min(settings.num_examples, len(split.labels))))
        for prefix, statistics in (("", "batch"), ("frozen_", "running"))[: 1 + config.norm.is_recalibrated]:
            options = {"loss": trainer.loss, "statistics": statistics, "rngs": train.step_rngs(state)}
            yield prefix, objective.make_loss_fn(trainer.model, state.batch_stats, batch, **options)

    def measure(state: train.TrainState, split: Split) -> Record:
        record: Record = {}
        for prefix, loss_fn in losses(state, split):
            eigenvalues, shares = top_of(loss_fn, state.params, settings)
            record[f"{prefix}eigenvalues"] = (loss_scale * eigenvalues).tolist()
            record[f"{prefix}shares"] = shares.tolist()
        return record

    return Probe(measure)


def top_of(loss_fn: LossFn, params: Params, settings: Eigenvalues) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest eigenvalues, and the share of the gradient's squared norm along each eigenvector.

    Returns:
        (eigenvalues in descending order, shares), each (num,), NaN where a pair has not converged.
    """
    options = {"num": settings.num, "tolerance": settings.tolerance, "max_matvecs": settings.max_matvecs}
    pairs = probes.curvature.top_eigenpairs(loss_fn, params, key=jax.random.key(0), **options)
    shares = pairs.overlap(probes.directions.gradient(loss_fn, params))
    known = np.asarray(pairs.converged)
    return np.where(known, pairs.eigenvalues, np.nan), np.where(known, shares, np.nan)

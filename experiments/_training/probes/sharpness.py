"""Batch sharpness during training: the curvature of mini-batches' losses along their own gradients."""

import numpy as np

from bnjax import probes, train
from bnjax.data import Split
from experiments._config import BatchSharpness, RunConfig
from experiments._training.probes.probe import Probe, Record


def make_sharpness(settings: BatchSharpness, _config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Measure the sharpness of the next batches, all at the current weights, each with its own masks and noise."""

    def measure(state: train.TrainState, split: Split) -> Record:
        ahead = [state.replace(step=state.step + i) for i in range(settings.batches)]
        losses = [train.current_loss_fn(trainer, each, split) for each in ahead]
        found = probes.batch_sharpness(losses, state.params)
        return {
            "sharpness": float(loss_scale * found.sharpness),
            "samples": (loss_scale * np.asarray(found.samples)).tolist(),
            "gradient_norms": (loss_scale * np.asarray(found.gradient_norms)).tolist(),
        }

    return Probe(measure)

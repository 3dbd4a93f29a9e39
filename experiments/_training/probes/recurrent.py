"""How the gradient of the loss flows back through time (Cooijmans et al. 2016, Fig. 1b)."""

import jax.numpy as jnp

from bnjax import models, train
from bnjax.data import Split
from experiments._config import HiddenGradients, RunConfig
from experiments._training.description import describe_model
from experiments._training.probes.probe import Probe, Record


def make_hidden_gradients(
    _settings: HiddenGradients, config: RunConfig, trainer: train.Trainer, loss_scale: float
) -> Probe:
    """Measure the l2 norm of the next batch's loss gradient with respect to the hidden states after each time step."""
    described = describe_model(config)

    def measure(state: train.TrainState, split: Split) -> Record:
        batch = train.current_batch(trainer, state, split)
        gradient = models.hidden_gradients(described, state.variables, batch, rngs=train.step_rngs(state))
        return {"norm": (loss_scale * jnp.linalg.norm(gradient, axis=(1, 2))).tolist()}

    return Probe(measure)

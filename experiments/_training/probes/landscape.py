"""Loss and gradients along a line from the current parameters (Santurkar et al. 2018, Fig. 4)."""

import jax
import optax

from bnjax import probes, train
from bnjax._host.trees import norm
from bnjax.data import Split
from bnjax.types import LossFn, Params
from experiments._config import Landscape, RunConfig
from experiments._training.probes.probe import Probe, Record, descent


def make_scan(settings: Landscape, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Scan along minus the gradient; steps are as long as the optimiser's step times the multiples."""
    sizes = _step_sizes(settings, config, loss_scale)

    def measure(state: train.TrainState, split: Split) -> Record:
        loss_fn = _loss_fn(settings, config, trainer, state, split)
        scan = probes.scan_line(loss_fn, state.params, step_sizes=sizes, norm=settings.norm)
        return _record(scan, loss_scale)

    return Probe(measure)


def make_random_scan(settings: Landscape, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Scan along a random direction, a new one at every step, that is as long as the gradient."""
    sizes = _step_sizes(settings, config, loss_scale)

    def measure(state: train.TrainState, split: Split) -> Record:
        loss_fn = _loss_fn(settings, config, trainer, state, split)
        key = jax.random.fold_in(jax.random.fold_in(state.key, 4), state.step)
        has_penalty = settings.penalty and config.optimizer.weight_decay
        gradient = probes.directions.gradient(loss_fn, state.params) if has_penalty else descent(trainer, state, split)
        drawn = probes.directions.random(key, state.params, null_sizes=getattr(config.model, "null_sizes", {}))
        direction = _as_long(drawn, gradient)
        scan = probes.scan_line(loss_fn, state.params, direction, step_sizes=sizes, norm=settings.norm)
        return _record(scan, loss_scale)

    return Probe(measure)


def _step_sizes(settings: Landscape, config: RunConfig, loss_scale: float) -> tuple[float, ...]:
    return tuple(loss_scale * config.optimizer.learning_rate * multiple for multiple in settings.step_multiples)


def _loss_fn(
    settings: Landscape, config: RunConfig, trainer: train.Trainer, state: train.TrainState, split: Split
) -> LossFn:
    """Make the loss that is scanned."""
    return train.current_loss_fn(trainer, state, split, l2=config.optimizer.weight_decay if settings.penalty else 0.0)


@jax.jit
def _as_long(direction: Params, like: Params) -> Params:
    """Rescale a direction to the l2 norm of another."""
    return optax.tree.scale(norm(like) / norm(direction), direction)


def _record(scan: probes.LineScan, loss_scale: float) -> Record:
    """Return the record of a scan, in the units of the configuration."""
    scaled = ("start_loss", "loss", "gradient_norm", "gradient_distance", "smoothness")
    return {
        "step_sizes": scan.step_sizes / loss_scale,
        **{name: loss_scale * getattr(scan, name) for name in scaled},
        "gradient_cosine": scan.gradient_cosine,
    }

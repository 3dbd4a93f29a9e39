"""The run's own next steps, taken by a copy of it: how far ahead the current gradient predicts the training."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

from bnjax import objective, probes, train
from bnjax._host.precision import products_in
from bnjax._host.programs import compiled_once
from bnjax._host.trees import cosine, distance
from bnjax.data import Split, take_batch
from bnjax.types import Batch, LossFn, Rngs, Variables
from experiments._config import Horizon, RunConfig
from experiments._training.probes.probe import Probe, Record, advance, as_lists, make_loss_fn

# The statistics that normalise the nets on a segment: running ones, interpolated like the weights, or of its start or its end;
# or statistics of the measured batch, recomputed at each point.
STATISTICS = ("mixed", "start", "end", "recalibrated")


class Path(NamedTuple):
    """The path of training, compared with its start.

    Attributes:
        variables: parameters and running statistics, after each of the numbers of steps.
        loss: loss there.
        cosine: cosine of the gradient there with the one at the start.
        largest_smoothness: largest |g_{s+1} - g_s| / |w_{s+1} - w_s| over the steps up to there.
        mean_smoothness: mean of the same.
    """

    variables: Variables
    loss: Float[Array, " ahead"]
    cosine: Float[Array, " ahead"]
    largest_smoothness: Float[Array, " ahead"]
    mean_smoothness: Float[Array, " ahead"]


def make_horizon(settings: Horizon, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Train a copy of the state further, on the run's own batches, and compare with the current gradient, frozen.

    Losses and gradients are of the same images throughout, in training mode with the current random masks. A record has, for
    each number of steps k: the loss k learning rates along minus the gradient, and the loss after k steps; the cosine of the
    gradients; |w_{t+k} - w_t|; the largest and the mean change of the gradient per distance from step to step; and the
    barrier on the segment from w_t to w_{t+k}, with each kind of statistics. Without a normaliser that has statistics of
    batches, there is one barrier for all of them.
    """
    sizes = tuple(loss_scale * config.optimizer.learning_rate * ahead for ahead in settings.steps_ahead)

    def measure(state: train.TrainState, split: Split) -> Record:
        batch = take_batch(split, jnp.arange(min(settings.num_examples, len(split.labels))))
        loss_fn = make_loss_fn(trainer, state, batch)
        direction = probes.directions.gradient(loss_fn, state.params)
        options: Any = {"gradients": False, "show_progress": False}
        frozen = probes.scan_line(loss_fn, state.params, direction, sizes, **options)
        path = look_ahead(trainer, state, split, loss_fn, settings.steps_ahead)
        ends = path.variables
        start, rngs = state.variables, train.step_rngs(state)
        barriers = _barriers(trainer, start, ends, batch, rngs, settings.num_points, config.norm.is_recalibrated)
        return as_lists(
            {
                "start_loss": loss_scale * frozen.start_loss,
                "gradient_norm": loss_scale * frozen.direction_norm,
                "frozen_loss": loss_scale * frozen.loss,
                "path_loss": loss_scale * path.loss,
                "cosine": path.cosine,
                "distance": _distances(start.params, ends.params),
                "largest_smoothness": loss_scale * path.largest_smoothness,
                "mean_smoothness": loss_scale * path.mean_smoothness,
                **{f"barrier_{name}": loss_scale * heights for name, heights in barriers.items()},
            }
        )

    return Probe(measure)


@compiled_once("trainer", "steps_ahead")
def look_ahead(
    trainer: train.Trainer, state: train.TrainState, split: Split, loss_fn: LossFn, steps_ahead: tuple[int, ...]
) -> Path:
    """Take the run's next steps, as `train.run_steps` does; the state stays as it is."""
    return follow(loss_fn, lambda state: advance(trainer, state, split), state, steps_ahead)


def follow(loss_fn: LossFn, move: Callable[[Any], Any], state: Any, steps_ahead: Sequence[int]) -> Path:
    """Take steps, one after another, and measure a loss on the way.

    Args:
        loss_fn: of the parameters.
        move: maps a state to the one after its next step.
        state: with `params` and `variables`.
        steps_ahead: numbers of steps after which states are kept, in ascending order.
    """

    def measured(params: PyTree) -> tuple[Array, PyTree]:
        with products_in(None):
            return jax.value_and_grad(loss_fn)(params)

    places = jnp.asarray(steps_ahead)
    _, start = measured(state.params)

    def step(carry: tuple[Any, PyTree, Variables], ahead: Array) -> tuple[Any, tuple[Array, ...]]:
        before, gradient, kept = carry
        # NOTE: without the barrier, XLA could round the step differently than in the run, which measures nothing beside it.
        after = jax.lax.optimization_barrier(move(before))
        loss, new = measured(after.params)
        smoothness = distance(new, gradient) / distance(after.params, before.params)
        # The last state written at a place is the one that belongs there.
        place = jnp.searchsorted(places, ahead)
        kept = jax.tree.map(lambda all_, leaf: all_.at[place].set(leaf), kept, after.variables)
        return (after, new, kept), (loss, cosine(new, start), smoothness)

    nothing = jax.tree.map(lambda leaf: jnp.zeros((len(places), *jnp.shape(leaf)), leaf.dtype), state.variables)
    every = jnp.arange(1, steps_ahead[-1] + 1)
    (_, _, kept), (losses, cosines, smoothness) = jax.lax.scan(step, (state, start, nothing), every)
    largest, mean = jax.lax.cummax(smoothness), jnp.cumsum(smoothness) / every
    return Path(kept, *(values[places - 1] for values in (losses, cosines, largest, mean)))


@compiled_once()
def _distances(start: PyTree, ends: PyTree) -> Float[Array, " ahead"]:
    """Measure the distance of parameters from the start."""
    return jax.vmap(lambda end: distance(end, start))(ends)


@compiled_once("trainer", "num_points", "has_statistics")
def _barriers(
    trainer: train.Trainer,
    start: Variables,
    ends: Variables,
    batch: Batch,
    rngs: Rngs,
    num_points: int,
    has_statistics: bool,
) -> dict[str, Float[Array, " ahead"]]:
    """Measure the barriers on the segments from one net to several others, in evaluation, by the kind of statistics."""

    def running(variables: Variables) -> Array:
        options: Any = {"loss": trainer.loss, "statistics": "running", "rngs": rngs}
        return objective.make_loss_fn(trainer.model, variables.batch_stats, batch, **options)(variables.params)

    fresh = objective.make_loss_fn(
        trainer.model, start.batch_stats, batch, loss=trainer.loss, statistics="recalibrated", rngs=rngs
    )

    def height(loss_fn: LossFn, begin: PyTree, end: PyTree) -> Array:
        return probes.barrier(loss_fn, begin, end, num_points=num_points, show_progress=False).height

    def to(end: Variables) -> dict[str, Array]:
        if not has_statistics:
            return dict.fromkeys(STATISTICS, height(running, start, end))
        pairs = {"mixed": (start, end), "start": (start, start), "end": (end, end)}
        first, last = (
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(pair[i].batch_stats for pair in pairs.values()))
            for i in (0, 1)
        )
        heights = jax.lax.map(
            lambda stats: height(running, Variables(start.params, stats[0]), Variables(end.params, stats[1])),
            (first, last),
        )
        kept = dict(zip(pairs, heights, strict=True))
        return {**kept, "recalibrated": height(fresh, start.params, end.params)}

    return jax.lax.map(to, ends)

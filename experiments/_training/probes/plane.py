"""The loss on a plane through the weights, spanned by the gradient and the direction of training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax._host.trees import cosine, difference, dot, norm
from bnjax.data import Split, take_batch
from bnjax.types import Params
from experiments._config import Plane, RunConfig
from experiments._training.probes.probe import Probe, Record, advance, as_lists, make_loss_fn

# The ends of both axes, in units of the distance to the weights ahead.
RANGE_X, RANGE_Y = (-0.5, 1.0), (-0.3, 1.2)
_PATH_POINTS = 21


class Axes(NamedTuple):
    """The axes of a plane, both as long as the way from the weights now to those ahead, w_{t+k} - w_t.

    Attributes:
        x: minus the gradient at w_t.
        y: the way to w_{t+k}, without its component along x.
        distance: |w_{t+k} - w_t|.
        cosine: cosine of the angle between minus the gradient and this way.
        path: coordinates of the weights on this way, from w_t to w_{t+k}, projected onto the plane.
    """

    x: Params
    y: Params
    distance: Float[Array, ""]
    cosine: Float[Array, ""]
    path: Float[Array, "points 2"]


def make_plane(settings: Plane, config: RunConfig, trainer: train.Trainer, loss_scale: float) -> Probe:
    """Scan the plane through the weights now, the gradient there, and the weights some training steps ahead.

    Losses and the gradient are of the same images throughout, in training mode with the current random masks. A record has
    the loss at each point, (xs, ys), and the path, both with coordinates in units of the distance to the weights ahead; and
    the length of one step of gradient descent in these units.
    """
    xs, ys = (np.linspace(*ends, settings.num_points) for ends in (RANGE_X, RANGE_Y))

    def measure(state: train.TrainState, split: Split) -> Record:
        batch = take_batch(split, jnp.arange(min(settings.num_examples, len(split.labels))))
        loss_fn = make_loss_fn(trainer, state, batch)
        descent = probes.directions.gradient(loss_fn, state.params)
        axes = find_axes(trainer, state, split, descent, settings.steps_ahead)
        scan = probes.scan_plane(loss_fn, state.params, axes.x, axes.y, xs, ys, show_progress=False)
        step = loss_scale * config.optimizer.learning_rate * norm(descent)
        return as_lists(
            {
                "xs": xs,
                "ys": ys,
                "loss": loss_scale * scan.loss,
                "start_loss": loss_scale * scan.start_loss,
                "distance": axes.distance,
                "cosine": axes.cosine,
                "step_length": step / axes.distance,
                "path": axes.path,
            }
        )

    return Probe(measure)


@compiled_once("trainer", "steps_ahead")
def find_axes(trainer: train.Trainer, state: train.TrainState, split: Split, descent: Params, steps_ahead: int) -> Axes:
    """Take the run's next steps, to find the axes and the path in them; the state stays as it is."""
    stops = np.unique(np.linspace(0, steps_ahead, _PATH_POINTS).round().astype(int))

    def stop(before: train.TrainState, num_steps: Array) -> tuple[train.TrainState, Params]:
        # NOTE: without the barrier, XLA could round the steps differently than in the run.
        move = lambda _, state: jax.lax.optimization_barrier(advance(trainer, state, split))  # noqa: E731
        after = jax.lax.fori_loop(0, num_steps, move, before)
        return after, difference(after.params, state.params)

    _, ways = jax.lax.scan(stop, state, jnp.asarray(np.diff(stops, prepend=0)))
    ahead = jax.tree.map(lambda leaf: leaf[-1], ways)
    length = norm(ahead)
    x = _scaled(descent, length / norm(descent))
    # y = d - <d, x> x / |x|²
    across = jax.tree.map(lambda d, leaf: d - dot(ahead, x) / length**2 * leaf, ahead, x)
    y = _scaled(across, length / norm(across))
    path = jax.lax.map(lambda way: jnp.stack([dot(way, x), dot(way, y)]) / length**2, ways)
    return Axes(x, y, length, cosine(descent, ahead), path)


def _scaled(tree: Params, factor: Array) -> Params:
    """Multiply a tree by a number."""
    return jax.tree.map(lambda leaf: leaf * factor.astype(leaf.dtype), tree)

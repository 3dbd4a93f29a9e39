"""The loss barrier between two nets: how far the loss rises on the straight way from one to the other."""

import os
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax.probes.directions import toward
from bnjax.probes.line import check_nonzero, scan_line
from bnjax.probes.points import Batching
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params


@register()
class Barrier(NamedTuple):
    """How far the loss rises between two points, above the straight line between their losses.

    Attributes:
        step_sizes: from 0, the start, to 1, the target.
        loss: at each point.
        height: the largest rise over the points, at least 0, the rise at the ends.
        position: step size of that point.
        distance: |target - start|.
        objective: how the loss was made.
    """

    step_sizes: Float[Array, "*scans points"]
    loss: Float[Array, "*scans points"]
    height: Float[Array, "*scans"]
    position: Float[Array, "*scans"]
    distance: Float[Array, "*scans"]
    objective: ObjectiveInfo

    @property
    def base(self) -> Float[Array, "*scans points"]:
        """The straight line between the losses of the ends, (1 - t) L(w_0) + t L(w_1)."""
        return _base(self.step_sizes, self.loss)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Barrier":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def barrier(
    loss_fn: LossFn,
    params: Params,
    target: Params,
    *,
    num_points: int = 25,
    batching: Batching = "auto",
    precision: str | None = None,
    show_progress: bool = True,
) -> Barrier:
    """Measure the loss barrier between two nets, changing neither.

        height = max over t in [0, 1] of L(w_t) - (1 - t) L(w_0) - t L(w_1),   w_t = (1 - t) w_0 + t w_1

    Source: Frankle et al. 2020, arXiv:1912.05671, with the straight line between the ends in place of their mean, as in
    Entezari et al. 2022, arXiv:2110.06296. Between nets with batch norm, running statistics that are interpolated with the
    weights do not fit the interpolated net, which raises the barrier (Jordan et al. 2023, arXiv:2211.08403): compare the loss
    of `make_loss_fn(..., statistics="recalibrated")` with one of both parameters and statistics, as in the example.

    Args:
        loss_fn: scalar loss of the parameters.
        params: w_0.
        target: w_1, a tree like `params`.
        num_points: how many points, evenly spaced, the ends among them.
        batching: how points run together, as in `evaluate_points`.
        precision: of products, as in `evaluate_points`.
        show_progress: show a bar on a terminal where it takes long.

    Returns:
        Barrier.

    Raises:
        ValueError: if there are fewer than three points, the two differ in structure or not at all, a parameter is not
            floating-point, or the loss is not a scalar.

    Example:
        >>> found = barrier(lambda w: jnp.sum(jnp.cos(w)), jnp.zeros(2), jnp.full(2, 2 * jnp.pi))
        >>> float(found.height), float(found.position)
        (0.0, 0.0)
        >>> found = barrier(lambda w: -jnp.sum(jnp.cos(w)), jnp.zeros(2), jnp.full(2, 2 * jnp.pi))
        >>> float(found.height), float(found.position)
        (4.0, 0.5)

        With running statistics that are interpolated, too, the points are `bnjax.Variables`:

            def loss_fn(variables):
                of_params = objective.make_loss_fn(model, variables.batch_stats, batch, statistics="running")
                return of_params(variables.params)
    """
    if num_points < 3:
        raise ValueError(f"num_points must be >= 3, the two ends and a point between, got {num_points}.")
    steps = jnp.linspace(0, 1, num_points)
    options = {"batching": batching, "show_progress": show_progress}
    direction = toward(params, target)
    check_nonzero("target - params", direction)
    line = scan_line(loss_fn, params, direction, steps, gradients=False, **options)
    rise = line.loss - _base(line.step_sizes, line.loss)
    position = line.step_sizes[jnp.argmax(rise)]
    return Barrier(line.step_sizes, line.loss, jnp.max(rise), position, line.direction_norm, line.objective)


def _base(step_sizes: Float[Array, "*scans points"], loss: Float[Array, "*scans points"]) -> Array:
    """Compute the straight line between the first and the last loss."""
    return (1 - step_sizes) * loss[..., :1] + step_sizes * loss[..., -1:]

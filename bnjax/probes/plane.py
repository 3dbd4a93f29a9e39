"""The loss on a plane through the parameters."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import common_type, cosine, norm
from bnjax.probes.line import check_coordinates, check_nonzero
from bnjax.probes.paths import check_alike, check_params
from bnjax.probes.points import Batching, compiled, evaluate_points, probed_info, scalar_loss
from bnjax.probes.results import load_result, register, save_result
from bnjax.types import LossFn, ObjectiveInfo, Params


@register()
class PlaneScan(NamedTuple):
    """The loss at params + x direction_x + y direction_y; loss[i, j] is at (xs[i], ys[j]).

    Attributes:
        xs: coordinates along the first direction, in units of it.
        ys: coordinates along the second.
        loss: at each point.
        start_loss: at (0, 0), whether or not that is on the grid.
        norm_x: |direction_x|.
        norm_y: |direction_y|.
        cosine: of the angle between the two.
        objective: how the loss was made: its statistics mode and batch size, unknown for a bare function; and in which
            precision it was evaluated.
    """

    xs: Float[Array, " xs"]
    ys: Float[Array, " ys"]
    loss: Float[Array, "xs ys"]
    start_loss: Float[Array, ""]
    norm_x: Float[Array, ""]
    norm_y: Float[Array, ""]
    cosine: Float[Array, ""]
    objective: ObjectiveInfo

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "PlaneScan":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def scan_plane(
    loss_fn: LossFn,
    params: Params,
    direction_x: Params,
    direction_y: Params,
    xs: ArrayLike | Sequence[ArrayLike],
    ys: ArrayLike | Sequence[ArrayLike],
    *,
    batching: Batching = "auto",
    mesh: Mesh | None = None,
    resume: str | os.PathLike | None = None,
    precision: str | None = None,
    show_progress: bool = True,
) -> PlaneScan:
    """Evaluate the loss on a grid in the plane of two directions, changing nothing.

    Directions come from `probes.directions`: two filter-normalised random ones (Li et al. 2018), or the principal axes of
    a trajectory, whose path lies in the same coordinates. They may be restricted to some parameters by `probes.restrict`.

    Args:
        loss_fn: scalar loss of the parameters, as in `scan_line`.
        params: the point (0, 0).
        direction_x: a tree like `params`.
        direction_y: another one.
        xs: coordinates along the first, (xs,).
        ys: coordinates along the second, (ys,).
        batching: how points run together; this and all arguments below are as in `evaluate_points`.
        mesh: devices over which points are spread.
        resume: a file of the points evaluated so far.
        precision: of products, "highest" unless the caller has set another.
        show_progress: show a bar on a terminal where it takes long.

    Returns:
        PlaneScan.

    Raises:
        ValueError: if coordinates are missing or not finite, or a direction is zero or not like `params`.

    Example:
        >>> from bnjax import probes
        >>> x, y = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
        >>> scan = probes.scan_plane(lambda w: w[0] ** 2 + w[1], jnp.zeros(2), x, y, (-1.0, 0.0, 2.0), (0.0, 5.0))
        >>> print(scan.loss.tolist())
        [[1.0, 6.0], [0.0, 5.0], [4.0, 9.0]]
    """
    check_params(params)
    for name, coordinates in (("xs", xs), ("ys", ys)):
        check_coordinates(name, coordinates)
    for name, direction in (("direction_x", direction_x), ("direction_y", direction_y)):
        check_alike(name, direction, params)
        check_nonzero(name, direction)
    start_loss, norm_x, norm_y, cosine = compiled(_start, loss_fn)(params, direction_x, direction_y)
    xs, ys = (jnp.asarray(c, common_type(start_loss.dtype, jnp.float32)) for c in (xs, ys))
    grid = jnp.stack(jnp.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    loss = evaluate_points(
        loss_fn,
        params,
        (direction_x, direction_y),
        grid,
        batching=batching,
        mesh=mesh,
        resume=resume,
        show_progress=show_progress,
    )
    return PlaneScan(
        xs, ys, loss.reshape(len(xs), len(ys)), start_loss, norm_x, norm_y, cosine, probed_info(loss_fn, params, mesh)
    )


def _start(loss_fn: LossFn, params: Params, x: Params, y: Params) -> tuple[Array, Array, Array, Array]:
    """Evaluate the loss at the centre, and measure the directions."""
    return scalar_loss(loss_fn, params), norm(x), norm(y), cosine(x, y)

"""Batch normalisation in parts of a batch."""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax.norms.batch import batch_norm, normalise
from bnjax.norms.features import Axes, as_floats, check_arguments, divides, promoted
from bnjax.norms.statistics import (
    AxisIndexGroups,
    AxisName,
    Moments,
    Reduction,
    abs_squared,
    make_reduction,
    update_stats,
)
from bnjax.types import BatchStats

RunningVar = Literal["mean_of_ghosts", "whole_batch"]
_RUNNING_VARS = ("mean_of_ghosts", "whole_batch")


@checked()
def ghost_batch_norm(
    x: Shaped[Array, "*shape"],
    stats: BatchStats,
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    ghost_size: int,
    train: bool,
    running_var: RunningVar = "mean_of_ghosts",
    momentum: float | Float[Array, ""] = 0.99,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> tuple[Inexact[Array, "*shape"], BatchStats]:
    """Apply batch norm separately to each ghost, a part of `ghost_size` consecutive examples of the batch.

    Source: Hoffer, Hubara & Soudry 2017, Algorithm 1. One ghost as large as the batch is batch norm.
    Deviation: the running statistics move once per batch, to the average over ghosts, and not once per ghost.

    Args:
        x: array with examples along axis 0 and features along `axis`.
        stats: running mean and variance, each (features,).
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        ghost_size: examples per ghost; it divides their number.
        train: use and record the ghosts' statistics; otherwise use `stats`.
        running_var: record the mean of the ghosts' variances, or the variance of the whole batch, which includes the variance
            of the ghosts' means; ghosts are weighted by their valid entries.
        momentum: as in `batch_norm`, like all arguments below.
        epsilon: added to the variance.
        axis: the feature axis or axes, without 0.
        axis_name: mapped axes over which the running statistics are averaged; no ghost spans devices.
        axis_index_groups: groups of device indices along `axis_name` that share running statistics.
        mask: True where an entry counts.

    Returns:
        (y, new stats), as `batch_norm`.

    Raises:
        ValueError: if `ghost_size` does not divide, `running_var` is unknown, or as in `batch_norm`.

    Example:
        >>> from bnjax import norms
        >>> x = jnp.array([[1.0], [3.0], [20.0], [60.0]])
        >>> y, _ = norms.ghost_batch_norm(x, norms.init_batch_stats(1), ghost_size=2, train=True)
        >>> print(y.ravel().round(3))
        [-1.  1. -1.  1.]
    """
    if running_var not in _RUNNING_VARS:
        raise ValueError(f"running_var must be one of {', '.join(_RUNNING_VARS)}, got {running_var!r}.")
    if not train:
        return batch_norm(x, stats, scale, bias, train=False, epsilon=epsilon, axis=axis, mask=mask)
    x = as_floats(x)
    features, mask = check_arguments(x, stats, scale, bias, mask, axis, momentum)
    if 0 in features.axes:
        raise ValueError(f"axis must leave axis 0, that of the examples, got {axis}.")
    if not divides(ghost_size, x.shape[0]):
        raise ValueError(f"ghost_size must divide the number of examples, {x.shape[0]}, got {ghost_size}.")

    # The ghost becomes one more feature axis, in front.
    ghosts = x.reshape(len(x) // ghost_size, ghost_size, *x.shape[1:])
    if mask is not None:
        mask = jnp.broadcast_to(mask, (x.shape[0], *mask.shape[1:])).reshape(*ghosts.shape[:2], *mask.shape[1:])
    over = Reduction(tuple(a + 1 for a in features.reduction(None, None).axes))
    others = [None if v is None else features.spread(v)[None] for v in (scale, bias)]
    y, parts = normalise(ghosts, mask, over, *others, epsilon=epsilon)
    batch = _pooled(parts, make_reduction((0,), axis_name, axis_index_groups), running_var)
    new = update_stats(stats, batch.num_valid, batch.mean, batch.var, momentum=momentum)
    return promoted(y.reshape(x.shape), x, scale, bias), new


def _pooled(parts: Moments, over: Reduction, running_var: RunningVar) -> Moments:
    """Pool the moments of ghosts, weighted by their valid entries."""
    num_valid = jnp.broadcast_to(parts.num_valid, parts.mean.shape)
    (total,) = over.total(num_valid)
    share = num_valid / jnp.maximum(total, 1)
    (centre,) = over.total(share * parts.shift)
    deviation = (parts.shift - centre) + parts.rest
    (rest,) = over.total(share * deviation)
    spread = abs_squared(deviation - rest) if running_var == "whole_batch" else 0
    (var,) = over.total(share * (parts.var + spread))
    return Moments(total, centre, rest, var)

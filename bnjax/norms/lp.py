"""Normalisation by an lp norm of the batch in place of its standard deviation."""

from typing import Literal

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax.norms.batch import affine, batch_norm
from bnjax.norms.features import Axes, as_floats, check_arguments, promoted
from bnjax.norms.statistics import (
    AxisIndexGroups,
    AxisName,
    Reduction,
    abs_squared,
    counted,
    readable,
    reduce_moments,
    update_stats,
)
from bnjax.types import BatchStats

Order = Literal[1, 2, "inf"]
_ORDERS = (1, 2, "inf")


@checked()
def lp_norm(
    x: Shaped[Array, "*shape"],
    stats: BatchStats,
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    p: Order,
    train: bool,
    center_first: bool = False,
    momentum: float | Float[Array, ""] = 0.99,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> tuple[Inexact[Array, "*shape"], BatchStats]:
    """Centre each feature and divide it by its average lp norm before centring.

        y = (x - mean) / sqrt(d² + epsilon) * scale + bias        d = mean |x|, sqrt(mean x²) or max |x|

    Source: Santurkar et al. 2018, Sec. 3.3. With p = 2 and `center_first` this is batch norm. Where several entries share
    the largest |x|, they share its gradient.
    Deviation: the running statistic is the average of d², not of d, so that it is batch norm's variance for p = 2.

    Args:
        x: array with the features along `axis`.
        stats: running mean, and running d² in place of the variance.
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        p: 1, 2 or "inf".
        train: use and record the batch's statistics; otherwise use `stats`.
        center_first: take the norm of x - mean in place of x.
        momentum: as in `batch_norm`, like all arguments below.
        epsilon: added to d², in units of x squared.
        axis: the feature axis or axes.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of device indices along `axis_name` that share statistics.
        mask: True where an entry counts.

    Returns:
        (y, new stats), as `batch_norm`.

    Raises:
        ValueError: if p is not one of these three, or as in `batch_norm`.

    Example:
        >>> from bnjax import norms
        >>> y, stats = norms.lp_norm(jnp.array([[2.0], [6.0]]), norms.init_batch_stats(1), p=1, train=True, momentum=0.0)
        >>> print(y.ravel().round(3), stats.mean, stats.var)
        [-0.5  0.5] [4.] [16.]
    """
    if p not in _ORDERS or isinstance(p, bool):
        raise ValueError(f"p must be 1, 2 or 'inf', got {p!r}.")
    if not train:
        return batch_norm(x, stats, scale, bias, train=False, epsilon=epsilon, axis=axis, mask=mask)
    x = as_floats(x)
    features, mask = check_arguments(x, stats, scale, bias, mask, axis, momentum)
    over = features.reduction(axis_name, axis_index_groups)
    values = readable(x, mask)
    batch = reduce_moments(values, mask, over, over.num_valid(values, mask))
    centred = batch.centre(values)
    if p == 2:
        divisor_squared = batch.var if center_first else batch.var + abs_squared(batch.mean)
    else:
        magnitudes = jnp.abs(counted(centred if center_first else values, mask))
        divisor_squared = jnp.square(_average(magnitudes, over, batch.num_valid, p))
    y = affine(centred, lax.rsqrt(divisor_squared + epsilon), features.spread(scale), features.spread(bias))
    new = update_stats(stats, batch.num_valid, batch.mean, divisor_squared, momentum=momentum)
    return promoted(y, x, scale, bias), new


def _average(magnitudes: Array, over: Reduction, num_valid: Array, p: Order) -> Array:
    """Average magnitudes in the sense of the l1 or the l-infinity norm; masked-out magnitudes must be 0."""
    if p == 1:
        return over.total(magnitudes)[0] / jnp.maximum(num_valid, 1)
    return over.largest(magnitudes)

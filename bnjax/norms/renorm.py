"""Batch renormalisation."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Inexact, Int, Shaped

from bnjax._host.arguments import checked
from bnjax._host.trees import common_type
from bnjax.norms.batch import affine, batch_norm, normalise
from bnjax.norms.features import Axes, as_floats, check_arguments, is_below, promoted
from bnjax.norms.statistics import AxisIndexGroups, AxisName, batch_statistics_only, update_stats
from bnjax.types import BatchStats


@checked()
def batch_renorm(
    x: Shaped[Array, "*shape"],
    stats: BatchStats,
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    train: bool,
    r_max: float | Float[Array, ""] = 3.0,
    d_max: float | Float[Array, ""] = 5.0,
    momentum: float | Float[Array, ""] = 0.99,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> tuple[Inexact[Array, "*shape"], BatchStats]:
    """Normalise by the batch's statistics, then correct towards the running ones, within bounds.

        y = ((x - mean) / std * r + d) * scale + bias
        r = clip(std / running std, 1 / r_max, r_max)        d = clip((mean - running mean) / running std, -d_max, d_max)

    Source: Ioffe 2017, Algorithm 1; no gradient passes through r and d. With r_max = 1 and d_max = 0 this is batch norm;
    without bounds the output equals that of evaluation with the running statistics from before this batch.
    While `recalibrate` pools statistics, r is 1 and d is 0: the running statistics are about to be replaced.
    Deviation: running std is sqrt(running variance + epsilon), in place of an average of standard deviations. For complex
    features d is complex, and its absolute value is bounded.

    Args:
        x: array with the features along `axis`.
        stats: running mean and variance, each (features,).
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        train: use and record the batch's statistics; otherwise use `stats`.
        r_max: bound of the correction of scale, at least 1; see `renorm_bounds`.
        d_max: bound of the correction of location, at least 0.
        momentum: as in `batch_norm`, like all arguments below.
        epsilon: added to the variance.
        axis: the feature axis or axes.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of device indices along `axis_name` that share statistics.
        mask: True where an entry counts.

    Returns:
        (y, new stats), as `batch_norm`.

    Raises:
        ValueError: if a bound is out of its range, or as in `batch_norm`.

    Example:
        >>> from bnjax import norms
        >>> x, stats = jnp.array([[1.0], [5.0]]), norms.init_batch_stats(1)
        >>> loose, _ = norms.batch_renorm(x, stats, train=True, r_max=100.0, d_max=100.0)
        >>> tight, _ = norms.batch_renorm(x, stats, train=True, r_max=1.0, d_max=0.0)
        >>> print(loose.ravel().round(3), tight.ravel().round(3))
        [1. 5.] [-1.  1.]
    """
    for name, value, lowest in (("r_max", r_max, 1), ("d_max", d_max, 0)):
        if is_below(value, lowest):
            raise ValueError(f"{name} must be >= {lowest}, got {value}.")
    if not train:
        return batch_norm(x, stats, scale, bias, train=False, epsilon=epsilon, axis=axis, mask=mask)
    if batch_statistics_only.value:
        r_max, d_max = 1.0, 0.0
    x = as_floats(x)
    features, mask = check_arguments(x, stats, scale, bias, mask, axis, momentum)
    over = features.reduction(axis_name, axis_index_groups)
    xhat, batch = normalise(x, mask, over, None, None, epsilon=epsilon)

    running_mean, running_var = (
        features.spread(s.astype(common_type(s.dtype, batch.var.dtype))) for s in (stats.mean, stats.var)
    )
    inverse_std = lax.rsqrt(running_var + epsilon)
    r = jnp.clip(jnp.sqrt(batch.var + epsilon) * inverse_std, 1 / r_max, r_max)
    d = _bounded(((batch.shift - running_mean) + batch.rest) * inverse_std, d_max)
    r, d = (lax.stop_gradient(jnp.where(batch.num_valid == 0, v, correction)) for v, correction in ((1, r), (0, d)))

    y = affine(xhat * r + d, jnp.ones_like(r), features.spread(scale), features.spread(bias))
    new = update_stats(stats, batch.num_valid, batch.mean, batch.var, momentum=momentum)
    return promoted(y, x, scale, bias), new


def _bounded(d: Array, largest: float | Array) -> Array:
    """Bound the absolute value."""
    if not jnp.iscomplexobj(d):
        return jnp.clip(d, -largest, largest)
    return d * jnp.minimum(1, largest / jnp.maximum(jnp.abs(d), jnp.finfo(d.dtype).tiny))


@checked()
def renorm_bounds(num_batches: Int[Array, ""] | int) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the bounds (r_max, d_max) of the source's training schedule.

    Source: Ioffe 2017, Sec. 4: batch norm for 5,000 batches; then r_max rises from 1 to 3 until batch 40,000, and d_max from
    0 to 5 until batch 25,000.

    Args:
        num_batches: how many batches have been trained on.

    Returns:
        (r_max, d_max), each ().

    Example:
        >>> from bnjax import norms
        >>> print(*norms.renorm_bounds(0), *norms.renorm_bounds(40_000))
        1.0 0.0 3.0 5.0
    """
    batches = jnp.asarray(num_batches, jnp.float32)
    r_max = jnp.interp(batches, jnp.array([5_000.0, 40_000.0]), jnp.array([1.0, 3.0]))
    d_max = jnp.interp(batches, jnp.array([5_000.0, 25_000.0]), jnp.array([0.0, 5.0]))
    return r_max, d_max

"""Means and variances of a batch, masked and synchronised, without cancellation."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from bnjax.types import BatchStats


class Moments(NamedTuple):
    """Statistics of a batch, and the batch with its mean taken off.

    `mean` and `var` keep the reduced axes with length 1; `num_valid` is the number of entries that they average over.
    """

    num_valid: Array
    mean: Array
    var: Array
    centred: Array


def init_batch_stats(num_features: int) -> BatchStats:
    """Make the statistics of a layer that has seen nothing: mean 0, variance 1, float32, shape (num_features,)."""
    return BatchStats(jnp.zeros(num_features, jnp.float32), jnp.ones(num_features, jnp.float32))


def moments(
    x: Float[Array, "*shape"],
    axes: tuple[int, ...],
    *,
    mask: Bool[Array, "*mask_shape"] | None = None,
    axis_name: str | tuple[str, ...] | None = None,
    axis_index_groups: list[list[int]] | None = None,
    use_fast_variance: bool = False,
) -> Moments:
    """Compute mean and biased variance (estimator 1/m) over `axes`, in at least float32.

    The stable form passes over x twice. With m the rounded mean and r = mean(x - m) what rounding left over,

        mean = m + r        var = mean((x - m)²) - r²        centred = (x - m) - r

    which keeps full precision at any mean/std ratio. The fast form, var = mean(x²) - mean², passes once and loses
    (mean/std)² of the precision.

    Args:
        x: array of any shape.
        axes: which axes to average over.
        mask: True where an entry counts, broadcastable to x; masked entries are never read, not even NaN ones.
        axis_name: mapped axes (vmap, shard_map) to average over too, each device weighted by its own valid count.
        axis_index_groups: groups of device indices along `axis_name` that share statistics.
        use_fast_variance: take the one-pass form.

    Returns:
        Moments. Where nothing is valid, mean and variance are 0 and num_valid is 0.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if mask is None:
        count = jnp.asarray(math.prod(x.shape[a] for a in axes), x.dtype)
    else:
        mask = jnp.broadcast_to(mask, x.shape)
        x = jnp.where(mask, x, 0)
        count = jnp.sum(mask, axes, dtype=x.dtype, keepdims=True)

    def everywhere(*sums: Array) -> tuple[Array, ...]:
        return sums if axis_name is None else lax.psum(sums, axis_name, axis_index_groups=axis_index_groups)

    def total(values: Array) -> Array:
        return jnp.sum(values if mask is None else jnp.where(mask, values, 0), axes, keepdims=True)

    if use_fast_variance:
        count, sum_x, sum_sq = everywhere(count, total(x), total(jnp.square(x)))
        mean = sum_x / jnp.maximum(count, 1)
        var = jnp.maximum(sum_sq / jnp.maximum(count, 1) - jnp.square(mean), 0)
        return Moments(count, mean, var, x - mean)
    count, sum_x = everywhere(count, total(x))
    # NOTE: the gradient of a constant shift cancels in all three results, so none is taken.
    shift = lax.stop_gradient(sum_x / jnp.maximum(count, 1))
    shifted = x - shift
    rest, sum_sq = everywhere(total(shifted), total(jnp.square(shifted)))
    rest, mean_sq = rest / jnp.maximum(count, 1), sum_sq / jnp.maximum(count, 1)
    return Moments(count, shift + rest, jnp.maximum(mean_sq - jnp.square(rest), 0), shifted - rest)

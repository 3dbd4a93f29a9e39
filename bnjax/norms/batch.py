"""Batch normalisation as a pure function, with a closed form of its derivative."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax._host.trees import common_type
from bnjax.norms.features import Axes, as_floats, check_arguments, promoted
from bnjax.norms.statistics import (
    AxisIndexGroups,
    AxisName,
    Moments,
    Reduction,
    counted,
    readable,
    real_type,
    reduce_moments,
    update_stats,
)
from bnjax.types import BatchStats


@checked()
def batch_norm(
    x: Shaped[Array, "*shape"],
    stats: BatchStats,
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    train: bool,
    momentum: float | Float[Array, ""] = 0.99,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
    use_fast_variance: bool = False,
    unbiased_running_var: bool = False,
) -> tuple[Inexact[Array, "*shape"], BatchStats]:
    """Normalise each feature to mean 0 and variance 1 over all other axes.

        y = (x - mean) / sqrt(var + epsilon) * scale + bias

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2. With `train`, mean and var are the batch's own (biased, 1/m) and the
    running statistics move to momentum * running + (1 - momentum) * batch, without a gradient. Otherwise mean and var are
    `stats`, which come back unchanged. To keep the statistics unchanged, drop the new ones.
    Deviation: the running variance is the biased one by default, as in Flax (the paper and PyTorch scale it by m / (m - 1)).

    Complex features have a complex mean, and a real variance, mean |x - mean|², as in Flax: real and imaginary part are scaled
    together, and keep their ratio. A real running mean becomes complex with the first complex batch.

    Args:
        x: array with the features along `axis`, real or complex.
        stats: running mean and variance, each (features,); a tuple `axis` gives the shape of those axes, ascending.
        scale: factor per feature, gamma in the paper; None is 1.
        bias: offset per feature, beta in the paper; None is 0.
        train: use and record the batch's statistics; otherwise use `stats`.
        momentum: share of the running statistics that is kept, per call; `cumulative_momentum` makes them a plain average.
        epsilon: added to the variance, in units of x squared.
        axis: the feature axis or axes.
        axis_name: mapped axes (vmap, shard_map) whose batches count as one, weighted by their valid counts.
        axis_index_groups: groups of device indices along `axis_name` that share statistics; see `moments`.
        mask: True where an entry counts for the statistics, same rank as x, each length equal or 1 (or of lower rank, by
            NumPy's broadcasting, if that is unambiguous). Other entries are normalised too; non-finite ones are read as 0.
        use_fast_variance: one pass over x instead of two, at the price of (mean/std)² of the precision. In float32, without
            mask and axis_name, outputs, statistics and gradients then are Flax's to the bit.
        unbiased_running_var: record the batch's variance with the estimator 1/(m-1), as PyTorch does.

    Returns:
        (y, new stats): y in the type that x, scale and bias promote to; stats in the type of `stats`, the mean of complex
        features complex.

    Raises:
        ValueError: if an argument does not fit x, or `axis_name` is not bound; it names the argument.

    Example:
        >>> from bnjax import norms
        >>> y, stats = norms.batch_norm(jnp.array([[1.0], [5.0]]), norms.init_batch_stats(1), train=True, momentum=0.5)
        >>> print(y[:, 0].round(3), stats.mean, stats.var)
        [-1.  1.] [1.5] [2.5]
    """
    x = as_floats(x)
    features, mask = check_arguments(x, stats, scale, bias, mask, axis, momentum)
    factor, offset = features.spread(scale), features.spread(bias)
    if train:
        over = features.reduction(axis_name, axis_index_groups)
        y, batch = normalise(x, mask, over, factor, offset, epsilon=epsilon, use_fast_variance=use_fast_variance)
        stats = update_stats(
            stats,
            batch.num_valid,
            batch.mean,
            batch.var,
            momentum=momentum,
            unbiased_running_var=unbiased_running_var,
        )
    else:
        mean, var = (features.spread(s.astype(common_type(s.dtype, jnp.float32))) for s in (stats.mean, stats.var))
        y = affine(readable(x, mask) - mean, lax.rsqrt(var + epsilon), factor, offset)
    return promoted(y, x, scale, bias), stats


def normalise(
    x: Array,
    mask: Array | None,
    over: Reduction,
    scale: Array | None,
    bias: Array | None,
    *,
    epsilon: float | Array,
    use_fast_variance: bool = False,
) -> tuple[Array, Moments]:
    """Normalise with the statistics of x itself; scale and bias broadcast against x, with length 1 where `over` reduces."""
    values = readable(x, mask)
    num_valid, epsilon = over.num_valid(values, mask), jnp.asarray(epsilon, real_type(values))
    if use_fast_variance:
        batch = reduce_moments(values, mask, over, num_valid, use_fast_variance=True)
        return affine(batch.centre(values), lax.rsqrt(batch.var + epsilon), scale, bias), batch
    return _normalise(over, x, mask, num_valid, scale, bias, epsilon)


def affine(centred: Array, inverse_std: Array, scale: Array | None, bias: Array | None) -> Array:
    """Scale and shift a centred array with the fewest operations: as Flax does, to the bit."""
    y = centred * (inverse_std if scale is None else inverse_std * scale)
    return y if bias is None else y + bias


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _normalise(
    over: Reduction,
    x: Array,
    mask: Array | None,
    num_valid: Array,
    scale: Array | None,
    bias: Array | None,
    epsilon: Array,
) -> tuple[Array, Moments]:
    """Normalise in the stable form."""
    x = readable(x, mask)
    batch = reduce_moments(x, mask, over, num_valid)
    return affine(batch.centre(x), lax.rsqrt(batch.var + epsilon), scale, bias), batch


@_normalise.defjvp
def _normalise_jvp(over: Reduction, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """Differentiate forwards; the backward pass is the transpose of this, and higher orders the derivatives of this.

    With means over the batch, k = scale / std and x = mean + xhat std,

        dy = k dx + (dbias - k mean(dx)) + (dscale - k mean(xhat dx)) xhat

    whose transpose needs two sums over the batch, of dy and of xhat dy, which are also the gradients of bias and scale. Of
    complex numbers it is the real part of conj(xhat) dx that is averaged.
    """
    x, mask, _, scale, _, epsilon = primals
    y, batch = _normalise(over, *primals)
    # One array of the shape of x is kept for the backward pass, from which the rest is recomputed: x itself if it takes half
    # the memory, otherwise x - shift, whose products can be summed directly.
    kept, shift = (x, batch.shift) if x.dtype != batch.shift.dtype else (x - batch.shift, jnp.zeros_like(batch.shift))
    tangent = jax.checkpoint(partial(_tangent, over), prevent_cse=False)
    linear = (tangents[i] for i in (0, 3, 4, 5))
    # Non-finite entries that are masked out are read as 0.
    return (y, batch), tangent(kept, mask, batch._replace(shift=shift), -batch.shift, scale, epsilon, *linear)


def _tangent(
    over: Reduction,
    x: Array,
    mask: Array | None,
    batch: Moments,
    unreadable: Array,
    scale: Array | None,
    epsilon: Array,
    dx: Array,
    dscale: Array | None,
    dbias: Array | None,
    depsilon: Array,
) -> tuple[Array, Moments]:
    """Apply the derivative of `_normalise` to tangents of x, scale, bias and epsilon, in which it is linear.

    `unreadable` replaces x - shift where x is masked out and not finite.
    """
    divisor = jnp.maximum(batch.num_valid, 1)
    inverse_std = lax.rsqrt(batch.var + epsilon)
    shifted = x - batch.shift
    dx = dx.astype(shifted.dtype)
    if mask is not None:
        is_readable = mask | jnp.isfinite(shifted)
        shifted, dx = jnp.where(is_readable, shifted, unreadable), jnp.where(is_readable, dx, 0)
    valid = counted(dx, mask)
    sum_dx, sum_product = over.total(valid, (jnp.conj(shifted) * valid).real)
    dmean, mean_product = sum_dx / divisor, (sum_product - (jnp.conj(batch.rest) * sum_dx).real) / divisor
    factor = inverse_std if scale is None else inverse_std * scale
    dvar = 2 * mean_product
    # dy = factor (dx - dmean) + (dscale / std - factor (dvar + depsilon) / (2 std²)) (x - mean) + dbias
    slope = -0.5 * factor * jnp.square(inverse_std) * (dvar + depsilon)
    slope = slope if dscale is None else slope + dscale * inverse_std
    offset = -factor * dmean - slope * batch.rest
    offset = offset if dbias is None else offset + dbias
    dy = factor * dx + offset + slope * shifted
    return dy, Moments(jnp.zeros_like(batch.num_valid), jnp.zeros_like(dmean), dmean, dvar)

"""Statistics of a batch, masked and synchronised, without cancellation; and running statistics that follow them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Inexact, Int

from bnjax._host.arguments import checked
from bnjax._host.trees import common_type
from bnjax.types import BatchStats

# A sample this close to the mean, relatively, replaces it as the shift: a tenth of a standard deviation at a mean of 1e4.
_NEAR = 1e-5

AxisName = str | tuple[str, ...] | None
AxisIndexGroups = Sequence[Sequence[int]] | None

# While this is set, running statistics become the last batch's statistics, or `no_statistic` if it has none: "stopped" without
# a gradient, "differentiable" with one. Code that was compiled under another value is not reused.
batch_statistics_only = jax.make_user_context(default_value="")


class Reduction(NamedTuple):
    """The axes over which statistics are taken; hashable.

    Attributes:
        axes: axes of the array.
        axis_name: mapped axes (vmap, shard_map) in addition.
        axis_index_groups: groups of indices along them that belong together.
    """

    axes: tuple[int, ...]
    axis_name: AxisName = None
    axis_index_groups: tuple[tuple[int, ...], ...] | None = None

    def total(self, *values: Array) -> tuple[Array, ...]:
        """Sum, keeping the reduced axes with length 1."""
        return self.everywhere(*(jnp.sum(v, self.axes, keepdims=True) for v in values))

    def everywhere(self, *sums: Array) -> tuple[Array, ...]:
        """Sum the partial sums of all devices."""
        return sums if self.axis_name is None else lax.psum(sums, self.axis_name, **self._groups)

    def largest(self, values: Array) -> Array:
        """Take the maximum, keeping the reduced axes with length 1; its gradient is shared evenly among ties."""
        top = lax.stop_gradient(jnp.max(values, self.axes, keepdims=True, initial=0))
        if self.axis_name is not None:
            top = lax.pmax(top, self.axis_name, **self._groups)
        is_top = values == top
        count, excess = self.total(is_top.astype(values.dtype), jnp.where(is_top, values - top, 0))
        return top + excess / jnp.maximum(count, 1)

    def sample(self, x: Array, mask: Array | None) -> Array:
        """Return a valid entry, to be summed over devices: the first device returns its own, the others zeros."""
        if self.axis_index_groups is not None or not x.size:
            return jnp.zeros_like(jnp.sum(x, self.axes, keepdims=True))
        spec = tuple(jax.typeof(x).sharding.spec)
        if mask is None and not any(spec[a] for a in self.axes if a < len(spec)):
            first = x[tuple(slice(0, 1) if a in self.axes else slice(None) for a in range(x.ndim))]
        else:
            # NOTE: not infinity, at which JAX can be set to raise.
            largest = jnp.finfo(x.dtype).max
            values = x if mask is None else jnp.where(mask, x, largest)
            first = jnp.min(values, self.axes, keepdims=True, initial=largest)
            first = jnp.where(first == largest, 0, first)
        if self.axis_name is not None:
            first = jnp.where(lax.axis_index(self.axis_name) == 0, first, 0)
        return lax.stop_gradient(jnp.where(jnp.isfinite(first), first, 0))

    def num_valid(self, x: Array, mask: Array | None) -> Array:
        """Count the entries that `mask` lets through, in the type of x or of its real part."""
        if mask is None:
            return self.everywhere(jnp.asarray(math.prod(x.shape[a] for a in self.axes), real_type(x)))[0]
        return self.total(jnp.broadcast_to(mask, x.shape).astype(real_type(x)))[0]

    @property
    def _groups(self) -> dict[str, list[list[int]]]:
        """The groups as a keyword argument of collectives."""
        groups = self.axis_index_groups
        return {} if groups is None else {"axis_index_groups": [list(group) for group in groups]}


def make_reduction(axes: tuple[int, ...], axis_name: AxisName, axis_index_groups: AxisIndexGroups) -> Reduction:
    """Make a Reduction, after checking that its axis names are bound."""
    if axis_index_groups is not None and axis_name is None:
        raise ValueError(f"axis_index_groups must come with an axis_name, got {axis_index_groups} without.")
    for name in (axis_name,) if isinstance(axis_name, str) else axis_name or ():
        try:
            lax.axis_size(name)
        except NameError:
            rule = "axis_name must name an axis of a surrounding vmap or shard_map"
            raise ValueError(f"{rule}, got {name!r}.") from None
    groups = None if axis_index_groups is None else tuple(tuple(group) for group in axis_index_groups)
    return Reduction(axes, axis_name, groups)


class Moments(NamedTuple):
    """Mean and biased variance of a batch; the reduced axes are kept with length 1.

    Attributes:
        num_valid: the number of entries that they average over.
        shift: a number close to the mean.
        rest: the mean minus the shift; the pair holds more digits of the mean than a single number.
        var: the variance, estimator 1/m.
    """

    num_valid: Array
    shift: Array
    rest: Array
    var: Array

    @property
    def mean(self) -> Array:
        """The mean, rounded to one number."""
        return self.shift + self.rest

    def centre(self, x: Array) -> Array:
        """Subtract the mean from x."""
        return (x - self.shift) - self.rest


@checked()
def init_batch_stats(num_features: int, dtype: Any = jnp.float32) -> BatchStats:
    """Make the statistics of a layer that has seen no batch: mean 0, variance 1, shape (num_features,).

    Args:
        num_features: how many.
        dtype: of the mean; complex64 for complex features, whose variance is real.

    Returns:
        BatchStats.

    Example:
        >>> from bnjax import norms
        >>> print(*norms.init_batch_stats(2))
        [0. 0.] [1. 1.]
    """
    mean = jnp.zeros(num_features, dtype)
    return BatchStats(mean, jnp.ones(num_features, real_type(mean)))


@checked()
def moments(
    x: Inexact[Array, "*shape"],
    axes: tuple[int, ...],
    *,
    mask: Bool[Array, "*mask_shape"] | None = None,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    use_fast_variance: bool = False,
) -> Moments:
    """Compute mean and biased variance (estimator 1/m) over `axes`, in at least float32.

    The stable form passes over x twice. With m the rounded mean and r = mean(x - m) the remainder of the rounding,

        mean = m + r        var = mean((x - m)²) - r²        x - mean = (x - m) - r

    which keeps full precision at any mean/std ratio. The fast form, var = mean(x²) - mean², passes once and loses
    (mean/std)² of the precision. For complex numbers, the squared absolute value is used, so the variance is real.

    Args:
        x: array of any shape.
        axes: which axes to average over; negative ones count from the last.
        mask: True where an entry counts, broadcastable to x.
        axis_name: mapped axes (vmap, shard_map) to average over too, each device weighted by its own valid count.
        axis_index_groups: groups of device indices along `axis_name` that share statistics, where JAX can sum over groups:
            under pmap, and shard_map with check_vma=False.
        use_fast_variance: take the one-pass form.

    Returns:
        Moments. If no entry is valid, mean and variance are 0 and num_valid is 0.

    Raises:
        ValueError: if x has no such axis, or `axis_name` is not bound.

    Example:
        >>> from bnjax import norms
        >>> batch = norms.moments(jnp.array([[1.0], [5.0]]), (0,))
        >>> print(batch.mean, batch.var, batch.num_valid)
        [[3.]] [[4.]] 2.0
    """
    for axis in axes:
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"axes must lie in [-{x.ndim}, {x.ndim}) for an array of rank {x.ndim}, got {axis}.")
    over = make_reduction(tuple(sorted({axis % x.ndim for axis in axes})), axis_name, axis_index_groups)
    x = readable(x, mask)
    return reduce_moments(x, mask, over, over.num_valid(x, mask), use_fast_variance=use_fast_variance)


def readable(x: Array, mask: Array | None) -> Array:
    """Cast x to at least float32 and zero non-finite entries that are masked out."""
    x = x.astype(common_type(x.dtype, jnp.float32))
    return x if mask is None else jnp.where(mask | jnp.isfinite(x), x, 0)


def counted(x: Array, mask: Array | None) -> Array:
    """Zero the entries that are masked out."""
    return x if mask is None else jnp.where(mask, x, 0)


def real_type(x: Array) -> Any:
    """Return the type of absolute values."""
    return jnp.finfo(x.dtype).dtype


def abs_squared(x: Array) -> Array:
    """Compute |x|², without the root that the absolute value of a complex number takes."""
    return jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else jnp.square(x)


def reduce_moments(
    x: Array, mask: Array | None, over: Reduction, num_valid: Array, *, use_fast_variance: bool = False
) -> Moments:
    """Compute the moments of an array that `readable` has prepared."""
    divisor, valid = jnp.maximum(num_valid, 1), counted(x, mask)
    if use_fast_variance:
        sum_x, sum_sq = over.total(valid, abs_squared(valid))
        mean = sum_x / divisor
        var = jnp.maximum(sum_sq / divisor - abs_squared(mean), 0)
        return Moments(num_valid, mean, jnp.zeros_like(mean), var)
    sum_x, sample = over.everywhere(jnp.sum(valid, over.axes, keepdims=True), over.sample(x, mask))
    # NOTE: the gradient of a constant shift cancels in all results, so none is taken.
    shift = lax.stop_gradient(sum_x / divisor)
    # If x is constant, subtracting its own value leaves exactly 0, unlike subtracting the rounded mean.
    near = jnp.abs(sample - shift) <= _NEAR * jnp.abs(shift)
    # NOTE: without the barrier XLA's CPU backend copies the computation of a small array into each loop over a large one.
    shift = lax.optimization_barrier(jnp.where(near, sample, shift))
    shifted = counted(x - shift, mask)
    sum_rest, sum_sq = over.total(shifted, abs_squared(shifted))
    rest = sum_rest / divisor
    return Moments(num_valid, shift, rest, jnp.maximum(sum_sq / divisor - abs_squared(rest), 0))


def update_stats(
    stats: BatchStats,
    num_valid: Array,
    mean: Array,
    var: Array,
    *,
    momentum: float | Array,
    unbiased_running_var: bool = False,
) -> BatchStats:
    """Move running statistics towards a batch's, without a gradient; if the batch has no valid entry, they stay."""
    mode = batch_statistics_only.value
    if unbiased_running_var and not mode:
        var = var * (num_valid / jnp.maximum(num_valid - 1, 1))
    is_empty = jnp.broadcast_to(num_valid == 0, mean.shape)

    def moved(running: Array, batch: Array) -> Array:
        batch = batch if mode == "differentiable" else lax.stop_gradient(batch)
        # NOTE: over an explicit mesh the new statistics are sharded like the old ones, as a loop that carries them requires.
        batch = spread_like(running, batch.reshape(running.shape))
        # NOTE: in these modes the new value depends on the batch only, by which `updates.find_shares` recognises it.
        new = batch if mode else momentum * running + (1 - momentum) * batch
        stay = no_statistic(running.dtype) if mode else running
        # NOTE: a mean that was made for real features becomes complex, as Flax's does.
        dtype = jnp.result_type(running.dtype, jnp.complex64) if jnp.iscomplexobj(batch) else running.dtype
        return jnp.where(spread_like(running, is_empty.reshape(running.shape)), stay, new).astype(dtype)

    return BatchStats(moved(stats.mean, mean), moved(stats.var, var))


def spread_like(like: Array, value: Array) -> Array:
    """Shard a value over an explicit mesh like an array of the same shape; without such a mesh, return it unchanged."""
    spec = jax.typeof(like).sharding.spec
    return value if jax.typeof(value).sharding.spec == spec else jax.sharding.reshard(value, spec)


def no_statistic(dtype: Any) -> float:
    """Return the number that marks a missing statistic: negligibly small, and the statistic of no batch."""
    return float(jnp.finfo(dtype).tiny)


def count_batch(x: Array, mask: Array | None, axis_name: AxisName, axis_index_groups: AxisIndexGroups) -> Array:
    """Return 1, or 0 if no entry of a batch is valid on any device, so that running statistics do not move."""
    if mask is None or not x.size:
        return jnp.asarray(x.size > 0, jnp.int32)
    num_valid = jnp.any(mask).astype(jnp.int32)
    if axis_name is None:
        return num_valid
    return jnp.minimum(make_reduction((), axis_name, axis_index_groups).everywhere(num_valid)[0], 1)


@checked()
def cumulative_momentum(num_batches: Int[Array, ""] | int) -> Float[Array, ""]:
    """Return the momentum with which running statistics are the plain average over all batches so far.

        momentum = n / (n + 1)

    Source: PyTorch's `momentum=None`.

    Args:
        num_batches: how many batches the statistics have seen before this one, n.

    Returns:
        Momentum for this batch, ().

    Example:
        >>> from bnjax import norms
        >>> print(norms.cumulative_momentum(0), norms.cumulative_momentum(3))
        0.0 0.75
    """
    num_batches = jnp.asarray(num_batches, jnp.float32)
    return num_batches / (num_batches + 1)

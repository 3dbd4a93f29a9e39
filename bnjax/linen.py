"""Flax linen modules over the pure functions of `bnjax.norms`.

All of them are called as `module(x, use_running_average=None, *, mask=None)`, so that each can be the `norm` of a model here.
Scale and bias are `params`; what is remembered, `batch_stats`. `BatchNorm` stands in for Flax's own.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float, Shaped

from bnjax import norms
from bnjax.norms.features import as_floats, find_features
from bnjax.types import BatchStats


def _widened(x: Array, dtype: Any) -> Array:
    """Give x at least the precision of the result."""
    x = as_floats(x)
    return x if dtype is None else x.astype(jnp.promote_types(x.dtype, dtype))


class _RunningNorm(nn.Module):
    """What the normalisers with running statistics share: fields, variables, and when statistics move."""

    use_running_average: bool | None = None
    axis: int | tuple[int, ...] = -1
    momentum: float | None = 0.99
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable[..., Array] = nn.initializers.zeros
    scale_init: Callable[..., Array] = nn.initializers.ones
    axis_name: str | tuple[str, ...] | None = None
    axis_index_groups: Any = None

    # The name of the second statistic, beside `mean`.
    spread_name: ClassVar[str] = "var"

    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "*shape"]:
        """Normalise x; statistics are taken where `mask` is True."""
        use_running_average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        shape = find_features(x, self.axis).sizes
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", self.spread_name, jnp.ones, shape, jnp.float32)
        count = self.variable("batch_stats", "num_batches", jnp.zeros, (), jnp.int32) if self._counts_batches else None
        num_batches: Any = None if count is None else count.value
        y, stats = self._normalise(
            _widened(x, self.dtype),
            BatchStats(mean.value, var.value),
            self.param("scale", self.scale_init, shape, self.param_dtype) if self.use_scale else None,
            self.param("bias", self.bias_init, shape, self.param_dtype) if self.use_bias else None,
            num_batches,
            train=not use_running_average,
            momentum=norms.cumulative_momentum(num_batches) if self.momentum is None else self.momentum,
            epsilon=self.epsilon,
            axis=self.axis,
            axis_name=None if self.is_initializing() else self.axis_name,
            axis_index_groups=self.axis_index_groups,
            mask=mask,
        )
        if not use_running_average and not self.is_initializing():
            mean.value, var.value = stats
            if count is not None:
                count.value = count.value + 1
        return y if self.dtype is None else jnp.asarray(y, self.dtype)

    @property
    def _counts_batches(self) -> bool:
        """Whether anything depends on how many batches have been seen."""
        return self.momentum is None

    def _normalise(
        self,
        x: Array,
        stats: BatchStats,
        scale: Array | None,
        bias: Array | None,
        num_batches: Any,
        **options: Any,
    ) -> tuple[Array, BatchStats]:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class BatchNorm(_RunningNorm):
    """Batch normalisation with the fields, variables and paths of `flax.linen.BatchNorm`, over `norms.batch_norm`.

    Source: Ioffe & Szegedy 2015. Scale and bias are `params`, running mean and variance are `batch_stats`, each with the
    shape of the feature axes. In training mode the batch's biased statistics (1/m) normalise and the running ones move,
    except while initialising; otherwise the running ones normalise and nothing moves.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision.

    Attributes:
        use_running_average: normalise with the running statistics; give it here or in the call, not both.
        axis: the feature axis or axes.
        momentum: share of the running statistics that is kept, per call; None makes them the plain average over all batches,
            which `num_batches` in `batch_stats` counts.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of devices along them that share statistics.
        use_fast_variance: compute the variance in one pass, as Flax does: in float32, without mask and axis_name, to the bit.
        force_float32_reductions: compute statistics of half-precision inputs in float32; here they always are.
        unbiased_running_var: record the variance with the estimator 1/(m-1), as PyTorch does.
    """

    use_fast_variance: bool = False
    force_float32_reductions: bool = True
    unbiased_running_var: bool = False

    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        return norms.batch_norm(
            x,
            stats,
            scale,
            bias,
            use_fast_variance=self.use_fast_variance,
            unbiased_running_var=self.unbiased_running_var,
            **options,
        )


class LpNorm(_RunningNorm):
    """Normalisation by an lp norm of the batch, over `norms.lp_norm`; the fields not named here are those of `BatchNorm`.

    The squared norm is remembered as `norm_squared` in `batch_stats`.

    Attributes:
        p: 1, 2 or "inf".
        center_first: take the norm after the mean has been taken off; then p = 2 is batch norm.
    """

    p: Any = 2
    center_first: bool = False

    spread_name: ClassVar[str] = "norm_squared"

    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        return norms.lp_norm(x, stats, scale, bias, p=self.p, center_first=self.center_first, **options)


class GhostBatchNorm(_RunningNorm):
    """Batch norm in parts of a batch, over `norms.ghost_batch_norm`; the fields not named here are those of `BatchNorm`.

    While initialising, the whole batch is one ghost.

    Attributes:
        ghost_size: examples per ghost; it divides the batch.
        running_var: "mean_of_ghosts" or "whole_batch".
    """

    ghost_size: int = 32
    running_var: Any = "mean_of_ghosts"

    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        size = x.shape[0] if self.is_initializing() else self.ghost_size
        return norms.ghost_batch_norm(x, stats, scale, bias, ghost_size=size, running_var=self.running_var, **options)


class BatchRenorm(_RunningNorm):
    """Batch renormalisation, over `norms.batch_renorm`; the fields not named here are those of `BatchNorm`.

    Attributes:
        r_max: bound of the correction of scale.
        d_max: bound of the correction of location.
        bounds: gives (r_max, d_max) from the number of batches trained on, in place of the two, as `norms.renorm_bounds`
            does; `num_batches` in `batch_stats` counts.
    """

    r_max: float = 3.0
    d_max: float = 5.0
    bounds: Callable[[Array], tuple[Any, Any]] | None = None

    @property
    def _counts_batches(self):
        return self.momentum is None or self.bounds is not None

    def _normalise(self, x, stats, scale, bias, num_batches, **options):
        r_max, d_max = (self.r_max, self.d_max) if self.bounds is None else self.bounds(num_batches)
        return norms.batch_renorm(x, stats, scale, bias, r_max=r_max, d_max=d_max, **options)


class NoisyBatchNorm(_RunningNorm):
    """Batch norm with noise on its output, over `norms.noisy_batch_norm`; the fields not named here are `BatchNorm`'s.

    The noise follows from the key called "noise" in `rngs`; none is added while initialising.

    Attributes:
        noise: kind of noise, see `norms.add_noise`.
        strength: factor of the noise.
        noise_in_evaluation: add noise in evaluation too.
    """

    noise: Any = "santurkar"
    strength: float = 1.0
    noise_in_evaluation: bool = False

    def _normalise(self, x, stats, scale, bias, num_batches, *, train, **options):
        if self.is_initializing() or not (train or self.noise_in_evaluation):
            return norms.batch_norm(x, stats, scale, bias, train=train, **options)
        return norms.noisy_batch_norm(
            x,
            stats,
            scale,
            bias,
            key=self.make_rng("noise"),
            train=train,
            noise=self.noise,
            strength=self.strength,
            noise_in_evaluation=self.noise_in_evaluation,
            **options,
        )


class _ExampleNorm(nn.Module):
    """What the normalisers without running statistics share."""

    axis: int = -1
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable[..., Array] = nn.initializers.zeros
    scale_init: Callable[..., Array] = nn.initializers.ones
    axis_name: str | tuple[str, ...] | None = None
    axis_index_groups: Any = None

    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "*shape"]:
        """Normalise x; `use_running_average` makes no difference."""
        shape = find_features(x, self.axis).sizes
        y = self._normalise(
            _widened(x, self.dtype),
            self.param("scale", self.scale_init, shape, self.param_dtype) if self.use_scale else None,
            self.param("bias", self.bias_init, shape, self.param_dtype) if self.use_bias else None,
            epsilon=self.epsilon,
            axis=self.axis,
            axis_name=None if self.is_initializing() else self.axis_name,
            axis_index_groups=self.axis_index_groups,
            mask=mask,
        )
        return y if self.dtype is None else jnp.asarray(y, self.dtype)

    def _normalise(self, x: Array, scale: Array | None, bias: Array | None, **options: Any) -> Array:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class LayerNorm(_ExampleNorm):
    """Layer norm, over `norms.layer_norm`.

    Attributes:
        axis: the axis to which scale and bias belong.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        axis_name: mapped axes over which an example is spread.
        axis_index_groups: groups of devices along them that share an example.
        reduction_axes: axes to average over; None is all but the first.
    """

    reduction_axes: tuple[int, ...] | None = None

    def _normalise(self, x, scale, bias, **options):
        return norms.layer_norm(x, scale, bias, reduction_axes=self.reduction_axes, **options)


class InstanceNorm(_ExampleNorm):
    """Instance norm, over `norms.instance_norm`; the fields are those of `LayerNorm`, but for `reduction_axes`."""

    def _normalise(self, x, scale, bias, **options):
        return norms.instance_norm(x, scale, bias, **options)


class GroupNorm(_ExampleNorm):
    """Group norm, over `norms.group_norm`; the fields not named here are those of `LayerNorm`, but for `reduction_axes`.

    Attributes:
        num_groups: groups of neighbouring features; it divides their number.
    """

    num_groups: int = 32

    def _normalise(self, x, scale, bias, **options):
        return norms.group_norm(x, scale, bias, num_groups=self.num_groups, **options)

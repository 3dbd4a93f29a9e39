"""Flax nnx modules over the pure functions of `bnjax.norms`.

All of them are called as `module(x, use_running_average=None, *, mask=None)`, so that one can take another's place. Scale and
bias are `nnx.Param`; what is remembered, `nnx.BatchStat`. `BatchNorm` stands in for Flax's own.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array
from jaxtyping import Float, Shaped

from bnjax import norms
from bnjax.norms.features import as_floats
from bnjax.types import BatchStats

_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class _Norm(nnx.Module):
    """What all normalisers share: scale, bias and types."""

    def __init__(
        self,
        num_features: int,
        *,
        axis: int = -1,
        epsilon: float = 1e-5,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = _NO_METADATA,
        scale_metadata: Mapping[str, Any] = _NO_METADATA,
    ):
        def make(wanted: bool, init: Callable[..., Array], metadata: Mapping[str, Any]) -> Any:
            if not wanted:
                return nnx.data(None)
            return nnx.Param(init(rngs.params(), (num_features,), param_dtype), **metadata)

        self.scale = make(use_scale, scale_init, scale_metadata)
        self.bias = make(use_bias, bias_init, bias_metadata)
        self.num_features = num_features
        self.axis = axis
        self.epsilon = epsilon
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.use_bias = use_bias
        self.use_scale = use_scale
        self.axis_name = axis_name
        self.axis_index_groups = axis_index_groups
        self.promote_dtype = promote_dtype

    def _prepared(self, x: Array, *stats: Array) -> tuple[Any, tuple[Array, Array | None, Array | None]]:
        """Return the type to which Flax promotes input, statistics, scale and bias; and all but the statistics, unrounded."""
        scale, bias = (None if p is None else p[...] for p in (self.scale, self.bias))
        dtype = self.promote_dtype((x, *stats, scale, bias), dtype=self.dtype)[0].dtype
        x = as_floats(x)
        return dtype, (x.astype(jnp.promote_types(x.dtype, dtype)), scale, bias)

    @property
    def _options(self) -> dict[str, Any]:
        """The arguments that all functions of `bnjax.norms` take."""
        names = ("epsilon", "axis", "axis_name", "axis_index_groups")
        return {name: getattr(self, name) for name in names}


class _RunningNorm(_Norm):
    """What the normalisers with running statistics share: when they are used, and when they move."""

    # The name of the second statistic, beside `mean`.
    spread_name: ClassVar[str] = "var"

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool | None = False,
        momentum: float | None = 0.99,
        counts_batches: bool = False,
        **options: Any,
    ):
        self.mean = nnx.BatchStat(jnp.zeros((num_features,), jnp.float32))
        setattr(self, self.spread_name, nnx.BatchStat(jnp.ones((num_features,), jnp.float32)))
        if momentum is None or counts_batches:
            self.num_batches = nnx.BatchStat(jnp.zeros((), jnp.int32))
        super().__init__(num_features, **options)
        self.use_running_average = use_running_average
        self.momentum = momentum

    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "*shape"]:
        """Normalise x; the call's `use_running_average` overrides the module's; statistics are taken where `mask` is True."""
        if use_running_average is None:
            use_running_average = self.use_running_average
        if use_running_average is None:
            raise ValueError("use_running_average must be given to the module or in its call, got None in both.")
        mean, var = self.mean, getattr(self, self.spread_name)
        dtype, (x, scale, bias) = self._prepared(x, mean[...], var[...])
        y, stats = self._normalise(
            x,
            BatchStats(mean[...], var[...]),
            scale,
            bias,
            train=not use_running_average,
            momentum=norms.cumulative_momentum(self.num_batches[...]) if self.momentum is None else self.momentum,
            mask=mask,
            **self._options,
        )
        if not use_running_average:
            mean[...], var[...] = stats
            if hasattr(self, "num_batches"):
                self.num_batches[...] += 1
        return y.astype(dtype)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Take the setting that `nnx.view` gives."""
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def _normalise(
        self, x: Array, stats: BatchStats, scale: Array | None, bias: Array | None, **options: Any
    ) -> tuple[Array, BatchStats]:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class BatchNorm(_RunningNorm):
    """Batch normalisation with the arguments, variables and paths of `flax.nnx.BatchNorm`, over `norms.batch_norm`.

    Source: Ioffe & Szegedy 2015. In training mode the batch's biased statistics (1/m) normalise and the running ones move;
    otherwise the running ones normalise and nothing moves.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision;
    and half-precision computing rounds the result alone, neither input nor statistics.

    Args:
        num_features: length of the feature axis.
        use_running_average: normalise with the running statistics; the call's argument overrides it.
        axis: the feature axis.
        momentum: share of the running statistics that is kept, per call; None makes them the plain average over all batches,
            which `num_batches` counts.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's, the parameters' and the statistics'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of devices along them that share statistics.
        use_fast_variance: compute the variance in one pass, as Flax does: in float32, without mask and axis_name, to the bit.
        promote_dtype: casts (x, mean, var, scale, bias) to a common type, given as `dtype=`, which is that of the result.
        rngs: `rngs.params()` is drawn once for the scale, then once for the bias.
        bias_metadata: of the bias, as `nnx.Param` takes them.
        scale_metadata: of the scale.
        unbiased_running_var: record the variance with the estimator 1/(m-1), as PyTorch does.
    """

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool | None = False,
        axis: int = -1,
        momentum: float | None = 0.99,
        epsilon: float = 1e-5,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = False,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = _NO_METADATA,
        scale_metadata: Mapping[str, Any] = _NO_METADATA,
        unbiased_running_var: bool = False,
    ):
        super().__init__(
            num_features,
            use_running_average=use_running_average,
            momentum=momentum,
            axis=axis,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_bias=use_bias,
            use_scale=use_scale,
            bias_init=bias_init,
            scale_init=scale_init,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            promote_dtype=promote_dtype,
            rngs=rngs,
            bias_metadata=bias_metadata,
            scale_metadata=scale_metadata,
        )
        self.use_fast_variance = use_fast_variance
        self.unbiased_running_var = unbiased_running_var

    def _normalise(self, x, stats, scale, bias, **options):
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
    """Normalisation by an lp norm of the batch, over `norms.lp_norm`; the arguments not named here are `BatchNorm`'s.

    The squared norm is remembered as `norm_squared`.

    Args:
        num_features: length of the feature axis.
        p: 1, 2 or "inf".
        center_first: take the norm after the mean has been taken off; then p = 2 is batch norm.
    """

    spread_name: ClassVar[str] = "norm_squared"

    def __init__(self, num_features: int, *, p: Any = 2, center_first: bool = False, **options: Any):
        super().__init__(num_features, **options)
        self.p = p
        self.center_first = center_first

    def _normalise(self, x, stats, scale, bias, **options):
        return norms.lp_norm(x, stats, scale, bias, p=self.p, center_first=self.center_first, **options)


class GhostBatchNorm(_RunningNorm):
    """Batch norm in parts of a batch, over `norms.ghost_batch_norm`; the arguments not named here are `BatchNorm`'s.

    Args:
        num_features: length of the feature axis.
        ghost_size: examples per ghost; it divides the batch.
        running_var: "mean_of_ghosts" or "whole_batch".
    """

    def __init__(self, num_features: int, *, ghost_size: int = 32, running_var: Any = "mean_of_ghosts", **options: Any):
        super().__init__(num_features, **options)
        self.ghost_size = ghost_size
        self.running_var = running_var

    def _normalise(self, x, stats, scale, bias, **options):
        own = {"ghost_size": self.ghost_size, "running_var": self.running_var}
        return norms.ghost_batch_norm(x, stats, scale, bias, **own, **options)


class BatchRenorm(_RunningNorm):
    """Batch renormalisation, over `norms.batch_renorm`; the arguments not named here are those of `BatchNorm`.

    Args:
        num_features: length of the feature axis.
        r_max: bound of the correction of scale.
        d_max: bound of the correction of location.
        bounds: gives (r_max, d_max) from the number of batches trained on, in place of the two, as `norms.renorm_bounds`
            does; `num_batches` counts.
    """

    def __init__(
        self,
        num_features: int,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        bounds: Callable[[Array], tuple[Any, Any]] | None = None,
        **options: Any,
    ):
        super().__init__(num_features, counts_batches=bounds is not None, **options)
        self.r_max = r_max
        self.d_max = d_max
        self.bounds = bounds

    def _normalise(self, x, stats, scale, bias, **options):
        r_max, d_max = (self.r_max, self.d_max) if self.bounds is None else self.bounds(self.num_batches[...])
        return norms.batch_renorm(x, stats, scale, bias, r_max=r_max, d_max=d_max, **options)


class NoisyBatchNorm(_RunningNorm):
    """Batch norm with noise on its output, over `norms.noisy_batch_norm`; the arguments not named here are `BatchNorm`'s.

    The noise follows from the stream called "noise" of `rngs`.

    Args:
        num_features: length of the feature axis.
        noise: kind of noise, see `norms.add_noise`.
        strength: factor of the noise.
        noise_in_evaluation: add noise in evaluation too.
        rngs: with the streams "params" and "noise", or a default one.
    """

    def __init__(
        self,
        num_features: int,
        *,
        noise: Any = "santurkar",
        strength: float = 1.0,
        noise_in_evaluation: bool = False,
        rngs: nnx.Rngs,
        **options: Any,
    ):
        super().__init__(num_features, rngs=rngs, **options)
        self.noise = noise
        self.strength = strength
        self.noise_in_evaluation = noise_in_evaluation
        self.rngs = rngs["noise"].fork()

    def _normalise(self, x, stats, scale, bias, *, train, **options):
        own = {"noise": self.noise, "strength": self.strength, "noise_in_evaluation": self.noise_in_evaluation}
        key = self.rngs() if train or self.noise_in_evaluation else None
        return norms.noisy_batch_norm(x, stats, scale, bias, key=key, train=train, **own, **options)


class _ExampleNorm(_Norm):
    """What the normalisers without running statistics share."""

    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "*shape"]:
        """Normalise x; `use_running_average` makes no difference."""
        dtype, operands = self._prepared(x)
        return self._normalise(*operands, mask=mask, **self._options).astype(dtype)

    def _normalise(self, x: Array, scale: Array | None, bias: Array | None, **options: Any) -> Array:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class LayerNorm(_ExampleNorm):
    """Layer norm, over `norms.layer_norm`; the arguments not named here are those of `BatchNorm`, without the running ones.

    Args:
        num_features: length of the axis to which scale and bias belong.
        reduction_axes: axes to average over; None is all but the first.
    """

    def __init__(self, num_features: int, *, reduction_axes: tuple[int, ...] | None = None, **options: Any):
        super().__init__(num_features, **options)
        self.reduction_axes = reduction_axes

    def _normalise(self, x, scale, bias, **options):
        return norms.layer_norm(x, scale, bias, reduction_axes=self.reduction_axes, **options)


class InstanceNorm(_ExampleNorm):
    """Instance norm, over `norms.instance_norm`; the arguments are those of `LayerNorm`, but for `reduction_axes`."""

    def _normalise(self, x, scale, bias, **options):
        return norms.instance_norm(x, scale, bias, **options)


class GroupNorm(_ExampleNorm):
    """Group norm, over `norms.group_norm`; the arguments not named here are those of `InstanceNorm`.

    Args:
        num_features: length of the feature axis.
        num_groups: groups of neighbouring features; it divides their number.
    """

    def __init__(self, num_features: int, *, num_groups: int = 32, **options: Any):
        super().__init__(num_features, **options)
        self.num_groups = num_groups

    def _normalise(self, x, scale, bias, **options):
        return norms.group_norm(x, scale, bias, num_groups=self.num_groups, **options)

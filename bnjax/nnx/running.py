"""Batch norm and its relatives as nnx modules, which remember statistics of the batches."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array

from bnjax import norms
from bnjax.nnx.shared import NO_METADATA, RunningNorm, RunningOptions


class BatchNorm(RunningNorm, nnx.BatchNorm):
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
        promote_dtype: casts (x, mean, var, scale, bias) to a common type, given as `dtype=`, the type of the result.
        rngs: `rngs.params()` is drawn once for the scale, then once for the bias.
        bias_metadata: of the bias, as `nnx.Param` takes them.
        scale_metadata: of the scale.
        unbiased_running_var: record the variance with the estimator 1/(m-1), as PyTorch does.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.BatchNorm(1, momentum=0.5, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.array([[1.0], [5.0]])).ravel().round(3), norm.mean[...])
        [-1.  1.] [1.5]
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
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
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


class LpNorm(RunningNorm):
    """Normalisation by an lp norm of the batch, over `norms.lp_norm`; the arguments not named here are `BatchNorm`'s.

    The squared norm is remembered as `norm_squared`.

    Args:
        num_features: length of the feature axis.
        p: 1, 2 or "inf".
        center_first: subtract the mean before taking the norm; with p = 2 this is batch norm.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.LpNorm(1, p=1, momentum=0.5, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.array([[2.0], [6.0]])).ravel().round(3), norm.norm_squared[...])
        [-0.5  0.5] [8.5]
    """

    norm_squared: nnx.BatchStat[Array]
    spread_name: ClassVar[str] = "norm_squared"

    def __init__(
        self,
        num_features: int,
        *,
        p: Any = 2,
        center_first: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[RunningOptions],
    ):
        super().__init__(num_features, rngs=rngs, **options)
        self.p = p
        self.center_first = center_first

    def _normalise(self, x, stats, scale, bias, **options):
        return norms.lp_norm(x, stats, scale, bias, p=self.p, center_first=self.center_first, **options)


class GhostBatchNorm(RunningNorm):
    """Batch norm in parts of a batch, over `norms.ghost_batch_norm`; the arguments not named here are `BatchNorm`'s.

    Args:
        num_features: length of the feature axis.
        ghost_size: examples per ghost; it divides the batch.
        running_var: "mean_of_ghosts" or "whole_batch".

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.GhostBatchNorm(1, ghost_size=2, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.array([[1.0], [3.0], [20.0], [60.0]])).ravel().round(3))
        [-1.  1. -1.  1.]
    """

    var: nnx.BatchStat[Array]

    def __init__(
        self,
        num_features: int,
        *,
        ghost_size: int = 32,
        running_var: Any = "mean_of_ghosts",
        rngs: nnx.Rngs,
        **options: Unpack[RunningOptions],
    ):
        super().__init__(num_features, rngs=rngs, **options)
        self.ghost_size = ghost_size
        self.running_var = running_var

    def _normalise(self, x, stats, scale, bias, **options):
        own = {"ghost_size": self.ghost_size, "running_var": self.running_var}
        return norms.ghost_batch_norm(x, stats, scale, bias, **own, **options)


class BatchRenorm(RunningNorm):
    """Batch renormalisation, over `norms.batch_renorm`; the arguments not named here are the same as in `BatchNorm`.

    Args:
        num_features: length of the feature axis.
        r_max: bound of the correction of scale.
        d_max: bound of the correction of location.
        bounds: maps the number of batches trained on to (r_max, d_max), in place of the two, as `norms.renorm_bounds`
            does; `num_batches` counts the batches.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.BatchRenorm(1, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.array([[1.0], [5.0]])).ravel().round(3))
        [1. 5.]
    """

    var: nnx.BatchStat[Array]

    def __init__(
        self,
        num_features: int,
        *,
        r_max: float = 3.0,
        d_max: float = 5.0,
        bounds: Callable[[Array], tuple[Any, Any]] | None = None,
        rngs: nnx.Rngs,
        **options: Unpack[RunningOptions],
    ):
        super().__init__(num_features, rngs=rngs, **options)
        if bounds is not None:
            self.num_batches = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.r_max = r_max
        self.d_max = d_max
        self.bounds = bounds

    def _normalise(self, x, stats, scale, bias, **options):
        r_max, d_max = (self.r_max, self.d_max) if self.bounds is None else self.bounds(self.num_batches[...])
        return norms.batch_renorm(x, stats, scale, bias, r_max=r_max, d_max=d_max, **options)


class NoisyBatchNorm(RunningNorm):
    """Batch norm with noise on its output, over `norms.noisy_batch_norm`; the arguments not named here are `BatchNorm`'s.

    The noise follows from the stream called "noise" of `rngs`.

    Args:
        num_features: length of the feature axis.
        noise: kind of noise, see `norms.add_noise`.
        strength: factor of the noise.
        noise_in_evaluation: add noise in evaluation too.
        rngs: with the streams "params" and "noise", or a default one.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.NoisyBatchNorm(1, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.ones((4, 1))).std() > 0)  # equal examples become unequal
        True
    """

    var: nnx.BatchStat[Array]

    def __init__(
        self,
        num_features: int,
        *,
        noise: Any = "santurkar",
        strength: float = 1.0,
        noise_in_evaluation: bool = False,
        rngs: nnx.Rngs,
        **options: Unpack[RunningOptions],
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

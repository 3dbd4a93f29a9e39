"""Flax linen modules over the pure functions of `bnjax.norms`."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax import norms
from bnjax.types import BatchStats


class BatchNorm(nn.Module):
    """Batch normalisation with the fields, variables and paths of `flax.linen.BatchNorm`, over `norms.batch_norm`.

    Source: Ioffe & Szegedy 2015. Scale and bias are `params`, running mean and variance are `batch_stats`, each with the
    shape of the feature axes. In training mode the batch's biased statistics (1/m) normalise and the running ones move,
    except while initialising; otherwise the running ones normalise and nothing moves.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision.

    Attributes:
        use_running_average: normalise with the running statistics; give it here or in the call, not both.
        axis: the feature axis or axes.
        momentum: share of the running statistics that is kept, per call.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        axis_name: mapped axes whose batches count as one.
        axis_index_groups: groups of devices along them that share statistics.
        use_fast_variance: compute the variance in one pass, as Flax does.
        force_float32_reductions: compute statistics of half-precision inputs in float32; here they always are.
    """

    use_running_average: bool | None = None
    axis: int | tuple[int, ...] = -1
    momentum: float = 0.99
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable[..., Array] = nn.initializers.zeros
    scale_init: Callable[..., Array] = nn.initializers.ones
    axis_name: str | tuple[str, ...] | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = False
    force_float32_reductions: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "*shape"]:
        """Normalise x; statistics are taken where `mask` is True."""
        use_running_average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        shape = tuple(x.shape[a] for a in sorted(a % x.ndim for a in axes))
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        y, stats = norms.batch_norm(
            x,
            BatchStats(mean.value, var.value),
            self.param("scale", self.scale_init, shape, self.param_dtype) if self.use_scale else None,
            self.param("bias", self.bias_init, shape, self.param_dtype) if self.use_bias else None,
            train=not use_running_average,
            momentum=self.momentum,
            epsilon=self.epsilon,
            axis=self.axis,
            axis_name=None if self.is_initializing() else self.axis_name,
            axis_index_groups=self.axis_index_groups,
            mask=mask,
            use_fast_variance=self.use_fast_variance,
        )
        if not use_running_average and not self.is_initializing():
            mean.value, var.value = stats
        return y if self.dtype is None else jnp.asarray(y, self.dtype)

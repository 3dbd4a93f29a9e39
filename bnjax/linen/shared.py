"""Code shared by the linen modules: scale, bias, types, and when statistics move."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax._host.trees import common_type
from bnjax.norms.features import as_floats, find_features
from bnjax.norms.statistics import count_batch
from bnjax.types import BatchStats, Number


def widened(x: Array, dtype: Any) -> Array:
    """Cast x to at least the precision of the result."""
    x = as_floats(x)
    return x if dtype is None else x.astype(common_type(x.dtype, dtype))


def make_parameters(module: Any, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    """Create scale and bias as the fields of a normaliser specify."""
    scale = module.param("scale", module.scale_init, shape, module.param_dtype) if module.use_scale else None
    bias = module.param("bias", module.bias_init, shape, module.param_dtype) if module.use_bias else None
    return scale, bias


def options_of(module: Any) -> dict[str, Any]:
    """Read the arguments that all functions of `bnjax.norms` take from the fields of a normaliser."""
    return {
        "epsilon": module.epsilon,
        "axis": module.axis,
        "axis_name": None if module.is_initializing() else module.axis_name,
        "axis_index_groups": None if module.is_initializing() else module.axis_index_groups,
    }


class RunningNorm(nn.Module):
    """Base of the normalisers with running statistics: fields, variables, and when statistics move."""

    use_running_average: bool | None = None
    axis: int | tuple[int, ...] = -1
    momentum: Number | None = 0.99
    epsilon: Number = 1e-5
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

    @checked()
    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x; statistics are taken where `mask` is True."""
        use_running_average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        shape = find_features(x, self.axis).sizes
        kind = jnp.complex64 if jnp.iscomplexobj(x) else jnp.float32
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, kind)
        var = self.variable("batch_stats", self.spread_name, jnp.ones, shape, jnp.float32)
        count = self.variable("batch_stats", "num_batches", jnp.zeros, (), jnp.int32) if self._counts_batches else None
        num_batches: Any = None if count is None else count.value
        y, stats = self._normalise(
            widened(x, self.dtype),
            BatchStats(mean.value, var.value),
            *make_parameters(self, shape),
            num_batches,
            train=not use_running_average,
            momentum=norms.cumulative_momentum(num_batches) if self.momentum is None else self.momentum,
            mask=mask,
            **options_of(self),
        )
        if not use_running_average and not self.is_initializing():
            mean.value, var.value = stats
            if count is not None:
                count.value = count.value + count_batch(x, mask, self.axis_name, self.axis_index_groups)
        return y if self.dtype is None else jnp.asarray(y, self.dtype)

    @property
    def _counts_batches(self) -> bool:
        """Whether anything depends on how many batches have been seen."""
        return self.momentum is None

    @nn.nowrap
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

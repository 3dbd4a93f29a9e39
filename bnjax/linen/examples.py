"""Layer, instance and group norm as linen modules, which remember nothing."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.linen.shared import make_parameters, options_of, widened
from bnjax.norms.features import find_features
from bnjax.types import Number


class _ExampleNorm(nn.Module):
    """What the normalisers without running statistics share."""

    axis: int = -1
    epsilon: Number = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable[..., Array] = nn.initializers.zeros
    scale_init: Callable[..., Array] = nn.initializers.ones
    axis_name: str | tuple[str, ...] | None = None
    axis_index_groups: Any = None

    @checked()
    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x; `use_running_average` makes no difference."""
        shape = find_features(x, self.axis).sizes
        y = self._normalise(
            widened(x, self.dtype),
            *make_parameters(self, shape),
            mask=mask,
            **options_of(self),
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
    """Instance norm, over `norms.instance_norm`; the fields are the same as in `LayerNorm`, except for `reduction_axes`."""

    def _normalise(self, x, scale, bias, **options):
        return norms.instance_norm(x, scale, bias, **options)


class GroupNorm(_ExampleNorm):
    """Group norm, over `norms.group_norm`; others are as in `LayerNorm`, except for `reduction_axes`.

    Attributes:
        num_groups: groups of neighbouring features; it divides their number.
    """

    num_groups: int = 32

    def _normalise(self, x, scale, bias, **options):
        return norms.group_norm(x, scale, bias, num_groups=self.num_groups, **options)

"""Layer, instance and group norm as nnx modules, which remember nothing."""

from typing import Any

from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.nnx.shared import Norm


class _ExampleNorm(Norm):
    """What the normalisers without running statistics share."""

    @checked()
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x; `use_running_average` makes no difference."""
        dtype, operands = self._prepared(x)
        return self._normalise(*operands, mask=mask, **self._options).astype(dtype)

    def _normalise(self, x: Array, scale: Array | None, bias: Array | None, **options: Any) -> Array:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class LayerNorm(_ExampleNorm):
    """Layer norm, over `norms.layer_norm`; others are as in `BatchNorm`, without the running ones.

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
    """Instance norm, over `norms.instance_norm`; the arguments are the same as in `LayerNorm`, except for `reduction_axes`."""

    def _normalise(self, x, scale, bias, **options):
        return norms.instance_norm(x, scale, bias, **options)


class GroupNorm(_ExampleNorm):
    """Group norm, over `norms.group_norm`; the arguments not named here are the same as in `InstanceNorm`.

    Args:
        num_features: length of the feature axis.
        num_groups: groups of neighbouring features; it divides their number.
    """

    def __init__(self, num_features: int, *, num_groups: int = 32, **options: Any):
        super().__init__(num_features, **options)
        self.num_groups = num_groups

    def _normalise(self, x, scale, bias, **options):
        return norms.group_norm(x, scale, bias, num_groups=self.num_groups, **options)

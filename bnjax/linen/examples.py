"""Layer, instance and group norm as linen modules, which remember nothing."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.linen.shared import make_parameters, widened
from bnjax.norms.features import find_features
from bnjax.types import Number


class _ExampleNorm(nn.Module):
    """Base of the normalisers without running statistics, whose fields are inherited from Flax's modules."""

    @checked()
    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x, with statistics taken where `mask` is True; `use_running_average` makes no difference."""
        fields: Any = self
        shape = find_features(x, getattr(self, "feature_axes", -1), "feature_axes").sizes
        y = self._normalise(
            widened(x, fields.dtype),
            *make_parameters(self, shape),
            epsilon=fields.epsilon,
            axis_name=None if self.is_initializing() else fields.axis_name,
            axis_index_groups=None if self.is_initializing() else fields.axis_index_groups,
            mask=mask,
            use_fast_variance=fields.use_fast_variance,
        )
        return y if fields.dtype is None else jnp.asarray(y, fields.dtype)

    @nn.nowrap
    def _normalise(self, x: Array, scale: Array | None, bias: Array | None, **options: Any) -> Array:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class LayerNorm(_ExampleNorm, nn.LayerNorm):
    """Layer norm with the fields, defaults, variables and paths of `flax.linen.LayerNorm`, over `norms.layer_norm`.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision.

    Attributes:
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        reduction_axes: axes to average over.
        feature_axes: axes to which scale and bias belong.
        axis_name: mapped axes over which an example is spread.
        axis_index_groups: groups of devices along them that share an example.
        use_fast_variance: compute the variance in one pass, as Flax does: in float32, without mask and axis_name, to the bit.
        force_float32_reductions: compute statistics of half-precision inputs in float32; here they always are.

    Example:
        >>> from bnjax import linen
        >>> y, _ = linen.LayerNorm().init_with_output(jax.random.key(0), jnp.array([[1.0, 5.0], [10.0, 50.0]]))
        >>> print(y.round(3).tolist())
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    epsilon: Number = 1e-6  # pyright: ignore[reportIncompatibleVariableOverride]
    use_fast_variance: bool = False

    @nn.nowrap
    def _normalise(self, x, scale, bias, **options):
        axes: Any = {"reduction_axes": self.reduction_axes, "feature_axes": self.feature_axes}
        return norms.layer_norm(x, scale, bias, **axes, **options)


class InstanceNorm(_ExampleNorm, nn.InstanceNorm):
    """Instance norm, as `flax.linen.InstanceNorm`, over `norms.instance_norm`.

    The fields are the same as in `LayerNorm`, without `reduction_axes`: it averages over all axes but the first and
    `feature_axes`.

    Example:
        >>> from bnjax import linen
        >>> y, _ = linen.InstanceNorm().init_with_output(jax.random.key(0), jnp.array([[[1.0], [5.0]], [[10.0], [50.0]]]))
        >>> print(y.round(3)[..., 0].tolist())
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    epsilon: Number = 1e-6  # pyright: ignore[reportIncompatibleVariableOverride]
    use_fast_variance: bool = False

    @nn.nowrap
    def _normalise(self, x, scale, bias, **options):
        return norms.instance_norm(x, scale, bias, feature_axes=self.feature_axes, **options)


class GroupNorm(_ExampleNorm, nn.GroupNorm):
    """Group norm, as `flax.linen.GroupNorm`, over `norms.group_norm`; features are along the last axis.

    With one group it is the layer norm of image papers, over height, width and channels. The fields not named here are
    the same as in `LayerNorm`.

    Attributes:
        num_groups: groups of neighbouring features; it divides their number. None takes `group_size`.
        group_size: features per group.
        reduction_axes: axes to average over, the last among them; None is all but the first.

    Example:
        >>> from bnjax import linen
        >>> x = jnp.array([[1.0, 5.0, 10.0, 50.0]])
        >>> print(*(linen.GroupNorm(n).init_with_output(jax.random.key(0), x)[0].round(1) for n in (1, 2)))
        [[-0.8 -0.6 -0.3  1.7]] [[-1.  1. -1.  1.]]
    """

    epsilon: Number = 1e-6  # pyright: ignore[reportIncompatibleVariableOverride]
    use_fast_variance: bool = False

    @nn.nowrap
    def _normalise(self, x, scale, bias, **options):
        own: Any = {name: getattr(self, name) for name in ("num_groups", "group_size", "reduction_axes")}
        return norms.group_norm(x, scale, bias, **own, **options)

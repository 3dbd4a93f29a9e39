"""Layer, instance and group norm as nnx modules, which remember nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.nnx.shared import NO_METADATA, RNGS, Signed, handed_on, prepared
from bnjax.norms.examples import count_groups
from bnjax.norms.features import Axes


class _ExampleNorm(Signed, nnx.Module):
    """Base of the normalisers without running statistics, whose attributes are inherited from Flax's modules."""

    @checked()
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Normalise x, with statistics taken where `mask` is True; `use_running_average` makes no difference."""
        dtype, operands = prepared(self, x)
        names = ("epsilon", "axis_name", "axis_index_groups", "use_fast_variance")
        options = {name: getattr(self, name) for name in names}
        return self._normalise(*operands, mask=mask, **options).astype(dtype)

    def _normalise(self, x: Array, scale: Array | None, bias: Array | None, **options: Any) -> Array:
        """Apply the module's function of `bnjax.norms`."""
        raise NotImplementedError


class LayerNorm(_ExampleNorm, nnx.LayerNorm):
    """Layer norm with the arguments, defaults, variables and paths of `flax.nnx.LayerNorm`, over `norms.layer_norm`.

    Deviation: the variance is computed in two passes by default, where Flax's fast form loses (mean/std)² of the precision;
    and half-precision computing rounds the result alone.

    Args:
        num_features: length of scale and bias.
        epsilon: added to the variance.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        reduction_axes: axes to average over.
        feature_axes: the axis to which scale and bias belong.
        axis_name: mapped axes over which an example is spread.
        axis_index_groups: groups of devices along them that share an example.
        use_fast_variance: compute the variance in one pass, as Flax does: in float32, without mask and axis_name, to the bit.
        promote_dtype: casts (x, scale, bias) to a common type, given as `dtype=`, which is that of the result.
        rngs: `rngs.params()` is drawn once for the scale, then once for the bias.
        bias_metadata: of the bias, as `nnx.Param` takes them.
        scale_metadata: of the scale.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> print(nnx.LayerNorm(2, rngs=flax_nnx.Rngs(0))(jnp.array([[1.0, 5.0], [10.0, 50.0]])).round(3).tolist())
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        reduction_axes: Axes = -1,
        feature_axes: Axes = -1,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = False,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        super().__init__(**handed_on(locals()))

    def _normalise(self, x, scale, bias, **options):
        axes: Any = {"reduction_axes": self.reduction_axes, "feature_axes": self.feature_axes}
        return norms.layer_norm(x, scale, bias, **axes, **options)


class InstanceNorm(_ExampleNorm, nnx.InstanceNorm):
    """Instance norm, as `flax.nnx.InstanceNorm`, over `norms.instance_norm`.

    The arguments are the same as in `LayerNorm`, without `reduction_axes`: it averages over all axes but the first and
    `feature_axes`.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> norm = nnx.InstanceNorm(1, rngs=flax_nnx.Rngs(0))
        >>> print(norm(jnp.array([[[1.0], [5.0]], [[10.0], [50.0]]])).round(3)[..., 0].tolist())
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        feature_axes: Axes = -1,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = False,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        super().__init__(**handed_on(locals()))

    def _normalise(self, x, scale, bias, **options):
        feature_axes: Any = self.feature_axes
        return norms.instance_norm(x, scale, bias, feature_axes=feature_axes, **options)


class GroupNorm(_ExampleNorm, nnx.GroupNorm):
    """Group norm, as `flax.nnx.GroupNorm`, over `norms.group_norm`; features are along the last axis.

    With one group it is the layer norm of image papers, over height, width and channels. The arguments not named here
    are the same as in `LayerNorm`.

    Args:
        num_features: length of the last axis.
        num_groups: groups of neighbouring features; it divides their number. None takes `group_size`.
        group_size: features per group.
        reduction_axes: axes to average over, the last among them; None is all but the first.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> x = jnp.array([[1.0, 5.0, 10.0, 50.0]])
        >>> print(*(nnx.GroupNorm(4, n, rngs=flax_nnx.Rngs(0))(x).round(1) for n in (1, 2)))
        [[-0.8 -0.6 -0.3  1.7]] [[-1.  1. -1.  1.]]
    """

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        num_groups: int | None = 32,
        group_size: int | None = None,
        *,
        epsilon: float = 1e-6,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        reduction_axes: Axes | None = None,
        axis_name: str | tuple[str, ...] | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = False,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        count_groups(num_features, num_groups, group_size)
        super().__init__(**handed_on(locals()))

    def _normalise(self, x, scale, bias, **options):
        axes: Any = self.reduction_axes
        return norms.group_norm(x, scale, bias, num_groups=self.num_groups, reduction_axes=axes, **options)

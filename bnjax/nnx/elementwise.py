"""Element-wise functions that replace a normaliser, as nnx modules."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.nnx.shared import NO_METADATA, RNGS, Norm, handed_on, prepared


class DyT(Norm):
    """Dynamic tanh, over `norms.dyt`: no statistics, the same in training and evaluation.

    Args:
        num_features: length of scale and bias.
        alpha_init: initial value of the factor of all features, an `nnx.Param` of shape ().
        axis: the feature axis.
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of alpha, scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.
        promote_dtype: casts (x, scale, bias) to a common type, given as `dtype=`, which is that of the result.
        rngs: `rngs.params()` is drawn once for the scale, then once for the bias.
        bias_metadata: of the bias, as `nnx.Param` takes them.
        scale_metadata: of the scale.

    Example:
        >>> from flax import nnx as flax_nnx
        >>> from bnjax import nnx
        >>> print(nnx.DyT(3, rngs=flax_nnx.Rngs(0))(jnp.array([-100.0, 0.0, 100.0])))
        [-1.  0.  1.]
    """

    @checked(rngs=RNGS)
    def __init__(
        self,
        num_features: int,
        *,
        alpha_init: float = 0.5,
        axis: int = -1,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Callable[..., Array] = nnx.initializers.zeros,
        scale_init: Callable[..., Array] = nnx.initializers.ones,
        promote_dtype: Callable[..., Any] = promote_dtype,
        rngs: nnx.Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ):
        if np.ndim(alpha_init):
            raise ValueError(f"alpha_init must be one number for all features, got shape {np.shape(alpha_init)}.")
        super().__init__(**handed_on(locals(), "alpha_init"))
        self.alpha = nnx.Param(jnp.asarray(alpha_init, param_dtype))

    @checked()
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Squash x; `use_running_average` and `mask` make no difference."""
        dtype, (x, scale, bias) = prepared(self, x)
        return norms.dyt(x, self.alpha[...], scale, bias, axis=self.axis).astype(dtype)

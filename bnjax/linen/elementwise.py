"""Element-wise functions that replace a normaliser, as linen modules."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.linen.shared import make_parameters, widened
from bnjax.norms.features import find_features


class DyT(nn.Module):
    """Dynamic tanh, over `norms.dyt`: no statistics, the same in training and evaluation.

    Attributes:
        axis: feature axes.
        alpha_init: initial value of the factor of all features, a parameter of shape ().
        dtype: of the result; None promotes the input's and the parameters'.
        param_dtype: of alpha, scale and bias.
        use_bias: add a learned offset.
        use_scale: multiply by a learned factor.
        bias_init: initialiser of the offset.
        scale_init: initialiser of the factor.

    Example:
        >>> from bnjax import linen, models
        >>> model = models.make_model(models.MLPConfig(hidden=(8,), norm=linen.DyT))
        >>> model.init(jax.random.key(0), jnp.ones((2, 4))).params["norm_1"]["alpha"].item()
        0.5
    """

    axis: int | tuple[int, ...] = -1
    alpha_init: float = 0.5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Callable[..., Array] = nn.initializers.zeros
    scale_init: Callable[..., Array] = nn.initializers.ones

    @checked()
    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Squash x; `use_running_average` and `mask` make no difference."""
        alpha = self.param("alpha", nn.initializers.constant(self.alpha_init), (), self.param_dtype)
        shape = find_features(x, self.axis).sizes
        y = norms.dyt(widened(x, self.dtype), alpha, *make_parameters(self, shape), axis=self.axis)
        return y if self.dtype is None else jnp.asarray(y, self.dtype)

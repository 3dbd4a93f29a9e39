"""The deep linear network of Santurkar et al. 2018, Appendix A.1: a product of square matrices."""

from dataclasses import dataclass

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shapes import DeepLinearShape
from bnjax.models.shared import Normalised, normalise
from bnjax.models.weights import make_kernel_init


@dataclass(frozen=True)
class DeepLinearConfig(Normalised, DeepLinearShape):
    """A deep linear network: its shape and its normaliser.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.DeepLinearConfig(depth=3, width=2, norm=linen.BatchNorm)
        >>> print(config.num_normalised)
        3
    """


class DeepLinear(nn.Module):
    """Matrices one after another, each followed by its normaliser; matrix number n is `dense_n`, its normaliser `norm_n`.

    NOTE: the last output is normalised too. The paper does not say so, but its losses before training are higher with batch
    norm by half an output's variance of 1 per number.

    Example:
        >>> from bnjax import models
        >>> net = models.DeepLinear(models.DeepLinearConfig(depth=3, width=2))
        >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 2)), train=False)
        >>> print(sorted(variables["params"]), net.apply(variables, jnp.zeros((1, 2)), train=False).shape)
        ['dense_1', 'dense_2', 'dense_3'] (1, 2)
    """

    config: DeepLinearConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch width"], *, train: bool) -> Float[Array, "batch width"]:
        """Compute the outputs."""
        config = self.config
        if x.shape[-1] != config.width:
            raise ValueError(f"inputs must have the width of the network, {config.width}, got {x.shape[-1]}.")
        init = make_kernel_init(config.kernel_init, config.kernel_scale)
        for layer in range(1, config.depth + 1):
            dtype = config.dtype if layer < config.depth else None
            x = nn.Dense(config.width, use_bias=False, kernel_init=init, dtype=dtype, name=f"dense_{layer}")(x)
            x = normalise(config, layer, x, train=train)
        return x

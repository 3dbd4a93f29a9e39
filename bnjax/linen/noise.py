"""Noise as a linen module, for layers that nothing normalises."""

from typing import Any

from flax import linen as nn
from jax import Array
from jaxtyping import Inexact, Shaped

from bnjax import norms
from bnjax._host.arguments import checked
from bnjax.types import Number


class Noise(nn.Module):
    """Noise where a normaliser would stand, over `norms.add_noise`: the control of `NoisyBatchNorm`, without batch norm.

    The noise follows from the key called "noise" in `rngs`; none is added while initialising.

    Attributes:
        use_running_average: add no noise; give it here or in the call, not both.
        noise: kind of noise, see `norms.add_noise`.
        strength: factor of the noise.
        relative: scale the noise with each feature's own standard deviation.
        noise_in_evaluation: add noise in evaluation too.

    Example:
        >>> from bnjax import linen
        >>> noise, x = linen.Noise(noise="stationary", use_running_average=False), jnp.zeros((1000, 1))
        >>> y = noise.apply({}, x, rngs={"noise": jax.random.key(0)})
        >>> print(abs(y.mean() - 0.15) < 0.05, abs(y.std() - 0.3) < 0.05)
        True True
    """

    use_running_average: bool | None = None
    noise: Any = "santurkar"
    strength: Number = 1.0
    relative: bool = False
    noise_in_evaluation: bool = False

    @checked()
    @nn.compact
    def __call__(
        self, x: Shaped[Array, "*shape"], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Inexact[Array, "*shape"]:
        """Disturb x; `mask` makes no difference."""
        evaluates = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        if self.is_initializing() or (evaluates and not self.noise_in_evaluation):
            return x
        return norms.add_noise(
            x, self.make_rng("noise"), noise=self.noise, strength=self.strength, relative=self.relative
        )

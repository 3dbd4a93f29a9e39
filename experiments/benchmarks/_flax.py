"""Nets as one writes them in Flax, which bnjax's are compiled beside."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bnjax import adapters, linen
from bnjax.types import Model
from experiments.benchmarks._vgg import CONVOLUTIONS, HIDDEN

MLP_HIDDEN = (256, 256)
_NORMS = {"plain Flax": nn.BatchNorm, "plain Flax, our batch norm": linen.BatchNorm}


class FlaxVGG(nn.Module):
    """VGG-A as one writes it in Flax."""

    width: float
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Compute logits."""
        for features, is_pooled in CONVOLUTIONS:
            x = nn.relu(self.norm(use_running_average=not train)(nn.Conv(int(features * self.width), (3, 3))(x)))
            x = nn.max_pool(x, (2, 2), (2, 2)) if is_pooled else x
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            x = nn.relu(self.norm(use_running_average=not train)(nn.Dense(int(HIDDEN * self.width))(x)))
        return nn.Dense(10)(x)


class FlaxResNet(nn.Module):
    """A pre-activation residual network as one writes it in Flax, with strided convolutions at the start of a stage."""

    num_blocks: int
    width: int
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Compute logits."""

        def activate(x: jax.Array) -> jax.Array:
            return nn.relu(self.norm(use_running_average=not train)(x))

        x = nn.Conv(self.width, (3, 3), use_bias=False)(x)
        for stage, features in enumerate((self.width, 2 * self.width, 4 * self.width)):
            for block in range(self.num_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                branch = nn.Conv(features, (3, 3), (stride, stride), use_bias=False)(activate(x))
                branch = nn.Conv(features, (3, 3), use_bias=False)(activate(branch))
                added = ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1]))
                x = jnp.pad(x[:, ::stride, ::stride], added) + branch
        return nn.Dense(10)(activate(x).mean((1, 2)))


class FlaxMLP(nn.Module):
    """A perceptron as one writes it in Flax, with sigmoids as the library's has by default."""

    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Compute logits."""
        x = x.reshape(x.shape[0], -1)
        for features in MLP_HIDDEN:
            x = nn.sigmoid(self.norm(use_running_average=not train)(nn.Dense(features)(x)))
        return nn.Dense(10)(x)


def in_flax(make: Callable[[Callable[..., nn.Module]], nn.Module]) -> dict[str, Model]:
    """Make a net with Flax's batch norm and with bnjax's, by the names of its rows."""
    return {name: adapters.from_linen(make(norm)) for name, norm in _NORMS.items()}

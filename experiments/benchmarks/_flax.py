"""Nets as one writes them in Flax, which bnjax's are compiled beside."""

from collections.abc import Callable

import jax
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

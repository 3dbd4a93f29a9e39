"""VGG networks (Simonyan & Zisserman 2015) in the forms in which the batch-norm papers and their replications train them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shared import NormLayers, check_choice, check_norm_layers, make_kernel_init, normalise
from bnjax.ops import conv_general_dilated, max_pool_2x2

Depth = Literal["A", "13", "16"]
Head = Literal["512", "4096", "mameli"]
KernelInit = Literal["xavier_uniform", "xavier_normal"]

# Convolutions per stage; a stage ends with 2x2 max-pooling.
_STAGES: dict[Depth, tuple[int, ...]] = {"A": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3)}
_STAGE_FEATURES = (64, 128, 256, 512, 512)
_HIDDEN_FEATURES: dict[Head, int] = {"512": 512, "4096": 4096, "mameli": 4096}


@dataclass(frozen=True)
class VGGConfig:
    """What a VGG is made of.

    Attributes:
        depth: "A" has 8 convolutions, "13" has 10 and "16" has 13; three dense layers follow.
        head: hidden width of the dense layers, 512 or 4096, on the flattened map; "mameli" is 4096 on a map averaged or
            copied to 7x7, with dropout 0.5 after both hidden layers.
        width: multiplies every number of features but the classes.
        num_classes: length of the logits.
        norm: makes the normaliser, called as `norm(name=...)(x, use_running_average=...)`; None leaves it out.
        norm_layers: which weight layers it follows, before the ReLU: "all" but the last, or their numbers, from 1 at the input.
        kernel_init: of convolutions and dense layers; biases start at 0.
        dtype: in which all but statistics and the last layer are computed, as in Flax; None is that of inputs and parameters.
    """

    depth: Depth = "A"
    head: Head = "512"
    width: float = 1.0
    num_classes: int = 10
    norm: Callable[..., nn.Module] | None = None
    norm_layers: NormLayers = "all"
    kernel_init: KernelInit = "xavier_uniform"
    dtype: Any = None

    def __post_init__(self):
        for name, choices in (("depth", Depth), ("head", Head), ("kernel_init", KernelInit)):
            check_choice(self, name, choices)
        if not 64 * self.width >= 1:
            raise ValueError(
                f"width must be at least 1/64, which leaves one feature in the first layer, got {self.width}."
            )
        if self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {self.num_classes}.")
        check_norm_layers(self.norm_layers, self.num_layers - 1, of=f" for depth {self.depth}")

    @property
    def num_convolutions(self) -> int:
        """Convolutions, which come first."""
        return sum(_STAGES[self.depth])

    @property
    def num_layers(self) -> int:
        """Weight layers: convolutions and dense layers."""
        return self.num_convolutions + 3


class VGG(nn.Module):
    """3x3 convolutions in five stages, then two hidden dense layers; each is weights, normaliser, ReLU.

    Weight layer number n is called `conv_n` or `dense_n`, its normaliser `norm_n`.
    Deviation: a map of one pixel is not pooled further, so that images smaller than 32x32 pass.
    """

    config: VGGConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        config, layer = self.config, 0
        init = make_kernel_init(config.kernel_init)
        for num_convs, features in zip(_STAGES[config.depth], _STAGE_FEATURES, strict=True):
            for number in range(num_convs):
                layer += 1
                x = nn.Conv(
                    int(features * config.width),
                    (3, 3),
                    kernel_init=init,
                    dtype=config.dtype,
                    conv_general_dilated=conv_general_dilated,
                    name=f"conv_{layer}",
                )(x)
                x = normalise(config, layer, x, train=train)
                # NOTE: the maximum of ReLUs is the ReLU of the maximum, of a quarter of the numbers.
                if number == num_convs - 1 and min(x.shape[1:3]) > 1:
                    x = max_pool_2x2(x)
                x = nn.relu(x)

        if config.head == "mameli":
            x = _adaptive_average_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            layer += 1
            features = int(_HIDDEN_FEATURES[config.head] * config.width)
            x = nn.Dense(features, kernel_init=init, dtype=config.dtype, name=f"dense_{layer}")(x)
            x = nn.relu(normalise(config, layer, x, train=train))
            if config.head == "mameli":
                x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{layer + 1}")(x)


def _adaptive_average_pool(x: Array, size: int) -> Array:
    """Average (or, from a smaller map, copy) to size x size: cell i covers rows floor(i n / size) to ceil((i+1) n / size)."""

    def weights(n: int) -> np.ndarray:
        cell, pixel = np.arange(size)[:, None], np.arange(n)[None, :]
        covered = (pixel >= cell * n // size) & (pixel < -(-(cell + 1) * n // size))
        return (covered / covered.sum(axis=1, keepdims=True)).astype(np.float32)

    return jnp.einsum("ih,nhwc,jw->nijc", weights(x.shape[1]), x, weights(x.shape[2]))

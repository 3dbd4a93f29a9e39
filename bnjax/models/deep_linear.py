"""The deep linear network of Santurkar et al. 2018, Appendix A.1: a product of square matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shared import NormLayers, check_choice, check_norm_layers, make_kernel_init, normalise

KernelInit = Literal["xavier_uniform", "xavier_normal"]


@dataclass(frozen=True)
class DeepLinearConfig:
    """What a deep linear network is made of.

    Attributes:
        depth: how many matrices.
        width: numbers of an input, of an output and of everything between.
        norm: makes the normaliser, called as `norm(name=...)(x, use_running_average=...)`; None leaves it out.
        norm_layers: which matrices it follows: "all", the last among them, or their numbers, from 1 at the input.
        kernel_init: of the matrices; there are no biases but the normaliser's.
        dtype: in which all but statistics and the last layer are computed, as in Flax; None is that of inputs and parameters.
    """

    depth: int = 25
    width: int = 10
    norm: Callable[..., nn.Module] | None = None
    norm_layers: NormLayers = "all"
    kernel_init: KernelInit = "xavier_uniform"
    dtype: Any = None

    def __post_init__(self):
        for name in ("depth", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_choice(self, "kernel_init", KernelInit)
        check_norm_layers(self.norm_layers, self.depth)

    @property
    def num_layers(self) -> int:
        """Weight layers: the matrices."""
        return self.depth


class DeepLinear(nn.Module):
    """Matrices one after another, each followed by its normaliser; matrix number n is `dense_n`, its normaliser `norm_n`.

    NOTE: the last output is normalised too, which the paper does not say: its losses before training are higher with batch norm
    by half an output's variance of 1 per number.
    """

    config: DeepLinearConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch width"], *, train: bool) -> Float[Array, "batch width"]:
        """Compute the outputs."""
        config = self.config
        if x.shape[-1] != config.width:
            raise ValueError(f"inputs must have the width of the network, {config.width}, got {x.shape[-1]}.")
        init = make_kernel_init(config.kernel_init)
        for layer in range(1, config.depth + 1):
            dtype = config.dtype if layer < config.depth else None
            x = nn.Dense(config.width, use_bias=False, kernel_init=init, dtype=dtype, name=f"dense_{layer}")(x)
            x = normalise(config, layer, x, train=train)
        return x

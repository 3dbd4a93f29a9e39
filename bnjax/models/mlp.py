"""Multilayer perceptrons: the MNIST network of Ioffe & Szegedy 2015, Sec. 4.1, and its relatives of other widths and depths."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shared import KernelInit, NormLayers, check_choice, check_norm_layers, make_kernel_init, normalise

Activation = Literal["sigmoid", "relu", "tanh", "elu"]
NormPosition = Literal["before", "after"]

_ACTIVATIONS = {"sigmoid": nn.sigmoid, "relu": nn.relu, "tanh": nn.tanh, "elu": nn.elu}


@dataclass(frozen=True)
class MLPConfig:
    """What a multilayer perceptron is made of.

    The paper draws its weights from a small Gaussian: `kernel_init="normal"`, with a `kernel_scale` that it does not state
    (from 0.03 to 0.05 its slow start comes out). Huber's replication (2020) takes 1, and its batch norm is `HuberBatchNorm`.

    Attributes:
        hidden: features of each hidden layer, from the input on.
        num_classes: length of the logits.
        activation: of the hidden layers.
        norm: makes the normaliser, called as `norm(name=...)(x, use_running_average=...)`; None leaves it out.
        norm_layers: which hidden layers have it: "all", or their numbers, from 1 at the input.
        norm_position: "before" or "after" the activation.
        kernel_init: of all dense layers: "xavier_uniform", "xavier_normal", "he_normal", "normal" with standard deviation 1,
            or "orthogonal".
        kernel_scale: multiplies the initial weights.
        use_bias: give the hidden layers biases, from 0, which batch norm before the activation makes redundant; the last
            layer always has them.
        dtype: in which all but statistics and the last layer are computed, as in Flax; None is that of inputs and parameters.
    """

    hidden: tuple[int, ...] = (100, 100, 100)
    num_classes: int = 10
    activation: Activation = "sigmoid"
    norm: Callable[..., nn.Module] | None = None
    norm_layers: NormLayers = "all"
    norm_position: NormPosition = "before"
    kernel_init: KernelInit = "xavier_uniform"
    kernel_scale: float = 1.0
    use_bias: bool = True
    dtype: Any = None

    def __post_init__(self):
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must hold one number of at least 1 per hidden layer, got {self.hidden}.")
        if self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got {self.num_classes}.")
        for name, choices in (("activation", Activation), ("norm_position", NormPosition), ("kernel_init", KernelInit)):
            check_choice(self, name, choices)
        if not 0 < self.kernel_scale < math.inf:
            raise ValueError(f"kernel_scale must be > 0 and finite, got {self.kernel_scale}.")
        check_norm_layers(self.norm_layers, len(self.hidden))

    @property
    def num_layers(self) -> int:
        """Weight layers: the hidden ones and the last."""
        return len(self.hidden) + 1


class MLP(nn.Module):
    """Dense layers on the flattened input; a hidden one is weights, normaliser, activation, or normaliser last.

    Weight layer number n is called `dense_n`, its normaliser `norm_n`.
    """

    config: MLPConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch *features"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        config = self.config
        init, activation = make_kernel_init(config.kernel_init, config.kernel_scale), _ACTIVATIONS[config.activation]
        x = x.reshape(x.shape[0], -1)
        for layer, features in enumerate(config.hidden, start=1):
            options = {"use_bias": config.use_bias, "kernel_init": init, "dtype": config.dtype}
            x = nn.Dense(features, **options, name=f"dense_{layer}")(x)
            if config.norm_position == "after":
                x = normalise(config, layer, activation(x), train=train)
            else:
                x = activation(normalise(config, layer, x, train=train))
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{len(config.hidden) + 1}")(x)

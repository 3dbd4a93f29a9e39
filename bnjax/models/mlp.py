"""Multilayer perceptrons: the MNIST network of Ioffe & Szegedy 2015, Sec. 4.1, and its relatives of other widths and depths."""

from dataclasses import dataclass

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shapes import MLPShape
from bnjax.models.shared import Normalised, activate, check_classes
from bnjax.models.weights import make_kernel_init


@dataclass(frozen=True)
class MLPConfig(Normalised, MLPShape):
    """A multilayer perceptron: its shape, its classes and its normaliser; Huber's batch norm is `HuberBatchNorm`.

    Attributes:
        num_classes: length of the logits.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.MLPConfig(hidden=(8, 4), norm=linen.BatchNorm, num_classes=3)
        >>> print(config.num_layers, config.num_normalised)
        3 2
    """

    num_classes: int = 10

    def __post_init__(self):
        super().__post_init__()
        check_classes(self.num_classes)


class MLP(nn.Module):
    """Dense layers on the flattened input; a hidden one is weights, normaliser, activation, or normaliser last.

    Weight layer number n is called `dense_n`, its normaliser `norm_n`.

    Example:
        >>> from bnjax import linen, models
        >>> net = models.MLP(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm, num_classes=3))
        >>> variables = net.init(jax.random.key(0), jnp.ones((2, 4)), train=False)
        >>> print(sorted(variables["params"]), net.apply(variables, jnp.ones((2, 4)), train=False).shape)
        ['dense_1', 'dense_2', 'norm_1'] (2, 3)
    """

    config: MLPConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch *features"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        config = self.config
        init = make_kernel_init(config.kernel_init, config.kernel_scale)
        x = x.reshape(x.shape[0], -1)
        for layer, features in enumerate(config.hidden, start=1):
            options = {"use_bias": config.use_bias, "kernel_init": init, "dtype": config.dtype}
            x = nn.Dense(features, **options, name=f"dense_{layer}")(x)
            x = activate(config, layer, x, train=train)
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{len(config.hidden) + 1}")(x)

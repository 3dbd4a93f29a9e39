"""Code shared by the models: activations, and the placement of normalisers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flax import linen as nn
from jax import Array

from bnjax._host.kinds import described
from bnjax._host.numbers import as_wholes
from bnjax.models.shapes import Activation

NormLayers = Literal["all"] | tuple[int, ...]
_ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "sigmoid": nn.sigmoid,
    "relu": nn.relu,
    "tanh": nn.tanh,
    "elu": nn.elu,
}


@dataclass(frozen=True)
class Normalised:
    """The normaliser of a model, which is added to its shape.

    Attributes:
        norm: makes the normaliser, called as `norm(name=...)(x, use_running_average=...)`; None leaves it out.
        norm_layers: weight layers that it follows: "all" that can have one, or their numbers, from 1 at the input.
        dtype: in which everything except statistics and the last layer is computed, as in Flax; None is the type of inputs
            and parameters.
    """

    norm: Callable[..., nn.Module] | None = None
    norm_layers: NormLayers = "all"
    dtype: Any = None

    def __post_init__(self):
        shape: Any = super()
        shape.__post_init__()
        last = getattr(self, "num_normalised")  # noqa: B009  # of the shape
        if self.norm is not None and (not callable(self.norm) or isinstance(self.norm, nn.Module)):
            rule = "norm must make a normaliser, such as linen.BatchNorm or partial(linen.BatchNorm, epsilon=1e-3)"
            raise ValueError(f"{rule}, got {described(self.norm)}.")
        if isinstance(self.norm_layers, str) and self.norm_layers == "all":
            return
        layers = as_wholes(self.norm_layers)
        if layers is None or not all(1 <= layer <= last for layer in layers):
            raise ValueError(f"norm_layers must be 'all' or numbers from 1 to {last}, got {self.norm_layers!r}.")
        object.__setattr__(self, "norm_layers", layers)


def check_classes(num_classes: int) -> None:
    """Raise a ValueError if there is nothing to classify."""
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}.")


def check_images(x: Array) -> None:
    """Raise a ValueError unless inputs are images."""
    if x.ndim != 4:
        raise ValueError(f"x must have shape (batch, height, width, channels), got {x.shape}.")


def normalise(config: Any, layer: int, x: Array, *, train: bool) -> Array:
    """Apply the normaliser of a weight layer, `norm_n`, if it has one, in the type of x; for use inside a compact call."""
    if config.norm is None or (config.norm_layers != "all" and layer not in config.norm_layers):
        return x
    return config.norm(name=f"norm_{layer}")(x, use_running_average=not train).astype(x.dtype)


def activate(config: Any, layer: int, x: Array, *, train: bool, pool: Callable[[Array], Array] = lambda x: x) -> Array:
    """Apply the normaliser and the activation of a layer, in the configuration's order, and pool the result."""
    activation = _ACTIVATIONS[config.activation]
    if config.norm_position == "after":
        return pool(normalise(config, layer, activation(x), train=train))
    # NOTE: activations are monotonic, so pooling first gives the same result, from a quarter of the numbers.
    return activation(pool(normalise(config, layer, x, train=train)))

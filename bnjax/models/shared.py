"""What the models have in common: initialisers, and where normalisers stand."""

from typing import Any, Literal, get_args

from flax import linen as nn
from jax import Array

KernelInit = Literal["xavier_uniform", "xavier_normal", "he_normal", "normal", "orthogonal"]
NormLayers = Literal["all"] | tuple[int, ...]

_KERNEL_INITS = {
    "xavier_uniform": nn.initializers.xavier_uniform(),
    "xavier_normal": nn.initializers.xavier_normal(),
    "he_normal": nn.initializers.he_normal(),
    "normal": nn.initializers.normal(1.0),
    "orthogonal": nn.initializers.orthogonal(),
}


def make_kernel_init(name: str, scale: float = 1.0) -> Any:
    """Make the initialiser of that name, its numbers multiplied by `scale`.

    Kernels have variance 2 / (fan_in + fan_out) with "xavier_uniform" and "xavier_normal", 2 / fan_in with "he_normal", 1 with
    "normal"; "orthogonal" has orthonormal rows or columns. Flax cuts the Xavier and He normals off at two standard deviations.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        return scale * _KERNEL_INITS[name](key, shape, dtype)

    return _KERNEL_INITS[name] if scale == 1 else init


def check_choice(config: Any, name: str, choices: Any) -> None:
    """Raise a ValueError if a field is none of the choices of a Literal."""
    if getattr(config, name) not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {getattr(config, name)!r}.")


def check_norm_layers(norm_layers: NormLayers, last: int, of: str = "") -> None:
    """Raise a ValueError if a layer that cannot be normalised is named."""
    if norm_layers != "all" and not all(1 <= layer <= last for layer in norm_layers):
        raise ValueError(f"norm_layers must be 'all' or numbers from 1 to {last}{of}, got {norm_layers}.")


def normalise(config: Any, layer: int, x: Array, *, train: bool) -> Array:
    """Apply the normaliser of a weight layer, `norm_n`, if it has one, in the type of x; for use inside a compact call."""
    if config.norm is None or (config.norm_layers != "all" and layer not in config.norm_layers):
        return x
    return config.norm(name=f"norm_{layer}")(x, use_running_average=not train).astype(x.dtype)

"""Haiku's parameters and state."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax._host.arguments import checked
from bnjax.convert.layers import (
    SETTLED,
    Layer,
    check_bias,
    check_leaf,
    check_like,
    check_whole,
    collect,
    match,
    nest,
    read,
)
from bnjax.types import Variables

_PARAMS = {"w": "kernel", "b": "bias", "scale": "scale", "offset": "bias", "embeddings": "embedding"}
_STATS = {"mean_ema": "mean", "var_ema": "var"}

HaikuTree = Mapping[str, Mapping[str, Any]]


@checked()
def from_haiku(params: HaikuTree, state: HaikuTree, *, names: Mapping[str, str] | None = None) -> Variables:
    """Convert parameters and state of a Haiku network with channels last, whose kernels have Flax's layout.

    Statistics are the `average` of the batch norms' moving averages, which evaluation uses. A transposed convolution
    cannot be distinguished from a convolution, and its kernel is not in Flax's layout: the last two axes are exchanged.

    Args:
        params: arrays by module and name.
        state: arrays by module and name, of batch norms only.
        names: module name to path of the Flax layer; by default "net/~/conv" becomes "net/conv". The module of a batch
            norm is the one that holds its scale, not its moving averages.

    Returns:
        Variables with copies of the arrays, in their types; scale, bias, mean and var have shape (features,).

    Raises:
        ValueError: if an array is of an unknown kind or cannot be read, a batch norm lacks its mean or variance, or a name does
            not fit; it names the array or module.

    Example:
        >>> from bnjax import convert
        >>> variables = convert.from_haiku({"net/~/head": {"w": jnp.ones((3, 4)), "b": jnp.zeros(4)}}, {})
        >>> print(variables.params["net"]["head"]["kernel"].shape)
        (3, 4)
    """
    layers = {module: Layer(_read_params(module, arrays), {}) for module, arrays in params.items()}
    for ema, arrays in state.items():
        module, leaf = _owner(ema)
        layers.setdefault(module, Layer({}, {})).stats[leaf] = _read_average(ema, leaf, arrays)
    for module, layer in layers.items():
        check_whole(module, layer)
        check_bias(module, layer)
    paths = match(names, layers, _default_path)
    return nest({paths[module]: layer for module, layer in layers.items()})


@checked()
def to_haiku(
    variables: Variables, like_params: HaikuTree, like_state: HaikuTree, *, names: Mapping[str, str] | None = None
) -> tuple[dict[str, dict[str, Array]], dict[str, dict[str, Array]]]:
    """Convert to Haiku's parameters and state, the inverse of `from_haiku`.

    Haiku divides its moving averages by 1 - decay**counter. The counter is set so high that this is 1: training then
    continues from the averages with Flax's update, regardless of the template's counter.

    Args:
        variables: of a Flax model.
        like_params: parameters of the Haiku network, for their names and shapes.
        like_state: its state, likewise.
        names: module name to path of the Flax layer, the same as for `from_haiku`.

    Returns:
        (params, state).

    Raises:
        ValueError: if variables and template differ in layers, shapes or types, or a name does not fit.

    Example:
        >>> from bnjax import convert
        >>> template = {"head": {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)}}
        >>> params, state = convert.to_haiku(convert.from_haiku(template, {}), template, {})
        >>> print(params["head"]["w"].shape, state)
        (3, 4) {}
    """
    check_like(variables, from_haiku(like_params, like_state, names=names))
    layers = collect(variables)
    paths = match(names, dict.fromkeys([*like_params, *(_owner(ema)[0] for ema in like_state)]), _default_path)
    params = {
        module: {name: _reshaped(layers[paths[module]].params[_PARAMS[name]], like) for name, like in arrays.items()}
        for module, arrays in like_params.items()
    }
    state = {}
    for ema, like in like_state.items():
        module, leaf = _owner(ema)
        average = _reshaped(layers[paths[module]].stats[leaf], like["average"])
        state[ema] = {"average": average, "hidden": average, "counter": jnp.full_like(like["counter"], SETTLED)}
    return params, state


def _default_path(module: str) -> str:
    """Drop the markers of modules that were made in a constructor."""
    return "/".join(part for part in module.split("/") if part != "~")


def _owner(ema: str) -> tuple[str, str]:
    """Split the name of a moving average into its batch norm and the averaged statistic."""
    module, _, name = ema.rpartition("/")
    check_leaf(ema, name, _STATS)
    return module.removesuffix("/~"), _STATS[name]


def _read_params(module: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Rename and reshape the parameters of a module as in Flax."""
    params = {}
    for name, value in arrays.items():
        check_leaf(f"{module}/{name}", name, _PARAMS)
        array = read(f"{module}/{name}", value)
        params[_PARAMS[name]] = array if name in ("w", "embeddings") else _vector(f"{module}/{name}", array)
    return params


def _read_average(ema: str, leaf: str, arrays: Mapping[str, Any]) -> np.ndarray:
    """Read a statistic, which is Flax's initial one before the first batch."""
    if not {"average", "counter"} <= {*arrays}:
        raise ValueError(f"{ema} must have average and counter, got {', '.join(arrays) or 'none'}.")
    average = _vector(ema, read(ema, arrays["average"]))
    has_seen_a_batch = read(ema, arrays["counter"]) > 0
    return average if has_seen_a_batch else np.full_like(average, leaf == "var")


def _vector(name: str, array: np.ndarray) -> np.ndarray:
    """Drop the axes of length 1."""
    if array.size != max(array.shape, default=1):
        raise ValueError(f"{name} must vary along the channels only, got shape {array.shape}.")
    return array.reshape(-1)


def _reshaped(array: np.ndarray, like: Any) -> Array:
    """Reshape an array to the template's shape."""
    return jnp.array(array.reshape(like.shape))

"""Keras 3's weights by path."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnjax._host.arguments import checked
from bnjax.convert.layers import Layer, check_bias, check_exist, check_whole, collect, group, invert, join, match, nest
from bnjax.types import Variables

_PARAMS = {"kernel": "kernel", "gamma": "scale", "beta": "bias", "bias": "bias", "embeddings": "embedding"}
_STATS = {"moving_mean": "mean", "moving_variance": "var"}


@checked()
def from_keras(
    weights: Mapping[str, Any], *, names: Mapping[str, str] | None = None, depthwise: Mapping[str, int] | None = None
) -> Variables:
    """Convert the weights of a Keras 3 model with channels last, whose kernels have Flax's layout.

    A transposed convolution's kernel is as Flax's ConvTranspose takes it with `transpose_kernel=True`.

    Args:
        weights: arrays by path, `{w.path: w.numpy() for w in model.weights}`.
        names: layer name, the path without its last part, to path of the Flax layer; by default they are the same.
        depthwise: layer name to `depth_multiplier` of the depthwise convolutions. They look like convolutions, but their
            kernels have shape (*spatial, in, multiplier), where a Flax Conv with `feature_group_count=in` has
            (*spatial, 1, in * multiplier).

    Returns:
        Variables with copies of the arrays, in their types.

    Raises:
        ValueError: if an array is of an unknown kind or cannot be read, a layer lacks its kernel, mean or variance, or a name
            does not fit; it names the array or layer.

    Example:
        >>> from bnjax import convert
        >>> variables = convert.from_keras({"norm/gamma": jnp.ones(2), "norm/beta": jnp.zeros(2)})
        >>> print(variables.params)
        {'norm': {'scale': Array([1., 1.], dtype=float32), 'bias': Array([0., 0.], dtype=float32)}}
    """
    modules = group(weights, "/", (*_PARAMS, *_STATS))
    depthwise = depthwise or {}
    check_exist("depthwise", depthwise, modules)
    paths = match(names, modules, lambda module: module)
    layers = {}
    for module, arrays in modules.items():
        params = {_PARAMS[leaf]: array for leaf, array in arrays.items() if leaf in _PARAMS}
        if module in depthwise:
            params["kernel"] = _read_depthwise(module, _kernel(module, params), depthwise[module])
        stats = {_STATS[leaf]: array for leaf, array in arrays.items() if leaf in _STATS}
        layers[paths[module]] = Layer(params, stats)
        check_whole(module, Layer(params, stats), bias_alone="bias" not in arrays)
        way_out = ": name depthwise convolutions in depthwise"
        check_bias(module, Layer(params, stats), several_axes=True, way_out=way_out)
    return nest(layers)


@checked()
def to_keras(
    variables: Variables, *, names: Mapping[str, str] | None = None, depthwise: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Convert to Keras weights by path, the inverse of `from_keras`.

    Load them with `for w in model.weights: w.assign(result[w.path])`.

    Args:
        variables: of a Flax model.
        names: layer name to path of the Flax layer, the same as for `from_keras`.
        depthwise: the same as for `from_keras`.

    Returns:
        Arrays by path, in the types of `variables`.

    Raises:
        ValueError: if a layer has no counterpart, or a name does not fit.

    Example:
        >>> from bnjax import Variables, convert
        >>> params = {"head": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}}
        >>> print(sorted(convert.to_keras(Variables(params, {}))))
        ['head/bias', 'head/kernel']
    """
    layers, depthwise = collect(variables), depthwise or {}
    modules = match(invert(names), layers, lambda path: path)
    check_exist("depthwise", depthwise, modules.values())
    weights = {}
    for path, module in modules.items():
        params, stats = layers[path]
        bias = "bias" if "kernel" in params else "beta"
        if module in depthwise:
            params["kernel"] = _write_depthwise(module, _kernel(module, params), depthwise[module])
        named = {"kernel": "kernel", "scale": "gamma", "bias": bias, "embedding": "embeddings"}
        named |= {value: key for key, value in _STATS.items()}
        weights |= {join(module, "/", named[key]): np.array(array) for key, array in (params | stats).items()}
    return weights


def _kernel(name: str, params: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the kernel of a depthwise convolution."""
    if "kernel" not in params:
        raise ValueError(f"depthwise must be of layers with a kernel, got {name!r} with {', '.join(params) or 'none'}.")
    return params["kernel"]


def _read_depthwise(name: str, kernel: np.ndarray, multiplier: int) -> np.ndarray:
    """Reshape (*spatial, in, multiplier) to (*spatial, 1, in * multiplier)."""
    if kernel.shape[-1] != multiplier:
        raise ValueError(f"depthwise must give the multiplier of {name!r}, {kernel.shape[-1]}, got {multiplier}.")
    return kernel.reshape(*kernel.shape[:-2], 1, -1)


def _write_depthwise(name: str, kernel: np.ndarray, multiplier: int) -> np.ndarray:
    """Undo `_read_depthwise`."""
    if kernel.shape[-2] != 1 or multiplier < 1 or kernel.shape[-1] % multiplier:
        raise ValueError(f"depthwise must give a multiplier of {name!r}, shape {kernel.shape}, got {multiplier}.")
    return kernel.reshape(*kernel.shape[:-2], -1, multiplier)

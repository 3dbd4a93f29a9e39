"""The layout of PyTorch and Equinox: output features before input features, and channels before the spatial axes."""

import math

import numpy as np

from bnjax._host.numbers import as_wholes
from bnjax.convert.layers import WEIGHTS, Layer, check_bias, check_whole

_GROUPS = " (a transposed convolution with groups is not converted)"


def read_layer(name: str, weight_name: str, arrays: dict[str, np.ndarray], flat: tuple[int, ...] | None) -> Layer:
    """Make a Layer from one module's weight, bias, mean and var.

    Args:
        name: of the module, for errors.
        weight_name: what Flax calls its weight, one of `WEIGHTS`.
        arrays: any of weight, bias, mean and var.
        flat: (channels, *spatial) before the flatten that precedes the module, if one does.

    Returns:
        Layer with kernels of shape (*spatial, in, out).
    """
    params = {"bias": _vector(arrays["bias"])} if "bias" in arrays else {}
    if "weight" in arrays:
        params[weight_name] = arrays["weight"]
    if weight_name == "kernel":
        params["kernel"] = params["kernel"].transpose(*range(2, params["kernel"].ndim), 1, 0)
    layer = Layer(params, {key: arrays[key] for key in ("mean", "var") if key in arrays})
    check_whole(name, layer)
    check_bias(name, layer, way_out=_GROUPS)
    return layer if flat is None else _reorder(name, layer, flat, to_last=True)


def _vector(bias: np.ndarray) -> np.ndarray:
    """Drop the axes of length 1 that Equinox's convolutions give their biases."""
    return bias.reshape(-1) if bias.size == max(bias.shape, default=1) else bias


def write_layer(name: str, layer: Layer, flat: tuple[int, ...] | None) -> dict[str, np.ndarray]:
    """Undo `read_layer`, except for the shape of the bias."""
    check_bias(name, layer)
    params, stats = layer if flat is None else _reorder(name, layer, flat, to_last=False)
    arrays = {"weight" if key in WEIGHTS else key: array for key, array in (params | stats).items()}
    if "kernel" in params:
        arrays["weight"] = params["kernel"].transpose(-1, -2, *range(params["kernel"].ndim - 2))
    return {key: np.array(array, order="C") for key, array in arrays.items()}


def _reorder(name: str, layer: Layer, flat: tuple[int, ...], *, to_last: bool) -> Layer:
    """Reorder flattened features: in the kernel of a dense layer, in all arrays of a normaliser."""
    if "kernel" in layer.params:
        kernel = _move_channels(name, layer.params["kernel"], flat, to_last=to_last)
        return Layer(layer.params | {"kernel": kernel}, layer.stats)
    params, stats = (
        {key: _move_channels(name, array, flat, to_last=to_last) for key, array in arrays.items()} for arrays in layer
    )
    return Layer(params, stats)


def _move_channels(name: str, array: np.ndarray, flat: tuple[int, ...], *, to_last: bool) -> np.ndarray:
    """Move channels after the spatial axes, or back, in a first axis that flattens them all."""
    sizes = as_wholes(flat)
    if not sizes or min(sizes) < 1:
        raise ValueError(f"flattened must give (channels, *spatial), whole numbers >= 1, for {name!r}, got {flat!r}.")
    flat = sizes
    if array.ndim > 2 or array.shape[0] != math.prod(flat):
        raise ValueError(f"flattened must give sizes whose product is the features of {name!r}, got {flat}.")
    sizes = flat if to_last else (*flat[1:], flat[0])
    ends = (0, len(flat) - 1) if to_last else (len(flat) - 1, 0)
    return np.moveaxis(array.reshape(*sizes, *array.shape[1:]), *ends).reshape(array.shape)

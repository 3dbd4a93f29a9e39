"""PyTorch's state_dict."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bnjax._host.arguments import checked
from bnjax.convert.channels_first import read_layer, write_layer
from bnjax.convert.layers import check_exist, collect, group, invert, join, match, nest
from bnjax.types import Variables

_STATS = {"running_mean": "mean", "running_var": "var"}
_LEAVES = {"weight": "weight", "bias": "bias", **_STATS}
_COUNT = "num_batches_tracked"


@checked()
def from_torch(
    state_dict: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
    embeddings: Collection[str] = (),
) -> Variables:
    """Convert a state_dict.

    A module with running statistics is a batch norm, and one whose weight has a single axis another normaliser. A weight
    of two axes belongs to a dense layer, one of three to five to a convolution. From arrays alone a transposed convolution
    cannot be distinguished from a convolution; its kernel comes out as Flax's ConvTranspose takes it with
    `transpose_kernel=True` (without groups). Nor can a PReLU from a normaliser. A LayerNorm over several axes, which Flax
    does not have, is refused where it has a bias.

    Running statistics are carried over as they are: PyTorch's variance has the estimator 1/(m-1). `num_batches_tracked` is
    dropped; it means something only with PyTorch's `momentum=None`, here `bnjax.norms.cumulative_momentum`.

    Args:
        state_dict: arrays by name, in anything NumPy reads; tensors on the CPU are.
        names: module name to path of the Flax layer; by default "features.0" becomes "features/0".
        flattened: module name to (channels, *spatial) of the feature maps that are flattened before it. PyTorch flattens
            channels first and Flax last: its features are reordered. It may be a dense layer or a normaliser.
        embeddings: names of modules whose weight is an embedding, which looks like a dense layer's.

    Returns:
        Variables with copies of the arrays, in their types.

    Raises:
        ValueError: if an array is of an unknown kind or cannot be read, a module lacks its weight, mean or variance, or a name
            does not fit; it names the array or module.

    Example:
        >>> from bnjax import convert
        >>> state_dict = {"head.weight": jnp.ones((4, 3)), "head.bias": jnp.zeros(4)}
        >>> variables = convert.from_torch(state_dict, names={"head": "dense_1"})
        >>> print(variables.params["dense_1"]["kernel"].shape)
        (3, 4)
    """
    modules = group(state_dict, ".", (*_LEAVES, _COUNT))
    flattened = flattened or {}
    check_exist("flattened", flattened, modules)
    check_exist("embeddings", embeddings, modules)
    paths = match(names, modules, lambda module: module.replace(".", "/"))
    layers = {}
    for module, leaves in modules.items():
        arrays = {_LEAVES[leaf]: array for leaf, array in leaves.items() if leaf != _COUNT}
        for leaf, needed in (("bias", "weight"), (_COUNT, "running_mean"), (_COUNT, "running_var")):
            if leaf in leaves and needed not in leaves:
                raise ValueError(f"{module!r} must have a {needed} beside its {leaf}, got {', '.join(leaves)}.")
        weight_name = "embedding" if module in embeddings else _weight_name(arrays)
        layers[paths[module]] = read_layer(module, weight_name, arrays, flattened.get(module))
    return nest(layers)


@checked()
def to_torch(
    variables: Variables,
    *,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
    num_batches_tracked: int = 0,
) -> dict[str, np.ndarray]:
    """Convert to a state_dict of NumPy arrays, the inverse of `from_torch`.

    Kernels of several feature axes, as of Flax's attention, have no counterpart. They are refused where their bias has several
    axes too; without one they look like a convolution's.

    Load it with `model.load_state_dict({name: torch.from_numpy(array) for name, array in result.items()})`.

    Args:
        variables: of a Flax model.
        names: module name to path of the Flax layer, the same as for `from_torch`.
        flattened: the same as for `from_torch`.
        num_batches_tracked: number of batches that batch norms have seen, used only with PyTorch's `momentum=None`.

    Returns:
        Arrays by name, in the types of `variables`.

    Raises:
        ValueError: if a layer has no counterpart, or a name does not fit.

    Example:
        >>> from bnjax import Variables, convert
        >>> params = {"head": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}}
        >>> print({name: array.shape for name, array in convert.to_torch(Variables(params, {})).items()})
        {'head.weight': (4, 3), 'head.bias': (4,)}
    """
    layers, flattened = collect(variables), flattened or {}
    modules = match(invert(names), layers, lambda path: path.replace("/", "."))
    check_exist("flattened", flattened, modules.values())
    state_dict = {}
    for path, module in modules.items():
        arrays = write_layer(module, layers[path], flattened.get(module))
        state_dict |= {join(module, ".", leaf): arrays[key] for leaf, key in _LEAVES.items() if key in arrays}
        if "mean" in arrays:
            state_dict[join(module, ".", _COUNT)] = np.array(num_batches_tracked, np.int64)
    return state_dict


def _weight_name(arrays: dict[str, np.ndarray]) -> str:
    """Return Flax's name for a module's weight, inferred from its arrays."""
    return "kernel" if "weight" in arrays and arrays["weight"].ndim > 1 else "scale"

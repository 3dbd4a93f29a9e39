"""Equinox's models and their state."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax.convert.channels_first import read_layer, write_layer
from bnjax.convert.layers import SETTLED, check_exist, check_like, collect, join, match, nest, read
from bnjax.types import Variables

_EMA, _BATCH = "ema_state_index", "batch_state_index"
_FIELDS = {"weight", "bias", _EMA, "ema_first_time_index", _BATCH, "batch_counter"}


def from_equinox(
    model: Any,
    state: Any = None,
    *,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> Variables:
    """Convert a model and its state.

    The statistics are the ones that evaluation uses: in the mode "batch", the stored ones over 1 - momentum**counter;
    after few batches the variance is too large by momentum**counter / (1 - momentum**counter), since Equinox starts it at 1.

    A transposed convolution comes out as Flax's ConvTranspose takes it (without groups).

    Args:
        model: pytree of Equinox layers.
        state: `equinox.nn.State` of the batch norms; None if there are none.
        names: layer name, its attributes and indices joined by dots as in "layers.0", to path of the Flax layer; by default
            that is "layers/0".
        flattened: layer name to (channels, *spatial) of the feature maps that are flattened before it, as in `from_torch`.

    Returns:
        Variables with copies of the arrays, in their types.

    Raises:
        ValueError: if an array belongs to no layer that Flax has, or a name does not fit; it names the array.

    Example:
        >>> from dataclasses import dataclass, field
        >>> from bnjax import convert
        >>> @jax.tree_util.register_dataclass
        ... @dataclass
        ... class Linear:  # has the fields of Equinox's
        ...     weight: jax.Array
        ...     bias: jax.Array
        ...     in_features: int = field(default=3, metadata={"static": True})
        >>> variables = convert.from_equinox({"head": Linear(jnp.ones((4, 3)), jnp.zeros(4))})
        >>> print(variables.params["head"]["kernel"].shape)
        (3, 4)
    """
    modules, flattened = _find_layers(model), flattened or {}
    check_exist("flattened", flattened, modules)
    paths = match(names, modules, _default_path)
    layers = {}
    for name, module in modules.items():
        arrays = {
            leaf: read(join(name, ".", leaf), value)
            for leaf in ("weight", "bias")
            if (value := getattr(module, leaf, None)) is not None
        }
        arrays |= _statistics(name, module, state)
        layers[paths[name]] = read_layer(name, _weight_name(name, module), arrays, flattened.get(name))
    return nest(layers)


def to_equinox(
    variables: Variables,
    model: Any,
    state: Any = None,
    *,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[Any, Any]:
    """Convert to an Equinox model and state, the inverse of `from_equinox`.

    In the mode "batch" the counter is set so high that 1 - momentum**counter is 1: training then continues from the
    statistics with the update that Flax makes.

    Args:
        variables: of a Flax model.
        model: template, which gives everything but the arrays.
        state: template, which stays valid; None if there are no batch norms.
        names: layer name to path of the Flax layer, the same as for `from_equinox`.
        flattened: the same as for `from_equinox`.

    Returns:
        (model, state).

    Raises:
        ValueError: if variables and template differ in layers, shapes or types, or a name does not fit.

    Example:
        >>> from dataclasses import dataclass, field
        >>> from bnjax import Variables, convert
        >>> @jax.tree_util.register_dataclass
        ... @dataclass
        ... class Linear:  # has the fields of Equinox's
        ...     weight: jax.Array
        ...     in_features: int = field(default=1, metadata={"static": True})
        >>> template = {"head": Linear(jnp.zeros((2, 1)))}
        >>> model, _ = convert.to_equinox(Variables({"head": {"kernel": jnp.array([[3.0, 4.0]])}}, {}), template)
        >>> print(model["head"].weight.tolist())
        [[3.0], [4.0]]
    """
    flattened = flattened or {}
    check_like(variables, from_equinox(model, state, names=names, flattened=flattened))
    layers, modules = collect(variables), _find_layers(model)
    paths = match(names, modules, _default_path)
    written = {name: write_layer(name, layers[paths[name]], flattened.get(name)) for name in modules}
    state = jax.tree.map(lambda x: x, state)  # a copy, since `state.set` makes the old state unusable
    for name, module in modules.items():
        state = _set_statistics(module, state, written[name])

    def replace(path: Any, node: Any) -> Any:
        return _set_params(node, written[_name(path)]) if _name(path) in modules else node

    return jax.tree.map_with_path(replace, model, is_leaf=_is_layer), state


def _name(path: Any) -> str:
    """Write a path into a model as attributes and indices joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _default_path(name: str) -> str:
    """Nest by attributes and indices."""
    return name.replace(".", "/")


def _is_array(x: Any) -> bool:
    """Return whether a leaf is an array."""
    return isinstance(x, jax.Array | np.ndarray)


def _is_layer(x: Any) -> bool:
    """Return whether a node is a layer, or an index into the state outside of one."""
    return hasattr(x, "weight") or (hasattr(x, "marker") and hasattr(x, "init"))


def _find_layers(model: Any) -> dict[str, Any]:
    """List the layers that have arrays by name; raise if there are arrays outside of layers."""
    layers = {}
    for path, node in jax.tree.leaves_with_path(model, is_leaf=_is_layer):
        fields = _array_fields(node)
        if unknown := fields - _FIELDS:
            where = f"{_name(path)}.{min(unknown)}".strip(".")
            raise ValueError(f"Arrays must be a layer's weight, bias or batch norm statistics, got {where!r}.")
        if fields or _statistics_index(node) is not None:
            layers[_name(path)] = node
    return layers


def _array_fields(node: Any) -> set[str]:
    """List the attributes of a layer that hold arrays; of a node that is an array or state itself, the name ""."""
    if not hasattr(node, "weight"):
        return {""} if _is_layer(node) or _is_array(node) else set()
    return {_name(path[:1]) for path, leaf in jax.tree.leaves_with_path(node) if _is_array(leaf)}


def _weight_name(name: str, module: Any) -> str:
    """Return Flax's name for a layer's weight, and check its number of axes."""
    weight_name, ndim = "scale", 1
    if hasattr(module, "num_embeddings"):
        weight_name, ndim = "embedding", 2
    elif hasattr(module, "in_features") or hasattr(module, "kernel_size"):
        weight_name, ndim = "kernel", 2 + getattr(module, "num_spatial_dims", 0)
    if module.weight is not None and module.weight.ndim != ndim:
        raise ValueError(f"{join(name, '.', 'weight')} must have {ndim} axes, got shape {module.weight.shape}.")
    return weight_name


def _statistics(name: str, module: Any, state: Any) -> dict[str, np.ndarray]:
    """Read the mean and variance that a batch norm uses in evaluation; of other layers, nothing."""
    index = _statistics_index(module)
    if index is None:
        return {}
    if state is None:
        raise ValueError(f"state must be given for a model with batch norms such as {name!r}, got None.")
    mean, var = state.get(index)
    if getattr(module, _BATCH, None) is not None:
        counter = state.get(module.batch_counter)
        divisor = jnp.where(counter == 0, 1, 1 - module.momentum**counter)
        mean, var = ((hidden / divisor).astype(hidden.dtype) for hidden in (mean, var))
    elif state.get(module.ema_first_time_index):  # no batch has been seen yet
        mean, var = jnp.zeros_like(mean), jnp.ones_like(var)
    return {"mean": np.asarray(mean), "var": np.asarray(var)}


def _statistics_index(module: Any) -> Any:
    """Return where in the state a batch norm has mean and variance; None for other layers."""
    ema = getattr(module, _EMA, None)
    return getattr(module, _BATCH, None) if ema is None else ema


def _set_statistics(module: Any, state: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Store mean and variance so that evaluation uses them and training moves them as Flax does."""
    index = _statistics_index(module)
    if index is None:
        return state
    if getattr(module, _BATCH, None) is not None:
        state = state.set(module.batch_counter, jnp.full_like(state.get(module.batch_counter), SETTLED))
    else:
        state = state.set(module.ema_first_time_index, jnp.array(False))
    return state.set(index, (jnp.array(arrays["mean"]), jnp.array(arrays["var"])))


def _set_params(module: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Replace weight and bias, in the template's shapes."""

    def replace(path: Any, leaf: Any) -> Any:
        return jnp.array(arrays[_name(path)].reshape(leaf.shape)) if _name(path) in ("weight", "bias") else leaf

    return jax.tree.map_with_path(replace, module)

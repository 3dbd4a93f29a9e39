"""Convert nested variables to a flat table of layers, and match their names with foreign modules."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax.types import Variables, linen_collections

WEIGHTS = ("kernel", "scale", "embedding")
SETTLED = 2**30  # batches, after which decay**batches is 0 beside 1 for any decay below 1 in float32


class Layer(NamedTuple):
    """The arrays of one layer by Flax's names."""

    params: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]


def collect(variables: Variables) -> dict[str, Layer]:
    """List the layers of nested variables by their paths, such as "block/conv".

    Raises:
        ValueError: if a layer holds an array that no framework has a name for, or a collection beside `batch_stats` holds one.
    """
    layers: dict[str, Layer] = {}
    collections = linen_collections(variables)
    for name in collections.keys() - {"batch_stats"}:
        if jax.tree.leaves(collections[name]):
            raise ValueError(f"variables must have no arrays beside params and batch_stats, got a collection {name!r}.")
    for field, tree in (("params", variables.params), ("stats", collections["batch_stats"])):
        for keys, array in jax.tree.leaves_with_path(tree):
            path, _, leaf = jax.tree_util.keystr(keys, simple=True, separator="/").rpartition("/")
            if (
                leaf == "num_batches"
            ):  # counter of a layer with momentum None, which other frameworks keep elsewhere or not at all
                continue
            if leaf not in {"params": (*WEIGHTS, "bias"), "stats": ("mean", "var")}[field]:
                where = join(path, "/", leaf)
                raise ValueError(f"variables must hold kernel, scale, embedding, bias, mean and var, got {where!r}.")
            getattr(layers.setdefault(path, Layer({}, {})), field)[leaf] = np.asarray(array)
    for path, layer in layers.items():
        if len(weights := [name for name in WEIGHTS if name in layer.params]) > 1:
            raise ValueError(f"variables must hold one of {WEIGHTS} per layer, got {weights} at {path!r}.")
        check_whole(path, layer)
    return layers


def check_whole(name: str, layer: Layer, *, bias_alone: bool = True) -> None:
    """Raise where a part of a layer is missing.

    Args:
        name: of the layer, for errors.
        layer: its arrays.
        bias_alone: a bias without a weight is a whole layer, a normaliser that does not scale.

    Raises:
        ValueError: if there is a mean without a variance or the other way around, or they or a normaliser's scale and bias
            differ in length, or a bias is alone where it must not be.
    """
    if len(layer.stats) == 1:
        (there,) = layer.stats
        raise ValueError(f"{name!r} must have both mean and variance, got the {there} alone.")
    if not bias_alone and "bias" in layer.params and not {*WEIGHTS} & {*layer.params}:
        raise ValueError(f"{name!r} must have a weight to its bias, got the bias alone.")
    vectors = {} if "kernel" in layer.params else layer.params | layer.stats
    sizes = {leaf: array.shape[-1:] for leaf, array in vectors.items()}
    if len({*sizes.values()}) > 1:
        got = ", ".join(f"{leaf} of shape {vectors[leaf].shape}" for leaf in vectors)
        raise ValueError(f"{name!r} must have arrays of one length, got {got}.")


def check_bias(name: str, layer: Layer, *, several_axes: bool = False, way_out: str = "") -> None:
    """Raise where a layer's bias is not one of its kernel's output features.

    Args:
        name: of the layer, for errors.
        layer: its arrays.
        several_axes: a kernel may have several axes of output features, as for attention.
        way_out: for a bias that does not fit.
    """
    if not {"kernel", "bias"} <= {*layer.params}:
        return
    kernel, bias = layer.params["kernel"].shape, layer.params["bias"].shape
    # NOTE: a transposed convolution's output features are the axis before the last, see `from_torch`.
    fitting = [kernel[-1:], *([kernel[-2:-1]] if len(kernel) > 2 else [])]
    if bias not in fitting and not (several_axes and bias == kernel[len(kernel) - len(bias) :]):
        rule = f"{name!r} must have a bias of its kernel's output features{way_out}"
        raise ValueError(f"{rule}, got shape {bias} with a kernel of shape {kernel}.")


def nest(layers: Mapping[str, Layer]) -> Variables:
    """Nest layers by their paths, with copies of their arrays.

    Raises:
        ValueError: if JAX cannot keep an array's type, or a layer stands where another one has an array.
    """
    variables = Variables({}, {})
    for path, layer in layers.items():
        for tree, arrays in zip(variables, layer, strict=True):
            if arrays:
                _put(tree, path, {leaf: _as_jax(join(path, "/", leaf), array) for leaf, array in arrays.items()})
    return variables


def _put(tree: dict[str, Any], path: str, arrays: dict[str, Array]) -> None:
    """Add the arrays of one layer to a nested dictionary."""
    for key in filter(None, path.split("/")):
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ValueError(f"names must not put a layer where another has an array, got {path!r}.")
    if clash := arrays.keys() & tree.keys():
        raise ValueError(f"names must not put a layer where another has an array, got {path!r} with {sorted(clash)}.")
    tree.update(arrays)


def _as_jax(name: str, array: np.ndarray) -> Array:
    """Copy an array to the device, in its own type."""
    kept = jnp.array(array)  # a copy, since a framework that continues training writes into its own arrays
    if kept.dtype != array.dtype:
        raise ValueError(f"{name} must have a type that JAX keeps, got {array.dtype} without jax_enable_x64.")
    return kept


def read(name: str, value: Any) -> np.ndarray:
    """Convert a value to a NumPy array of numbers."""
    found, reason = getattr(value, "dtype", type(value).__name__), "no numbers"
    try:
        if (array := np.asarray(value)).dtype.kind not in "OSUM":
            return array
    except (TypeError, ValueError, RuntimeError) as error:  # of torch: bfloat16, on a GPU, with a gradient
        reason = str(error).splitlines()[0].rstrip(".")
    raise ValueError(f"{name} must be an array that NumPy reads, got {found}: {reason}.") from None


def group(arrays: Mapping[str, Any], separator: str, known: Collection[str]) -> dict[str, dict[str, np.ndarray]]:
    """Group arrays by module, the part of their name before the last separator.

    Raises:
        ValueError: if what follows the separator is not among `known`.
    """
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        module, _, leaf = name.rpartition(separator)
        check_leaf(name, leaf, known)
        modules.setdefault(module, {})[leaf] = read(name, value)
    return modules


def check_leaf(name: str, leaf: str, known: Collection[str]) -> None:
    """Raise if an array is of an unknown kind."""
    if leaf not in known:
        raise ValueError(f"Arrays must be among {', '.join(known)}, got {name!r}.")


def join(module: str, separator: str, leaf: str) -> str:
    """Undo `group` for one name."""
    return f"{module}{separator}{leaf}" if module else leaf


def check_exist(argument: str, given: Iterable[str], existing: Collection[str]) -> None:
    """Raise where an argument names a module that is not there."""
    for name in given:
        if name not in existing:
            raise ValueError(f"{argument} must be of modules that exist, got {name!r}.")


def match(
    names: Mapping[str, str] | None, existing: Collection[str], default: Callable[[str], str]
) -> Mapping[str, str]:
    """Map all modules to layers, or layers to modules, by `names` or by default.

    Raises:
        ValueError: if a name is missing, without effect, or given twice.
    """
    names = names or {name: default(name) for name in existing}
    check_exist("names", names, existing)
    for name in existing:
        if name not in names:
            raise ValueError(f"names must be complete, got nothing for {name!r}.")
    _check_distinct(names)
    return names


def invert(names: Mapping[str, str] | None) -> dict[str, str] | None:
    """Invert a map of modules to layers."""
    if not names:
        return None
    _check_distinct(names)
    return {layer: module for module, layer in names.items()}


def _check_distinct(names: Mapping[str, str]) -> None:
    """Raise if two names map to the same layer."""
    values = list(names.values())
    for name, value in names.items():
        if values.count(value) > 1:
            raise ValueError(f"names must lead to different layers, got {value!r} for {name!r} and another one.")


def check_like(variables: Variables, template: Variables) -> None:
    """Raise at the first array whose shape or type differs from the template's."""
    got, wanted = (
        {jax.tree_util.keystr(k, simple=True, separator="/"): f"{x.dtype}{list(x.shape)}" for k, x in leaves}
        for leaves in (jax.tree.leaves_with_path(v._asdict()) for v in (variables, template))
    )
    for path in wanted | got:
        if got.get(path) != wanted.get(path):
            raise ValueError(
                f"variables must fit the template, which has {wanted.get(path, 'nothing')} at {path}, "
                f"got {got.get(path, 'nothing')}."
            )

"""Batch norm in evaluation, folded into the weights before it."""

from collections.abc import Mapping
from functools import reduce
from typing import Any, overload

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jaxtyping import Inexact

from bnjax._host.arguments import checked, described
from bnjax._host.trees import common_type
from bnjax.norms.variables import AnyVariables, read_variables, write_variables
from bnjax.types import BatchStats, Variables, linen_collections


@overload
def fold_batch_norm(
    kernel: Array,
    kernel_bias: Array | None,
    stats: BatchStats | Mapping[str, Array],
    scale: Array | None = None,
    bias: Array | None = None,
    epsilon: float | None = None,
) -> tuple[Array, Array]: ...
@overload
def fold_batch_norm(
    variables: AnyVariables, pairs: Mapping[str, str], /, *, epsilon: float | None = None
) -> Variables | dict[str, Any]: ...
@checked()
def fold_batch_norm(
    kernel: Any,
    kernel_bias: Any,
    stats: Any = None,
    scale: Any = None,
    bias: Any = None,
    epsilon: float | None = None,
) -> Any:
    """Fold batch norm with running statistics into the dense layer or convolution before it, in one layer or a whole model.

        kernel * f, (kernel_bias - mean) * f + bias        f = scale / sqrt(var + epsilon)

    In evaluation, the layer with these weights computes the same as the layer and batch norm together.

    Args:
        kernel: weights with the output features last: (in, out), HWIO, or any number of spatial axes. For a whole model,
            `variables` goes here: Variables, a dictionary with params and batch_stats, or an nnx module.
        kernel_bias: the layer's own bias, (features,); None is 0. For a whole model, `pairs` goes here: the path of each batch
            norm with the path of the layer before it, such as {"block/norm": "block/conv"}; nothing may come between the two.
        stats: running mean and variance, each (features,); a BatchStats, or a dictionary with mean and var.
        scale: factor per feature of the batch norm; None is 1.
        bias: offset per feature of the batch norm; None is 0.
        epsilon: of the batch norm, or of all; None is 1e-5, or, for an nnx module, the epsilon of each batch norm.

    Returns:
        (kernel, bias) of the folded layer: the kernel in its type, the bias in that of `kernel_bias`, or of the statistics;
        complex if any of the inputs is. For a whole model, variables in the given form, or Variables for a module: the layers
        have kernel and bias, and the batch norms are removed, so that they fit the model without them.

    Raises:
        ValueError: if an argument does not hold floating-point numbers, its length is not the kernel's last one, or a path
            leads to no such layer.

    Example:
        >>> from bnjax import norms
        >>> stats = norms.BatchStats(jnp.array([1.0]), jnp.array([4.0]))
        >>> kernel, bias = norms.fold_batch_norm(jnp.array([[2.0]]), None, stats, epsilon=0.0)
        >>> print(kernel, bias)
        [[1.]] [-0.5]
        >>> variables = {
        ...     "params": {"dense": {"kernel": jnp.array([[2.0]])}, "norm": {"bias": jnp.array([0.5])}},
        ...     "batch_stats": {"norm": stats._asdict()},
        ... }
        >>> norms.fold_batch_norm(variables, {"norm": "dense"}, epsilon=0.0)["params"]
        {'dense': {'kernel': Array([[1.]], dtype=float32), 'bias': Array([0.], dtype=float32)}}
    """
    if isinstance(kernel, Variables | Mapping | nnx.Module):
        return _fold_model(kernel, kernel_bias, epsilon)
    return _fold_layer(kernel, kernel_bias, stats, scale, bias, 1e-5 if epsilon is None else epsilon)


def _fold_layer(
    kernel: Inexact[Array, "*dims features"],
    kernel_bias: Inexact[Array, " features"] | None,
    stats: Any,
    scale: Inexact[Array, " features"] | None,
    bias: Inexact[Array, " features"] | None,
    epsilon: float,
    where: str = "",
) -> tuple[Inexact[Array, "*dims features"], Inexact[Array, " features"]]:
    """Fold one batch norm into one layer; `where` stands before the names of arguments in messages."""
    stats = (
        BatchStats(stats["mean"], stats["var"]) if isinstance(stats, Mapping) and {"mean", "var"} <= {*stats} else stats
    )
    if not (hasattr(stats, "mean") and hasattr(stats, "var")):
        got = type(stats).__name__
        raise ValueError(f"{where}stats must be a BatchStats, or a dictionary with mean and var, got {got}.")
    named = {"kernel_bias": kernel_bias, "stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias}
    for name, value in {"kernel": kernel, **named}.items():
        if not (hasattr(value, "dtype") or (value is None and name in ("kernel_bias", "scale", "bias"))):
            raise ValueError(f"{where}{name} must be an array, got {described(value)}.")
        if value is not None and not jnp.issubdtype(value.dtype, jnp.inexact):
            rule = f"{where}{name} must hold floating-point numbers, which folding scales"
            raise ValueError(f"{rule}, got {value.dtype}: fold first, then quantise.")
    shape = kernel.shape[-1:]
    for name, value in named.items():
        if value is not None and value.shape != shape:
            rule = f"{where}{name} must have one entry per output of the kernel, {shape}"
            raise ValueError(f"{rule}, got shape {value.shape}.")
    factor = lax.rsqrt(stats.var.astype(common_type(stats.var.dtype, jnp.float32)) + epsilon)
    factor = factor if scale is None else factor * scale
    offset = (0 if kernel_bias is None else kernel_bias) - stats.mean
    folded_bias = offset * factor + (0 if bias is None else bias)
    spread = factor.reshape((1,) * (kernel.ndim - 1) + shape)
    bias_type = stats.mean.dtype if kernel_bias is None else kernel_bias.dtype
    return _typed(kernel * spread, kernel.dtype), _typed(folded_bias, bias_type)


def _typed(value: Array, dtype: Any) -> Array:
    """Cast to a type, or to its complex one where the value is complex."""
    return value.astype(jnp.result_type(dtype, jnp.complex64) if jnp.iscomplexobj(value) else dtype)


def _fold_model(model: Any, pairs: Any, epsilon: float | None) -> Any:
    """Fold the batch norms of a whole model, each into the layer of its pair."""
    if not isinstance(pairs, Mapping):
        got = type(pairs).__name__
        raise ValueError(f"pairs must map batch norms to the layers before them for a whole model, got {got}.")
    if len({*pairs.values()}) < len(pairs):
        raise ValueError(f"pairs must map batch norms to different layers, got {dict(pairs)}.")
    # A copy, down to the leaves.
    copy = Variables(*(jax.tree.map(lambda leaf: leaf, _as_dicts(tree)) for tree in read_variables(model)))
    params, batch_stats = copy.params, linen_collections(copy)["batch_stats"]
    for norm, layer in pairs.items():
        stats, weights = _find(batch_stats, norm, "batch_stats"), _find(params, layer, "params")
        own = _find(params, norm) or {}
        if "kernel" not in weights:
            raise ValueError(f"pairs must map {norm!r} to a layer with a kernel, got {layer!r} without.")
        folded = _fold_layer(
            weights["kernel"],
            weights.get("bias"),
            stats,
            own.get("scale"),
            own.get("bias"),
            _epsilon(model, norm) if epsilon is None else epsilon,
            f"{layer} and {norm}: ",
        )
        weights |= dict(zip(("kernel", "bias"), folded, strict=True))
        for tree in (params, batch_stats):
            _remove(tree, norm)
    return write_variables(copy, model)


def _as_dicts(tree: Any) -> Any:
    """Turn mappings of any kind into dictionaries, all the way down."""
    return {key: _as_dicts(value) for key, value in tree.items()} if isinstance(tree, Mapping) else tree


def _key(tree: Mapping[Any, Any], name: str) -> Any:
    """Find a key by its text, since nnx's keys may be numbers."""
    return next((key for key in tree if str(key) == name), None)


def _find(tree: Any, path: str, collection: str = "") -> Any:
    """Return the entry at a path; raise if there is none and the searched tree has a name."""
    node = reduce(
        lambda node, name: node.get(_key(node, name)) if isinstance(node, Mapping) else None, path.split("/"), tree
    )
    if collection and not isinstance(node, dict):
        raise ValueError(f"pairs must hold paths of layers, got {path!r}, which is not in {collection}.")
    return node


def _remove(tree: Any, path: str) -> None:
    """Remove the entry at a path, and containers that are left empty."""
    name, _, rest = path.partition("/")
    key = _key(tree, name)
    if key is None:
        return
    if rest:
        _remove(tree[key], rest)
    if not rest or not tree[key]:
        del tree[key]


def _epsilon(model: Any, path: str) -> float:
    """Return the epsilon of a batch norm in an nnx module; Flax's default if it is not known."""
    if not isinstance(model, nnx.Module):
        return 1e-5
    node: Any = model
    for name in path.split("/"):
        node = getattr(node, name) if hasattr(node, name) else node[int(name) if name.isdigit() else name]
    return node.epsilon

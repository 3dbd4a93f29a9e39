"""Parameters by path: names such as "conv_1/kernel", selections by regular expression, layers, and structure of trees."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from bnjax.types import Params

Layers = Sequence[str] | Mapping[str, str]


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """List a tree's leaves by path, the keys joined by "/"."""
    return {path_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _distinct_leaves(params: Params) -> dict[str, Any]:
    """List the leaves by path; raise if two of them have one path, since a key holds a "/"."""
    names = [path_name(path) for path, _ in jax.tree.leaves_with_path(params)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"paths of parameters must differ, got {name!r} twice: rename the key that holds a '/'.")
    return named_leaves(params)


def path_name(path: Any) -> str:
    """Join the keys of a path by "/"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def select(params: Params, pattern: str, name: str = "pattern") -> PyTree[bool]:
    """Select parameters whose path a regular expression matches anywhere, as `re.search` does.

    Args:
        params: parameters; a path is its keys joined by "/", such as "conv_1/kernel".
        pattern: regular expression; r"^conv_1/" is the layer conv_1, "kernel" are all kernels.
        name: of the argument, for errors.

    Returns:
        A tree like `params` of Python booleans.

    Raises:
        ValueError: if the pattern is not a regular expression, or matches no path.
    """
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError) as error:  # not a pattern, or not a string
        raise ValueError(f"{name} must be a regular expression, got {pattern!r}: {error}.") from None
    mask = jax.tree_util.tree_map_with_path(lambda path, _: bool(expression.search(path_name(path))), params)
    if not any(jax.tree.leaves(mask)):
        paths = list(named_leaves(params))
        shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
        raise ValueError(f"{name} must match a path of the parameters, {shown}; got {pattern!r}.")
    return mask


def selected_leaves(params: Params, pattern: str | None) -> dict[str, Array]:
    """List the parameters whose path a regular expression matches, by path; None selects all."""
    leaves = _distinct_leaves(params)
    if pattern is None:
        return leaves
    mask = named_leaves(select(params, pattern))
    return {path: leaf for path, leaf in leaves.items() if mask[path]}


def keep_selected(tree: PyTree[Array], mask: PyTree[bool]) -> PyTree[Array]:
    """Set all entries that are not selected to zero."""
    return jax.tree.map(lambda leaf, selected: leaf if selected else jnp.zeros_like(leaf), tree, mask)


def layer_leaves(params: Params, layers: Layers | None = None) -> dict[str, tuple[int, ...]]:
    """Find the parameters of each layer.

    A layer is given as a path or the beginning of one, up to a "/", or else as a regular expression that is searched for in the
    paths: "conv_1" is not "conv_10", r"^(conv|norm)_1/" is a convolution with its normaliser, "kernel" are all kernels.

    Args:
        params: any tree; a path is its keys joined by "/", such as "conv_1/kernel".
        layers: a list, whose entries are also the layers' names, or a dictionary by name; None makes every array a layer.

    Returns:
        Positions among `jax.tree.leaves(params)` by name, in the order of `layers`.

    Raises:
        ValueError: if there is no layer, a layer is repeated, or one is not a string or matches no path.
    """
    paths = list(_distinct_leaves(params))
    if layers is None:
        return {path: (i,) for i, path in enumerate(paths)}
    if not isinstance(layers, Mapping):
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        layers = dict(zip(names, names, strict=True))
        if len(layers) < len(names):
            raise ValueError(f"layers must differ, got {', '.join(names)}.")
    if not layers:
        raise ValueError(f"layers must name at least one layer, got {layers}.")
    for name, pattern in layers.items():
        if not isinstance(pattern, str):
            raise ValueError(f"layers must be strings, paths or regular expressions, got {pattern!r} for {name!r}.")
    return {name: _matches(params, paths, pattern) for name, pattern in layers.items()}


def layer_numbers(params: Params, leaves: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Number the layer of each array, from 0 at the first one; -1 is none.

    Args:
        params: any tree.
        leaves: positions among its arrays by layer, as `layer_leaves` returns them.

    Raises:
        ValueError: if an array is in two layers.
    """
    owners: dict[int, str] = {}
    for name, positions in leaves.items():
        for i in positions:
            if i in owners:
                path = list(named_leaves(params))[i]
                raise ValueError(f"layers must not overlap, but {path} is in both {owners[i]!r} and {name!r}.")
            owners[i] = name
    numbers = {name: number for number, name in enumerate(leaves)}
    return tuple(numbers[owners[i]] if i in owners else -1 for i in range(len(jax.tree.leaves(params))))


def check_alike(name: str, tree: PyTree, like: PyTree, like_name: str = "params") -> None:
    """Raise at the first path where the leaves of two trees differ in shape, or where their containers differ."""
    expected, found = _shapes(like), _shapes(tree)
    for path in expected | found:
        if expected.get(path) != found.get(path):
            raise ValueError(
                f"{name} must be like {like_name}, but at {path} {like_name} has shape {expected.get(path, 'nothing')} "
                f"and {name} {found.get(path, 'nothing')}."
            )
    if difference := _unlike_containers(jax.tree.structure(tree), jax.tree.structure(like)):
        raise ValueError(
            "{0} must be like {1}, but {0} has {2} where {1} has {3}.".format(name, like_name, *difference)
        )


def check_inexact(name: str, tree: PyTree) -> None:
    """Raise unless all leaves of a tree are floating-point or complex."""
    for path, leaf in named_leaves(tree).items():
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(f"{name} must be floating-point or complex, but {path or 'the array'} is {dtype}.")


def check_params(params: Params) -> None:
    """Raise unless there are parameters, all of them floating-point."""
    leaves = named_leaves(params)
    if not sum(jnp.size(leaf) for leaf in leaves.values()):
        raise ValueError(f"params must hold at least one number, got {params}.")
    for path, leaf in leaves.items():
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"params must be floating-point, but {path or 'the array'} is {dtype}.")


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """List the shapes of a tree's leaves by path, keys that hold a "/" in quotes."""
    names = ([path_name((key,)) for key in path] for path, _ in jax.tree.leaves_with_path(tree))
    paths = ["/".join(repr(name) if "/" in name else name for name in keys) for keys in names]
    return dict(zip(paths, map(jnp.shape, jax.tree.leaves(tree)), strict=True))


def _unlike_containers(tree: Any, like: Any) -> tuple[str, str] | None:
    """Describe the first two containers, of two tree structures, that differ: by their types, or else by their contents."""
    if tree == like:
        return None
    (kind, content), (like_kind, like_content) = (t.node_data() or (Array, None) for t in (tree, like))
    if kind != like_kind:
        return kind.__name__, like_kind.__name__
    pairs = zip(tree.children(), like.children(), strict=False)
    inner = next(filter(None, (_unlike_containers(*pair) for pair in pairs)), None)
    return inner or (f"{kind.__name__} of {content!s:.60}", f"{kind.__name__} of {like_content!s:.60}")


def _matches(params: Params, paths: list[str], pattern: str) -> tuple[int, ...]:
    """Find the paths that a layer's path, or else its regular expression, matches."""
    below = tuple(i for i, path in enumerate(paths) if f"{path}/".startswith(f"{pattern.rstrip('/')}/"))
    return below or tuple(i for i, found in enumerate(jax.tree.leaves(select(params, pattern, "layers"))) if found)

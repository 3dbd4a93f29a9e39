"""Parameters by path: names such as "conv_1/kernel", selections by regular expression, and whether two trees are alike."""

import re
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from bnjax.types import Params


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """List a tree's leaves by path, the keys joined by "/"."""
    return {path_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def path_name(path: Any) -> str:
    """Join the keys of a path by "/"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def select(params: Params, pattern: str) -> PyTree[bool]:
    """Select parameters whose path a regular expression matches anywhere, as `re.search` does.

    Args:
        params: parameters; a path is its keys joined by "/", such as "conv_1/kernel".
        pattern: regular expression; r"^conv_1/" is the layer conv_1, "kernel" are all kernels.

    Returns:
        A tree like `params` of Python booleans.

    Raises:
        ValueError: if the pattern is no regular expression, or matches no path.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern must be a regular expression, got {pattern!r}: {error}.") from None
    mask = jax.tree_util.tree_map_with_path(lambda path, _: bool(expression.search(path_name(path))), params)
    if not any(jax.tree.leaves(mask)):
        paths = list(named_leaves(params))
        shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
        raise ValueError(f"pattern must match a path of the parameters, {shown}; got {pattern!r}.")
    return mask


def selected_leaves(params: Params, pattern: str | None) -> dict[str, Array]:
    """List the parameters whose path a regular expression matches, by path; None selects all."""
    leaves = named_leaves(params)
    if pattern is None:
        return leaves
    mask = named_leaves(select(params, pattern))
    return {path: leaf for path, leaf in leaves.items() if mask[path]}


def keep_selected(tree: PyTree[Array], mask: PyTree[bool]) -> PyTree[Array]:
    """Set what is not selected to zero."""
    return jax.tree.map(lambda leaf, selected: leaf if selected else jnp.zeros_like(leaf), tree, mask)


def check_alike(name: str, tree: PyTree, like: PyTree, like_name: str = "params") -> None:
    """Raise at the first path where a tree's leaves do not have the shapes of another's."""
    expected, found = ({p: jnp.shape(leaf) for p, leaf in named_leaves(t).items()} for t in (like, tree))
    for path in expected | found:
        if expected.get(path) != found.get(path):
            raise ValueError(
                f"{name} must be like {like_name}, but at {path} {like_name} has shape {expected.get(path, 'nothing')} "
                f"and {name} {found.get(path, 'nothing')}."
            )

"""Run models that sum over axis names, as under pmap, where no transformation binds these names."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# The error messages of JAX and of bnjax's norms.
_UNBOUND = re.compile(r"unbound axis name: ([^\s,')]+?)\.?(?:\s|$)|axis_name must name an axis .*, got '([^']+)'")


def with_axes(function: Callable[[], Any]) -> Any:
    """Call a function with every unbound axis name that it sums over bound to an axis of length 1.

    A sum over such an axis is the value on the only device. Names that a surrounding vmap or shard_map binds stay bound to it.

    Args:
        function: returns a pytree of arrays.

    Returns:
        What the function returns.
    """
    names: list[str] = []
    while True:
        try:
            return _bound(names, function)
        except (NameError, ValueError) as error:
            found = _UNBOUND.search(str(error))
            name = found and (found[1] or found[2])
            if not name or name in names:
                raise
            names.append(name)


def _bound(names: list[str], function: Callable[[], Any]) -> Any:
    """Call a function with some axis names bound, the first one outermost."""
    if not names:
        return function()
    mapped = jax.vmap(lambda _: _bound(names[1:], function), axis_name=names[0])
    return jax.tree.map(lambda leaf: leaf[0], mapped(jnp.zeros(1)))

"""Axis names that a model sums over, as under pmap, where nothing binds them."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# As JAX says it, and as norms of bnjax do.
_UNBOUND = re.compile(r"unbound axis name: (\w+)|axis_name must name an axis .*, got \(?'(\w+)'")


def with_axes(function: Callable[[], Any]) -> Any:
    """Call a function, and bind every axis name that it sums over and nothing binds, to an axis of length 1.

    Then a sum over the axis is that of the one device there is. Names that a surrounding vmap or shard_map binds are its own.

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
    """Call a function with names bound, the first outermost."""
    if not names:
        return function()
    mapped = jax.vmap(lambda _: _bound(names[1:], function), axis_name=names[0])
    return jax.tree.map(lambda leaf: leaf[0], mapped(jnp.zeros(1)))

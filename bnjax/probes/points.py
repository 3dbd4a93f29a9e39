"""The engine of every scan: one function at many points, in one compiled program.

A point is base + sum over d of coordinates[d] * directions[d]. Points are made inside the program, one chunk at a time, so
that a scan's memory does not grow with its length.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

from bnjax.types import Params

Batching = Literal["auto", "loop", "map", "vmap"] | int


def evaluate_points(
    measure: Callable[[Params], PyTree],
    base: Params,
    directions: Sequence[Params],
    coordinates: Float[Array, "points directions"],
    *,
    batching: Batching = "auto",
) -> PyTree:
    """Evaluate `measure` at every point base + coordinates @ directions.

    Args:
        measure: function of the parameters. As a pytree (a `jax.tree_util.Partial`, an `Objective`) it compiles once per
            shape; any other callable compiles once per callable.
        base: parameters.
        directions: trees like `base`.
        coordinates: one row per point.
        batching: how many points run together, which changes nothing but speed and memory: "loop" calls a compiled point
            after another, "map" puts that loop into the program, "vmap" runs all at once, an int that many at once.
            "auto" is "map": on CPU the fastest, on accelerators the one that needs least memory.

    Returns:
        What `measure` returns, stacked along a new first axis.

    Raises:
        ValueError: if shapes do not fit or `batching` is unknown.
    """
    check_batching(batching)
    if coordinates.ndim != 2 or coordinates.shape[1] != len(directions) or not coordinates.shape[0]:
        raise ValueError(
            f"coordinates must have shape (points, {len(directions)}), one column per direction and at least one row, "
            f"got {coordinates.shape}."
        )
    measure = as_pytree(measure)
    if batching == "loop":
        results = [_evaluate_one(measure, base, directions, row) for row in coordinates]
        return jax.tree.map(lambda *values: jnp.stack(values), *results)
    batch_size = batching if isinstance(batching, int) else len(coordinates) if batching == "vmap" else None
    return _evaluate_chunked(measure, base, directions, coordinates, batch_size=batch_size)


def check_batching(batching: Any) -> None:
    """Raise if `batching` is not a way to run points."""
    is_count = isinstance(batching, int) and not isinstance(batching, bool) and batching >= 1
    if batching not in ("auto", "loop", "map", "vmap") and not is_count:
        raise ValueError(f"batching must be 'auto', 'loop', 'map', 'vmap' or a number >= 1, got {batching!r}.")


def as_pytree(fn: Callable) -> Callable:
    """Return a callable that compiled code takes as an argument: `fn` if it is a pytree, else `fn` wrapped in one."""
    return jax.tree_util.Partial(fn) if jax.tree_util.all_leaves([fn]) else fn


def point(base: Params, directions: Sequence[Params], row: Float[Array, " directions"]) -> Params:
    """Make one point, in the types of `base`."""

    def move(leaf: Array, *steps: Array) -> Array:
        return leaf + sum(c.astype(leaf.dtype) * step.astype(leaf.dtype) for c, step in zip(row, steps, strict=True))

    return jax.tree.map(move, base, *directions)


@jax.jit
def _evaluate_one(measure: Callable, base: Params, directions: Sequence[Params], row: Array) -> PyTree:
    """Evaluate one point."""
    return measure(point(base, directions, row))


@partial(jax.jit, static_argnames="batch_size")
def _evaluate_chunked(
    measure: Callable, base: Params, directions: Sequence[Params], coordinates: Array, *, batch_size: int | None
) -> PyTree:
    """Evaluate all points, `batch_size` at a time."""
    return jax.lax.map(lambda row: measure(point(base, directions, row)), coordinates, batch_size=batch_size)

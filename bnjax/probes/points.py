"""The engine of every scan: one function at many points, in one compiled program.

A point is base + sum over d of coordinates[d] * directions[d]. Points are made inside the program, one chunk at a time, so
that a scan's memory does not grow with its length.
"""

from collections.abc import Callable, Hashable, Sequence
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
        measure: function of the parameters. As a pytree (an `Objective`, a `jax.tree_util.Partial`) it is compiled once per
            shape; any other callable is compiled at every call, since what it closes over may have changed.
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
    if batching == "loop":
        evaluate = compiled(_evaluate_one, measure)
        results = [evaluate(base, directions, row) for row in coordinates]
        return jax.tree.map(lambda *values: jnp.stack(values), *results)
    batch_size = batching if isinstance(batching, int) else len(coordinates) if batching == "vmap" else None
    return compiled(_evaluate_chunked, measure, batch_size=batch_size)(base, directions, coordinates)


def check_batching(batching: Any) -> None:
    """Raise if `batching` is not a way to run points."""
    is_count = isinstance(batching, int) and not isinstance(batching, bool) and batching >= 1
    if batching not in ("auto", "loop", "map", "vmap") and not is_count:
        raise ValueError(f"batching must be 'auto', 'loop', 'map', 'vmap' or a number >= 1, got {batching!r}.")


def is_pytree(fn: Callable) -> bool:
    """Tell whether compiled code can take a callable as an argument."""
    return not jax.tree_util.all_leaves([fn])


def compiled(program: Callable[..., PyTree], fn: Callable, **options: Hashable) -> Callable[..., PyTree]:
    """Compile `program(fn, *arguments, **options)`, as a function of the arguments.

    Where `fn` is a pytree, the program is compiled once per shape. Any other `fn` may close over what will have changed by
    the next call, a batch for instance, so that its program is compiled anew.
    """
    if is_pytree(fn):
        return partial(_run, program, tuple(options.items()), fn)
    return jax.jit(partial(program, fn, **options))


@partial(jax.jit, static_argnums=(0, 1))
def _run(program: Callable[..., PyTree], options: tuple, fn: Callable, *arguments: PyTree) -> PyTree:
    """Run a program on a callable that is a pytree."""
    return program(fn, *arguments, **dict(options))


def point(base: Params, directions: Sequence[Params], row: Float[Array, " directions"]) -> Params:
    """Make one point, in the types of `base`."""

    def move(leaf: Array, *steps: Array) -> Array:
        return leaf + sum(c.astype(leaf.dtype) * step.astype(leaf.dtype) for c, step in zip(row, steps, strict=True))

    return jax.tree.map(move, base, *directions)


def _evaluate_one(measure: Callable, base: Params, directions: Sequence[Params], row: Array) -> PyTree:
    """Evaluate one point."""
    return measure(point(base, directions, row))


def _evaluate_chunked(
    measure: Callable, base: Params, directions: Sequence[Params], coordinates: Array, *, batch_size: int | None
) -> PyTree:
    """Evaluate all points, `batch_size` at a time."""
    return jax.lax.map(lambda row: measure(point(base, directions, row)), coordinates, batch_size=batch_size)

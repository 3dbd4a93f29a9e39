"""Compare points with a start, in one program for the start and the points, which contains their function once.

If points run together or on several devices, the start is a separate program.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh
from jaxtyping import Float, PyTree

from bnjax.probes.chunks import run_chunks
from bnjax.probes.points import (
    Batching,
    compiled,
    evaluate_points,
    is_pytree,
    is_tracing,
    point,
    resolve,
    with_rounding,
)
from bnjax.types import Params

# The reference kept from the start: a pytree with an attribute `directions`, a tuple of trees like the parameters.
Start = Any


class Comparison(NamedTuple):
    """A measure of points, compared with the start.

    Attributes:
        observe: function of the parameters, the expensive part.
        begin: maps the observation at the start to the reference that is kept.
        compare: maps the reference and the observation at a point, including the start, to the measurement.
    """

    observe: Callable[[Params], PyTree]
    begin: Callable[[PyTree], Start]
    compare: Callable[[Start, PyTree], PyTree]


def evaluate_start(comparison: Comparison, base: Params) -> tuple[Start, PyTree]:
    """Evaluate a comparison at `base` alone; return the reference and the measurement there."""
    return compiled(_begin, comparison)(base)


def evaluate_from_start(
    comparison: Comparison,
    base: Params,
    unknown: Start,
    coordinates: Float[Array, "points directions"],
    *,
    batching: Batching = "auto",
    mesh: Mesh | None = None,
    resume: str | os.PathLike | None = None,
    identity: PyTree = None,
    show_progress: bool = True,
) -> tuple[Start, PyTree, PyTree]:
    """Evaluate a comparison at `base` and at base + coordinates @ directions, with directions from the start.

    Args:
        comparison: the measure.
        base: parameters, where the start is.
        unknown: a placeholder of the reference's structure, with finite directions.
        coordinates: one row per point.
        batching: how points run together; this and all arguments below are as in `evaluate_points`.
        mesh: devices over which points are spread.
        resume: a file of the points evaluated so far.
        identity: arrays that identify the scan in this file.
        show_progress: show a bar.

    Returns:
        (start, first, values): the reference, the measurement at the start, and the measurements at the points, stacked along
        a new first axis.
    """
    batching = resolve(batching, base, mesh)
    options: dict[str, Any] = {"resume": resume, "show_progress": show_progress}
    if mesh is not None or batching not in ("map", "loop"):
        start, first = evaluate_start(comparison, base)
        bind = jax.tree_util.Partial if is_pytree(comparison) else partial
        options |= {"batching": batching, "mesh": mesh, "identity": identity}
        return (
            start,
            first,
            evaluate_points(bind(_compare, comparison, start), base, start.directions, coordinates, **options),
        )

    # The first row is the start.
    program = compiled(_follow, comparison)
    if is_tracing():
        rows = jnp.pad(coordinates, ((1, 0), (0, 0)))
        return _split(*program(base, unknown, rows, jnp.arange(len(rows)) == 0))

    rows = np.pad(np.asarray(coordinates), ((1, 0), (1, 0)))
    rows[0, 0] = 1  # marks it
    known: list[Start] = []

    def evaluate(some: np.ndarray, _group_size: int | None) -> PyTree:
        if not known and not some[0, 0]:
            evaluate(rows[:1], None)
        start, values = program(base, known[0] if known else unknown, some[:, 1:], some[:, 0] > 0)
        if not (known or is_tracing()):
            known.append(start)
        return values

    identity = with_rounding(identity, base, mesh)
    values = run_chunks(evaluate, rows, one_by_one=batching == "loop", identity=identity, **options)
    if not known:  # all results were in the file
        evaluate(rows[:1], None)
    return _split(known[0], values)


def _split(start: Start, values: PyTree) -> tuple[Start, PyTree, PyTree]:
    """Separate the measurement at the start from those at the points."""
    return start, *(jax.tree.map(lambda leaf, part=part: leaf[part], values) for part in (0, slice(1, None)))


def _begin(comparison: Comparison, base: Params) -> tuple[Start, PyTree]:
    """Evaluate the start."""
    observed = comparison.observe(base)
    start = comparison.begin(observed)
    return start, comparison.compare(start, observed)


def _compare(comparison: Comparison, start: Start, params: Params) -> PyTree:
    """Measure a point."""
    return comparison.compare(start, comparison.observe(params))


def _follow(
    comparison: Comparison, base: Params, start: Start, rows: Array | np.ndarray, is_start: Array | np.ndarray
) -> tuple[Start, PyTree]:
    """Measure points one after another, compared with the given start, or with the start among them."""

    def step(start: Start, row: tuple[Array, Array]) -> tuple[Start, PyTree]:
        coordinates, is_start = row
        observed = comparison.observe(point(base, start.directions, coordinates))
        start = lax.cond(is_start, lambda observed, _: comparison.begin(observed), lambda _, old: old, observed, start)
        return start, comparison.compare(start, observed)

    return lax.scan(step, start, (jnp.asarray(rows), jnp.asarray(is_start)))

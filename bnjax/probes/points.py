"""The engine of every scan: one function at many points, in compiled programs.

A point is base + sum over d of coordinates[d] * directions[d]. Points are made inside the program, one group at a time, so
that a scan's memory does not grow with its length.
"""

import functools
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import get_opaque_trace_state
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, PyTree

from bnjax._host import groups
from bnjax._host.arguments import checked
from bnjax._host.batched import forms_on
from bnjax._host.precision import current_precision, platform_of, product_rounding, with_precision
from bnjax._host.programs import jitted, model_in, run
from bnjax._host.trials import Trials
from bnjax.probes.chunks import run_chunks
from bnjax.probes.paths import check_alike, check_inexact
from bnjax.types import LossFn, ObjectiveInfo, Params, objective_info

# Under jit, vmap or grad the state differs, even if no argument is traced, as a loss may close over traced values.
_TOP_LEVEL = get_opaque_trace_state()

Batching = Literal["auto", "loop", "map", "vmap", "measured"] | int


@checked()
@with_precision
def evaluate_points(
    measure: Callable[[Params], PyTree],
    base: Params,
    directions: Sequence[Params],
    coordinates: Float[Array | np.ndarray, "points directions"] | Sequence,
    *,
    batching: Batching = "auto",
    mesh: Mesh | None = None,
    resume: str | os.PathLike | None = None,
    identity: PyTree = None,
    precision: str | None = None,
    show_progress: bool = True,
) -> PyTree:
    """Evaluate `measure` at every point base + coordinates @ directions.

    Long scans run as many calls of one program, so that they can show a progress bar, be interrupted and be resumed. Results
    are kept on the host, so a million points need no more device memory than a few. If a group of points does not fit into
    memory, half as many are tried, with a warning. Inside other compiled or mapped code all points are part of that program.

    Args:
        measure: function of the parameters. As a pytree (an `Objective`, a `jax.tree_util.Partial`) it is compiled once per
            shape; any other callable is compiled at every call, since what it closes over may have changed.
        base: parameters, floating-point or complex.
        directions: trees like `base`.
        coordinates: one row per point, (points, directions).
        batching: how many points run together, which changes nothing but speed, memory and rounding: "loop" calls a compiled
            point after another, "map" puts that loop into the program, "vmap" runs all at once, an int that many at once.
            "measured" evaluates its first chunks in groups of 1, 4, 16, ..., while they fit into memory and become faster, and
            the rest in the fastest ones. A group that needs more memory than is free, as the compiler predicts, is not
            tried. On accelerators the first group of several is tried in both forms of `bnjax.ops.batched_kernels`, and the
            faster form is kept. Scans of the same shapes on the same device reuse the result, a resumed one the result in its
            file, and `measured_batching` lists all results. "auto" is "map" on a CPU, where it was the fastest, and inside
            compiled or mapped code; on accelerators it is "measured".
        mesh: devices over which points are spread, along all of its axes; None is the device where the parameters are.
        resume: a file of the points evaluated so far. A scan that finds it evaluates only the points that are missing; NaN is a
            value, not a gap. The file remains when the scan is complete.
        identity: arrays that, with the coordinates, identify the scan in `resume`; None is `base`, `directions` and, if it is a
            pytree, `measure`. Computed values, which differ by rounding on another machine, do not belong there.
        precision: of all products that do not name one themselves, including those of a user's model, by the names of
            `jax.default_matmul_precision`; None is what the caller has set with it, or else "highest". On a CPU all are the
            same; by default a GPU rounds float32 operands to 10 bits and a TPU to 7, which hides the effect of small steps.
        show_progress: show a bar on a terminal where the scan takes more than two seconds.

    Returns:
        What `measure` returns, stacked along a new first axis.

    Raises:
        ValueError: if shapes do not fit, `base` holds whole numbers, `batching` or `precision` is unknown, or `resume`
            belongs to another scan.
        MemoryError: if not even one point fits into memory.

    Example:
        >>> from bnjax import probes
        >>> directions = [jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])]
        >>> coordinates = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> print(probes.evaluate_points(jnp.linalg.norm, jnp.zeros(2), directions, coordinates))
        [0. 5.]
    """
    check_batching(batching)
    _check_trees(base, directions)
    if not isinstance(coordinates, Array | np.ndarray):
        coordinates = jnp.asarray(coordinates, float)
    if coordinates.ndim != 2 or coordinates.shape[1] != len(directions) or not coordinates.shape[0]:
        raise ValueError(
            f"coordinates must have shape (points, {len(directions)}), one column per direction and at least one row, "
            f"got {coordinates.shape}."
        )
    batching = resolve(batching, base, mesh)
    group_size = batching if isinstance(batching, int) else len(coordinates) if batching == "vmap" else None
    if is_tracing():
        return compiled(_evaluate, measure, group_size=group_size)(base, directions, jnp.asarray(coordinates))

    rows = np.asarray(coordinates)
    if not np.isfinite(rows).all():
        raise ValueError(f"coordinates must be finite, got {rows[~np.isfinite(rows)][0]}.")
    if identity is None:
        identity = (base, directions, measure if is_pytree(measure) else None)
    if mesh is not None:
        everywhere = NamedSharding(mesh, PartitionSpec())
        base, directions = jax.device_put((base, directions), everywhere)
        measure = jax.device_put(measure, everywhere) if is_pytree(measure) else measure

    @functools.cache
    def make_program(group_size: int | None) -> Callable[..., PyTree]:
        if mesh is None:
            return compiled(_evaluate, measure, group_size=group_size)
        return compiled(_evaluate_on_mesh, measure, group_size=group_size, mesh=mesh)

    def evaluate(rows: np.ndarray, group_size: int | None) -> PyTree:
        spread = None if mesh is None else NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        return make_program(group_size)(base, directions, jax.device_put(rows, spread))

    devices = groups.devices_of((base, directions, measure), mesh)
    return run_chunks(
        evaluate,
        rows,
        group_size=group_size,
        one_by_one=batching == "loop",
        multiple_of=1 if mesh is None else mesh.size,
        trials=_trials(measure, (base, directions), devices) if batching == "measured" else None,
        devices=devices,
        resume=resume,
        identity=with_rounding(identity, base, mesh),
        show_progress=show_progress,
    )


def resolve(batching: Batching, base: Params, mesh: Mesh | None) -> Batching:
    """Return how points run: "auto" measures on accelerators only, and nothing is measured inside compiled code."""
    if batching == "auto":
        batching = "map" if platform_of(base, mesh) == "cpu" else "measured"
    return "map" if batching == "measured" and is_tracing() else batching


def _trials(measure: Callable[[Params], PyTree], arguments: PyTree, devices: Sequence[Any]) -> Trials:
    """Return the trials of groups of a measure's points."""
    is_kept = is_pytree(measure)
    owner = jax.tree.structure(measure) if is_kept else None
    trials = groups.trials_of(groups.make_key("points", measure, arguments, devices), owner, forms_on(devices))
    if not is_kept:
        trials.forget_programs()
    return trials


def with_rounding(identity: PyTree, base: Params, mesh: Mesh | None) -> PyTree:
    """Add the precision of products to a scan's identity if the platform rounds them."""
    precision = current_precision()
    return (identity, precision) if product_rounding(precision, platform_of(base, mesh)) else identity


def _check_trees(base: Params, directions: Sequence[Params]) -> None:
    """Raise unless a base can be moved, and the directions are like it."""
    check_inexact("base", base)
    for i, direction in enumerate(directions):
        check_alike(f"directions[{i}]", direction, base, "base")


def is_tracing() -> bool:
    """Return whether this runs inside jit, vmap or grad, where values may not be concrete."""
    return get_opaque_trace_state() != _TOP_LEVEL


def probed_info(loss_fn: LossFn, params: Params, mesh: Mesh | None = None) -> ObjectiveInfo:
    """Return how a loss was made, and the precision and platform in which the current probe evaluates it."""
    return replace(objective_info(loss_fn), precision=current_precision(), platform=platform_of(params, mesh))


def check_batching(batching: Any) -> None:
    """Raise if `batching` is not a way to run points."""
    is_count = isinstance(batching, int) and not isinstance(batching, bool) and batching >= 1
    if batching not in ("auto", "loop", "map", "vmap", "measured") and not is_count:
        words = "'auto', 'loop', 'map', 'vmap', 'measured' or a number >= 1"
        raise ValueError(f"batching must be {words}, got {batching!r}.")


def is_pytree(fn: Any) -> bool:
    """Return whether compiled code can take a callable, or a tree of them, as an argument of arrays and numbers."""
    if jax.tree_util.all_leaves([fn]):
        return False
    return all(
        isinstance(leaf, Array | np.ndarray | np.generic | complex | float | int) for leaf in jax.tree.leaves(fn)
    )


def compiled(program: Callable[..., PyTree], fn: Any, **options: Hashable) -> Callable[..., PyTree]:
    """Compile `program(fn, *arguments, **options)`, as a function of the arguments.

    If `fn` is a pytree, the program is compiled once per shape. Any other `fn` may close over values that change before the
    next call, such as a batch, so its program is compiled again.
    """
    if is_pytree(fn):
        return lambda *arguments: run(_call, (program, options), (fn, *arguments), owner=model_in(fn))
    return jitted(partial(program, fn, **options))


def _call(program: Callable[..., PyTree], options: dict[str, Any], fn: Any, *arguments: PyTree) -> PyTree:
    """Call a program on a callable that is a pytree."""
    return program(fn, *arguments, **options)


def point(base: Params, directions: Sequence[Params], row: Float[Array, " directions"]) -> Params:
    """Make one point, in the types of `base`."""

    def move(leaf: Array, *steps: Array) -> Array:
        return leaf + sum(c.astype(leaf.dtype) * step.astype(leaf.dtype) for c, step in zip(row, steps, strict=True))

    return jax.tree.map(move, base, *directions)


def scalar_loss(loss_fn: Callable[[Params], Array], params: Params) -> Float[Array, ""]:
    """Evaluate a loss, or raise at trace time where it is not a floating-point scalar."""
    loss = loss_fn(params)
    if not isinstance(loss, Array | np.ndarray | np.generic | float | int):
        raise ValueError(f"loss_fn must return a floating-point scalar, got {type(loss).__name__}.")
    loss = jnp.asarray(loss)
    if loss.shape or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"loss_fn must return a floating-point scalar, got {loss.dtype} of shape {loss.shape}.")
    return loss


def _evaluate(
    measure: Callable, base: Params, directions: Sequence[Params], coordinates: Array, *, group_size: int | None
) -> PyTree:
    """Evaluate points one after another, or `group_size` at a time."""
    return jax.lax.map(lambda row: measure(point(base, directions, row)), coordinates, batch_size=group_size)


def _evaluate_on_mesh(
    measure: Callable,
    base: Params,
    directions: Sequence[Params],
    coordinates: Array,
    *,
    group_size: int | None,
    mesh: Mesh,
) -> PyTree:
    """Evaluate on each device its share of the points."""
    spread, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
    share: Any = partial(_evaluate, group_size=group_size)
    operands: tuple[Any, ...] = (measure, base, directions)
    if not is_pytree(measure):
        share, operands = partial(share, measure), (base, directions)
    specs = (*(everywhere for _ in operands), spread)
    # NOTE: unchecked, since a constant initial value of a loop, such as a sum's 0, counts as replicated over all devices.
    on_devices = jax.shard_map(share, mesh=mesh, in_specs=specs, out_specs=spread, check_vma=False)
    return on_devices(*operands, coordinates)

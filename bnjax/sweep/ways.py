"""One function of many runs: in a loop, on all cores, mapped, in groups, and over a mesh of devices."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from bnjax._host import bounds, groups
from bnjax._host.batched import FORMS, Form, current_form, form_context, forms_on
from bnjax._host.cores import count_cores
from bnjax._host.kinds import described
from bnjax._host.memory import TooLargeError, halved, is_out_of_memory
from bnjax._host.programs import compiled_once, is_compiling
from bnjax._host.sharding import place
from bnjax._host.trials import Group

Batching = Literal["auto", "loop", "threads", "map", "vmap", "measured"] | int


class Way(NamedTuple):
    """How runs share a machine, which changes nothing but speed, memory and rounding.

    Attributes:
        batching: "loop" calls the program of one run after another; "threads" calls it from a thread per core; "map" puts the
            loop into the program; "vmap" trains all at once, an int that many at once, and half as many where they do not
            fit into memory. "measured" tries a few steps with 1, 4, 16, ... and all runs at once, before the first step of a
            training by `train_grid` or `train_groups`, which keeps to the fastest, also where it is resumed; elsewhere it is
            "vmap". A group that needs more memory than is free, as the compiler predicts, is not tried. "auto" is "threads"
            on CPU, "map" on several CPU devices, and "measured" on accelerators. Inside a compiled function, all of them except
            "vmap" and an int are "map".
        mesh: devices over which whole runs are spread.
        axis: of the mesh, along which they are spread.
        kernels: the form of `bnjax.ops.batched_kernels` in which runs are trained together; None is the context's form.
            "measured" tries both on accelerators.

    Example:
        >>> from bnjax import sweep
        >>> print(sweep.Way("vmap").batching, sweep.Way().batching)
        vmap auto
    """

    batching: Batching = "auto"
    mesh: Mesh | None = None
    axis: str = "runs"
    kernels: Form | None = None


AUTO = Way()
# The most arrays that one program stacks or unstacks; one of ten thousand takes minutes to compile. Beyond that, each leaf has
# a program of its own.
_MOST_ARRAYS = 1000
# Reduced group sizes that fitted into memory, by the function that makes the trainers, and by the call.
_fitting: "WeakKeyDictionary[Callable[..., Any], dict[tuple, int]]" = WeakKeyDictionary()


def for_each(program: Callable[..., PyTree], fixed: tuple, runs: PyTree, shared: PyTree, way: Way) -> PyTree:
    """Call `program(*fixed, run, shared)` for each run.

    Args:
        program: function of one run.
        fixed: constant arguments of the compiled program; it is freed with the first one, which makes the trainer.
        runs: arrays with one entry per run.
        shared: arguments that are the same for all runs.
        way: how runs share the machine.

    Returns:
        What `program` returns, stacked along a new first axis.

    Raises:
        ValueError: if there is no such way.
        MemoryError: if not even one run fits into memory.
    """
    batching = resolve(way)
    way = way._replace(kernels=way.kernels or current_form())
    num_runs, share = _count(runs, way)
    if batching in ("loop", "threads"):

        def one(run: PyTree) -> PyTree:
            with form_context(way.kernels or "grouped"):  # each thread has a context of its own
                # NOTE: without waiting, all runs would be computed at once, and be in each other's way.
                return jax.block_until_ready(_one(program, fixed, run, shared))

        with ThreadPoolExecutor(1 if batching == "loop" else count_cores()) as pool:
            return stack([*pool.map(one, unstack(runs))])
    fitting, key = _fitting.setdefault(_make_trainer(program, fixed), {}), (program, fixed[1:], num_runs, way)
    group_size = batching if isinstance(batching, int) else None if batching == "map" else share
    group_size = fitting.get(key, group_size)
    while True:
        try:
            return _in_groups(program, fixed, group_size, runs, shared, way)
        except jax.errors.JaxRuntimeError as error:
            fitting[key] = group_size = halved(group_size, error, "run")


def settle(program: Callable[..., PyTree], fixed: tuple, runs: PyTree, shared: PyTree, way: Way) -> Way:
    """Call a program with growing groups of runs, and return the fastest way; arguments are as in `for_each`.

    The first call of each group compiles, the second is timed. A group that needs more memory than is free, as the compiler
    predicts, is not called. Groups that were measured before, or are recorded with the active run, are not measured again. If
    the devices belong to several processes, these call this together, and the first one's clock decides.

    Raises:
        MemoryError: if not even one run fits into memory.
    """
    num_runs, share = _count(runs, way)
    devices = groups.devices_of((runs, shared), way.mesh)
    trials = groups.trials_of(groups.make_key("runs", program, (runs, shared), devices), fixed, forms_on(devices))
    is_shared = groups.are_shared(devices)
    while share > 1 and (group := trials.untried(share, ends_there=True)):
        try:
            for _ in range(2):
                with bounds.within_memory(trials, num_runs, group, devices, is_shared):
                    start = groups.clock()
                    _in_groups(program, fixed, _number(group), runs, shared, way._replace(kernels=group.kernels))
                trials.note(num_runs, group, groups.agreed(groups.clock() - start, is_shared))
        except (jax.errors.JaxRuntimeError, TooLargeError) as error:
            is_final = group.size == 1 or not is_out_of_memory(error)
            halved(group.size, error, "run") if is_final else trials.fail(group, error)
    fastest = trials.fastest
    return way._replace(batching=_number(fastest) or "map", kernels=fastest.kernels)


def _number(group: Group) -> int | None:
    """Return how many runs are trained together, None for one."""
    return None if group.size == 1 else group.size


def _count(runs: PyTree, way: Way) -> tuple[int, int]:
    """Count the runs, and the runs per device."""
    num_runs = len(jax.tree.leaves(runs)[0])
    return num_runs, num_runs if way.mesh is None else -(-num_runs // way.mesh.shape[way.axis])


def resolve(way: Way) -> Batching:
    """Return how runs are batched, chosen by the backend where it is "auto".

    Raises:
        ValueError: if there is no such way.
    """
    if not isinstance(way, Way):
        raise ValueError(f"way must be a Way, such as sweep.Way('vmap'), got {described(way)}.")
    batching = way.batching
    ways = ("auto", "loop", "threads", "map", "vmap", "measured")
    is_count = isinstance(batching, int) and not isinstance(batching, bool) and batching >= 1
    if batching not in ways and not is_count:
        raise ValueError(f"batching must be one of {', '.join(ways)} or a number >= 1, got {batching!r}.")
    if way.kernels not in (None, *FORMS):
        raise ValueError(f"kernels must be {', '.join(map(repr, FORMS))} or None, got {way.kernels!r}.")
    if way.mesh is not None and way.axis not in way.mesh.axis_names:
        raise ValueError(f"axis must be one of the mesh's, {', '.join(way.mesh.axis_names)}, got {way.axis!r}.")
    if way.mesh is not None and batching in ("loop", "threads"):
        raise ValueError(
            f"batching must be map, vmap, measured or a number where runs are spread over a mesh, got {batching}."
        )
    if is_compiling() and batching in ("auto", "loop", "threads", "measured"):
        return "map"
    if batching != "auto":
        return batching
    on_cpu = "threads" if way.mesh is None else "map"
    return on_cpu if jax.default_backend() == "cpu" else "measured"


def _in_groups(
    program: Callable[..., PyTree], fixed: tuple, group_size: int | None, runs: PyTree, shared: PyTree, way: Way
) -> PyTree:
    """Call the program for `group_size` runs at a time, and wait for the results."""
    with nullcontext() if way.kernels is None else form_context(way.kernels):
        if way.mesh is None:
            return jax.block_until_ready(_together(program, fixed, group_size, runs, shared))
        return jax.block_until_ready(_spread(program, fixed, group_size, runs, shared, way))


def _make_trainer(program: Callable[..., PyTree], fixed: tuple, *_: Any) -> Any:
    """Return the owner of the programs of runs: the function that makes the trainer, or else the program."""
    return (*fixed, program)[0]


@compiled_once("program", "fixed", owner=_make_trainer)
def _one(program: Callable[..., PyTree], fixed: tuple, run: PyTree, shared: PyTree) -> PyTree:
    """Call the program for one run."""
    return program(*fixed, run, shared)


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Join trees, one per run, along a new first axis."""
    form, num_leaves = jax.tree.structure(trees[0]), len(jax.tree.leaves(trees[0]))
    if num_leaves * len(trees) <= _MOST_ARRAYS:
        return _stack(trees)
    columns = zip(*map(form.flatten_up_to, trees), strict=True)
    return jax.tree.unflatten(form, [_stack(column) for column in columns])


def unstack(tree: PyTree) -> list[PyTree]:
    """Split a tree whose leaves have an entry per run into one tree per run."""
    leaves, form = jax.tree.flatten(tree)
    if len(leaves) * len(leaves[0]) <= _MOST_ARRAYS:
        return _unstack(tree)
    return [jax.tree.unflatten(form, row) for row in zip(*map(_unstack, leaves), strict=True)]


@compiled_once()
def _stack(trees: Sequence[PyTree]) -> PyTree:
    """Join trees in one program."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@compiled_once()
def _unstack(tree: PyTree) -> list[PyTree]:
    """Split a tree in one program."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(len(jax.tree.leaves(tree)[0]))]


@compiled_once("program", "fixed", "group_size", owner=_make_trainer)
def _together(
    program: Callable[..., PyTree], fixed: tuple, group_size: int | None, runs: PyTree, shared: PyTree
) -> PyTree:
    """Call the program for one run after another, or for `group_size` at a time."""
    # NOTE: `jax.lax.map` divides by sizes, so arrays without entries are left out.
    shapes, found_shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), runs), []

    def one(run: PyTree) -> PyTree:
        found = program(*fixed, _with_empty(run, shapes), shared)
        found_shapes.append(jax.tree.map(jax.typeof, found))
        return _without_empty(found)

    found, num_runs = jax.lax.map(one, _without_empty(runs), batch_size=group_size), len(jax.tree.leaves(runs)[0])
    return _with_empty(found, found_shapes[0], num_runs)


def _without_empty(tree: PyTree) -> PyTree:
    """Replace arrays without entries by None."""
    return jax.tree.map(lambda leaf: leaf if jnp.size(leaf) else None, tree)


def _with_empty(tree: PyTree, shapes: PyTree, *leading: int) -> PyTree:
    """Put arrays without entries back where they were replaced, with leading axes added."""

    def filled(like: Any, leaf: Any) -> Any:
        return jnp.zeros((*leading, *like.shape), like.dtype) if leaf is None else leaf

    return jax.tree.map(filled, shapes, tree)


def _spread(
    program: Callable[..., PyTree], fixed: tuple, group_size: int | None, runs: PyTree, shared: PyTree, way: Way
) -> PyTree:
    """Distribute the runs over the devices; if their number is not divisible, some are computed twice."""
    assert way.mesh is not None
    num_runs, num_devices = len(jax.tree.leaves(runs)[0]), way.mesh.shape[way.axis]
    rows = np.resize(np.arange(num_runs), -(-num_runs // num_devices) * num_devices)
    spread, everywhere = (NamedSharding(way.mesh, spec) for spec in (PartitionSpec(way.axis), PartitionSpec()))
    runs = place(jax.tree.map(lambda leaf: leaf[rows], runs), spread)
    found = _on_devices(program, fixed, group_size, runs, place(shared, everywhere), way)
    return jax.tree.map(lambda leaf: leaf[:num_runs], found)


@compiled_once("program", "fixed", "group_size", "way", owner=_make_trainer)
def _on_devices(
    program: Callable[..., PyTree], fixed: tuple, group_size: int | None, runs: PyTree, shared: PyTree, way: Way
) -> PyTree:
    """Call the program on each device for its runs."""
    share: Any = partial(_together, program, fixed, group_size)
    specs = (PartitionSpec(way.axis), PartitionSpec())
    # NOTE: unchecked, since a constant, such as the NaN of an inactive run, counts as replicated over all devices.
    options: Any = {"mesh": way.mesh, "axis_names": {way.axis}, "check_vma": False}
    return jax.shard_map(share, in_specs=specs, out_specs=specs[0], **options)(runs, shared)

"""Shard the examples of each batch over one axis of a mesh of devices, and replicate everything else."""

from typing import TypeVar

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from bnjax._host.programs import compiled_once

Tree = TypeVar("Tree", bound=PyTree)


def spread(tree: Tree, mesh: Mesh | None, axis: str) -> Tree:
    """Shard arrays over a mesh along their first axis, inside compiled code; results computed from them are sharded too.

    Args:
        tree: arrays with an entry per example.
        mesh: of devices; None leaves the arrays where they are.
        axis: of the mesh, over which the examples are sharded; they are replicated over other axes. Inside a `shard_map`
            over other axes of the mesh, each of its shards is sharded again.

    Returns:
        The same tree.

    Raises:
        ValueError: if the axis does not exist or is not of type Auto, or its devices do not divide the examples.
    """
    if mesh is None:
        return tree
    num_shares = count_shares(mesh, axis)
    for leaf in jax.tree.leaves(tree):
        if len(leaf) % num_shares:
            raise ValueError(
                f"batch_size must be a multiple of the {num_shares} devices that share it, got {len(leaf)}."
            )
    return jax.lax.with_sharding_constraint(tree, _sharding(mesh, axis))


def everywhere(tree: Tree, mesh: Mesh | None) -> Tree:
    """Replicate arrays on all devices of a mesh, including those of other processes.

    Args:
        tree: arrays, the same in every process.
        mesh: of devices; None leaves the arrays where they are.

    Returns:
        The same tree.
    """
    return tree if mesh is None else _placed(tree, _sharding(mesh))


def place(tree: Tree, sharding: NamedSharding) -> Tree:
    """Move arrays and keys to the devices of a sharding; across several processes they are the same in each of these."""
    # NOTE: jax.device_put rejects keys where devices belong to other processes, and a compiled function arrays of one device.
    return jax.device_put(tree, sharding) if sharding.is_fully_addressable else _placed(tree, sharding)


@compiled_once("sharding")
def _placed(tree: Tree, sharding: NamedSharding) -> Tree:
    """Move arrays in a compiled program."""
    return jax.lax.with_sharding_constraint(tree, sharding)


def check_shares(batch_size: int, mesh: Mesh | None, axis: str) -> None:
    """Raise unless a batch can be sharded.

    Raises:
        ValueError: if the mesh has no such axis, or its devices do not divide the examples.
    """
    num_shares = count_shares(mesh, axis)
    if batch_size % num_shares:
        raise ValueError(f"batch_size must be a multiple of the {num_shares} devices that share it, got {batch_size}.")


def count_shares(mesh: Mesh | None, axis: str) -> int:
    """Count the devices that share a batch.

    Raises:
        ValueError: if the mesh has no such axis.
    """
    if mesh is None:
        return 1
    if axis not in mesh.axis_names:
        raise ValueError(f"axis must be one of the mesh's, {', '.join(mesh.axis_names)}, got {axis!r}.")
    return mesh.shape[axis]


def _sharding(mesh: Mesh, *axes: str) -> NamedSharding:
    """Make a sharding that the compiler completes, over the surrounding mesh if there is one."""
    around = jax.sharding.get_abstract_mesh()
    if around.empty:
        return NamedSharding(Mesh(mesh.devices, mesh.axis_names), PartitionSpec(*axes))
    types = dict(zip(around.axis_names, around.axis_types, strict=True))
    for axis in axes:
        if types.get(axis) != AxisType.Auto:
            rule = "an axis of the surrounding mesh of type Auto, as make_mesh(..., axis_types=...) makes it"
            raise ValueError(f"axis must be {rule}, got {axis!r} of type {types.get(axis)}.")
    return NamedSharding(around, PartitionSpec(*axes))

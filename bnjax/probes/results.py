"""What probes return: named tuples of arrays that go to npz files and come back the same, without pickles.

A file holds each field by its name and, under `_result`, the name of the class, which `load` finds among those that are
registered.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax._host.files import write_whole
from bnjax.types import ObjectiveInfo

Result = TypeVar("Result", bound=tuple)

_HEADER = "_result"
_REGISTRY: dict[str, type[tuple]] = {}


@jax.tree_util.register_static
class Word(str):
    """A string that results under jit and vmap can carry, as a pytree without leaves."""


@jax.tree_util.register_static
class LayerNames(tuple):
    """Names of layers: a tuple of strings, and a pytree without leaves, so that results under jit can carry it."""


class Band(NamedTuple):
    """How values spread over repetitions.

    Attributes:
        low: the smallest.
        mean: the average.
        high: the largest.
        standard_error: of the mean, with the estimator 1/(n-1) of the variance; NaN for one repetition.
        num: how many repetitions, n.
    """

    low: Array
    mean: Array
    high: Array
    standard_error: Array
    num: int


def band(values: Array, axis: int = 0) -> Band:
    """Summarise repetitions (seeds, batches, directions, checkpoints) along an axis.

    Args:
        values: numbers with repetitions along `axis`.
        axis: which axis.

    Returns:
        Band, whose arrays lack that axis.
    """
    num = values.shape[axis]
    std = jnp.std(values, axis, ddof=1) if num > 1 else jnp.full_like(jnp.mean(values, axis), jnp.nan)
    return Band(jnp.min(values, axis), jnp.mean(values, axis), jnp.max(values, axis), std / num**0.5, num)


def register(cls: type[Result]) -> type[Result]:
    """Let `load` find a class of results by its name; a decorator."""
    _REGISTRY[cls.__name__] = cls
    return cls


def registered() -> dict[str, type[tuple]]:
    """Return the classes that `load` knows, by name."""
    return dict(_REGISTRY)


def save_result(result: Any, path: str | os.PathLike) -> None:
    """Write a named tuple as an npz file, whole or not at all.

    Args:
        result: its fields are arrays, trees of them (dictionaries, lists, tuples, and registered results that are made of
            such trees), objective info, names of layers, strings, numbers, or None.
        path: where; nothing is appended to the name.

    Raises:
        ValueError: if a field is something else.
    """
    arrays: dict[str, Any] = {}
    for name, value in result._asdict().items():
        arrays |= _flat(name, value)
    # NOTE: numpy forgets the names of types that are not its own, such as bfloat16.
    dtypes = {key: array.dtype.name for key, array in arrays.items() if array.dtype.kind == "V"}
    arrays[_HEADER] = np.asarray(json.dumps({"class": type(result).__name__, "dtypes": dtypes}))
    write_whole(Path(path), lambda file: np.savez(file, **arrays))


def load_result(cls: type[Result], path: str | os.PathLike) -> Result:
    """Read what `save_result` wrote, strings and names of layers such that results under jit can carry them.

    Args:
        cls: the class of the result. Fields that the file lacks, since they are newer, get their default.
        path: the file; one from before classes were recorded is known by its fields.

    Raises:
        ValueError: if the file holds something else.
    """
    name, fields = _read(path)
    if name not in (None, cls.__name__):
        raise ValueError(f"{path} must hold {cls.__name__}, got {name}.")
    return _make(cls, fields, path)


def load(path: str | os.PathLike) -> Any:
    """Read the result of any probe, whichever the file holds.

    Args:
        path: where its `save` wrote it.

    Returns:
        LineScan, PlaneScan, CovariateShift, ...: an object of the class that was saved.

    Raises:
        ValueError: if the file holds no result, or does not say which, as those from before classes were recorded: these
            are read by the class's own `load`.
    """
    name, fields = _read(path)
    if name is None:
        raise ValueError(f"{path} must name the class of its result, got only the fields {', '.join(fields)}.")
    if name not in _REGISTRY:
        raise ValueError(f"{path} must hold one of {', '.join(sorted(_REGISTRY))}, got {name}.")
    return _make(_REGISTRY[name], fields, path)


def _make(cls: type[Result], fields: dict[str, Any], path: str | os.PathLike) -> Result:
    """Make a result of its fields."""
    known: Any = cls
    missing = [name for name in known._fields if name not in fields and name not in known._field_defaults]
    if missing or not fields.keys() <= set(known._fields):
        expected, found = ", ".join(known._fields), ", ".join(fields)
        raise ValueError(f"{path} must hold {cls.__name__}, with the fields {expected}; got {found or 'none'}.")
    return cls(**fields)


def _read(path: str | os.PathLike) -> tuple[str | None, dict[str, Any]]:
    """Read the class's name, None where there is none, and the fields."""
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            header = json.loads(str(arrays.pop(_HEADER, '{"class": null, "dtypes": {}}')))
            groups: dict[str, dict[str, Any]] = {}
            for key, array in arrays.items():
                name, _, rest = key.partition("|")
                groups.setdefault(name, {})[rest] = array.view(jnp.dtype(header["dtypes"].get(key, array.dtype)))
            return header["class"], {name: _value(parts) for name, parts in groups.items()}
        except Exception:  # NOTE: of half a dozen types, and np.load calls a text file a pickle.
            raise ValueError(f"{path} must be the whole file of a result, got another one or a part of one.") from None


def _flat(name: str, value: Any) -> dict[str, np.ndarray]:
    """List what stands for one field: its name, or its name and a word, with an array each."""
    if isinstance(value, ObjectiveInfo):
        return {f"{name}|json:ObjectiveInfo": np.asarray(json.dumps(asdict(value)))}
    if isinstance(value, jax.Array | np.ndarray):
        return {name: np.asarray(value)}
    if value is None or isinstance(value, str | int | float | LayerNames):
        return {f"{name}|json:": np.asarray(json.dumps(value))}
    leaves: list[np.ndarray] = []

    def describe(node: Any) -> Any:
        if isinstance(node, jax.Array | np.ndarray):
            leaves.append(np.asarray(node))
            return len(leaves) - 1
        if node is None:
            return None
        kind = type(node).__name__
        if _REGISTRY.get(kind) is type(node):
            return {kind: [[key, describe(child)] for key, child in node._asdict().items()]}
        if type(node) is dict and all(isinstance(key, str | int) for key in node):
            return {"dict": [[key, describe(child)] for key, child in node.items()]}
        if type(node) in (list, tuple):
            return {kind: [describe(child) for child in node]}
        raise ValueError(
            f"{name} must be an array or made of dictionaries, lists and tuples of them, got {type(node)}."
        )

    tree = np.asarray(json.dumps(describe(value)))
    return {f"{name}|tree:": tree, **{f"{name}|leaf:{i}": leaf for i, leaf in enumerate(leaves)}}


def _value(parts: dict[str, np.ndarray]) -> Any:
    """Undo `_flat`."""
    if "" in parts:
        return jnp.asarray(parts[""])
    if "json:ObjectiveInfo" in parts:
        return ObjectiveInfo(**json.loads(str(parts["json:ObjectiveInfo"])))
    if "json:" in parts:
        value = json.loads(str(parts["json:"]))
        return Word(value) if isinstance(value, str) else LayerNames(value) if isinstance(value, list) else value
    if "tree:" in parts:
        return _tree(json.loads(str(parts["tree:"])), lambda i: jnp.asarray(parts[f"leaf:{i}"]))
    # NOTE: dictionaries of arrays, as they were written before trees were.
    return {key.removeprefix("key:"): jnp.asarray(array) for key, array in parts.items()}


def _tree(node: Any, leaf: Callable[[int], Array]) -> Any:
    """Make a tree as it was described."""
    if node is None or isinstance(node, int):
        return None if node is None else leaf(node)
    ((kind, children),) = node.items()
    if kind == "dict":
        return {key: _tree(child, leaf) for key, child in children}
    if kind in _REGISTRY:
        return _REGISTRY[kind](**{key: _tree(child, leaf) for key, child in children})
    return {"list": list, "tuple": tuple}[kind](_tree(child, leaf) for child in children)

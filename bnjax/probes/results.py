"""Results of probes: named tuples of arrays that are saved to npz files and loaded unchanged, without pickles.

A file holds each field by its name and, under `_result`, the name of the class, which `load` looks up among the registered
ones.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax._host.archives import ArchiveError, read_arrays
from bnjax._host.arguments import checked
from bnjax._host.files import is_passing, write_whole
from bnjax._host.output import printable
from bnjax.probes.shown import to_png, to_words
from bnjax.types import ObjectiveInfo

Result = TypeVar("Result", bound=tuple)

_HEADER = "_result"
_REGISTRY: dict[str, type[tuple]] = {}


@jax.tree_util.register_static
class Word(str):
    """A string that results under jit and vmap can carry, as a pytree without leaves."""


@jax.tree_util.register_static
class LayerNames(tuple):
    """Names of layers: a tuple of strings, and a pytree without leaves, so that results under jit can carry it.

    Example:
        >>> from bnjax import probes
        >>> names = probes.LayerNames(("dense_1", "dense_2"))
        >>> print(names[1], jax.tree.leaves(names))
        dense_2 []
    """


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


@checked()
def band(values: Array, axis: int = 0) -> Band:
    """Summarise repetitions (seeds, batches, directions, checkpoints) along an axis.

    Args:
        values: numbers with repetitions along `axis`.
        axis: which axis.

    Returns:
        Band, whose arrays lack that axis.

    Example:
        >>> from bnjax import probes
        >>> found = probes.band(jnp.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> print(found.low, found.mean, found.high, found.num)
        [1. 5.] [2. 5.] [3. 5.] 2
    """
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be one of the {values.ndim} of values, got {axis}.")
    if not values.size:
        raise ValueError(f"values must hold at least one number, got shape {values.shape}.")
    num = values.shape[axis]
    std = jnp.std(values, axis, ddof=1) if num > 1 else jnp.full_like(jnp.mean(values, axis), jnp.nan)
    return Band(jnp.min(values, axis), jnp.mean(values, axis), jnp.max(values, axis), std / num**0.5, num)


def register(*properties: str) -> Callable[[type[Result]], type[Result]]:
    """Let `load` find a class of results by its name, and show its objects in a readable line; a decorator.

    Args:
        properties: names of the class's properties that the line shows, too.
    """

    def add(cls: type[Result]) -> type[Result]:
        _REGISTRY[cls.__name__] = cls
        known: Any = cls
        known.__repr__ = lambda self: to_words(self, properties)
        known._repr_png_ = to_png  # the method that notebooks call
        return cls

    return add


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
    """Read a result that `save_result` wrote, with strings and layer names as pytrees that results under jit can carry.

    Args:
        cls: the class of the result. Fields that the file lacks, since they are newer, get their default.
        path: the file; a file from before classes were recorded is identified by its fields.

    Raises:
        ValueError: if the file holds something else, arrays whose shapes do not fit together, or more than its size allows.
    """
    name, fields = _read(path)
    if name not in (None, cls.__name__):
        raise ValueError(f"{path} must hold {cls.__name__}, got {printable(name)}.")
    return _make(cls, fields, path)


@checked("path")
def load(path: str | os.PathLike) -> Any:
    """Read the result of any probe, whichever the file holds.

    Args:
        path: where its `save` wrote it.

    Returns:
        LineScan, PlaneScan, CovariateShift, ...: an object of the class that was saved.

    Raises:
        ValueError: if the file holds no result, or does not name its class, as in files from before classes were recorded,
            which the class's own `load` reads; if its arrays have shapes that do not fit together, or the file declares more
            than its size allows.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import probes
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.npz"
        >>> probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=(0.25, 0.5)).save(path)
        >>> print(type(probes.load(path)).__name__, probes.load(path).loss)
        LineScan [0.75 0.  ]
    """
    name, fields = _read(path)
    if name is None:
        listed = printable(", ".join(fields))
        raise ValueError(f"{path} must name the class of its result, got only the fields {listed}.")
    if name not in _REGISTRY:
        raise ValueError(f"{path} must hold one of {', '.join(sorted(_REGISTRY))}, got {printable(name)}.")
    return _make(_REGISTRY[name], fields, path)


def _make(cls: type[Result], fields: dict[str, Any], path: str | os.PathLike) -> Result:
    """Make a result from its fields."""
    known: Any = cls
    missing = [name for name in known._fields if name not in fields and name not in known._field_defaults]
    if missing or not fields.keys() <= set(known._fields):
        expected, found = ", ".join(known._fields), printable(", ".join(fields))
        raise ValueError(f"{path} must hold {cls.__name__}, with the fields {expected}; got {found or 'none'}.")
    try:
        return _fitting(cls, fields)
    except _MisfitError as error:
        raise ValueError(f"{path} must hold {error}") from None


class _MisfitError(ValueError):
    """Fields do not form a result; the message gives the requirement and the actual fields."""


def _fitting(cls: type[Result], fields: Mapping[str, Any]) -> Result:
    """Make a result from fields of the right types, whose array axes of equal names have equal sizes."""
    known: Any = cls
    sizes: dict[str, Any] = {name: len(names) for name, names in fields.items() if isinstance(names, LayerNames)}
    for name, value in fields.items():
        hint = known.__annotations__[name]
        if hint in (ObjectiveInfo, LayerNames, *_REGISTRY.values()) and not isinstance(value, hint):
            raise _MisfitError(f"{cls.__name__} with {name} of type {hint.__name__}, got {type(value).__name__}.")
        dims = _dims(hint)
        if dims is None or not isinstance(value, jax.Array | np.ndarray):
            continue
        if name in known._field_defaults and value.shape == np.shape(known._field_defaults[name]):
            continue  # missing, in a file from before it was measured
        num = value.ndim - len(dims)  # axes of a stack, before those that have names
        found = {"": value.shape[: max(num, 0)], **dict(zip(dims, value.shape[max(num, 0) :], strict=False))}
        if num < 0 or any(sizes.setdefault(dim, size) != size for dim, size in found.items()):
            shapes = ", ".join(
                f"{n} {np.shape(v)}" for n, v in fields.items() if _dims(known.__annotations__[n]) is not None
            )
            raise _MisfitError(f"arrays whose shapes fit together, got {cls.__name__} with {shapes}.")
    return cls(**fields)


def _dims(hint: Any) -> list[str] | None:
    """List the names of an array's axes, without those of a stack; None if the field is not an array."""
    first = get_args(hint)[0] if get_origin(hint) is Union else hint
    words = getattr(first, "dim_str", None)
    return None if words is None else [word for word in words.split() if not word.startswith("*")]


def _read(path: str | os.PathLike) -> tuple[str | None, dict[str, Any]]:
    """Read the class's name, None where there is none, and the fields."""
    try:
        arrays = read_arrays(path)
        header = json.loads(str(arrays.pop(_HEADER, '{"class": null, "dtypes": {}}')))
        groups: dict[str, dict[str, Any]] = {}
        for key, array in arrays.items():
            name, _, rest = key.partition("|")
            groups.setdefault(name, {})[rest] = array.view(jnp.dtype(header["dtypes"].get(key, array.dtype)))
        cls = header["class"]
        return cls if cls is None else str(cls), {name: _value(parts) for name, parts in groups.items()}
    except ArchiveError:
        raise
    except _MisfitError as error:  # in a result within this one
        raise ValueError(f"{path} must hold {error}") from None
    except Exception as error:  # NOTE: half a dozen types are raised, and np.load reports a text file as a pickle.
        if is_passing(error) or (isinstance(error, OSError) and error.filename is not None):  # cannot be opened
            raise
        raise ValueError(f"{path} must be the whole file of a result, got another one or a part of one.") from None


def _flat(name: str, value: Any) -> dict[str, np.ndarray]:
    """Return the arrays that represent one field, named by the field, or by the field and a word."""
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
    # NOTE: a dictionary of arrays, in the format from before trees were written.
    return {key.removeprefix("key:"): jnp.asarray(array) for key, array in parts.items()}


def _tree(node: Any, leaf: Callable[[int], Array]) -> Any:
    """Rebuild a tree from its description."""
    if node is None or isinstance(node, int):
        return None if node is None else leaf(node)
    ((kind, children),) = node.items()
    if kind == "dict":
        return {key: _tree(child, leaf) for key, child in children}
    if kind in _REGISTRY:
        return _fitting(_REGISTRY[kind], {key: _tree(child, leaf) for key, child in children})
    return {"list": list, "tuple": tuple}[kind](_tree(child, leaf) for child in children)

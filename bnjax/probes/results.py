"""What probes return: named tuples of arrays that go to npz files and come back the same, without pickles."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax.types import ObjectiveInfo

Result = TypeVar("Result", bound=tuple)


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


def save_result(result: Any, path: str | os.PathLike) -> None:
    """Write a named tuple as an npz file: arrays as they are, dictionaries of arrays, objective info, strings and numbers."""
    arrays: dict[str, Any] = {
        key: array for name, value in result._asdict().items() for key, array in _flat(name, value)
    }
    with open(path, "wb") as file:  # a path alone, and numpy would add a suffix
        np.savez(file, **arrays)


def load_result(cls: type[Result], path: str | os.PathLike) -> Result:
    """Read what `save_result` wrote."""
    with np.load(Path(path), allow_pickle=False) as arrays:
        groups: dict[str, dict[str, Any]] = {}
        for key in arrays.files:
            name, _, rest = key.partition("|")
            groups.setdefault(name, {})[rest] = arrays[key]
    return cls(**{name: _value(parts) for name, parts in groups.items()})


def _flat(name: str, value: Any) -> list[tuple[str, np.ndarray]]:
    """List what stands for one field: its name, or its name and a key, with an array each."""
    if isinstance(value, ObjectiveInfo):
        return [(f"{name}|json:ObjectiveInfo", np.asarray(json.dumps(asdict(value))))]
    if isinstance(value, dict):
        return [(f"{name}|key:{key}", np.asarray(array)) for key, array in value.items()]
    if isinstance(value, jax.Array | np.ndarray):
        return [(name, np.asarray(value))]
    return [(f"{name}|json:", np.asarray(json.dumps(value)))]


def _value(parts: dict[str, np.ndarray]) -> Any:
    """Undo `_flat`."""
    if "" in parts:
        return jnp.asarray(parts[""])
    if "json:ObjectiveInfo" in parts:
        return ObjectiveInfo(**json.loads(str(parts["json:ObjectiveInfo"])))
    if "json:" in parts:
        return json.loads(str(parts["json:"]))
    return {key.removeprefix("key:"): jnp.asarray(array) for key, array in parts.items()}

"""Display of results: as a line of text, and in notebooks, once `bnjax.draw` is imported, as a picture."""

import io
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from bnjax.types import ObjectiveInfo

_DRAWN_BY: list[Callable[[Any], Any]] = []


def draw_with(figure: Callable[[Any], Any]) -> None:
    """Let notebooks show results as pictures.

    Args:
        figure: makes the Matplotlib figure of a result; a ValueError or ImportError means that there is none.
    """
    _DRAWN_BY[:] = [figure]


def to_png(result: Any) -> bytes | None:
    """Draw a result for a notebook; None if it has no picture, or no drawing module has been imported."""
    for figure in _DRAWN_BY:
        try:
            picture = io.BytesIO()
            figure(result).savefig(picture, format="png")
            return picture.getvalue()
        except (ImportError, ValueError):
            return None
    return None


def to_words(result: Any, properties: tuple[str, ...] = ()) -> str:
    """Write a result in a line: shapes and ranges of its arrays, and how its loss was made.

    Args:
        result: a named tuple.
        properties: names of properties, beside its fields.

    Returns:
        A line. All-NaN arrays, whose quantities were not measured, are left out.
    """
    is_at_hand = all(_numbers(leaf) is not None for leaf in jax.tree.leaves(result)) if properties else False
    names = [*result._fields, *properties * is_at_hand]
    shown = [_field(name, getattr(result, name)) for name in names]
    return f"{type(result).__name__}({'; '.join(filter(None, shown))})"


def _field(name: str, value: Any) -> str:
    """Write a field with its name; empty if it is unknown."""
    if isinstance(value, ObjectiveInfo):
        return _objective(value)
    if isinstance(value, str):
        return f"{name} {str(value)!r}"
    if isinstance(value, int | float):
        return f"{name} {value:g}"
    if isinstance(value, tuple) and value and all(isinstance(word, str) for word in value):
        return f"{name} {', '.join(value)}" if len(value) <= 3 else f"{name} {value[0]} to {value[-1]} ({len(value)})"
    if isinstance(value, jax.Array | np.ndarray):
        return _array(name, value)
    return _tree(name, value)


def _objective(info: ObjectiveInfo) -> str:
    """Write how a loss was made."""
    batch = f", batch of {info.batch_size:,}" if info.batch_size else ""
    examples = f", {info.num_examples:,} examples" if info.num_examples > info.batch_size else ""
    return f"{info.statistics} statistics{batch}{examples}" if info.statistics != "unknown" else ""


def _array(name: str, value: Any) -> str:
    """Write an array's shape, and its smallest and largest number."""
    shape = f"[{', '.join(map(str, value.shape))}]" if value.ndim else ""
    numbers = _numbers(value)
    if numbers is None or not numbers.size:
        return f"{name}{shape} {value.dtype.name}"
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return "" if np.isnan(numbers).all() else f"{name}{shape} not finite"
    low, high = f"{finite.min():.4g}", f"{finite.max():.4g}"
    bad = numbers.size - finite.size
    return f"{name}{shape} {low if low == high else f'{low} to {high}'}{f' ({bad} not finite)' if bad else ''}"


def _numbers(value: Any) -> np.ndarray | None:
    """Return an array's real numbers, or magnitudes of complex ones; None if they are not available."""
    if isinstance(value, Tracer):
        return None
    if isinstance(value, jax.Array) and (value.is_deleted() or not value.is_fully_addressable):
        return None
    numbers = np.asarray(value)
    if numbers.dtype.kind == "c":
        return np.abs(numbers)
    return numbers.astype(np.float64) if numbers.dtype.kind in "biufV" else None


def _tree(name: str, value: Any) -> str:
    """Count the arrays of a tree and their numbers; a result within this one has its own line."""
    if hasattr(value, "_fields"):
        return f"{name} {value!r}"
    leaves = jax.tree.leaves(value)
    plural = "s" * (len(leaves) != 1)
    return f"{name} {sum(np.size(leaf) for leaf in leaves):,} numbers in {len(leaves)} array{plural}" if leaves else ""

"""Convert numbers of Python, NumPy and JAX, and lists of them, to Python's; imports nothing heavy."""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def as_whole(value: Any) -> int | None:
    """Return a whole number, or None for anything else."""
    value = _item(value)
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def as_wholes(values: Any) -> tuple[int, ...] | None:
    """Return a tuple of whole numbers, or None for anything else."""
    found = [as_whole(value) for value in values] if isinstance(values, Iterable) else [None]
    return None if None in found else tuple(number for number in found if number is not None)


def as_number(value: Any) -> float | int | None:
    """Return a real number, or None for anything else."""
    value = _item(value)
    if isinstance(value, Real) and not isinstance(value, bool | float | int):
        return float(value)
    return value if isinstance(value, float | int) and not isinstance(value, bool) else None


def _item(value: Any) -> Any:
    """Return an array of shape () as Python's number."""
    return value.item() if getattr(value, "shape", None) == () else value

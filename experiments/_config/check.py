"""Rules that fields keep, and configurations with a few fields changed."""

from dataclasses import replace
from typing import Any

# The limits of the types to which they are converted: Python's own numbers are unbounded, or end at 1.8e308.
_LARGEST = {int: (2**31 - 1, "at most 2147483647"), float: (3.4028234e38, "at most 3.4e38, float32's largest number")}
DIFFERENT = "one or more different numbers"


def check(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise a ValueError unless a field keeps its rule."""
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value}.")


def check_numbers(config: Any, rule: str, allowed: Any, *names: str) -> None:
    """Raise a ValueError unless each of these fields is, or holds, one or more different numbers that are allowed."""
    for name in names:
        values = getattr(config, name)
        items = values if isinstance(values, tuple) else (values,)
        check(len(set(items)) == len(items) > 0 and all(map(allowed, items)), name, rule, values)
        for item in items:
            largest, bound = _LARGEST.get(type(item), (item, ""))
            check(item <= largest, name, bound, values)


def check_arms(config: Any, *names: str) -> None:
    """Raise a ValueError if two numbers of a field agree to six digits, by which they name arms."""
    for name in names:
        values = getattr(config, name)
        rule = "numbers that differ in six digits, by which arms are named"
        check(len({*map(_written, values)}) == len(values), name, rule, values)


def _written(value: Any) -> str:
    """Format a number, or an optimiser and its learning rate, as in the name of an arm."""
    return f"{value[0]}_{value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def change(config: Any, **changes: Any) -> Any:
    """Return a configuration with some fields changed; a dictionary changes some fields of a field.

    >>> change(VGGRun(), seeds=(0, 1), model={"width": 0.25})
    """
    values = {
        name: change(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return replace(config, **values)

"""Allowed values and checks of fields that several shapes share; imports nothing heavy."""

import math
from dataclasses import fields
from typing import Any, Literal, get_args

from bnjax._host.numbers import as_number, as_whole, as_wholes

KernelInit = Literal["xavier_uniform", "xavier_normal", "he_normal", "normal", "orthogonal"]
XavierInit = Literal["xavier_uniform", "xavier_normal"]
VGGInit = Literal[XavierInit, "he_normal"]
Activation = Literal["sigmoid", "relu", "tanh", "elu"]
NormPosition = Literal["before", "after"]
_MOST_WEIGHTS = 2**31 - 1  # array entries are indexed by int32


def check_types(config: Any) -> None:
    """Check that fields of whole numbers, numbers and lists hold such; convert NumPy's and JAX's to Python's, lists to tuples.

    Raises:
        ValueError: if one holds something else; it names the field.
    """
    own = [field for field in fields(config) if field.init and _is_own(type(config), field.name)]
    for field in own:
        if field.type in _CONVERT:
            value = getattr(config, field.name)
            if (found := _CONVERT[field.type](value)) is None:
                raise ValueError(f"{field.name} must be {_WORDS[field.type]}, got {value!r}.")
            object.__setattr__(config, field.name, found)


def _is_own(cls: type, name: str) -> bool:
    """Return whether a class of this package, not one that a user derived from it, has declared a field."""
    return any(
        name in vars(base).get("__annotations__", {}) for base in cls.__mro__ if base.__module__.startswith("bnjax.")
    )


_CONVERT = {int: as_whole, float: as_number, tuple[int, ...]: as_wholes}
_WORDS = {int: "a whole number", float: "a number", tuple[int, ...]: "a list of whole numbers"}


def check_choices(config: Any, **choices: Any) -> None:
    """Raise a ValueError if a field is not one of the choices of its Literal."""
    for name, allowed in choices.items():
        if getattr(config, name) not in get_args(allowed):
            raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, got {getattr(config, name)!r}.")


def check_kernel_scale(value: float) -> None:
    """Raise a ValueError unless a number is a valid factor of initial weights."""
    if 3.4028234e38 < value < math.inf:
        raise ValueError(f"kernel_scale must be at most 3.4e38, float32's largest number, got {value}.")
    if not 0 < value < math.inf:
        raise ValueError(f"kernel_scale must be > 0 and finite, got {value}.")


def check_weights(name: str, value: Any, num: float | int) -> None:
    """Raise a ValueError where a field leads to more weights than an array can hold."""
    if num > _MOST_WEIGHTS:
        raise ValueError(f"{name} must lead to at most {_MOST_WEIGHTS} weights in an array, got {value}.")

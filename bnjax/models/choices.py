"""Allowed values and checks of fields that several shapes share; imports nothing heavy."""

import math
from typing import Any, Literal, get_args

KernelInit = Literal["xavier_uniform", "xavier_normal", "he_normal", "normal", "orthogonal"]
XavierInit = Literal["xavier_uniform", "xavier_normal"]
VGGInit = Literal[XavierInit, "he_normal"]
Activation = Literal["sigmoid", "relu", "tanh", "elu"]
NormPosition = Literal["before", "after"]
_MOST_WEIGHTS = 2**31 - 1  # array entries are indexed by int32


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

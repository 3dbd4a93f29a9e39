"""The precision of products: accelerators round the operands of float32 products, unless one asks for more.

JAX's state `jax.default_matmul_precision` is what every product and convolution is traced with that names no precision itself,
those of a user's own model too. It is part of what compiled programs are known by.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
from jax import Array, lax
from jax.core import Tracer
from jax.sharding import Mesh
from jaxtyping import PyTree

from bnjax._host.debugging import nan_is_a_value

P = ParamSpec("P")
R = TypeVar("R")

# Stored bits of a float32 operand, for "default" and "high": TF32 on a GPU; on a TPU bfloat16, and three products of it.
_BITS = {"gpu": (10, 10), "tpu": (7, 15)}
# Of algorithms, which JAX's state can name too, by the type of their operands; fewer for any other.
_BITS_OF_TYPE = {"F64": 52, "F32": 23, "TF32": 10, "F16": 10, "BF16": 7}


def current_precision() -> str:
    """Return JAX's state under one name for each precision, "default" if unset, "high" or "highest", or an algorithm."""
    state = precision_state()
    try:
        return lax.Precision(state or "default").name.lower()
    except ValueError:
        return str(state)


@contextmanager
def products_in(precision: str | None) -> Iterator[None]:
    """Trace products in a precision.

    Args:
        precision: as `jax.default_matmul_precision` takes it; None is the state that the caller has set, or else "highest".

    Raises:
        ValueError: if there is no such precision.
    """
    try:
        state = jax.default_matmul_precision((precision_state() or "highest") if precision is None else precision)
    except (TypeError, ValueError):
        words = "default, high, highest or another name that jax.default_matmul_precision takes"
        raise ValueError(f"precision must be {words}, got {precision!r}.") from None
    with state:
        yield


def with_precision(probe: Callable[P, R]) -> Callable[P, R]:
    """Run a function's products in what its keyword `precision` names, as `products_in`; a decorator.

    NOTE: a loss far out may well be NaN, and so is what was not asked for: to a probe that is a result, not an error.
    """

    @wraps(probe)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        precision: Any = kwargs.get("precision")
        with products_in(precision), nan_is_a_value():
            return probe(*args, **kwargs)

    return run


def platform_of(tree: PyTree, mesh: Mesh | None = None) -> str:
    """Return the platform of a mesh or of arrays, "cpu", "gpu" or "tpu"; of traced ones, the one that JAX compiles for."""
    if mesh is not None:
        return mesh.devices.flat[0].platform
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, Array) and not isinstance(leaf, Tracer):
            return next(iter(leaf.devices())).platform
    device: Any = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def product_rounding(precision: str, platform: str) -> float:
    """Return the relative distance of numbers that a float32 operand is rounded to; 0 where it is not, or nothing is known."""
    if "unknown" in (precision, platform) or platform == "cpu" or precision == "highest":
        return 0.0
    default, high = _BITS.get(platform, _BITS["tpu"])
    bits = {"default": default, "high": high}.get(precision) or _BITS_OF_TYPE.get(precision.split("_")[0], 2)
    return 0.0 if bits >= 23 else 2.0**-bits


def precision_state() -> str | None:
    """Return JAX's state, None if unset."""
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]

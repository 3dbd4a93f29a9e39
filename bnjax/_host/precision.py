"""The precision of products: accelerators round the operands of float32 products unless a higher precision is set.

JAX's state `jax.default_matmul_precision` applies to every product and convolution that does not name a precision itself,
including those of a user's model. It is part of the cache key of compiled programs.
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

# Mantissa bits kept of a float32 operand for "default" and "high": TF32 on a GPU; bfloat16, and three products of it, on a TPU.
_BITS = {"gpu": (10, 10), "tpu": (7, 15)}
# The same for algorithms, which JAX's state can name too, by the type of their operands; any other type keeps fewer.
_BITS_OF_TYPE = {"F64": 52, "F32": 23, "TF32": 10, "F16": 10, "BF16": 7}


def current_precision() -> str:
    """Return JAX's state by its canonical name: "default" (also if unset), "high", "highest", or an algorithm."""
    state = precision_state()
    try:
        return lax.Precision(state or "default").name.lower()
    except ValueError:
        return str(state)


@contextmanager
def products_in(precision: str | None) -> Iterator[None]:
    """Trace products in a precision.

    Args:
        precision: as `jax.default_matmul_precision` takes it; None is the caller's state, or "highest" if none is set.

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
    """Decorate a function so that its keyword `precision` sets the precision of its products, as in `products_in`.

    NOTE: losses far from the start may be NaN, and fields that were not requested are NaN: these are results, not errors.
    """

    @wraps(probe)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        precision: Any = kwargs.get("precision")
        with products_in(precision), nan_is_a_value():
            return probe(*args, **kwargs)

    return run


def platform_of(tree: PyTree, mesh: Mesh | None = None) -> str:
    """Return the platform of a mesh or of arrays, "cpu", "gpu" or "tpu"; of traced arrays, the default platform."""
    if mesh is not None:
        return mesh.devices.flat[0].platform
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, Array) and not isinstance(leaf, Tracer):
            return next(iter(leaf.devices())).platform
    device: Any = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def product_rounding(precision: str, platform: str) -> float:
    """Return the relative spacing to which float32 operands are rounded; 0 if they are not, or it is unknown."""
    if "unknown" in (precision, platform) or platform == "cpu" or precision == "highest":
        return 0.0
    default, high = _BITS.get(platform, _BITS["tpu"])
    bits = {"default": default, "high": high}.get(precision) or _BITS_OF_TYPE.get(precision.split("_")[0], 2)
    return 0.0 if bits >= 23 else 2.0**-bits


def precision_state() -> str | None:
    """Return JAX's state, None if unset."""
    return jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]

"""Find the feature axes of an array, and check that per-feature arrays fit them."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bnjax._host.arguments import described
from bnjax._host.trees import common_type, is_known
from bnjax.norms.statistics import AxisIndexGroups, AxisName, Reduction, make_reduction, spread_like

Axes = int | Sequence[int]


class Features(NamedTuple):
    """The feature axes of an array.

    Attributes:
        axes: counted from the front, ascending.
        shape: of the array.
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Shape of arrays with one entry per feature."""
        return tuple(self.shape[a] for a in self.axes)

    @overload
    def spread(self, value: Array) -> Array: ...
    @overload
    def spread(self, value: Array | None) -> Array | None: ...
    def spread(self, value: Array | None) -> Array | None:
        """Reshape an array with one entry per feature so that it broadcasts against x."""
        shape = tuple(n if a in self.axes else 1 for a, n in enumerate(self.shape))
        return None if value is None else value.reshape(shape)

    def reduction(self, axis_name: AxisName, axis_index_groups: AxisIndexGroups) -> Reduction:
        """Make the reduction over all other axes."""
        return make_reduction(all_but(len(self.shape), *self.axes), axis_name, axis_index_groups)


def as_floats(x: Any) -> Array:
    """Convert to an array, with integers and booleans as float32."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


def all_but(ndim: int, *kept: int) -> tuple[int, ...]:
    """List the axes that are not kept."""
    return tuple(a for a in range(ndim) if a not in kept)


def find_features(x: Array, axis: Axes, name: str = "axis") -> Features:
    """Find the feature axes, or raise if the argument of that name does not fit."""
    try:
        axes = tuple(map(operator.index, axis if isinstance(axis, Iterable) else (axis,)))
    except TypeError:
        raise ValueError(f"{name} must be a whole number or a tuple of them, got {axis!r}.") from None
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise ValueError(f"{name} must lie in [-{x.ndim}, {x.ndim}) for an array of rank {x.ndim}, got {a}.")
    return Features(tuple(sorted({a % x.ndim for a in axes})), x.shape)


def check_arguments(
    x: Array, stats: Any, scale: Array | None, bias: Array | None, mask: Any, axis: Axes, momentum: Any = 0.0
) -> tuple[Features, Array | None]:
    """Return the feature axes of x, and the mask in its rank; raise where an argument does not fit."""
    features = find_features(x, axis)
    if not (hasattr(stats, "mean") and hasattr(stats, "var")):
        got = type(stats).__name__
        raise ValueError(f"stats must be a BatchStats, as norms.init_batch_stats makes them, got {got}.")
    for name, value in (("mean", stats.mean), ("var", stats.var)):
        if not hasattr(value, "dtype"):
            raise ValueError(f"stats.{name} must be an array, got {described(value)}.")
    check_features(features, **{"stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias})
    for name, value in (("mean", stats.mean), ("var", stats.var)):
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            raise ValueError(f"stats.{name} must hold floating-point numbers, got {value.dtype}.")
    if momentum is None:
        raise ValueError("momentum must be a number, as norms.cumulative_momentum gives for plain averages, got None.")
    return features, fit_mask(x, mask)


def check_features(features: Features, **values: Array | None) -> None:
    """Raise where an array does not hold one value per feature."""
    for name, value in values.items():
        if value is not None and np.shape(value) != features.sizes:
            rule = f"{name} must have one entry per feature, shape {features.sizes}"
            raise ValueError(f"{rule}, got shape {np.shape(value)}.")


def fit_mask(x: Array, mask: Any) -> Array | None:
    """Expand a mask to the rank of x by NumPy's broadcasting; raise if it does not fit, or also fits from the front."""
    if mask is None:
        return None
    mask = jnp.asarray(mask)
    if mask.dtype != jnp.bool_:
        raise ValueError(f"mask must hold booleans, True where an entry counts, got {mask.dtype}.")

    def fits(tail: tuple[int, ...]) -> bool:
        return len(tail) == mask.ndim and all(m in (1, n) for m, n in zip(mask.shape, tail, strict=True))

    from_the_back = fits(x.shape[x.ndim - mask.ndim :]) if mask.ndim <= x.ndim else False
    from_the_front = mask.ndim < x.ndim and mask.size > 1 and fits(x.shape[: mask.ndim])
    if not from_the_back or from_the_front:
        rule = f"mask must have the rank of x, {x.shape}, and lengths equal to x's or 1"
        raise ValueError(f"{rule}, got shape {mask.shape}.")
    mask = mask.reshape((1,) * (x.ndim - mask.ndim) + mask.shape)
    is_spread = any(jax.typeof(x).sharding.spec)  # on an explicit mesh, `where` needs both sharded the same
    return spread_like(x, jnp.broadcast_to(mask, x.shape)) if is_spread else mask


def is_below(value: Any, lowest: int) -> bool:
    """Return whether a concrete number is below a bound or NaN; traced values are not checked."""
    return is_known(value) and not bool(np.all(np.asarray(value) >= lowest))


def divides(part: Any, whole: int) -> bool:
    """Return whether `part` is a positive integer that divides `whole`."""
    is_whole = isinstance(part, int | np.integer) and not isinstance(part, bool)
    return bool(is_whole and part >= 1 and whole % part == 0)


def promoted(y: Array, *operands: Array | None) -> Array:
    """Cast a result to the type that its operands promote to; a complex one stays complex."""
    dtype = common_type(*(o for o in operands if o is not None))
    return y.astype(jnp.result_type(dtype, jnp.complex64) if jnp.iscomplexobj(y) else dtype)

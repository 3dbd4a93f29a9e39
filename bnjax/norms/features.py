"""Which axes of an array hold features, and whether what belongs to the features fits them."""

from typing import Any, NamedTuple, overload

import jax.numpy as jnp
from jax import Array

from bnjax.norms.statistics import AxisIndexGroups, AxisName, Reduction, make_reduction

Axes = int | tuple[int, ...]


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
        """Shape of what has one entry per feature."""
        return tuple(self.shape[a] for a in self.axes)

    @overload
    def spread(self, value: Array) -> Array: ...
    @overload
    def spread(self, value: Array | None) -> Array | None: ...
    def spread(self, value: Array | None) -> Array | None:
        """Reshape what has one entry per feature so that it broadcasts against the array."""
        shape = tuple(n if a in self.axes else 1 for a, n in enumerate(self.shape))
        return None if value is None else value.reshape(shape)

    def reduction(self, axis_name: AxisName, axis_index_groups: AxisIndexGroups) -> Reduction:
        """Reduce over all other axes."""
        return make_reduction(all_but(len(self.shape), *self.axes), axis_name, axis_index_groups)


def all_but(ndim: int, *kept: int) -> tuple[int, ...]:
    """List the axes that are not kept."""
    return tuple(a for a in range(ndim) if a not in kept)


def find_features(x: Array, axis: Axes) -> Features:
    """Find the feature axes, or raise where `axis` does not fit."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise ValueError(f"axis must lie in [-{x.ndim}, {x.ndim}) for an array of rank {x.ndim}, got {a}.")
    return Features(tuple(sorted({a % x.ndim for a in axes})), x.shape)


def check_arguments(
    x: Array, stats: Any, scale: Array | None, bias: Array | None, mask: Array | None, axis: Axes
) -> Features:
    """Find the feature axes of x, or raise where one of the others does not fit it."""
    features = find_features(x, axis)
    if not (hasattr(stats, "mean") and hasattr(stats, "var")):
        raise ValueError(f"stats must be a BatchStats, as norms.init_batch_stats makes them, got {stats!r}.")
    check_features(features, **{"stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias})
    check_mask(x, mask)
    return features


def check_features(features: Features, **values: Array | None) -> None:
    """Raise where an array does not hold one value per feature."""
    for name, value in values.items():
        if value is not None and value.shape != features.sizes:
            rule = f"{name} must have one entry per feature, shape {features.sizes}"
            raise ValueError(f"{rule}, got shape {value.shape}.")


def check_mask(x: Array, mask: Array | None) -> None:
    """Raise where a mask is not one of truth values, or could be read in more than one way."""
    if mask is None:
        return
    if mask.dtype != jnp.bool_:
        raise ValueError(f"mask must hold booleans, True where an entry counts, got {mask.dtype}.")
    if mask.ndim != x.ndim or any(m not in (1, n) for m, n in zip(mask.shape, x.shape, strict=True)):
        raise ValueError(f"mask must have the rank of x, {x.shape}, and lengths equal to x's or 1, got {mask.shape}.")


def promoted(y: Array, *operands: Array | None) -> Array:
    """Cast a result to the type that its operands promote to."""
    return y.astype(jnp.result_type(*(o for o in operands if o is not None)))

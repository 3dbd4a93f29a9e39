"""Batch normalisation as a pure function."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from bnjax.norms.statistics import moments
from bnjax.types import BatchStats


def batch_norm(
    x: Float[Array, "*shape"],
    stats: BatchStats,
    scale: Float[Array, " features"] | None = None,
    bias: Float[Array, " features"] | None = None,
    *,
    train: bool,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    axis: int | tuple[int, ...] = -1,
    axis_name: str | tuple[str, ...] | None = None,
    axis_index_groups: list[list[int]] | None = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
    use_fast_variance: bool = False,
) -> tuple[Float[Array, "*shape"], BatchStats]:
    """Normalise each feature to mean 0 and variance 1 over all other axes.

        y = (x - mean) / sqrt(var + epsilon) * scale + bias

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2. With `train`, mean and var are the batch's own (biased, 1/m) and the
    running statistics move to momentum * running + (1 - momentum) * batch, without a gradient. Otherwise mean and var are
    `stats`, which come back unchanged. Deviation: the running variance is the biased one, as in Flax (the paper and
    PyTorch scale it by m / (m - 1)).

    Args:
        x: array with the features along `axis`.
        stats: running mean and variance, each (features,); a tuple `axis` gives the shape of those axes, ascending.
        scale: factor per feature, gamma in the paper; None is 1.
        bias: offset per feature, beta in the paper; None is 0.
        train: use and record the batch's statistics; otherwise use `stats`.
        momentum: share of the running statistics that is kept, per call.
        epsilon: added to the variance, in units of x squared.
        axis: the feature axis or axes.
        axis_name: mapped axes (vmap, shard_map) whose batches count as one, weighted by their valid counts.
        axis_index_groups: groups of device indices along `axis_name` that share statistics.
        mask: True where an entry counts for the statistics, same rank as x, each length equal or 1.
        use_fast_variance: one pass over x instead of two, at the price of (mean/std)² of the precision.

    Returns:
        (y, new stats): y in the type that x, scale and bias promote to; stats in the type of `stats`.

    Raises:
        ValueError: if the length of an argument does not fit x, naming it.
    """
    kept = _feature_axes(x.ndim, axis)
    feature_shape = tuple(x.shape[a] for a in kept)
    _check_features({"stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias}, feature_shape)
    _check_mask(mask, x.shape)
    broadcast = tuple(n if a in kept else 1 for a, n in enumerate(x.shape))

    if train:
        reduced = tuple(a for a in range(x.ndim) if a not in kept)
        num_valid, mean, var, centred = moments(
            x,
            reduced,
            mask=mask,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
        )
        is_empty = jnp.broadcast_to(num_valid == 0, mean.shape).reshape(feature_shape)
        new = BatchStats(
            _moved(stats.mean, mean.reshape(feature_shape), is_empty, momentum),
            _moved(stats.var, var.reshape(feature_shape), is_empty, momentum),
        )
    else:
        mean, var = (s.reshape(broadcast).astype(jnp.promote_types(s.dtype, jnp.float32)) for s in stats)
        centred, new = x - mean, stats

    factor = lax.rsqrt(var + epsilon)
    if scale is not None:
        factor = factor * scale.reshape(broadcast)
    y = centred * factor
    if bias is not None:
        y = y + bias.reshape(broadcast)
    return y.astype(jnp.result_type(x, *(p for p in (scale, bias) if p is not None))), new


def _feature_axes(ndim: int, axis: int | tuple[int, ...]) -> tuple[int, ...]:
    """List the feature axes, counted from the front, ascending."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"axis must lie in [-{ndim}, {ndim}) for an array of rank {ndim}, got {a}.")
    return tuple(sorted({a % ndim for a in axes}))


def _check_features(arrays: dict[str, Array | None], feature_shape: tuple[int, ...]) -> None:
    """Raise where an array does not hold one value per feature."""
    for name, value in arrays.items():
        if value is not None and value.shape != feature_shape:
            raise ValueError(f"{name} must have one entry per feature, shape {feature_shape}, got shape {value.shape}.")


def _check_mask(mask: Array | None, shape: tuple[int, ...]) -> None:
    """Raise where a mask could be read in more than one way."""
    if mask is not None and (
        mask.ndim != len(shape) or any(m not in (1, n) for m, n in zip(mask.shape, shape, strict=True))
    ):
        raise ValueError(
            f"mask must have the rank of x, {shape}, and lengths equal to x's or 1, got shape {mask.shape}."
        )


def _moved(running: Array, batch: Array, is_empty: Array, momentum: float) -> Array:
    """Move a running statistic towards the batch's, or leave it where nothing in the batch counts."""
    batch = lax.stop_gradient(batch)
    moved = momentum * running + (1 - momentum) * batch
    return jnp.where(is_empty, running, moved).astype(running.dtype)

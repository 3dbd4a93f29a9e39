"""Normalisers whose statistics belong to one example: no running statistics, the same in training and evaluation."""

import math
from typing import Any

from jax import Array
from jaxtyping import Bool, Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax.norms.batch import normalise
from bnjax.norms.features import (
    Features,
    all_but,
    as_floats,
    check_features,
    divides,
    find_features,
    fit_mask,
    promoted,
)
from bnjax.norms.statistics import AxisIndexGroups, AxisName, Reduction, make_reduction


@checked()
def layer_norm(
    x: Shaped[Array, "*shape"],
    scale: Inexact[Array, " features"] | None = None,
    bias: Inexact[Array, " features"] | None = None,
    *,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: int = -1,
    reduction_axes: tuple[int, ...] | None = None,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> Inexact[Array, "*shape"]:
    """Normalise each example to mean 0 and variance 1 over all its entries.

        y = (x - mean) / sqrt(var + epsilon) * scale + bias

    Source: Ba, Kiros & Hinton 2016; the variance is the biased one (1/m). By default an image is normalised over height,
    width and channels; reduction_axes=(-1,) normalises each position by itself, as transformers do.

    Args:
        x: array with examples along axis 0 and features along `axis`.
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        epsilon: added to the variance, in units of x squared.
        axis: the axis to which scale and bias belong.
        reduction_axes: axes to average over; None is all but axis 0.
        axis_name: mapped axes (vmap, shard_map) over which an example is spread.
        axis_index_groups: groups of device indices along `axis_name` that share an example.
        mask: True where an entry counts, same rank as x, each length equal or 1.

    Returns:
        y in the type that x, scale and bias promote to.

    Raises:
        ValueError: if an argument does not fit x; it names the argument.
    """
    x = as_floats(x)
    features, mask = _check_examples(x, scale, bias, mask, axis)
    axes = all_but(x.ndim, 0) if reduction_axes is None else find_features(x, reduction_axes, "reduction_axes").axes
    over = make_reduction(axes, axis_name, axis_index_groups)
    _check_sizes(x.shape, [x.shape[a] for a in axes], axis_name)
    y = _normalise_examples(x, mask, over, features.spread(scale), features.spread(bias), epsilon)
    return promoted(y, x, scale, bias)


@checked()
def instance_norm(
    x: Shaped[Array, "*shape"],
    scale: Inexact[Array, " features"] | None = None,
    bias: Inexact[Array, " features"] | None = None,
    *,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: int = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> Inexact[Array, "*shape"]:
    """Normalise each feature of each example to mean 0 and variance 1 over its positions.

    Source: Ulyanov, Vedaldi & Lempitsky 2016. It is group norm with as many groups as features. Arguments, result and errors
    are the same as in `layer_norm`; x needs an axis of positions.
    """
    return group_norm(
        x,
        scale,
        bias,
        num_groups=max(x.shape[find_features(x, axis).axes[0]], 1),
        epsilon=epsilon,
        axis=axis,
        axis_name=axis_name,
        axis_index_groups=axis_index_groups,
        mask=mask,
    )


@checked()
def group_norm(
    x: Shaped[Array, "*shape"],
    scale: Inexact[Array, " features"] | None = None,
    bias: Inexact[Array, " features"] | None = None,
    *,
    num_groups: int = 32,
    epsilon: float | Float[Array, ""] = 1e-5,
    axis: int = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
) -> Inexact[Array, "*shape"]:
    """Normalise groups of neighbouring features of each example to mean 0 and variance 1, over their positions too.

    Source: Wu & He 2018. One group is layer norm, as many groups as features are instance norm. Arguments, result and errors
    are the same as in `layer_norm`; `num_groups` divides the number of features.
    """
    x = as_floats(x)
    features, mask = _check_examples(x, scale, bias, mask, axis)
    (a,), (num_features,) = features.axes, features.sizes
    if not divides(num_groups, num_features):
        raise ValueError(f"num_groups must divide the number of features, {num_features}, got {num_groups}.")

    def grouped(value: Array) -> Array:
        groups = (num_groups, num_features // num_groups) if value.shape[a] == num_features else (1, 1)
        return value.reshape(*value.shape[:a], *groups, *value.shape[a + 1 :])

    over = make_reduction(all_but(x.ndim + 1, 0, a), axis_name, axis_index_groups)
    _check_sizes(x.shape, [num_features // num_groups, *(x.shape[b] for b in all_but(x.ndim, 0, a))], axis_name)
    others = [None if v is None else grouped(v) for v in (mask, features.spread(scale), features.spread(bias))]
    y = _normalise_examples(grouped(x), others[0], over, others[1], others[2], epsilon)
    return promoted(y.reshape(x.shape), x, scale, bias)


def _check_examples(
    x: Array, scale: Array | None, bias: Array | None, mask: Any, axis: int
) -> tuple[Features, Array | None]:
    """Return the feature axis of x, and the mask in its rank; raise where an argument does not fit."""
    features = find_features(x, axis)
    if 0 in features.axes:
        raise ValueError(f"axis must leave axis 0, that of the examples, got {axis}.")
    check_features(features, scale=scale, bias=bias)
    return features, fit_mask(x, mask)


def _check_sizes(shape: tuple[int, ...], reduced: list[int], axis_name: AxisName) -> None:
    """Raise where there is one entry to average over, which every normaliser would turn into 0."""
    if math.prod(reduced) == 1 and axis_name is None:
        raise ValueError(f"x must have more than one entry to average over, got one for each mean in shape {shape}.")


def _normalise_examples(
    x: Array, mask: Array | None, over: Reduction, scale: Array | None, bias: Array | None, epsilon: float | Array
) -> Array:
    """Normalise, then scale and shift with what broadcasts against x."""
    y, _ = normalise(x, mask, over, None, None, epsilon=epsilon)
    y = y if scale is None else y * scale
    return y if bias is None else y + bias

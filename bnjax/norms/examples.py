"""Normalisers whose statistics belong to one example: no running statistics, the same in training and evaluation."""

from typing import Any

from jax import Array
from jaxtyping import Bool, Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax.norms.batch import normalise
from bnjax.norms.features import (
    Axes,
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
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    epsilon: float | Float[Array, ""] = 1e-6,
    reduction_axes: Axes = -1,
    feature_axes: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
    use_fast_variance: bool = False,
) -> Inexact[Array, "*shape"]:
    """Normalise the features of each position of each example to mean 0 and variance 1.

        y = (x - mean) / sqrt(var + epsilon) * scale + bias

    Source: Ba, Kiros & Hinton 2016; the variance is the biased one (1/m). Axes and defaults are Flax's. By
    default each position is normalised by itself, as in transformers. The layer norm of image papers, over height, width and
    channels of a map, is `group_norm(x, num_groups=1)`.

    Args:
        x: array of any shape.
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        epsilon: added to the variance, in units of x squared.
        reduction_axes: axes to average over.
        feature_axes: axes to which scale and bias belong; they have the shape of those axes, ascending.
        axis_name: mapped axes (vmap, shard_map) over which an example is spread.
        axis_index_groups: groups of device indices along `axis_name` that share an example.
        mask: True where an entry counts, same rank as x, each length equal or 1.
        use_fast_variance: one pass over x instead of two, at the price of (mean/std)² of the precision; then outputs are
            Flax's to the bit, in float32 without mask and axis_name.

    Returns:
        y in the type that x, scale and bias promote to.

    Raises:
        ValueError: if an argument does not fit x; it names the argument.

    Example:
        >>> from bnjax import norms
        >>> print(norms.layer_norm(jnp.array([[1.0, 3.0], [0.0, 8.0]])).round(3))
        [[-1.  1.]
         [-1.  1.]]
    """
    x = as_floats(x)
    features, mask = find_features(x, feature_axes, "feature_axes"), fit_mask(x, mask)
    check_features(features, scale=scale, bias=bias)
    axes = find_features(x, reduction_axes, "reduction_axes").axes
    over = make_reduction(axes, axis_name, axis_index_groups)
    parameters = features.spread(scale), features.spread(bias)
    y = _normalise_examples(x, mask, over, *parameters, epsilon=epsilon, use_fast_variance=use_fast_variance)
    return promoted(y, x, scale, bias)


@checked()
def instance_norm(
    x: Shaped[Array, "*shape"],
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    epsilon: float | Float[Array, ""] = 1e-6,
    feature_axes: Axes = -1,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
    use_fast_variance: bool = False,
) -> Inexact[Array, "*shape"]:
    """Normalise each feature of each example to mean 0 and variance 1 over its positions.

    Source: Ulyanov, Vedaldi & Lempitsky 2016. It is group norm with as many groups as features. Arguments, result and errors
    are the same as in `layer_norm`, but it averages over all axes except that of the examples, axis 0, and `feature_axes`.

    Example:
        >>> from bnjax import norms
        >>> print(norms.instance_norm(jnp.array([[[1.0, 10.0], [3.0, 50.0]]])).round(3))
        [[[-1. -1.]
          [ 1.  1.]]]
    """
    x = as_floats(x)
    axes = find_features(x, feature_axes, "feature_axes").axes
    if 0 in axes:
        raise ValueError(f"feature_axes must leave axis 0, that of the examples, got {feature_axes}.")
    return layer_norm(
        x,
        scale,
        bias,
        epsilon=epsilon,
        reduction_axes=all_but(x.ndim, 0, *axes),
        feature_axes=feature_axes,
        axis_name=axis_name,
        axis_index_groups=axis_index_groups,
        mask=mask,
        use_fast_variance=use_fast_variance,
    )


@checked()
def group_norm(
    x: Shaped[Array, "*shape"],
    scale: Inexact[Array, " features"] | None = None,
    bias: Inexact[Array, " features"] | None = None,
    *,
    num_groups: int | None = 32,
    group_size: int | None = None,
    epsilon: float | Float[Array, ""] = 1e-6,
    reduction_axes: Axes | None = None,
    axis_name: AxisName = None,
    axis_index_groups: AxisIndexGroups = None,
    mask: Bool[Array, "*mask_shape"] | None = None,
    use_fast_variance: bool = False,
    axis: int = -1,
) -> Inexact[Array, "*shape"]:
    """Normalise groups of neighbouring features of each example to mean 0 and variance 1, over their positions too.

    Source: Wu & He 2018. With as many groups as features it is instance norm. With one group it is the layer norm of image
    papers, over height, width and channels of a map; it equals `layer_norm` only for x of shape (batch, features). Result and
    errors are the same as in `layer_norm`.

    Args:
        x: array with examples along axis 0, unless `reduction_axes` says otherwise, and features along `axis`.
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        num_groups: how many groups; it divides the number of features. None takes `group_size`.
        group_size: features per group, where num_groups is None.
        epsilon: added to the variance, in units of x squared.
        reduction_axes: axes to average over, including `axis`, along which a group is averaged. None is all except axis 0.
        axis_name: mapped axes (vmap, shard_map) over which an example is spread.
        axis_index_groups: groups of device indices along `axis_name` that share an example.
        mask: True where an entry counts, same rank as x, each length equal or 1.
        use_fast_variance: as in `layer_norm`, but equal to Flax's only up to rounding.
        axis: the feature axis.

    Example:
        >>> from bnjax import norms
        >>> print(norms.group_norm(jnp.array([[1.0, 3.0, 10.0, 50.0]]), num_groups=2).round(3))
        [[-1.  1. -1.  1.]]
    """
    x = as_floats(x)
    features, mask = find_features(x, axis), fit_mask(x, mask)
    check_features(features, scale=scale, bias=bias)
    (a,), (num_features,) = features.axes, features.sizes
    groups = count_groups(num_features, num_groups, group_size)
    axes = {*all_but(x.ndim, 0), a}
    if reduction_axes is not None:
        axes = {*find_features(x, reduction_axes, "reduction_axes").axes}
        if a not in axes:
            raise ValueError(f"reduction_axes must contain that of the features, {a}, got {reduction_axes}.")

    def grouped(value: Array) -> Array:
        parts = (groups, num_features // groups) if value.shape[a] == num_features else (1, 1)
        return value.reshape(*value.shape[:a], *parts, *value.shape[a + 1 :])

    over = make_reduction(tuple(sorted(b + (b >= a) for b in axes)), axis_name, axis_index_groups)
    counts, *parameters = (None if v is None else grouped(v) for v in (mask, *map(features.spread, (scale, bias))))
    y = _normalise_examples(grouped(x), counts, over, *parameters, epsilon=epsilon, use_fast_variance=use_fast_variance)
    return promoted(y.reshape(x.shape), x, scale, bias)


def count_groups(num_features: int, num_groups: int | None, group_size: int | None) -> int:
    """Return the number of groups, or raise where it, or the size of one, does not divide the features."""
    if (num_groups is None) == (group_size is None):
        raise ValueError(
            f"num_groups or group_size must be given, and the other must be None, got {num_groups} and {group_size}."
        )
    name, part = ("num_groups", num_groups) if group_size is None else ("group_size", group_size)
    if not divides(part, num_features):
        raise ValueError(f"{name} must divide the number of features, {num_features}, got {part}.")
    return num_groups if group_size is None else num_features // group_size  # type: ignore[return-value]


def _normalise_examples(
    x: Array, mask: Array | None, over: Reduction, scale: Array | None, bias: Array | None, **options: Any
) -> Array:
    """Normalise, then scale and shift with arrays that broadcast against x."""
    if options["use_fast_variance"]:
        return normalise(x, mask, over, scale, bias, **options)[0]
    # NOTE: the closed form of the derivative takes a scale and a bias that have length 1 where `over` reduces.
    y, _ = normalise(x, mask, over, None, None, **options)
    y = y if scale is None else y * scale
    return y if bias is None else y + bias

"""Element-wise functions that replace a normaliser and have no statistics."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax.norms.features import Axes, as_floats, check_features, find_features, promoted


@checked()
def dyt(
    x: Shaped[Array, "*shape"],
    alpha: float | Float[Array, ""],
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    axis: Axes = -1,
) -> Inexact[Array, "*shape"]:
    """Squash each entry, as layer norm does to large ones, but without statistics: dynamic tanh.

        y = tanh(alpha * x) * scale + bias

    Source: Zhu et al. 2025, arXiv:2503.10622, for transformers, in place of layer norm.

    Args:
        x: array of any shape.
        alpha: one learned factor for all features; the paper begins with 0.5.
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        axis: feature axes; scale and bias have the shape of those axes, ascending.

    Returns:
        y in the type that x, scale and bias promote to; computed at least in float32.

    Raises:
        ValueError: if an argument does not fit x; it names the argument.

    Example:
        >>> from bnjax import norms
        >>> print(norms.dyt(jnp.array([[-100.0, 0.0, 100.0]]), 0.5, jnp.full(3, 2.0)))
        [[-2.  0.  2.]]
    """
    x = as_floats(x)
    features = find_features(x, axis)
    check_features(features, scale=scale, bias=bias)
    if jnp.ndim(alpha):
        raise ValueError(f"alpha must be one number for all features, got shape {jnp.shape(alpha)}.")
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    y = jnp.tanh(jnp.asarray(alpha).astype(wide.dtype) * wide)
    y = y if scale is None else y * features.spread(scale)
    return promoted(y if bias is None else y + features.spread(bias), x, scale, bias)

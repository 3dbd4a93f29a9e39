"""Batch norm in evaluation, folded into the weights before it."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from bnjax.types import BatchStats


def fold_batch_norm(
    kernel: Float[Array, "*dims features"],
    kernel_bias: Float[Array, " features"] | None,
    stats: BatchStats,
    scale: Float[Array, " features"] | None = None,
    bias: Float[Array, " features"] | None = None,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "*dims features"], Float[Array, " features"]]:
    """Fold batch norm with running statistics into the dense layer or convolution before it.

        kernel * f, (kernel_bias - mean) * f + bias        f = scale / sqrt(var + epsilon)

    The layer with these weights computes what layer and batch norm computed together in evaluation.

    Args:
        kernel: weights with the output features last: (in, out), HWIO, or any number of spatial axes.
        kernel_bias: the layer's own bias, (features,); None is 0.
        stats: running mean and variance, each (features,).
        scale: factor per feature of the batch norm; None is 1.
        bias: offset per feature of the batch norm; None is 0.
        epsilon: of the batch norm.

    Returns:
        (kernel, bias) of the folded layer: the kernel in its type, the bias in that of `kernel_bias`, or of the statistics.

    Raises:
        ValueError: if the length of an argument is not the kernel's last one.
    """
    if not (hasattr(stats, "mean") and hasattr(stats, "var")):
        raise ValueError(f"stats must be a BatchStats, got {type(stats).__name__}.")
    shape = kernel.shape[-1:]
    named = {"kernel_bias": kernel_bias, "stats.mean": stats.mean, "stats.var": stats.var, "scale": scale, "bias": bias}
    for name, value in named.items():
        if value is not None and value.shape != shape:
            raise ValueError(f"{name} must have one entry per output of the kernel, {shape}, got shape {value.shape}.")
    factor = lax.rsqrt(stats.var.astype(jnp.promote_types(stats.var.dtype, jnp.float32)) + epsilon)
    factor = factor if scale is None else factor * scale
    offset = (0 if kernel_bias is None else kernel_bias) - stats.mean
    folded_bias = offset * factor + (0 if bias is None else bias)
    spread = factor.reshape((1,) * (kernel.ndim - 1) + shape)
    bias_type = stats.mean.dtype if kernel_bias is None else kernel_bias.dtype
    return (kernel * spread).astype(kernel.dtype), folded_bias.astype(bias_type)

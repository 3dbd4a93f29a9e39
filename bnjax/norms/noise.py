"""Batch normalisation with new noise on its output at every step, and the kinds of noise."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Inexact, Shaped

from bnjax._host.arguments import checked
from bnjax._host.programs import is_compiling
from bnjax._host.trees import common_type
from bnjax.norms.batch import batch_norm
from bnjax.norms.features import Axes, all_but, as_floats, find_features, promoted
from bnjax.types import BatchStats

Noise = Literal["santurkar", "santurkar_variance", "strong", "stationary"]


@checked()
def noisy_batch_norm(
    x: Shaped[Array, "*shape"],
    stats: BatchStats,
    scale: Inexact[Array, "*features"] | None = None,
    bias: Inexact[Array, "*features"] | None = None,
    *,
    key: Array | None,
    train: bool,
    noise: Noise = "santurkar",
    strength: float | Float[Array, ""] = 1.0,
    noise_in_evaluation: bool = False,
    **options: Any,
) -> tuple[Inexact[Array, "*shape"], BatchStats]:
    """Apply batch norm, then `add_noise` to its output, scale and bias included.

    Source: Santurkar et al. 2018, Sec. 2.1 and Algorithm 1. Without noise in evaluation, by default.

    Args:
        x: array with the features along `axis`.
        stats: running mean and variance, each (features,).
        scale: factor per feature; None is 1.
        bias: offset per feature; None is 0.
        key: from which the noise follows; a new one for every step, layer and device (under shard_map, fold the device's
            index in, or all shards get the same noise). None where no noise is added.
        train: use and record the batch's statistics and add noise; otherwise use `stats`.
        noise: kind of noise, see `add_noise`.
        strength: factor of the noise; 0 is batch norm.
        noise_in_evaluation: add noise in evaluation too.
        **options: further arguments of `batch_norm`.

    Returns:
        (y, new stats), as `batch_norm`.

    Raises:
        ValueError: if `noise` is unknown, the key is missing, or as in `batch_norm`.

    Example:
        >>> from bnjax import norms
        >>> x, stats = jnp.array([[1.0], [5.0]]), norms.init_batch_stats(1)
        >>> y, _ = norms.noisy_batch_norm(x, stats, key=jax.random.key(0), train=True, strength=0.0)
        >>> print(y.ravel().round(3))  # without noise it is batch norm
        [-1.  1.]
    """
    _check_noise(noise)
    y, new = batch_norm(x, stats, scale, bias, train=train, **options)
    if train or noise_in_evaluation:
        y = add_noise(y, key, noise=noise, strength=strength, axis=options.get("axis", -1))
    return y, new


@checked()
def add_noise(
    x: Shaped[Array, "*shape"],
    key: Array | None,
    *,
    noise: Noise = "santurkar",
    strength: float | Float[Array, ""] = 1.0,
    relative: bool = False,
    axis: Axes = -1,
) -> Inexact[Array, "*shape"]:
    """Scale and shift every entry of x at random: y = s x + m.

    "santurkar"   mu ~ U(-0.5, 0.5) and sigma ~ U(1, 1.25) per feature, then per entry m ~ U(mu - 0.1, mu + 0.1) and
                  s ~ N(sigma, 0.1): the distribution itself changes at every step
    "strong"      log s ~ N(0, 1) and m ~ N(0, 2), per feature
    "stationary"  s = 1 and m ~ N(0.15, 0.3), per entry: the same distribution at every step

    Source: Santurkar et al. 2018, Algorithm 1, with 0.1 read as the standard deviation of s; "santurkar_variance" reads it as
    its variance, so that s ~ N(sigma, 0.316²). The other two come from replications.
    `strength` multiplies every constant above (of s, its distance from 1; of log s, itself), so that 0 is no noise.

    Args:
        x: array with the features along `axis`.
        key: from which the noise follows.
        noise: which of these.
        strength: factor of the noise.
        relative: disturb x as its normalised values z = (x - mean) / std would be, and undo the normalisation: y = mean +
            std (s z + m), with the mean and the biased standard deviation of each feature of x. No gradient goes through
            these two.
        axis: the feature axis or axes.

    Returns:
        y, of the shape and type of x.

    Raises:
        ValueError: if `noise` is unknown or the key is missing.

    Example:
        >>> from bnjax import norms
        >>> y = norms.add_noise(jnp.zeros((1000, 1)), jax.random.key(0), noise="stationary")
        >>> print(abs(y.mean() - 0.15) < 0.05, abs(y.std() - 0.3) < 0.05)
        True True
    """
    _check_noise(noise)
    if not isinstance(key, jax.Array):
        raise ValueError(f"key must be a jax.random.key where noise is added, got {key!r}.")
    x = as_floats(x)
    features = find_features(x, axis)
    per_feature = tuple(n if a in features.axes else 1 for a, n in enumerate(x.shape))
    factor, shift = _NOISES[noise](key, x.shape, per_feature, strength)
    if not relative:
        return promoted(factor * x + shift, x)
    others = all_but(x.ndim, *features.axes)
    values = jax.lax.stop_gradient(x.astype(common_type(x.dtype, jnp.float32)))
    mean, std = jnp.mean(values, others, keepdims=True), jnp.std(values, others, keepdims=True)
    return promoted(mean + factor * (x - mean) + std * shift, x)


def _check_noise(noise: str) -> None:
    """Raise if the kind of noise is unknown."""
    if noise not in _NOISES:
        raise ValueError(f"noise must be one of {', '.join(get_args(Noise))}, got {noise!r}.")


def _santurkar(
    key: Array, shape: tuple[int, ...], per_feature: tuple[int, ...], strength: Any, *, std: float
) -> tuple[Array, Array]:
    """Draw factor and shift per entry around a factor and a shift per feature."""
    keys = jax.random.split(key, 4)
    mu = jax.random.uniform(keys[0], per_feature, minval=-0.5, maxval=0.5)
    sigma = jax.random.uniform(keys[1], per_feature, minval=0.0, maxval=0.25)
    around_mu = _once(lambda key: jax.random.uniform(key, shape, minval=-0.1, maxval=0.1), keys[2])
    around_sigma = _once(lambda key: jax.random.normal(key, shape), keys[3])
    return 1 + strength * (sigma + std * around_sigma), strength * (mu + around_mu)


def _strong(key: Array, _shape: tuple[int, ...], per_feature: tuple[int, ...], strength: Any) -> tuple[Array, Array]:
    """Draw factor and shift per feature, with a large spread."""
    log_factor, shift = jax.random.normal(key, (2, *per_feature))
    return jnp.exp(strength * log_factor), strength * 2 * shift


def _stationary(
    key: Array, shape: tuple[int, ...], _per_feature: tuple[int, ...], strength: Any
) -> tuple[Array, Array]:
    """Draw a shift per entry."""
    shift = 0.15 + 0.3 * _once(lambda key: jax.random.normal(key, shape), key)
    return jnp.ones(()).reshape((1,) * len(shape)), strength * shift


def _once(draw: Callable[[Array], Array], key: Array) -> Array:
    """Draw in a branch of its own on a CPU, where XLA otherwise draws again in every loop that reads the result.

    NOTE: the other branch never runs; it only has to depend on the key as the draw does, over which devices it varies.
    """

    def branch(key: Array) -> Array:
        shape = jax.eval_shape(draw, key)
        word = jax.random.key_data(key).ravel()[0]
        is_there = jax.lax.optimization_barrier(jnp.asarray(True))
        return jax.lax.cond(is_there, draw, lambda _: jnp.full(shape.shape, word, shape.dtype), key)

    # Outside compiled code no loop repeats the draw, and every call would compile both branches again.
    return jax.lax.platform_dependent(key, cpu=branch, default=draw) if is_compiling() else draw(key)


_NOISES: dict[Noise, Callable[..., tuple[Array, Array]]] = {
    "santurkar": partial(_santurkar, std=0.1),
    "santurkar_variance": partial(_santurkar, std=0.1**0.5),
    "strong": _strong,
    "stationary": _stationary,
}

"""The distance between the statistics of data and those with which a layer normalises them."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax.norms.statistics import abs_squared
from bnjax.types import BatchStats


class Mismatch(NamedTuple):
    """The distance between two sets of statistics; 0 where they agree.

    Attributes:
        distance: |(mean - other mean) / other std| / sqrt(features), the root of the mean square over the features.
        log_ratio: |log(var / other var)|, the mean over the features.
    """

    distance: Float[Array, ""]
    log_ratio: Float[Array, ""]


@checked()
def mismatch(stats: BatchStats, population: BatchStats, *, epsilon: float = 1e-5) -> Mismatch:
    """Measure how far the statistics of a batch are from those of the population, in units of the latter.

    Args:
        stats: mean and variance of a batch, each (features,).
        population: the statistics that normalise the batch.
        epsilon: added to both variances, as the normaliser does.

    Returns:
        Mismatch, each ().

    Raises:
        ValueError: if the two differ in their number of features.

    Example:
        >>> from bnjax import norms
        >>> population = norms.init_batch_stats(2)
        >>> found = norms.mismatch(norms.BatchStats(jnp.array([3.0, 4.0]), jnp.ones(2)), population, epsilon=0.0)
        >>> print(f"{found.distance:.4f} {found.log_ratio:.1f}")
        3.5355 0.0
    """
    if jnp.shape(stats.mean) != jnp.shape(population.mean):
        rule = f"population must have the features of stats, shape {jnp.shape(stats.mean)}"
        raise ValueError(f"{rule}, got shape {jnp.shape(population.mean)}.")
    var, other = stats.var + epsilon, population.var + epsilon
    distance = jnp.sqrt(jnp.mean(abs_squared(stats.mean - population.mean) / other))
    return Mismatch(distance, jnp.mean(jnp.abs(jnp.log(var / other))))

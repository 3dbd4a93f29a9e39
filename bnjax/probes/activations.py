"""Distributions of activations, unit by unit, and how they drift over training."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from bnjax._host.arguments import checked
from bnjax._host.programs import compiled_once
from bnjax._host.trees import as_float, ratio
from bnjax.probes.results import load_result, register, save_result


@register()
class ActivationStatistics(NamedTuple):
    """The distribution of each unit's activations; stacked by `stack`, `jax.lax.scan` or `jax.vmap`, all gain a leading axis.

    A unit with a NaN among its activations is NaN in everything but `units`.

    Attributes:
        units: which units, positions on the activations' last axis.
        num_values: how many values each unit has: examples, times pixels where there are any.
        mean: in units of the activations, like all quantities that are not shares.
        variance: biased, 1/m.
        percentile_levels: in per cent.
        percentiles: at these levels, interpolated linearly, as NumPy does.
        quantiles: at (i + 1/2) / n, from which `shift` takes Wasserstein distances.
        bin_edges: of the histogram.
        histogram: share of all values in each bin; values outside of all bins are missing from the sum.
        outlier_share: share of values more than three standard deviations from the mean; 0.0027 for a normal distribution.
    """

    units: Int[Array, "*steps units"]
    num_values: Int[Array, "*steps"]
    mean: Float[Array, "*steps units"]
    variance: Float[Array, "*steps units"]
    percentile_levels: Float[Array, "*steps levels"]
    percentiles: Float[Array, "*steps units levels"]
    quantiles: Float[Array, "*steps units quantiles"]
    bin_edges: Float[Array, "*steps edges"]
    histogram: Float[Array, "*steps units bins"]
    outlier_share: Float[Array, "*steps units"]

    @classmethod
    def stack(cls, statistics: Sequence["ActivationStatistics"]) -> "ActivationStatistics":
        """Stack statistics of several steps along a new first axis."""
        if not statistics:
            raise ValueError("statistics must hold at least one step, got none.")
        return jax.tree.map(lambda *values: jnp.stack(values), *statistics)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ActivationStatistics":
        """Read what `save` wrote."""
        return load_result(cls, path)


@register()
class Shift(NamedTuple):
    """How far the distribution of each unit has moved; relative values are NaN where the standard deviation is 0.

    Attributes:
        mean: mean after - mean before.
        variance: variance after - variance before.
        relative_mean: `mean` over the unit's standard deviation before.
        relative_variance: `variance` over the unit's variance before.
        wasserstein: W1 between the two distributions, from their quantiles.
        relative_wasserstein: `wasserstein` over the pooled standard deviation, ((variance before + variance after) / 2)^(1/2).
    """

    mean: Float[Array, "*steps units"]
    variance: Float[Array, "*steps units"]
    relative_mean: Float[Array, "*steps units"]
    relative_variance: Float[Array, "*steps units"]
    wasserstein: Float[Array, "*steps units"]
    relative_wasserstein: Float[Array, "*steps units"]

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Shift":
        """Read what `save` wrote."""
        return load_result(cls, path)


@register()
class Drift(NamedTuple):
    """Shifts over training.

    Attributes:
        successive: from each step to the next, one fewer than steps; absolute values of its moments are Fig. 8a of Santurkar
            et al. 2018.
        cumulative: from the first step to each; Fig. 8b. Its first entry is 0.
    """

    successive: Shift
    cumulative: Shift

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Drift":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
def activation_statistics(
    activations: Float[Array, "examples *positions features"],
    *,
    units: ArrayLike | Sequence[int] | None = None,
    percentiles: Sequence[float] = (15.0, 50.0, 85.0),
    num_quantiles: int = 100,
    bins: int = 64,
    limits: tuple[float, float] = (-8.0, 8.0),
) -> ActivationStatistics:
    """Describe the distribution of each unit's activations; a pure function, for use in compiled code.

    A unit is one feature; its values come from all examples and, after a convolution, all pixels. Source: Santurkar et
    al. 2018, Fig. 1c, with the percentiles of Ioffe & Szegedy 2015, Fig. 1.

    Args:
        activations: of one layer, features last: (examples, features) or (examples, height, width, features).
        units: positions of the features to look at; None is all.
        percentiles: levels, in per cent.
        num_quantiles: how finely `shift` sees a distribution.
        bins: how many bins the histogram has.
        limits: where the first bin begins and the last one ends, the same at all steps so that these compare.

    Returns:
        ActivationStatistics, in float32 or better.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from bnjax import probes
        >>> found = probes.activation_statistics(jnp.array([[0.0], [1.0], [2.0], [3.0]]), percentiles=(50.0,))
        >>> print(found.mean, found.variance, found.percentiles[0])
        [1.5] [1.25] [1.5]
    """
    _check_options(activations, units, percentiles, limits)
    numbers = jnp.arange(activations.shape[-1]) if units is None else jnp.asarray(units)
    return _describe(activations, numbers, tuple(percentiles), num_quantiles, bins, tuple(limits))


@checked()
def shift(before: ActivationStatistics, after: ActivationStatistics) -> Shift:
    """Measure how far the distribution of each unit moved between two times.

    Args:
        before: statistics, stacked or not.
        after: of the same units, with as many quantiles.

    Returns:
        Shift. Its W1 = integral over p of |F⁻¹(p) - G⁻¹(p)| is a sum over `num_quantiles` midpoints: exact for a distribution
        that moves as a whole, and blind to changes within the outermost 1 / (2 num_quantiles) of its values.

    Example:
        >>> from bnjax import probes
        >>> x = jnp.array([[0.0], [2.0]])
        >>> moved = probes.shift(probes.activation_statistics(x), probes.activation_statistics(x + 3))
        >>> print(moved.mean, moved.variance, moved.wasserstein)
        [3.] [0.] [3.]
    """
    mean, variance = after.mean - before.mean, after.variance - before.variance
    wasserstein = jnp.mean(jnp.abs(after.quantiles - before.quantiles), axis=-1)
    std, pooled = jnp.sqrt(before.variance), jnp.sqrt((before.variance + after.variance) / 2)
    relative = (mean, std), (variance, before.variance), (wasserstein, pooled)
    relative_mean, relative_variance, relative_wasserstein = (ratio(*pair) for pair in relative)
    return Shift(mean, variance, relative_mean, relative_variance, wasserstein, relative_wasserstein)


@checked()
def drift(statistics: ActivationStatistics) -> Drift:
    """Follow the distribution of each unit over training.

    Args:
        statistics: stacked, steps first.

    Returns:
        Drift, steps first.

    Raises:
        ValueError: if the statistics are of a single time.

    Example:
        >>> from bnjax import probes
        >>> x = jnp.array([[0.0], [2.0]])
        >>> steps = [probes.activation_statistics(x + moved) for moved in (0, 1, 3)]
        >>> found = probes.drift(probes.ActivationStatistics.stack(steps))
        >>> print(found.successive.mean.ravel(), found.cumulative.mean.ravel())
        [1. 2.] [0. 1. 3.]
    """
    if statistics.mean.ndim < 2:
        raise ValueError(f"statistics must be stacked, steps first, got means of shape {statistics.mean.shape}.")
    first, earlier, later = (
        jax.tree.map(lambda values, part=part: values[part], statistics)
        for part in (slice(0, 1), slice(None, -1), slice(1, None))
    )
    return Drift(shift(earlier, later), shift(first, statistics))


@checked()
@compiled_once("relative")
def wasserstein_distance(
    x: Float[Array, "examples_x *positions features"],
    y: Float[Array, "examples_y *positions features"],
    *,
    relative: bool = False,
) -> Float[Array, " features"]:
    """Measure the 1-D Wasserstein distance W1 between two samples, feature by feature.

        W1 = integral from 0 to 1 of |F⁻¹(p) - G⁻¹(p)| dp

    with F⁻¹ and G⁻¹ the quantile functions of the samples, steps whose jumps are at multiples of one over their sizes. Exact
    for any two sizes.

    Args:
        x: one sample; all axes but the last are its values.
        y: the other.
        relative: divide by the pooled standard deviation, ((var x + var y) / 2)^(1/2); NaN where that is 0.

    Returns:
        W1, in units of the activations or of the pooled standard deviation.

    Example:
        >>> from bnjax import probes
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> print(probes.wasserstein_distance(x, x + 5))
        [5.]
    """
    if x.shape[-1] != y.shape[-1] or not x.size or not y.size:
        raise ValueError(
            f"y must have the features of x, and both at least one value, got shapes {y.shape} and {x.shape}."
        )
    x, y = (jnp.sort(as_float(sample).reshape(-1, sample.shape[-1]), axis=0) for sample in (x, y))
    # Jumps of both quantile functions, in units of 1 / (len(x) len(y)), so that they are integers.
    jumps = np.union1d(np.arange(len(x) + 1) * len(y), np.arange(len(y) + 1) * len(x))
    weights = jnp.asarray(np.diff(jumps) / (len(x) * len(y)), x.dtype)
    gaps = jnp.abs(x[jumps[:-1] // len(y)] - y[jumps[:-1] // len(x)])
    distance = jnp.matmul(weights, gaps, precision="highest")
    return ratio(distance, jnp.sqrt((jnp.var(x, axis=0) + jnp.var(y, axis=0)) / 2)) if relative else distance


@checked()
def zero_share(activations: Float[Array, "examples *positions features"]) -> Float[Array, " features"]:
    """Return the share of each unit's activations that are zero, exactly 1 for a unit that is dead on these examples.

    A unit is one feature; its values come from all examples and, after a convolution, all pixels.

    Args:
        activations: of one layer, features last.

    Returns:
        The share of each unit; NaN counts as a number that is not zero.

    Example:
        >>> from bnjax import probes
        >>> print(probes.zero_share(jnp.array([[0.0, 1.0], [0.0, 0.0]])))
        [1.  0.5]
    """
    is_zero = (activations == 0).reshape(-1, activations.shape[-1])
    # Counted in a type that holds the count exactly, so that the share of a dead unit is exactly 1.
    return jnp.sum(is_zero, axis=0, dtype=jnp.int32) / len(is_zero)


@compiled_once("percentiles", "num_quantiles", "bins", "limits")
def _describe(
    activations: Array,
    units: Array,
    percentiles: tuple[float, ...],
    num_quantiles: int,
    bins: int,
    limits: tuple[float, float],
) -> ActivationStatistics:
    """Describe the distribution of chosen units."""
    values = as_float(activations[..., units]).reshape(-1, units.size)
    num_values, ordered = len(values), jnp.sort(values, axis=0)
    mean, variance = jnp.mean(values, axis=0), jnp.var(values, axis=0)
    levels = np.asarray(percentiles) / 100
    midpoints = (np.arange(num_quantiles) + 0.5) / num_quantiles
    edges = jnp.linspace(*limits, bins + 1, dtype=values.dtype)
    outliers = jnp.mean(jnp.abs(values - mean[None]) > 3 * jnp.sqrt(variance)[None], axis=0, dtype=values.dtype)
    return ActivationStatistics(
        units,
        jnp.asarray(num_values),
        mean,
        variance,
        jnp.asarray(percentiles, values.dtype),
        _quantiles(ordered, levels * (num_values - 1)),
        _quantiles(ordered, np.clip(midpoints * num_values - 0.5, 0, num_values - 1)),
        edges,
        _histogram(ordered, edges),
        jnp.where(jnp.isnan(mean), jnp.nan, outliers),
    )


def _quantiles(ordered: Float[Array, "values units"], positions: np.ndarray) -> Float[Array, "units levels"]:
    """Interpolate between ordered values; a NaN, which sorts last, makes its whole unit NaN."""
    lower = np.floor(positions).astype(int)
    upper = np.minimum(lower + 1, len(ordered) - 1)
    part = jnp.asarray(positions - lower, ordered.dtype)[:, None]
    between = jnp.where(part > 0, (1 - part) * ordered[lower] + part * ordered[upper], ordered[lower])
    return jnp.where(jnp.isnan(ordered[-1:]), jnp.nan, between).T


def _histogram(ordered: Float[Array, "values units"], edges: Float[Array, " edges"]) -> Float[Array, "units bins"]:
    """Compute the share of values in [edge, next edge), the last bin with its end; a NaN makes its whole unit NaN."""
    below = jax.vmap(lambda column: jnp.searchsorted(column, edges[:-1]), in_axes=1)(ordered)
    up_to_end = jnp.sum(ordered <= edges[-1], axis=0, dtype=below.dtype)
    counts = jnp.diff(below, axis=1, append=up_to_end[:, None]).astype(ordered.dtype)
    shares = counts / jnp.asarray(len(ordered), ordered.dtype)
    return jnp.where(jnp.isnan(ordered[-1])[:, None], jnp.nan, shares)


def _check_options(activations: Array, units: Any, percentiles: Sequence[float], limits: Sequence[float]) -> None:
    """Raise if an option of `activation_statistics` is out of its range; traced units are not checked."""
    if activations.ndim < 2 or not activations.size:
        raise ValueError(f"activations must have shape (examples, ..., features), none 0, got {activations.shape}.")
    num_features = activations.shape[-1]
    known = None if units is None or isinstance(units, Tracer) else np.asarray(units)
    has_numbers = known is None or (known.ndim == 1 and known.size > 0 and np.issubdtype(known.dtype, np.integer))
    if known is not None and not (has_numbers and all(0 <= unit < num_features for unit in known)):
        raise ValueError(f"units must be a list of numbers from 0 to {num_features - 1}, got {units}.")
    if not all(0 <= level <= 100 for level in percentiles):
        raise ValueError(f"percentiles must lie in [0, 100], got {percentiles}.")
    if len(limits) != 2 or not np.isfinite(limits).all() or not limits[0] < limits[1]:
        raise ValueError(f"limits must be (low, high) with low < high, both finite, got {limits}.")

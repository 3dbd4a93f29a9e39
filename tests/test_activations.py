"""Activations: closed forms of their statistics and distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bnjax.probes.activations import (
    ActivationStatistics,
    activation_statistics,
    drift,
    shift,
    wasserstein_distance,
)


def normal(seed, *shape):
    """Draw from the standard normal distribution."""
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moments_percentiles_and_histogram_are_numpys(seed, x64):
    """On convolutional activations every statistic is NumPy's on the values of all pixels, to 1e-12."""
    x = normal(seed, 6, 4, 5, 3) * np.array([1.0, 2.0, 0.1]) + np.array([0.0, 3.0, -1.0])
    found = activation_statistics(
        jnp.asarray(x), percentiles=(0.0, 15.0, 50.0, 99.5, 100.0), bins=10, limits=(-2.0, 3.0)
    )
    values = x.reshape(-1, 3)
    np.testing.assert_array_equal(found.num_values, 120)
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, values.var(0), rtol=1e-12)
    np.testing.assert_allclose(found.percentiles, np.percentile(values, (0, 15, 50, 99.5, 100), axis=0).T, rtol=1e-12)
    midpoints = (np.arange(100) + 0.5) / 100
    quantiles = np.quantile(values, midpoints, axis=0, method="hazen").T
    np.testing.assert_allclose(found.quantiles, quantiles, rtol=1e-12)
    for unit in range(3):
        counts, edges = np.histogram(values[:, unit], 10, (-2, 3))
        np.testing.assert_allclose(found.bin_edges, edges, atol=1e-12)
        np.testing.assert_allclose(found.histogram[unit], counts / 120, rtol=1e-12)
    z = np.abs(values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(found.outlier_share, (z > 3).mean(0), rtol=1e-12)


def test_a_normal_distribution():
    """A large normal sample has the percentiles, the share beyond three deviations and the histogram of its law."""
    x = jnp.asarray(2 * normal(1, 100_000, 1) + 1, jnp.float32)
    found = activation_statistics(x)
    law = stats.norm(1, 2)
    np.testing.assert_allclose(found.percentiles[0], law.ppf([0.15, 0.5, 0.85]), atol=0.03)
    np.testing.assert_allclose(found.outlier_share, 0.0027, atol=5e-4)
    np.testing.assert_allclose(found.histogram[0], np.diff(law.cdf(found.bin_edges)), atol=3e-3)


def test_values_on_the_edges_of_bins():
    """A bin holds its left edge, the last one both; what lies outside all bins is missing from the shares."""
    x = jnp.array([-9.0, 0.0, 1.0, 1.0, 2.0, 3.0, 4.0, 9.0])[:, None]
    found = activation_statistics(x, bins=4, limits=(0.0, 4.0))
    np.testing.assert_array_equal(found.histogram[0], np.array([1, 2, 1, 2]) / 8)


def test_chosen_units():
    """Statistics of chosen units are those columns of the statistics of all."""
    x = jnp.asarray(normal(1, 50, 4))
    chosen, everything = activation_statistics(x, units=[3, 1]), activation_statistics(x)
    np.testing.assert_array_equal(chosen.units, [3, 1])
    for name in ("mean", "variance", "percentiles", "quantiles", "histogram", "outlier_share"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(everything, name)[np.array([3, 1])])


def test_a_nan_stays_in_its_unit():
    """A unit with one NaN is NaN in every statistic and distance; the unit beside it is as it would be alone."""
    x = jnp.asarray(normal(1, 50, 2)).at[7, 0].set(jnp.nan)
    found = activation_statistics(x)
    moved = shift(found, found)
    distance = wasserstein_distance(x, x[:20])
    for values in (*found[2:4], *found[5:7], *found[8:], *moved, distance):
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()
    np.testing.assert_array_equal(found.mean[1:], activation_statistics(x[:, 1:]).mean)


def test_a_dead_unit():
    """A unit that is always the same has variance 0, no outliers, and shifts without a scale: NaN, not infinity."""
    dead, alive = activation_statistics(jnp.full((9, 1), 0.1)), activation_statistics(jnp.asarray(normal(1, 9, 1)))
    np.testing.assert_allclose(dead.variance, 0, atol=1e-12)
    np.testing.assert_array_equal(dead.outlier_share, 0)
    zeros = activation_statistics(jnp.zeros((9, 1)))
    assert np.isnan(shift(zeros, alive).relative_mean).all()
    assert np.isfinite(shift(zeros, alive).relative_wasserstein).all()
    assert np.isnan(shift(zeros, zeros).relative_wasserstein).all()


def test_half_precision_is_summed_in_float32():
    """A mean of bfloat16 values is taken in float32."""
    found = activation_statistics(jnp.ones((1000, 1), jnp.bfloat16))
    assert found.mean.dtype == jnp.float32
    np.testing.assert_array_equal(found.mean, 1)


@pytest.mark.parametrize("sizes", [(40, 40), (40, 60), (7, 12), (1, 5)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wasserstein_distance_is_scipys(sizes, seed, x64):
    """For equal and unequal sizes W1 is SciPy's, feature by feature, to 1e-12."""
    x, y = normal(seed, sizes[0], 2), 2 * normal(seed + 10, sizes[1], 2) + 1
    found = wasserstein_distance(jnp.asarray(x), jnp.asarray(y))
    expected = [stats.wasserstein_distance(x[:, i], y[:, i]) for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_wasserstein_distance_of_moved_and_scaled_samples(x64):
    """A sample moved by d is at distance |d|, one scaled by s at |s - 1| E|x|; a repeated one is at 0."""
    x = jnp.asarray(normal(1, 10, 3, 4))
    np.testing.assert_allclose(wasserstein_distance(x, x - 0.7), 0.7, rtol=1e-12)
    np.testing.assert_allclose(wasserstein_distance(x, 3 * x), 2 * jnp.mean(jnp.abs(x), (0, 1)), rtol=1e-12)
    np.testing.assert_allclose(wasserstein_distance(x, jnp.concatenate([x, x, x])), 0, atol=1e-12)
    relative = wasserstein_distance(x, x - 0.7, relative=True)
    np.testing.assert_allclose(relative, 0.7 / jnp.std(x, (0, 1)), rtol=1e-12)


def test_shift_of_a_moved_distribution(x64):
    """Where all values move by d and double about 0, means, variances and W1 have their closed forms."""
    x = jnp.asarray(normal(1, 400, 2))
    before, moved, doubled = (activation_statistics(values) for values in (x, x + 0.5, 2 * x))
    std = np.std(x, 0)
    found = shift(before, moved)
    np.testing.assert_allclose(found.mean, 0.5, rtol=1e-12)
    np.testing.assert_allclose(found.variance, 0, atol=1e-12)
    np.testing.assert_allclose(found.relative_mean, 0.5 / std, rtol=1e-12)
    np.testing.assert_allclose(found.wasserstein, 0.5, rtol=1e-12)
    np.testing.assert_allclose(found.relative_wasserstein, 0.5 / std, rtol=1e-12)
    found = shift(before, doubled)
    np.testing.assert_allclose(found.relative_variance, 3, rtol=1e-12)
    np.testing.assert_allclose(found.relative_mean, np.mean(x, 0) / std, rtol=1e-12)
    np.testing.assert_allclose(found.wasserstein, np.abs(before.quantiles).mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.wasserstein, wasserstein_distance(x, 2 * x), rtol=0.01)


def test_shift_is_exact_with_as_many_quantiles_as_values(x64):
    """With one quantile per value the shift's W1 is the samples' own."""
    x, y = jnp.asarray(normal(1, 30, 2)), jnp.asarray(normal(2, 30, 2) ** 3)
    found = shift(*(activation_statistics(values, num_quantiles=30) for values in (x, y)))
    np.testing.assert_allclose(found.wasserstein, wasserstein_distance(x, y), rtol=1e-12)


@pytest.mark.slow
def test_drift_over_steps(x64):
    """Of a distribution that moves by 1, 2, 3 the successive shifts are these, and the cumulative ones their sums."""
    x, places = normal(1, 50, 2), np.array([0.0, 1.0, 3.0, 6.0])
    listed = ActivationStatistics.stack([activation_statistics(jnp.asarray(x + place)) for place in places])
    scanned = jax.jit(
        lambda: jax.lax.scan(lambda c, p: (c, activation_statistics(jnp.asarray(x) + p)), 0, jnp.asarray(places))[1]
    )()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), listed, scanned)
    found = drift(listed)
    for series, moves in ((found.successive, np.diff(places)), (found.cumulative, places)):
        expected = np.stack([moves, moves], 1)
        np.testing.assert_allclose(series.mean, expected, atol=1e-12)
        np.testing.assert_allclose(series.wasserstein, expected, atol=1e-12)
        np.testing.assert_allclose(series.relative_mean, expected / np.std(x, 0), atol=1e-12)
        np.testing.assert_allclose(series.variance, 0, atol=1e-12)


def test_statistics_survive_their_file(tmp_path):
    """What is loaded is what was saved."""
    found = ActivationStatistics.stack([activation_statistics(jnp.asarray(normal(seed, 9, 2))) for seed in (1, 2)])
    found.save(tmp_path / "activations")
    jax.tree.map(np.testing.assert_array_equal, ActivationStatistics.load(tmp_path / "activations"), found)
    for moved in (drift(found), shift(found, found)):
        moved.save(tmp_path / "moved")
        jax.tree.map(np.testing.assert_array_equal, type(moved).load(tmp_path / "moved"), moved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activations": jnp.ones(5)}, r"activations must have shape \(examples, ..., features\), none 0, got \(5,\)"),
        ({"activations": jnp.ones((0, 5))}, r"none 0, got \(0, 5\)"),
        ({"units": [0, 4]}, r"units must be a list of numbers from 0 to 3, got \[0, 4\]"),
        ({"units": 2}, "units must be a list of numbers from 0 to 3, got 2"),
        ({"percentiles": (50, 101)}, r"percentiles must lie in \[0, 100\], got \(50, 101\)"),
        ({"bins": 0}, "bins must be a whole number >= 1, got 0"),
        ({"limits": (1.0, 1.0)}, r"limits must be \(low, high\) with low < high"),
        ({"limits": (0.0, 1.0, 2.0)}, r"limits must be \(low, high\) with low < high"),
        ({"limits": (-np.inf, np.inf)}, r"limits must be \(low, high\) with low < high, both finite"),
    ],
)
def test_misfits_are_named(arguments, message, as_a_user):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        activation_statistics(**{"activations": jnp.ones((5, 4))} | arguments)


def test_statistics_of_one_time_do_not_drift():
    """Drift needs statistics that are stacked, and stacking needs some."""
    with pytest.raises(ValueError, match=r"statistics must be stacked, steps first, got means of shape \(2,\)"):
        drift(activation_statistics(jnp.ones((3, 2))))
    with pytest.raises(ValueError, match="statistics must hold at least one step"):
        ActivationStatistics.stack([])

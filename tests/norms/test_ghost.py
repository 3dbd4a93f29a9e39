"""Batch norm in parts of a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import norms

X = jnp.asarray(np.random.default_rng(0).normal(2, 3, (12, 5, 3)), jnp.float32)
STATS = norms.BatchStats(jnp.full(3, 0.5), jnp.full(3, 2.0))


def ghost(x=X, size=4, **options):
    """Normalise ghosts in training."""
    return norms.ghost_batch_norm(x, STATS, ghost_size=size, train=True, momentum=0.9, **options)


def test_each_ghost_is_normalised_by_itself():
    """Outputs are those of batch norm on each ghost; the running statistics move to the ghosts' average."""
    parts = [norms.batch_norm(X[i : i + 4], STATS, train=True, momentum=0.9) for i in (0, 4, 8)]
    y, new = ghost()
    np.testing.assert_allclose(y, jnp.concatenate([y for y, _ in parts]), atol=1e-6)
    for mine, theirs in zip(new, zip(*(stats for _, stats in parts), strict=True), strict=True):
        np.testing.assert_allclose(mine, np.mean(theirs, axis=0), rtol=1e-5)


def test_the_variance_of_the_whole_batch():
    """On request the recorded variance is the whole batch's, also where ghosts have unequal valid counts."""
    mask = jnp.arange(12)[:, None, None] < 9
    for options in ({}, {"mask": mask}):
        _, whole = norms.batch_norm(X, STATS, train=True, momentum=0.9, **options)
        _, new = ghost(running_var="whole_batch", **options)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), new, whole)


def test_the_whole_variance_stays_exact_at_a_large_mean():
    """At mean 1e4, the ghosts' pooled variance has the precision of float32."""
    x = jnp.asarray(np.random.default_rng(0).normal(1e4, 1, (8192, 3)), jnp.float32)
    options = {"ghost_size": 64, "train": True, "momentum": 0.0, "running_var": "whole_batch"}
    _, new = norms.ghost_batch_norm(x, STATS, **options)
    np.testing.assert_allclose(new.var, np.asarray(x, np.float64).var(0), rtol=1e-6)


def test_one_ghost_is_batch_norm():
    """As large as the batch, a ghost is batch norm."""
    whole = norms.batch_norm(X, STATS, train=True, momentum=0.9)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ghost(size=12), whole)


def test_evaluation_takes_any_batch():
    """With running statistics there are no ghosts."""
    y, same = norms.ghost_batch_norm(X[:5], STATS, ghost_size=4, train=False)
    np.testing.assert_array_equal(y, norms.batch_norm(X[:5], STATS, train=False)[0])
    assert same is STATS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 5}, "ghost_size must divide the number of examples, 12, got 5"),
        ({"size": 4.0}, "ghost_size must divide the number of examples, 12, got 4.0"),
        ({"size": 0}, "ghost_size must divide the number of examples, 12, got 0"),
        ({"axis": 0}, "axis must leave axis 0, that of the examples, got 0"),
        ({"running_var": "all"}, "running_var must be one of mean_of_ghosts, whole_batch, got 'all'"),
    ],
)
def test_misfits_are_named(options, message, as_a_user):
    """What does not fit raises one line."""
    stats = norms.init_batch_stats(12) if "axis" in options else STATS
    size = options.pop("size", 4)
    with pytest.raises(ValueError, match=message):
        norms.ghost_batch_norm(X, stats, ghost_size=size, train=True, **options)


def test_no_features():
    """As in batch norm, there is nothing to normalise."""
    y, _ = norms.ghost_batch_norm(jnp.ones((4, 0)), norms.init_batch_stats(0), ghost_size=2, train=True)
    assert y.shape == (4, 0)

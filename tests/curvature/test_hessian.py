"""Hessian products and blocks: dense Hessians in every statistics mode, identities of batch norm, differences."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import KEY, dense_hessian, net, product_and_gradient
from jax.flatten_util import ravel_pytree

from bnjax import objective, train
from bnjax.probes import curvature


@pytest.mark.parametrize("statistics", get_args(objective.Statistics))
@pytest.mark.thorough
def test_batch_norm_net_in_every_statistics_mode(statistics, x64):
    """Products, the top and, from as many steps as dimensions, all of the spectrum are the dense Hessian's in float64."""
    loss_fn, params = net(statistics)
    hessian = np.asarray(dense_hessian(loss_fn, params))
    flat, unravel = ravel_pytree(params)
    vector = np.random.default_rng(1).normal(size=flat.shape)
    product = ravel_pytree(product_and_gradient(loss_fn, params, unravel(vector))[0])[0]
    eigenvalues = np.linalg.eigvalsh(hessian)
    # Re-estimated statistics are float32, whatever the parameters.
    exact, inexact = (1e-10, 1e-7) if statistics != "recalibrated" else (1e-6, 1e-5)
    scale = np.abs(eigenvalues).max()
    np.testing.assert_allclose(product, hessian @ vector, atol=exact * scale)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=inexact)
    np.testing.assert_allclose(pairs.eigenvalues, eigenvalues[:-4:-1], atol=exact * scale)
    assert pairs.converged.all()
    assert (pairs.objective.statistics, pairs.objective.batch_size) == (statistics, 8)
    density = curvature.spectral_density(loss_fn, params, key=KEY, num_matvecs=len(flat), num_probes=1)
    np.testing.assert_allclose(density.nodes[0], eigenvalues, atol=inexact * scale)


@pytest.mark.thorough
def test_not_scaled_by_batches(x64):
    """The Hessian of data cut into uneven batches is that of the data in one, with running statistics."""
    whole, params = net("running")
    cut = [jax.tree.map(lambda leaf: leaf[rows], whole.batch) for rows in (slice(3), slice(3, 6), slice(6, 8))]  # noqa: B023
    loss_fn = objective.make_loss_fn(whole.model, whole.batch_stats, cut, statistics="running")
    vector = jax.tree.map(np.ones_like, params)
    products = (product_and_gradient(f, params, vector)[0] for f in (whole, loss_fn))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *products)


@pytest.mark.parametrize("pattern", ["^first/kernel", "bias", pytest.param("^norm/", marks=pytest.mark.thorough)])
@pytest.mark.thorough
def test_blocks_are_parts_of_the_dense_hessian(pattern, x64):
    """With a pattern, eigenvalues and trace are those of the selected rows and columns."""
    loss_fn, params = net()
    block = {"first": {"kernel": pattern == "^first/kernel", "bias": pattern == "bias"}}
    block |= {"last": {"kernel": False, "bias": pattern == "bias"}}
    block |= {"norm": {"bias": pattern != "^first/kernel", "scale": pattern == "^norm/"}}
    mask = ravel_pytree(jax.tree.map(lambda w, on: jnp.full(w.shape, on), params, block))[0]
    part = np.asarray(dense_hessian(loss_fn, params))[np.ix_(mask, mask)]
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=2, pattern=pattern, tolerance=1e-8)
    np.testing.assert_allclose(pairs.eigenvalues, np.linalg.eigvalsh(part)[:-3:-1], atol=1e-10)
    assert pairs.dimension == mask.sum()
    estimate = curvature.trace(loss_fn, params, key=KEY, num_probes=200, pattern=pattern)
    np.testing.assert_allclose(estimate.trace, np.trace(part), atol=4 * float(estimate.standard_error) + 1e-12)
    direction = pairs.direction(params, 1)
    flat, product = (ravel_pytree(t)[0] for t in (direction, product_and_gradient(loss_fn, params, direction)[0]))
    np.testing.assert_allclose(np.vdot(flat, product), pairs.eigenvalues[1], atol=1e-10)
    assert not np.asarray(flat)[~np.asarray(mask)].any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scale_invariant_weights(seed, x64):
    """Before batch norm with epsilon 0, H w = -g in the block of the weights: a wrong mode would show at once."""
    loss_fn, params = net(seed=seed, epsilon=0.0)
    weights = params["first"]["kernel"]
    vector = {**jax.tree.map(np.zeros_like, params), "first": {"kernel": weights, "bias": np.zeros(4)}}
    product, gradient = (t["first"]["kernel"] for t in product_and_gradient(loss_fn, params, vector))
    np.testing.assert_allclose(product, -gradient, atol=1e-10 * np.abs(gradient).max())
    running = loss_fn.replace(statistics="running")
    product, gradient = (t["first"]["kernel"] for t in product_and_gradient(running, params, vector))
    assert np.abs(product + gradient).max() > 1e-2 * np.abs(gradient).max()


@pytest.mark.thorough
def test_convolutions_and_pooling(trainer, state, synthetic, x64):
    """Products through the library's own layers are the central differences of the gradient, in float64 to 1e-6."""
    params, batch_stats, batch = jax.tree.map(
        lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a,
        (state.params, state.batch_stats, train.current_batch(trainer, state, synthetic.train)),
    )
    loss_fn = objective.make_loss_fn(trainer.model, batch_stats, batch)
    rng = np.random.default_rng(0)
    vector = jax.tree.map(lambda w: rng.normal(size=w.shape), params)
    forward, backward = (
        product_and_gradient(loss_fn, jax.tree.map(lambda w, v: w + step * v, params, vector), vector)[1]  # noqa: B023
        for step in (1e-7, -1e-7)
    )
    product, _ = product_and_gradient(loss_fn, params, vector)
    expected = jax.tree.map(lambda a, b: (a - b) / 2e-7, forward, backward)
    product, expected = (ravel_pytree(tree)[0] for tree in (product, expected))
    assert product.dtype == jnp.float64
    np.testing.assert_allclose(product, expected, atol=1e-6 * np.abs(expected).max())

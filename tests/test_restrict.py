"""Losses of some parameters only."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import objective, probes, train


def quadratic(params):
    """L = (|a|² + 2 |b|²) / 2 + a b."""
    a, b = params["block"]["a"], params["b"]
    return 0.5 * jnp.sum(a**2) + jnp.sum(b**2) + a[0] * b[0]


PARAMS = {"block": {"a": jnp.array([1.0, 2.0])}, "b": jnp.array([3.0])}


def test_only_what_is_selected_moves():
    """A scan of a block goes along its own gradient; distances are the block's."""
    scan = probes.scan_line(*probes.restrict(quadratic, PARAMS, "^block/"), step_sizes=(0.5, 1.0))
    gradient = np.array([1.0 + 3.0, 2.0])
    np.testing.assert_allclose(scan.gradient_norm, np.linalg.norm(gradient), rtol=1e-6)
    np.testing.assert_allclose(scan.smoothness, 1, rtol=1e-6)
    moved = np.array([1.0, 2.0]) - 0.5 * gradient
    np.testing.assert_allclose(scan.loss[0], 0.5 * (moved**2).sum() + 9 + moved[0] * 3, rtol=1e-6)


def test_everything_selected_is_the_whole(trainer, state, synthetic):
    """With a pattern that matches all, a model's scan is the unrestricted one, and says how its loss was made."""
    loss = objective.make_loss_fn(
        trainer.model, state.batch_stats, train.current_batch(trainer, state, synthetic.train)
    )
    whole = probes.scan_line(loss, state.params)
    block = probes.scan_line(*probes.restrict(loss, state.params, ""))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), block, whole)
    assert block.objective == whole.objective == replace(loss.info, precision="highest", platform="cpu")


def test_a_restricted_objective_is_traced_once():
    """It is a pytree where the loss is one: other values do not trace again."""
    traces = []

    def counted(factor, params):
        traces.append(1)
        return factor * quadratic(params)

    for factor in (1.0, 2.0):
        loss = jax.tree_util.Partial(counted, jnp.float32(factor))
        scan = probes.scan_line(*probes.restrict(loss, PARAMS, "b$"), step_sizes=(0.5,))
        np.testing.assert_allclose(scan.smoothness, 2 * factor, rtol=1e-6)
        first = len(traces) if factor == 1.0 else first
    assert len(traces) == first


def test_a_pattern_that_matches_nothing():
    """One line names it."""
    with pytest.raises(ValueError, match="pattern must match a path of the parameters, b, block/a; got 'conv'"):
        probes.restrict(quadratic, PARAMS, "conv")

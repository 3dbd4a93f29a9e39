"""Objectives are functions of the parameters alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bnjax import objective, train


def test_statistics_modes(trainer, state, synthetic):
    """The mode "batch" is the model in training, "running" the model in evaluation."""
    batch = train.current_batch(trainer, state, synthetic.train)
    for statistics, training in (("batch", True), ("running", False)):
        loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch, statistics=statistics)
        logits, _ = trainer.model.apply(state.variables, batch.inputs, train=training)
        expected = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
        np.testing.assert_allclose(loss_fn(state.params), expected, rtol=1e-6)
        assert (loss_fn.info.statistics, loss_fn.info.batch_size) == (statistics, 16)


def test_penalty(trainer, state, synthetic):
    """The penalty adds half its strength times the squared norm."""
    batch = train.current_batch(trainer, state, synthetic.train)
    plain, total = (
        objective.make_loss_fn(trainer.model, state.batch_stats, batch, l2=l2)(state.params) for l2 in (0.0, 0.5)
    )
    squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(state.params))
    np.testing.assert_allclose(total - plain, 0.25 * squares, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of cross_entropy, squared_error, got 'hinge'"),
        ({"statistics": "eval"}, "statistics must be one of batch, running, got 'eval'"),
    ],
)
def test_unknown_names(change, message, trainer, state, synthetic, as_a_user):
    """One line names what there is."""
    batch = train.current_batch(trainer, state, synthetic.train)
    with pytest.raises(ValueError, match=message):
        objective.make_loss_fn(trainer.model, state.batch_stats, batch, **change)

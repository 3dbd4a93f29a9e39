"""Losses per example."""

import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import losses


def test_values():
    """Cross-entropy is in nats, squared error is halved, and NaN is never correct."""
    logits, labels = jnp.array([[0.0, 0.0], [1.0, 3.0]]), jnp.array([0, 1])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), [np.log(2), np.log(1 + np.exp(-2))], rtol=1e-6)
    np.testing.assert_allclose(losses.squared_error(logits, jnp.ones((2, 2))), [1, 2])
    np.testing.assert_array_equal(losses.is_correct(logits.at[1, 0].set(jnp.nan), labels), [True, False])
    assert jnp.isnan(losses.is_correct(logits, jnp.ones((2, 2)))).all()


def test_unknown_loss():
    """One line names what there is."""
    with pytest.raises(ValueError, match="loss must be one of cross_entropy, squared_error, got 'huber'"):
        losses.get_loss("huber")


@pytest.mark.parametrize(
    ("loss", "shape", "message"),
    [
        (
            "squared_error",
            (4,),
            r"labels must have the shape of the outputs, got labels of shape \(4,\) and outputs of ",
        ),
        (
            "squared_error",
            (4, 3),
            r"labels must have the shape of the outputs, got labels of shape \(4, 3\) and outputs",
        ),
        (
            "cross_entropy",
            (4, 1),
            r"labels must be numbers of classes, one per example or token, got labels of shape \(4, 1\) and",
        ),
        (
            "cross_entropy",
            (4, 1),
            r"outputs of shape \(4, 1\): give labels.argmax\(axis=-1\), or a loss of your own\.$",
        ),
    ],
)
def test_labels_that_do_not_fit_the_outputs(loss, shape, message, as_a_user):
    """One line tells both shapes; nothing is broadcast."""
    with pytest.raises(ValueError, match=message):
        losses.get_loss(loss)(jnp.ones((4, 1)), jnp.zeros(shape, int if loss == "cross_entropy" else float))

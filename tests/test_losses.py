"""Losses per example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import Batch, Model, Variables, data, losses, objective, train


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


X = jnp.linspace(-1.0, 1.0, 12).reshape(6, 2)
LINEAR = Model(lambda key, x: Variables(jnp.ones(2), {}), lambda v, x, **_: (x @ v.params, v.batch_stats))


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("labels", [X[:, 0] ** 2, jnp.arange(6)], ids=["numbers", "integers"])
@pytest.mark.parametrize("mask", [None, jnp.arange(6) % 3 > 0], ids=["all", "some"])
def test_one_output_per_example(labels, mask):
    """Outputs (examples,) have the mean that they have as (examples, 1): in a probe of any cut, in steps and in tests."""
    column = Model(LINEAR.init, lambda v, x, **_: ((x @ v.params)[:, None], v.batch_stats))
    counts = np.ones(6) if mask is None else np.asarray(mask)
    expected = np.average(0.5 * (X.sum(1) - labels) ** 2, weights=counts)
    for model, targets in ((LINEAR, labels), (column, labels[:, None].astype(float))):
        batch, split = Batch(X, targets, mask), data.from_arrays(X, targets, mask)
        cuts = [jax.tree.map(lambda leaf, rows=rows: leaf[rows], batch) for rows in (slice(4), slice(4, 6))]
        for whole in (batch, cuts):
            loss_fn = objective.make_loss_fn(model, {}, whole, loss="squared_error")
            np.testing.assert_allclose(loss_fn(jnp.ones(2)), expected, rtol=1e-6)
        trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=6, loss="squared_error")
        state = train.init_state(trainer, jax.random.key(0), X)
        tested = train.evaluate(trainer, state.variables, split, batch_size=4)
        _, metrics = train.run_steps(trainer, state, split, num_steps=1)
        np.testing.assert_allclose([tested.loss, metrics.loss[0]], expected, rtol=1e-6)
        assert np.isnan([tested.accuracy, metrics.accuracy[0]]).all()


def test_a_column_of_labels_does_not_fit_a_row_of_outputs(as_a_user):
    """One line says so."""
    with pytest.raises(ValueError, match=r"^labels must have the shape of the outputs, got labels of shape \(6, 1\)"):
        losses.loss_of_each("squared_error", jnp.ones(6), Batch(X, jnp.ones((6, 1))))


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("dtype", "classes"), [(jnp.uint8, 256), (jnp.int8, 128), (jnp.uint8, 300), (jnp.uint16, 65536)]
)
def test_labels_of_few_bits(dtype, classes):
    """The number of classes need not fit into their type."""
    labels = jnp.array([0, 43, 44, min(classes - 1, jnp.iinfo(dtype).max)], dtype)
    np.testing.assert_allclose(losses.cross_entropy(jnp.zeros((4, classes)), labels), np.log(classes), rtol=1e-6)
    assert losses.have_classes(jnp.zeros((4, classes)), labels)


def test_a_class_that_is_left_out():
    """A logit of -inf does not make the answers wrong; one of inf, or NaN, does, whosever it is."""
    logits = jnp.array([[2.0, 1.0, -jnp.inf], [0.0, 3.0, -jnp.inf], [jnp.inf, 0.0, 0.0], [1.0, jnp.nan, 0.0]])
    np.testing.assert_array_equal(losses.is_correct(logits, jnp.array([0, 1, 0, 0])), [True, True, False, False])


@pytest.mark.parametrize("mask", [jnp.array([2, 0, 1]), jnp.array([0.5, 0.0, 1.0])], ids=["counts", "weights"])
def test_masks_are_booleans(mask, as_a_user):
    """Others would be taken for truth values here and for numbers there."""
    message = f"^mask must hold booleans, True where an example or token counts, got {mask.dtype}"
    with pytest.raises(ValueError, match=message):
        losses.average(jnp.ones(3), mask)
    loss_fn = objective.make_loss_fn(LINEAR, {}, Batch(X[:3], jnp.zeros(3), mask), loss="squared_error")
    with pytest.raises(ValueError, match=message):
        loss_fn(jnp.ones(2))


def test_labels_of_other_whole_numbers(x64):
    """Unsigned ones of 64 bits, and those of 4, are taken as they are."""
    for dtype in (jnp.uint64, jnp.int4):
        np.testing.assert_allclose(
            losses.cross_entropy(jnp.zeros((2, 3)), jnp.array([0, 2], dtype)), np.log(3), rtol=1e-6
        )

"""Labels of tokens, labels that are no classes, and masks: one mean, wherever a loss or an accuracy is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from bnjax import Batch, Model, Variables, data, losses, objective, train

X = jax.random.normal(jax.random.key(0), (10, 4, 3))
LABELS = jax.random.randint(jax.random.key(1), (10, 4), 0, 5)
MASK = jax.random.bernoulli(jax.random.key(2), 0.6, (10, 4))
MODEL = Model(
    lambda key, x: Variables({"w": jax.random.normal(key, (x.shape[-1], 5))}, {}),
    lambda variables, x, **_: (jnp.matmul(x, variables.params["w"]), variables.batch_stats),
)
TRAINER = train.Trainer(MODEL, train.make_optimizer("sgd", 0.1), batch_size=10)
PARAMS = MODEL.init(jax.random.key(3), X).params


def mean_loss(x, labels, mask):
    """Average the cross-entropy over the tokens that count, in numpy; and the share of the right ones."""
    logits = np.asarray(x, float) @ np.asarray(PARAMS["w"], float)
    labels = np.asarray(labels)
    each = (
        logsumexp(logits, axis=-1) - np.take_along_axis(logits, np.where(labels < 0, 0, labels)[..., None], -1)[..., 0]
    )
    counts = np.broadcast_to(np.ones(()) if mask is None else np.asarray(mask), labels.shape).astype(float)
    return [np.average(values, weights=counts) for values in (each, logits.argmax(-1) == labels)]


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "some"])
def test_all_means_are_over_the_tokens_that_count(mask):
    """In one batch and several of any size, in a training step and in an evaluation, however it is cut."""
    expected, accuracy = mean_loss(X, LABELS, mask)
    batches = [Batch(X[a:b], LABELS[a:b], None if mask is None else mask[a:b]) for a, b in ((0, 4), (4, 8), (8, 10))]
    whole = Batch(X, LABELS, mask)
    for batch in (whole, batches):
        loss_fn = objective.make_loss_fn(MODEL, {}, batch)
        np.testing.assert_allclose(loss_fn(PARAMS), expected, rtol=1e-6)
        assert loss_fn.info.num_examples == 10
    # A copy, since it is given away.
    state = train.init_state(TRAINER, jax.random.key(0), X).replace(params=jax.tree.map(jnp.copy, PARAMS))
    _, metrics = train.train_step(TRAINER, state, whole)
    np.testing.assert_allclose(metrics, [expected, accuracy], rtol=1e-6)
    split = data.from_arrays(X, LABELS, mask)
    for batch_size in (3, 10):
        found = train.evaluate(TRAINER, Variables(PARAMS, {}), split, batch_size=batch_size)
        np.testing.assert_allclose(found, [expected, accuracy], rtol=1e-6)
    _, metrics = train.run_steps(TRAINER, state, split, num_steps=1)
    np.testing.assert_allclose(metrics.loss, [expected], rtol=1e-6)


def test_a_mask_of_examples():
    """It leaves out all tokens of an example, and one example of several."""
    mask = jnp.arange(10) % 3 != 0
    for x, labels in ((X, LABELS), (X[:, 0], LABELS[:, 0])):
        expected, _ = mean_loss(np.asarray(x)[mask], np.asarray(labels)[mask], None)
        loss_fn = objective.make_loss_fn(MODEL, {}, Batch(x, labels, mask))
        np.testing.assert_allclose(loss_fn(PARAMS), expected, rtol=1e-6)
    targets = jax.random.normal(jax.random.key(4), (10, 4, 5))
    found = train.evaluate(
        TRAINER._replace(loss="squared_error"), Variables(PARAMS, {}), data.from_arrays(X, targets, mask)
    )
    errors = np.asarray(jnp.matmul(X, PARAMS["w"]) - targets)[mask]
    np.testing.assert_allclose(found.loss, 0.5 * np.sum(errors**2, -1).mean(), rtol=1e-6)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_what_does_not_count_may_be_anything(loss):
    """Labels of -100, NaN in targets and in inputs reach neither the loss nor its gradient."""
    targets = LABELS if loss == "cross_entropy" else jax.random.normal(jax.random.key(4), (10, 4, 5))
    spread = MASK if loss == "cross_entropy" else MASK[..., None]
    spoilt = jnp.where(spread, targets, -100 if loss == "cross_entropy" else jnp.nan)
    x = jnp.where(MASK[..., None], X, jnp.inf)
    made = [objective.make_loss_fn(MODEL, {}, Batch(x, t, MASK), loss=loss) for x, t in ((X, spoilt), (X, targets))]
    found, expected = (jax.value_and_grad(loss_fn)(PARAMS) for loss_fn in made)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    infinite = objective.make_loss_fn(MODEL, {}, Batch(x, targets, MASK), loss=loss)
    np.testing.assert_allclose(infinite(PARAMS), expected[0], rtol=1e-6)


def test_nothing_counts():
    """A mean over nothing is NaN."""
    assert jnp.isnan(objective.make_loss_fn(MODEL, {}, Batch(X, LABELS, jnp.zeros((10, 4), bool)))(PARAMS))


@pytest.mark.parametrize("wrong", [-1, 5, 1000])
def test_labels_that_are_no_classes(wrong, as_a_user):
    """They are refused where they are known, and make loss and gradient NaN inside compiled code."""
    labels = LABELS[:, 0].at[3].set(wrong)
    logits = jnp.matmul(X[:, 0], PARAMS["w"])
    with pytest.raises(
        ValueError, match=rf"^labels must be classes from 0 to 4, got {wrong}; where an example or token"
    ):
        losses.cross_entropy(logits, labels)
    each = jax.jit(losses.cross_entropy)(logits, labels)
    np.testing.assert_array_equal(np.isnan(each), np.arange(10) == 3)

    def loss(labels, params):
        return jnp.mean(losses.cross_entropy(jnp.matmul(X[:, 0], params["w"]), labels))

    assert np.isnan(jax.jit(jax.grad(loss, 1))(labels, PARAMS)["w"]).all()
    state = train.init_state(TRAINER, jax.random.key(0), X[:, 0])
    _, metrics = train.run_steps(TRAINER, state, data.from_arrays(X[:, 0], labels), num_steps=1)
    assert np.isnan(metrics.loss).all()
    with pytest.raises(ValueError, match=r"^labels must be classes from 0 to "):
        objective.make_loss_fn(MODEL, {}, Batch(X[:, 0], labels))(PARAMS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: objective.make_loss_fn(MODEL, {}, Batch(X, LABELS, MASK[:, :2])),
            r"batch must have a mask with an entry per example or token, got one of shape \(10, 2\)",
        ),
        (
            lambda: losses.count_only(jnp.ones((3, 5)), jnp.zeros(3, int), jnp.ones((3, 2), bool)),
            r"mask must have an entry per example, or per token of each, got shape \(3, 2\)",
        ),
        (
            lambda: data.from_arrays(X, LABELS, jnp.ones((10, 4))),
            r"mask must hold booleans, one for each example or token of the labels, \(10, 4\), got float32",
        ),
        (lambda: data.from_arrays(X, LABELS, MASK[:5]), r"mask must hold booleans, .* got bool of shape \(5, 4\)"),
        (
            lambda: objective.make_loss_fn(MODEL, {}, Batch(X, LABELS.at[0, 0].set(-1))),
            "labels must be classes from 0 to the number of classes - 1, got -1",
        ),
    ],
)
def test_misfits_are_named(call, message, as_a_user):
    """A mask or label that does not fit raises one line."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("first", ["classes", "words"])
def test_a_mask_of_one_of_several_labels(first):
    """Of whichever its tokens are."""
    labels = {first: LABELS[:, 0], "tokens": LABELS}
    np.testing.assert_array_equal(data.from_arrays(X, labels, MASK).mask, MASK)
    with pytest.raises(ValueError, match=r"token of the labels, \(10,.* or \(10,.*, got bool of shape \(10, 3\)"):
        data.from_arrays(X, labels, MASK[:, :3])

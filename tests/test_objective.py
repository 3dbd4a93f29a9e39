"""Objectives are functions of the parameters alone."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bnjax import Batch, Model, Variables, norms, objective, train


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
        ({"statistics": "eval"}, "statistics must be one of batch, running, recalibrated, got 'eval'"),
    ],
)
def test_unknown_names(change, message, trainer, state, synthetic, as_a_user):
    """One line names what there is."""
    batch = train.current_batch(trainer, state, synthetic.train)
    with pytest.raises(ValueError, match=message):
        objective.make_loss_fn(trainer.model, state.batch_stats, batch, **change)


def regress(variables, x, *, train, rngs=None):
    """Apply batch norm between two matrices."""
    params, stats = variables
    hidden, stats = norms.batch_norm(x @ params["in"], stats, params["scale"], params["bias"], train=train)
    return hidden @ params["out"], stats


@pytest.fixture
def regression(x64):
    """A model in float64, statistics included, its variables, and 11 examples."""
    shapes = {"in": (5, 4), "scale": (4,), "bias": (4,), "out": (4, 3), "x": (11, 5), "y": (11, 3)}
    arrays = {name: jax.random.normal(jax.random.key(i), shape) for i, (name, shape) in enumerate(shapes.items())}
    variables = Variables(arrays, norms.BatchStats(jnp.zeros(4), jnp.ones(4)))
    return Model(lambda key, x: variables, regress), variables, Batch(arrays.pop("x"), arrays.pop("y"))


def cut(batch, sizes):
    """Cut a batch into batches of given sizes."""
    ends = np.cumsum(sizes)
    return [jax.tree.map(lambda leaf, a=a, b=b: leaf[a:b], batch) for a, b in zip(ends - sizes, ends, strict=True)]


def loss_of(regression, sizes=(11,), **options):
    """Make a squared error over batches of given sizes."""
    model, variables, batch = regression
    return objective.make_loss_fn(model, variables.batch_stats, cut(batch, sizes), loss="squared_error", **options)


@pytest.mark.parametrize(
    "sizes", [(4, 4, 3), *(pytest.param(s, marks=pytest.mark.thorough) for s in ((1, 5, 5), (2, 3, 6)))]
)
def test_with_running_statistics_no_cut_matters(sizes, regression):
    """Every example counts alike, in ragged batches too; losses and gradients are those of one batch."""
    params = regression[1].params
    whole, parts = (jax.value_and_grad(loss_of(regression, s, statistics="running"))(params) for s in ((11,), sizes))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), parts, whole)


def test_with_the_batch_s_statistics_the_cut_matters_and_is_kept(regression):
    """The loss is the mean over examples of the batches' own losses, and says in what batches."""
    params = regression[1].params
    loss_fn = loss_of(regression, (4, 4, 3))
    parts = [loss_of((*regression[:2], part), (len(part.labels),))(params) for part in cut(regression[2], (4, 4, 3))]
    np.testing.assert_allclose(loss_fn(params), np.average(parts, weights=(4, 4, 3)), rtol=1e-12)
    assert abs(loss_fn(params) - loss_of(regression)(params)) > 1e-3
    assert (loss_fn.info.batch_size, loss_fn.info.num_examples) == (4, 11)


@pytest.mark.parametrize("sizes", [pytest.param((11,), marks=pytest.mark.thorough), (4, 4, 3)])
def test_recalibrated_statistics_are_those_of_recalibrate(sizes, regression):
    """The loss is that of evaluation after `norms.recalibrate`; its gradient is that of central differences."""
    model, variables, batch = regression
    loss_fn = loss_of(regression, sizes, statistics="recalibrated")
    new = norms.recalibrate(model, variables, cut(batch, sizes))
    expected = loss_of((model, new, batch), statistics="running")(variables.params)
    np.testing.assert_allclose(loss_fn(variables.params), expected, rtol=1e-6)
    flat, unravel = jax.flatten_util.ravel_pytree(variables.params)
    direction = jax.random.normal(jax.random.key(3), flat.shape)
    ahead, behind = (loss_fn(unravel(flat + h * direction)) for h in (1e-5, -1e-5))
    gradient, _ = jax.flatten_util.ravel_pytree(jax.grad(loss_fn)(variables.params))
    np.testing.assert_allclose(gradient @ direction, (ahead - behind) / 2e-5, rtol=1e-6)
    assert loss_fn.info.statistics == "recalibrated"


def test_one_batch_recalibrated_is_that_batch(regression):
    """With a single batch, evaluation with its statistics is training on it, to the second derivative."""
    params = regression[1].params
    mine, theirs = (jax.jit(jax.hessian(loss_of(regression, statistics=s)))(params) for s in ("recalibrated", "batch"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), mine, theirs)


def test_no_batches_is_an_error(regression):
    """One line says so."""
    with pytest.raises(ValueError, match="batch must be a Batch or a sequence of them, got none"):
        objective.make_loss_fn(regression[0], {}, [])

"""Objectives are functions of the parameters alone."""

from functools import partial

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from bnjax import Batch, Model, Variables, norms, objective, train


@pytest.mark.slow
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


@jax.jit
def evaluate(loss_fn, params):
    """Evaluate a loss and its gradient, compiled once for all that differ in data alone."""
    return jax.value_and_grad(loss_fn)(params)


def loss_of(regression, sizes=(11,), **options):
    """Make a squared error over batches of given sizes."""
    model, variables, batch = regression
    return objective.make_loss_fn(model, variables.batch_stats, cut(batch, sizes), loss="squared_error", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [(4, 4, 3), *(pytest.param(s, marks=pytest.mark.thorough) for s in ((1, 5, 5), (2, 3, 6)))]
)
def test_with_running_statistics_no_cut_matters(sizes, regression):
    """Every example counts alike, in ragged batches too; losses and gradients are those of one batch."""
    params = regression[1].params
    whole, parts = (evaluate(loss_of(regression, s, statistics="running"), params) for s in ((11,), sizes))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), parts, whole)


def test_with_the_batch_s_statistics_the_cut_matters_and_is_kept(regression):
    """The loss is the mean over examples of the batches' own losses, and says in what batches."""
    params = regression[1].params
    loss_fn = loss_of(regression, (4, 4, 3))
    loss, _ = evaluate(loss_fn, params)
    alone = [loss_of((*regression[:2], part), (len(part.labels),)) for part in cut(regression[2], (4, 4, 3))]
    parts = [evaluate(part, params)[0] for part in alone]
    np.testing.assert_allclose(loss, np.average(parts, weights=(4, 4, 3)), rtol=1e-12)
    assert abs(loss - evaluate(loss_of(regression), params)[0]) > 1e-3
    assert (loss_fn.info.batch_size, loss_fn.info.num_examples) == (4, 11)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [pytest.param((11,), marks=pytest.mark.thorough), (4, 4, 3)])
def test_recalibrated_statistics_are_those_of_recalibrate(sizes, regression):
    """The loss is that of evaluation after `norms.recalibrate`; its gradient is that of central differences."""
    model, variables, batch = regression
    loss_fn = loss_of(regression, sizes, statistics="recalibrated")
    new = norms.recalibrate(model, variables, cut(batch, sizes))
    expected, _ = evaluate(loss_of((model, new, batch), statistics="running"), variables.params)
    loss, gradient = evaluate(loss_fn, variables.params)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    flat, unravel = jax.flatten_util.ravel_pytree(variables.params)
    direction = jax.random.normal(jax.random.key(3), flat.shape)
    ahead, behind = (evaluate(loss_fn, unravel(flat + h * direction))[0] for h in (1e-5, -1e-5))
    slope = jax.flatten_util.ravel_pytree(gradient)[0] @ direction
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)
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


def test_a_pair_of_functions_is_a_model_and_a_generator_is_a_list(regression):
    """The loss is that of the Model and of the list of batches."""
    model, variables, batch = regression
    batches = (part for part in cut(batch, (4, 4, 3)))
    loss_fn = objective.make_loss_fn(tuple(model), variables.batch_stats, batches, loss="squared_error")
    assert loss_fn(variables.params) == loss_of(regression, (4, 4, 3))(variables.params)
    assert loss_fn.info == loss_of(regression, (4, 4, 3)).info


X, Y = jnp.ones((2, 3)), jnp.zeros(2, int)


@pytest.mark.parametrize(
    ("batch", "got"),
    [((X, Y), "tuple of ArrayImpl"), ([(X, Y)], "list of tuple"), (X, "ArrayImpl of ArrayImpl"), (None, "NoneType")],
)
def test_what_is_no_batch_is_an_error(batch, got, regression, as_a_user):
    """One line says how to write one."""
    message = rf"^batch must be a Batch or a sequence of them: write Batch\(inputs, labels\), got {got}\.$"
    with pytest.raises(ValueError, match=message):
        objective.make_loss_fn(regression[0], {}, batch)


@pytest.mark.parametrize("batch", [Batch(X[:0], Y[:0]), [Batch(X, Y), Batch(X[:0], Y[:0])]])
def test_no_examples_is_an_error(batch, regression):
    """One line says so, also where only one of the batches is empty."""
    with pytest.raises(ValueError, match=r"^batch must have at least one example, got inputs of shape \(0, 3\)\.$"):
        objective.make_loss_fn(regression[0], {}, batch)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Dense(2), r"a Model: write adapters.from_linen\(module\), got the linen module Dense"),
        (nnx.Linear(3, 2, rngs=nnx.Rngs(0)), r"a Model: write adapters.from_nnx\(module\), got the nnx module Linear"),
        (regress, r"a Model or a pair of functions \(init, apply\), got function"),
    ],
)
def test_what_is_no_model_is_an_error(model, message, as_a_user):
    """One line says how to make one."""
    with pytest.raises(
        ValueError, match=rf"^model must be {message}; or give the probe a function of the parameters\.$"
    ):
        objective.make_loss_fn(model, {}, Batch(X, Y))


def constant(variables, x, *, train, rngs=None):
    """Give zeros, whatever the parameters."""
    return jnp.zeros((len(x), 3), x.dtype), {}


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_penalty_adds_up_in_float32(dtype):
    """Squares of half precision neither overflow nor get lost among many."""
    batch = Batch(jnp.zeros((2, 1), dtype), jnp.zeros((2, 3), dtype))
    loss_fn = objective.make_loss_fn(
        Model(lambda key, x: Variables({}, {}), constant), {}, batch, loss="squared_error", l2=2.0
    )
    value = loss_fn({"a": jnp.full(1000, 300.0, dtype), "b": jnp.ones(1, dtype)})
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, 9e7 + 1, rtol=1e-6)


def test_a_model_without_parameters_has_no_penalty():
    """Its loss is that of its outputs."""
    batch = Batch(jnp.zeros((2, 1)), jnp.ones((2, 3)))
    model = Model(lambda key, x: Variables({}, {}), constant)
    plain, total = (objective.make_loss_fn(model, {}, batch, loss="squared_error", l2=l2)({}) for l2 in (0.0, 2.0))
    assert plain == total > 0


@pytest.mark.slow
def test_the_penalty_s_strength_is_not_rounded(regression):
    """In float64 it is that of Python's number, and a model in float32 keeps a loss in float32."""
    params = regression[1].params
    penalty = evaluate(loss_of(regression, l2=0.1), params)[0] - evaluate(loss_of(regression), params)[0]
    np.testing.assert_allclose(penalty, 0.05 * optax.tree.norm(params, squared=True), rtol=1e-12)
    single = (regression[0], *jax.tree.map(lambda leaf: leaf.astype(jnp.float32), regression[1:]))
    assert evaluate(loss_of(single, l2=0.1), single[1].params)[0].dtype == jnp.float32


def test_two_cuts_do_not_compare_equal(regression):
    """The info holds all sizes where they differ, in no order; without differences it is the batch size alone."""
    infos = [loss_of(regression, sizes).info for sizes in ((4, 4, 3), (4, 4, 2, 1), (3, 4, 4))]
    assert infos[0].cut == ((2, 4), (1, 3))
    assert infos[0] != infos[1]
    assert infos[0] == infos[2]
    assert loss_of(regression).info.cut == ()


def test_labels_that_do_not_fit(regression, as_a_user):
    """One line says so: of another number where the loss is made, of another shape where it is called."""
    model, variables, batch = regression
    make = partial(objective.make_loss_fn, model, variables.batch_stats, loss="squared_error")
    message = (
        r"^batch must have a label for each example, got labels of shape \(7, 3\) for inputs of shape \(11, 5\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        make([batch, batch._replace(labels=batch.labels[:7])])
    with pytest.raises(ValueError, match="labels must have the shape of the outputs"):
        make(batch._replace(labels=batch.labels[:, 0]))(variables.params)


def test_batches_of_one_size_and_several_shapes():
    """Images of several sizes are averaged as each of them alone; the cut, of examples, is the same for all."""
    model = Model(lambda key, x: Variables({}, {}), lambda v, x, **_: (v.params * jnp.mean(x, (1, 2)), v.batch_stats))
    images = [jax.random.normal(jax.random.key(size), (2, size, size, 3)) for size in (4, 5, 4)]
    batches = [Batch(x, jnp.zeros((2, 3))) for x in images]
    make = partial(objective.make_loss_fn, model, {}, loss="squared_error")
    loss_fn = make(batches)
    two = jnp.float32(2)
    np.testing.assert_allclose(loss_fn(two), np.mean([make(batch)(two) for batch in batches]), rtol=1e-6)
    assert (loss_fn.info.batch_size, loss_fn.info.num_examples, loss_fn.info.cut) == (2, 6, ())


def test_no_penalty_reads_no_parameters(regression):
    """A strength of 0 is no part of the program, and an array of 0 gives the same loss."""
    bare, zero = loss_of(regression), loss_of(regression, l2=jnp.zeros(()))
    params = regression[1].params
    lines = [str(jax.make_jaxpr(jax.grad(loss_fn))(params)).count("\n") for loss_fn in (bare, zero)]
    assert lines[0] < lines[1]
    assert bare(params) == zero(params)

"""A loss of one's own, of outputs and labels of any structure, in training, in tests and in probes on the way."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from example_nets import VAE
from flax import linen as nn

from bnjax import Batch, Model, adapters, data, losses, objective, probes, sweep, train

X = jax.random.uniform(jax.random.key(0), (24, 6))
LABELS = {"pixels": (X > 0.5).astype(jnp.float32), "weight": jnp.linspace(1.0, 2.0, 24)}
RNGS = {"noise": jax.random.key(0)}
MODEL = adapters.from_linen(VAE(), lambda module, x, train: module(x, module.make_rng("noise")))


def elbo(outputs, labels):
    """Return the weighted negative evidence lower bound of each example."""
    logits, mean, logvar = outputs
    missed = optax.sigmoid_binary_cross_entropy(logits, labels["pixels"]).sum(-1)
    return labels["weight"] * (missed - 0.5 * jnp.sum(1 + logvar - mean**2 - jnp.exp(logvar), -1))


TRAINER = train.Trainer(MODEL, train.make_optimizer("adam", 0.01), batch_size=8, loss=elbo)


@pytest.fixture
def start():
    """Make the state before the first step."""
    return train.init_state(TRAINER, jax.random.key(1), X[:1])


def split(mask=None):
    """Make the data."""
    return data.from_arrays(X, LABELS, mask)


@pytest.mark.thorough
def test_a_vae_trains_as_by_hand(start):
    """Steps, losses and the probe's loss are those of a loop that is written with optax."""
    params, optimizer = start.params, optax.adam(0.01)
    opt_state, expected = optimizer.init(params), []
    for step in range(6):
        batch = train.current_batch(TRAINER, start.replace(step=jnp.int32(step)), split())
        rngs = train.step_rngs(start.replace(step=jnp.int32(step)))

        def loss_fn(params, batch=batch, rngs=rngs):
            outputs = VAE().apply(
                {"params": params},
                batch.inputs,
                rngs=rngs,
                method=lambda module, x: module(x, module.make_rng("noise")),
            )
            return jnp.mean(elbo(outputs, batch.labels))

        loss, gradient = jax.value_and_grad(loss_fn)(params)
        probed = train.current_loss_fn(TRAINER, start.replace(step=jnp.int32(step)), split())
        np.testing.assert_allclose(probed(params), loss, rtol=1e-6)
        updates, opt_state = optimizer.update(gradient, opt_state)
        params = optax.apply_updates(params, updates)
        expected.append(loss)
    state, metrics = train.run_steps(TRAINER, start, split(), num_steps=6)
    np.testing.assert_allclose(metrics.loss, expected, rtol=1e-5)
    assert np.isnan(metrics.accuracy).all()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), state.params, params)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("mask", [None, jnp.arange(24) % 3 > 0], ids=["all", "some"])
def test_a_test_counts_each_example_once(mask):
    """However the data are cut and padded; what the mask leaves out may have any loss."""
    model = adapters.from_linen(Pair())
    variables = model.init(jax.random.key(2), X)
    trainer = TRAINER._replace(model=model, loss=distance)
    counts = np.ones(24) if mask is None else np.asarray(mask)
    labels = {"low": jnp.where(jnp.asarray(counts) > 0, X[:, 0], jnp.nan), "high": X[:, 1:3]}
    outputs, _ = model.apply(variables, X, train=False)
    expected = np.average(np.asarray(distance(outputs, {"low": X[:, 0], "high": X[:, 1:3]})), weights=counts)
    for batch_size in (5, 24):
        found = train.evaluate(trainer, variables, data.from_arrays(X, labels, mask), batch_size=batch_size)
        np.testing.assert_allclose(found.loss, expected, rtol=1e-6)
        assert np.isnan(found.accuracy)
    sums = train.eval_step(trainer, variables, Batch(X, labels, mask))
    np.testing.assert_allclose(sums.loss, expected * counts.sum(), rtol=1e-6)
    loss_fn = objective.make_loss_fn(model, {}, Batch(X, labels, mask), loss=distance, statistics="running")
    np.testing.assert_allclose(loss_fn(variables.params), expected, rtol=1e-6)


class Pair(nn.Module):
    """A net of two outputs by name."""

    @nn.compact
    def __call__(self, x):
        """Compute both."""
        return {"low": nn.Dense(1)(x)[:, 0], "high": nn.Dense(2)(x)}


def distance(outputs, labels):
    """Return the squared distance of each example."""
    return (outputs["low"] - labels["low"]) ** 2 + jnp.sum((outputs["high"] - labels["high"]) ** 2, axis=-1)


def smoothed(logits, labels):
    """Return the cross-entropy to smoothed labels, of each example or token."""
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, 3), 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(24,), (24, 2)], ids=["examples", "tokens"])
def test_accuracy_is_there_where_there_are_classes(shape):
    """A function of logits and classes has the accuracy that a loss with a name has; its mean is over tokens too."""
    x, labels = X.reshape(*shape, -1), jax.random.randint(jax.random.key(3), shape, 0, 3)
    model = adapters.from_linen(nn.Dense(3))
    variables = model.init(jax.random.key(4), x)
    trainers = [TRAINER._replace(model=model, loss=loss) for loss in (smoothed, "cross_entropy")]
    own, named = (train.evaluate(one, variables, data.from_arrays(x, labels), batch_size=7) for one in trainers)
    assert float(own.accuracy) == float(named.accuracy) > 0
    np.testing.assert_allclose(
        own.loss, jnp.mean(smoothed(model.apply(variables, x, train=False)[0], labels)), rtol=1e-5
    )


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("call", "mask", "message"),
    [
        ("train", None, r"loss must return the loss of each example, not their mean, got shape \(\) for 8 examples\."),
        ("test", None, r"loss must return the loss of each example, not their mean, got shape \(\) for 12 examples\."),
        (
            "train",
            jnp.ones(24, bool),
            r"loss must return the loss of each example, since the batch has a mask, got shape",
        ),
    ],
)
def test_a_mean_is_one_line(call, mask, message, start, as_a_user):
    """A test of padded batches cannot use it, so steps do not either; a probe of one batch can."""
    trainer = TRAINER._replace(loss=lambda *given: elbo(*given).mean())
    calls = {
        "train": lambda: train.run_steps(trainer, start, split(mask), num_steps=1),
        "test": lambda: train.evaluate(trainer, start.variables, split(mask), batch_size=12, rngs=RNGS),
    }
    with pytest.raises(ValueError, match=f"^{message}"):
        calls[call]()
    if mask is None:
        assert np.isfinite(train.current_loss_fn(trainer, start, split())(start.params))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            lambda outputs, labels: outputs[0],
            r"loss must return the loss of each example, got shape \(6, 8\) for 8 examples",
        ),
        (
            "cross_entropy",
            r"outputs must be an array for the loss 'cross_entropy', got tuple: give loss=lambda outputs",
        ),
        ("huber", "loss must be one of cross_entropy, squared_error, got 'huber'"),
    ],
)
def test_what_is_no_loss_is_one_line(loss, message, start, as_a_user):
    """It names the rule and what it got."""
    turned = Model(MODEL.init, lambda *a, **o: (jax.tree.map(jnp.transpose, MODEL.apply(*a, **o)[0]), {}))
    model = turned if callable(loss) else MODEL
    with pytest.raises(ValueError, match=f"^{message}"):
        train.run_steps(TRAINER._replace(loss=loss, model=model), start, split(), num_steps=1)


def test_labels_of_any_structure_are_arrays():
    """Lists and tuples of numbers are one array, as before; in dictionaries and tuples, each array has its own examples."""
    assert [data.from_arrays(X[:3], y).labels.shape for y in ([0, 1, 2], (0, 1, 2), [[0, 1]] * 3)] == [
        (3,),
        (3,),
        (3, 2),
    ]
    taken = data.take_batch(data.take_subset(split(), 10), jnp.array([1, 4]))
    assert jax.tree.map(jnp.shape, taken.labels) == {"pixels": (2, 6), "weight": (2,)}
    np.testing.assert_array_equal(taken.labels["pixels"], (taken.inputs > 0.5).astype(jnp.float32))
    for labels in ({"a": jnp.ones(24), "b": jnp.ones(23)}, {}, (jnp.ones(3), jnp.ones(24))):
        with pytest.raises(ValueError, match=r"^labels must have one entry for each of the inputs"):
            data.from_arrays(X, labels)


@pytest.mark.slow
def test_a_grid_trains_with_it():
    """Its losses are those of the single run, its accuracies NaN."""
    model = adapters.from_linen(Pair())
    labels = {"low": X[:, 0], "high": X[:, 1:3]}
    both = data.from_arrays(X, labels)

    def trainer(learning_rate):
        return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=8, loss=distance)

    dataset = data.Dataset(both, both)
    result = sweep.train_grid(trainer, sweep.grid(learning_rate=[0.1, 0.2], seed=[0]), dataset, num_steps=4)
    _, metrics = train.run_steps(
        trainer(0.1), train.init_state(trainer(0.1), jax.random.key(0), X[:1]), both, num_steps=4
    )
    np.testing.assert_allclose(result.loss[0], metrics.loss, rtol=1e-5)
    assert np.isfinite(result.test_loss).all()
    assert np.isnan(result.test_accuracy).all()


@pytest.mark.slow
def test_debugging_nans_looks_at_the_loss(start):
    """Accuracies that are NaN are not taken for an error; a loss that is NaN is."""
    with jax.debug_nans(True):
        _, metrics = train.run_steps(TRAINER, start, split(), num_steps=2)
        assert np.isfinite(metrics.loss).all()
        start = train.init_state(TRAINER, jax.random.key(1), X[:1])
        trainer = TRAINER._replace(loss=lambda *given: jnp.nan * elbo(*given))
        with pytest.raises(FloatingPointError, match=r"^loss must be a number, got NaN, first in step 0"):
            train.run_steps(trainer, start, split(), num_steps=2)


def test_a_probe_scans_the_loss(start):
    """A line starts where the step's loss is."""
    loss_fn = train.current_loss_fn(TRAINER, start, split())
    scan = probes.scan_line(loss_fn, start.params, step_sizes=(0.0, 0.01))
    batch, rngs = train.current_batch(TRAINER, start, split()), train.step_rngs(start)
    outputs, _ = MODEL.apply(start.variables, batch.inputs, train=True, rngs=rngs)
    np.testing.assert_allclose(scan.loss[0], losses.loss_of_each(elbo, outputs, batch).mean(), rtol=1e-5)


class Sum(nn.Module):
    """A net of two inputs and two outputs, with batch norm and dropout."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute a dictionary."""
        y = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x["a"] + x["b"]))
        y = nn.Dropout(0.1, deterministic=not train)(y)
        return {"class": nn.Dense(3)(y), "size": nn.Dense(1)(y)[:, 0]}


def two_losses(outputs, labels):
    """Return the loss of each example."""
    of_class = optax.softmax_cross_entropy_with_integer_labels(outputs["class"], labels["class"])
    return of_class + (outputs["size"] - labels["size"]) ** 2


@pytest.mark.thorough
def test_several_inputs_train_step_by_step(as_a_user):
    """A split has one array of inputs, and says how to train with more."""
    inputs, labels = {"a": X, "b": X}, {"class": jnp.arange(24) % 3, "size": jnp.linspace(0.0, 1.0, 24)}
    trainer = train.Trainer(
        adapters.from_linen(Sum()), train.make_optimizer("sgd", 0.1), batch_size=24, loss=two_losses
    )
    state, found = train.init_state(trainer, jax.random.key(0), inputs), []
    for _ in range(5):
        state, metrics = train.train_step(trainer, state, Batch(inputs, labels))
        found.append(float(metrics.loss))
    assert found[-1] < found[0]
    with pytest.raises(ValueError, match=r"^inputs must be one array, got dict: give Batch\(inputs, la"):
        data.from_arrays(inputs, labels)

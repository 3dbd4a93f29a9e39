"""Training steps are pure, compose, and follow their optimiser."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from bnjax import adapters, data, probes, train
from bnjax._host.digest import digest
from bnjax.probes.paths import named_leaves, path_name
from bnjax.types import Model, Variables


def test_chunks_compose(trainer, state, synthetic):
    """Five steps in one program equal two and three, bit for bit, and batch by batch."""
    copy = partial(jax.tree.map, jnp.copy)
    whole, metrics = train.run_steps(trainer, copy(state), synthetic.train, num_steps=5)
    half, first = train.run_steps(trainer, copy(state), synthetic.train, num_steps=2)
    parts, second = train.run_steps(trainer, half, synthetic.train, num_steps=3)
    assert digest(whole) == digest(parts)
    np.testing.assert_array_equal(metrics.loss, jnp.concatenate([first.loss, second.loss]))


def test_a_step_trains_on_the_current_batch(trainer, state, synthetic):
    """The batch that a probe is given is the one that the next step's loss is taken on."""
    batch = train.current_batch(trainer, state, synthetic.train)
    _, expected = jax.jit(train.train_step, static_argnums=0)(trainer, state, batch)
    _, metrics = train.run_steps(trainer, jax.tree.map(jnp.copy, state), synthetic.train, num_steps=1)
    np.testing.assert_allclose(metrics.loss[0], expected.loss, rtol=1e-5)


def test_training_learns(trainer, state, synthetic):
    """The loss falls."""
    _, metrics = train.run_steps(trainer, state, synthetic.train, num_steps=40)
    assert np.mean(metrics.loss[-5:]) < 0.9 * np.mean(metrics.loss[:5])


@pytest.mark.parametrize("batch_size", [64, *(pytest.param(n, marks=pytest.mark.thorough) for n in (499, 500))])
def test_evaluation_counts_every_example_once(batch_size, trainer, state, synthetic):
    """However the split is cut, the averages are over all of it."""
    split = synthetic.test
    everything = data.take_batch(split, jnp.arange(len(split.labels)))
    logits, _ = trainer.model.apply(state.variables, everything.inputs, train=False)
    result = train.evaluate(trainer, state.variables, split, batch_size=batch_size)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, everything.labels)
    np.testing.assert_allclose(result.loss, losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(result.accuracy, np.mean(np.argmax(logits, 1) == everything.labels), rtol=1e-6)


def test_optimizers_follow_their_definitions():
    """SGD with momentum and an L2 penalty, and Adam, take the steps of their formulas."""
    gradients = np.random.default_rng(0).normal(size=(5, 3))
    rate, momentum, decay = 0.1, 0.9, 0.01

    def run(optimizer):
        params = jnp.ones(3)
        state = optimizer.init(params)
        for gradient in jnp.asarray(gradients, jnp.float32):
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params

    w, velocity = np.ones(3), np.zeros(3)
    for gradient in gradients:
        velocity = momentum * velocity + gradient + decay * w
        w = w - rate * velocity
    np.testing.assert_allclose(
        run(train.make_optimizer("sgd", rate, momentum=momentum, weight_decay=decay)), w, rtol=1e-5
    )

    w, first, second = np.ones(3), np.zeros(3), np.zeros(3)
    for t, gradient in enumerate(gradients, start=1):
        gradient = gradient + decay * w
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        w = w - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(run(train.make_optimizer("adam", rate, weight_decay=decay)), w, rtol=1e-4)

    w, square, velocity = np.ones(3), np.zeros(3), np.zeros(3)
    for gradient in gradients:
        gradient = gradient * min(1, 0.5 / np.linalg.norm(gradient)) + decay * w
        square = 0.9 * square + 0.1 * gradient**2
        velocity = momentum * velocity + gradient / np.sqrt(square + 1e-8)
        w = w - rate * velocity
    clipped = train.make_optimizer("rmsprop", rate, momentum=momentum, weight_decay=decay, clip=0.5)
    np.testing.assert_allclose(run(clipped), w, rtol=1e-4)


@pytest.mark.parametrize("more", [{}, {"momentum": 0.9, "weight_decay": 0.01}])
def test_a_learning_rate_that_falls_halves_in_its_half_life(more):
    """Step t is 2^(-t / half_life) times as long as without, from the same gradients and momentum, and compiles once."""
    params, gradient = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
    constant, falling = (train.make_optimizer("sgd", 0.1, half_life=half_life, **more) for half_life in (0.0, 4.0))
    states = [optimizer.init(params) for optimizer in (constant, falling)]
    update = jax.jit(falling.update)
    for step in range(9):
        usual, states[0] = constant.update(gradient, states[0], params)
        found, states[1] = update(gradient, states[1], params)
        np.testing.assert_allclose(found, usual * 2 ** (-step / 4), rtol=1e-5)
    assert jax.tree.structure(constant.init(params)) == jax.tree.structure(
        train.make_optimizer("sgd", 0.1, **more).init(params)
    )


def test_nothing_to_evaluate(trainer, state, synthetic):
    """There is no average over no example."""
    split = jax.tree.map(lambda leaf: leaf[:0], synthetic.test)
    with pytest.raises(ValueError, match=r"^split must hold one example or more, got none\."):
        train.evaluate(trainer, state.variables, split)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "pattern"),
    [
        ("sgd", {"momentum": 0.9, "weight_decay": 0.01}, "^logits/"),
        ("sgd", {"clip": 0.1}, "^(?!dense/bias$)"),
        ("adam", {"weight_decay": 0.01}, "(scale|kernel)$"),
        ("rmsprop", {"clip": 0.1}, "^logits/bias$"),
    ],
)
def test_only_the_chosen_parameters_are_trained(name, options, pattern, trainer, state, synthetic):
    """The others keep their bits; these take the steps of a loop over them alone, which the others enter as constants."""
    only = trainer._replace(optimizer=train.make_optimizer(name, 0.1, **options, trained=pattern))
    start = state.replace(opt_state=only.optimizer.init(state.params))
    end, _ = train.run_steps(only, jax.tree.map(jnp.copy, start), synthetic.train, num_steps=4)

    alone: Any = train.make_optimizer(name, 0.1, **options)
    _, chosen = probes.restrict(train.current_loss_fn(trainer, start, synthetic.train), start.params, pattern)
    opt_state, batch_stats = alone.init(chosen), start.batch_stats
    for step in range(4):
        at = start.replace(step=start.step + step, batch_stats=batch_stats)
        batch = train.current_batch(trainer, at, synthetic.train)
        loss_fn, _ = probes.restrict(train.current_loss_fn(trainer, at, synthetic.train), start.params, pattern)
        whole = jax.tree_util.tree_map_with_path(
            lambda path, leaf, chosen=chosen: chosen.get(path_name(path), leaf), start.params
        )
        _, batch_stats = trainer.model.apply(Variables(whole, batch_stats), batch.inputs, train=True)
        updates, opt_state = alone.update(jax.grad(loss_fn)(chosen), opt_state, chosen)
        chosen = {path: leaf + updates[path] for path, leaf in chosen.items()}

    before, after = named_leaves(start.params), named_leaves(end.params)
    assert 0 < len(chosen) < len(after)
    for path, leaf in after.items():
        if path in chosen:
            assert not np.array_equal(leaf, before[path]), path
            np.testing.assert_allclose(leaf, chosen[path], rtol=2e-5, atol=2e-6, err_msg=path)
        else:
            np.testing.assert_array_equal(leaf, before[path], err_msg=path)


def test_what_is_trained_has_to_be_there(trainer, state):
    """A pattern that matches nothing is refused when the parameters are known, and names some of their paths."""
    with pytest.raises(ValueError, match=r"trained must match a path of the parameters, .*/.*; got '\^gamma'"):
        train.make_optimizer("sgd", 0.1, trained="^gamma").init(state.params)
    with pytest.raises(ValueError, match=r"trained must be a regular expression, got '\('"):
        train.make_optimizer("sgd", 0.1, trained="(").init(state.params)


def test_a_new_learning_rate_does_not_compile_anew(trainer, state, synthetic):
    """The rate is part of the state: setting it changes the step, not the program."""
    batch = train.current_batch(trainer, state, synthetic.train)
    traces = []

    @jax.jit
    def step(state):
        traces.append(1)
        return train.train_step(trainer, state, batch)[0].params

    before = step(state)
    state.opt_state.hyperparams["learning_rate"] = jnp.zeros(())
    jax.tree.map(np.testing.assert_array_equal, step(state.replace(opt_state=state.opt_state)), step(state))
    assert len(traces) == 1
    assert digest(before) != digest(step(state))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lion", 0.1), "name must be one of sgd, adam, rmsprop, got 'lion'"),
        (("sgd", 0.0), "learning_rate must be > 0 and finite, got 0.0"),
        (("sgd", float("nan")), "learning_rate must be > 0 and finite, got nan"),
    ],
)
def test_impossible_optimizers(arguments, message, as_a_user):
    """One line names the argument, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        train.make_optimizer(*arguments)
    with pytest.raises(ValueError, match="momentum must be 0 for adam"):
        train.make_optimizer("adam", 0.1, momentum=0.9)


class Sampling(nn.Module):
    """A layer that draws from a stream of its own, and one with dropout."""

    @nn.compact
    def __call__(self, x, train=True):
        """Add noise in training."""
        noise = jax.random.normal(self.make_rng("sample"), x.shape) if train else 0.0
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=not train)(x + noise))


@pytest.mark.slow
def test_a_stream_of_one_s_own(as_a_user):
    """A trainer names it; the keys of the others stay as they were. Otherwise one line says how to name it."""
    split, optimizer = data.from_arrays(jnp.eye(8), jnp.arange(8) % 2), train.make_optimizer("sgd", 0.1)
    trainer = train.Trainer(adapters.from_linen(Sampling()), optimizer, 4, streams=("dropout", "noise", "sample"))
    state = train.init_state(trainer, jax.random.key(0), split.images)
    keys = train.step_rngs(state, trainer.streams)
    assert digest({name: keys[name] for name in ("dropout", "noise")}) == digest(train.step_rngs(state))
    assert len({digest(key) for key in keys.values()}) == 3
    assert digest(train.step_rngs(state, ("sample",))["sample"]) == digest(keys["sample"])
    loss = train.current_loss_fn(trainer, state, split)(state.params)
    message = (
        r"^streams must name 'sample', from which .* draws: write .*streams=\('dropout', 'noise', 'sample'\)\), got"
    )
    with pytest.raises(ValueError, match=message):
        train.run_steps(
            trainer._replace(streams=("dropout", "noise")), jax.tree.map(jnp.copy, state), split, num_steps=1
        )
    np.testing.assert_allclose(train.run_steps(trainer, state, split, num_steps=2)[1].loss[0], loss, rtol=1e-6)


WHOLE = Model(lambda key, x: Variables({"table": jnp.ones(2, int)}, {}), lambda v, x, **_: (x * v.params["table"], {}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": nn.Dense(2)}, r"model must be a Model: write adapters\.from_linen\(module\) or .*, got Dense\."),
        ({"model": 3}, r"model must be a Model: write adapters\.from_linen\(module\) or .*, got int\."),
        ({"optimizer": 0.1}, r"optimizer must be an optax transformation: write train\.make_optimizer.*, got 0\.1\."),
        ({"model": WHOLE}, r"params must be floating-point arrays: keep .*, got int32 for 'table'\."),
    ],
)
def test_a_trainer_that_is_none(change, message, as_a_user):
    """One line names the field and the way out."""
    split = data.from_arrays(jnp.ones((4, 2)), jnp.zeros(4, int))
    trainer = train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), 4)._replace(**change)
    with pytest.raises(ValueError, match=f"^{message}"):
        train.run_steps(trainer, train.init_state(trainer, jax.random.key(0), split.images), split, num_steps=1)


def test_one_array_may_stand_in_two_places(trainer, trained, synthetic):
    """Of arrays that are the same, copies are given away: a scale and a bias that start from one array of zeros."""
    state = jax.tree.map(jnp.copy, trained)
    leaves, form = jax.tree.flatten(state.params)
    twins = form.unflatten(next(leaf for leaf in leaves if leaf.shape == each.shape) for each in leaves)
    apart = jax.tree.map(jnp.copy, state.replace(params=twins))
    found = train.run_steps(trainer, state.replace(params=twins), synthetic.train, num_steps=2)
    assert digest(found) == digest(train.run_steps(trainer, apart, synthetic.train, num_steps=2))

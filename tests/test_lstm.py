"""LSTMs against Flax's cell, and with their normalisers against loops over time that are written out."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, models, norms, objective
from bnjax.types import Batch, Variables

UNITS, STEPS = 5, 4
BATCH_NORM = partial(linen.BatchNorm, momentum=0.5)
NOISE = {"noise": jax.random.key(7)}


def make(seed=0, num_steps=STEPS, num=6, **config):
    """Make a configuration, a model with parameters that are not the initial ones, and sequences."""
    described = models.LSTMConfig(features=UNITS, **{"recorded_steps": STEPS, "initial_noise": 0.0} | config)
    model = models.make_model(described)
    x = jax.random.normal(jax.random.key(seed), (num, num_steps, 2, 3))
    variables = model.init(jax.random.key(seed), x[:, :STEPS])
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), variables.params)
    return described, model, Variables(params, variables.batch_stats), x


def apply(model, variables, x, train=True, **options):
    """Apply a model as one program."""
    return jax.jit(partial(model.apply, train=train))(variables, x, **options)


def sigmoid(x):
    """Compute 1 / (1 + exp(-x))."""
    return 1 / (1 + jnp.exp(-x))


def by_hand(params, x, norm_1, norm_2, norm_cell):
    """Run the equations of Cooijmans et al. step by step; normalisers take x and the number of the step."""
    x = x.reshape(*x.shape[:2], -1)
    hidden, cell = (jnp.broadcast_to(params[f"initial_{name}"], (len(x), UNITS)) for name in ("hidden", "cell"))
    for t in range(x.shape[1]):
        gates = norm_2(hidden @ params["dense_2"]["kernel"], t) + norm_1(x[:, t] @ params["dense_1"]["kernel"], t)
        f, i, o, g = jnp.split(gates + params["dense_2"]["bias"][None], 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * jnp.tanh(g)
        hidden = sigmoid(o) * jnp.tanh(norm_cell(cell, t))
    return hidden @ params["dense_3"]["kernel"] + params["dense_3"]["bias"][None]


def test_it_is_the_lstm_of_flax():
    """Without a normaliser, and from a state of zeros, logits equal those of Flax's optimised cell with the same weights."""
    _, model, variables, x = make()
    params = {**variables.params, **{f"initial_{name}": jnp.zeros(UNITS) for name in ("hidden", "cell")}}
    recurrent = params["dense_2"]
    cell = {}
    for place, gate in enumerate("fiog"):
        part = slice(place * UNITS, (place + 1) * UNITS)
        cell[f"i{gate}"] = {"kernel": params["dense_1"]["kernel"][:, part]}
        cell[f"h{gate}"] = {"kernel": recurrent["kernel"][:, part], "bias": recurrent["bias"][part]}
    sequences = x.reshape(len(x), STEPS, -1)
    outputs = jax.jit(nn.RNN(nn.OptimizedLSTMCell(UNITS)).apply)({"params": {"cell": cell}}, sequences)
    expected = outputs[:, -1] @ params["dense_3"]["kernel"] + params["dense_3"]["bias"][None]
    found, _ = apply(model, Variables(params, {}), x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("statistics", ["per_step", "shared"])
def test_batch_norm_is_a_loop_of_batch_norms(statistics):
    """Logits and new statistics, of each time step or averaged over time, and evaluation with those statistics."""
    _, model, variables, x = make(norm=BATCH_NORM, statistics=statistics)
    is_shared = statistics == "shared"

    def norm(name, stats, train, moved):
        def normalised(values, t):
            own = jax.tree.map(lambda leaf: leaf if is_shared else leaf[t], stats[name])
            one = norms.init_batch_stats(values.shape[-1])._replace(**own)
            params = variables.params[name]
            y, new = norms.batch_norm(values, one, params["scale"], params.get("bias"), train=train, momentum=0.5)
            moved.setdefault(name, []).append(new)
            return y

        return normalised

    @partial(jax.jit, static_argnums=1)
    def expected(stats, train):
        moved = {}
        norm_of = [norm(name, stats, train, moved) for name in ("norm_1", "norm_2", "norm_cell")]
        return by_hand(variables.params, x, *norm_of), moved

    logits, new = apply(model, variables, x)
    written_out, moved = expected(variables.batch_stats, True)
    np.testing.assert_allclose(logits, written_out, rtol=1e-4, atol=1e-5)
    for name, steps in moved.items():
        over_time = jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)._asdict()
        kept = {key: leaf.mean(0) if is_shared else leaf for key, leaf in over_time.items()}
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), new[name], kept)
    tested, same = apply(model, variables._replace(batch_stats=new), x, train=False)
    np.testing.assert_allclose(tested, expected(new, False)[0], rtol=1e-4, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, same, new)


def test_layer_norm_is_a_loop_of_layer_norms():
    """The cell has a bias of its own; nothing is remembered."""
    _, model, variables, x = make(norm=linen.LayerNorm, norm_scale=1.0)
    params = variables.params
    assert {name: sorted(params[name]) for name in params if name.startswith("norm")} == {
        "norm_1": ["scale"],
        "norm_2": ["scale"],
        "norm_cell": ["bias", "scale"],
    }

    def norm(name):
        own = params[name]
        return lambda values, _: norms.layer_norm(values, own["scale"], own.get("bias"))

    logits, stats = apply(model, variables, x)
    expected = jax.jit(lambda: by_hand(params, x, *map(norm, ("norm_1", "norm_2", "norm_cell"))))()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)
    assert not stats


@pytest.mark.slow
def test_longer_and_shorter_sequences():
    """Evaluation goes on with the last step's statistics; training is refused there, and moves no step that it lacks."""
    described, model, variables, x = make(norm=BATCH_NORM, num_steps=STEPS + 3)
    _, stats = apply(model, variables, x[:, :STEPS])
    longer = jax.tree.map(lambda leaf: jnp.concatenate([leaf, jnp.stack([leaf[-1]] * 3)]), stats)
    more = models.make_model(models.LSTMConfig(**{**vars(described), "recorded_steps": STEPS + 3}))
    found, _ = apply(model, Variables(variables.params, stats), x, train=False)
    expected, _ = apply(more, Variables(variables.params, longer), x, train=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(
        ValueError, match=f"inputs must have at most {STEPS} time steps in training, .*, got {STEPS + 3}"
    ):
        model.apply(variables, x, train=True)
    _, shorter = apply(model, variables, x[:, :2])
    jax.tree.map(lambda new, full: np.testing.assert_allclose(new[:2], full[:2], rtol=1e-5, atol=1e-6), shorter, stats)
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new[2:], old[2:]), shorter, variables.batch_stats)


def test_initial_weights():
    """Rows or columns are orthonormal, the candidate's recurrent weights the identity, and the bias opens the forget gate."""
    config = {"features": 6, "norm": BATCH_NORM, "norm_scale": 0.2}
    params, stats = models.make_model(models.LSTMConfig(**config)).init(jax.random.key(0), jnp.zeros((2, 9, 8)))
    first, second = (params[name]["kernel"] for name in ("dense_1", "dense_2"))
    np.testing.assert_allclose(first @ first.T, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(second[:, :18] @ second[:, :18].T, np.eye(6), atol=1e-5)
    np.testing.assert_array_equal(second[:, 18:], np.eye(6))
    np.testing.assert_array_equal(params["dense_2"]["bias"], [1] * 6 + [0] * 18)
    np.testing.assert_array_equal(params["norm_cell"]["scale"], np.full(6, 0.2, np.float32))
    assert jax.tree.map(jnp.shape, stats["norm_2"]) == {"mean": (28, 24), "var": (28, 24)}
    shape = models.LSTMConfig(features=6, recurrent_init="orthogonal")
    second = models.make_model(shape).init(jax.random.key(0), jnp.zeros((2, 9, 8))).params["dense_2"]["kernel"]
    np.testing.assert_allclose(second @ second.T, np.eye(6), atol=1e-5)


@pytest.mark.slow
def test_noise_follows_its_key_and_gives_constant_inputs_a_variance():
    """Equal keys give equal logits, evaluation has no noise, and rows of zeros leave batch norm something to normalise."""
    _, model, variables, x = make(norm=BATCH_NORM, initial_noise=0.1)
    noisy = jax.jit(lambda key: model.apply(variables, 0 * x, train=True, rngs={"noise": key}))
    (one, stats), (same, _), (other, _) = (noisy(jax.random.key(n)) for n in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    assert np.all(stats["norm_2"]["var"][0] > 0.5)  # half of the initial one, and the noise's
    assert np.all(stats["norm_1"]["var"] == 0.5)
    tested, _ = apply(model, variables, x, train=False)
    np.testing.assert_array_equal(tested, apply(model, variables, x, train=False, rngs=NOISE)[0])
    with pytest.raises(ValueError, match='rngs must hold a key named "noise" in training'):
        model.apply(variables, x, train=True)


@pytest.mark.slow
def test_gradients_by_hidden_states_are_differences_of_the_loss():
    """Central differences of a shift of each step's hidden state; the last one is also known in closed form."""

    @jax.jit
    def run(variables, inputs, shift):
        collections = {"params": variables.params, "batch_stats": variables.batch_stats}
        module = models.LSTM(models.LSTMConfig(UNITS, STEPS, initial_noise=0.0, norm=BATCH_NORM))
        logits, _ = module.apply(collections, inputs, train=True, shift=shift, mutable=["batch_stats"])
        return logits, -jnp.mean(nn.log_softmax(logits)[jnp.arange(4), jnp.arange(4) % 3])

    for seed in (1, 2, 3):
        described, model, variables, x = make(seed, norm=BATCH_NORM, num=4)
        batch, rng = Batch(x, jnp.arange(4) % 3), np.random.default_rng(seed)
        found = models.hidden_gradients(described, variables, batch)
        assert found.shape == (STEPS, 4, UNITS)
        for t in range(STEPS):
            step = np.zeros(found.shape, np.float32)
            step[t] = 1e-3 * rng.normal(size=step[t].shape)
            difference = (run(variables, x, step)[1] - run(variables, x, -step)[1]) / 2
            np.testing.assert_allclose(difference, jnp.vdot(found, step), rtol=2e-2, atol=2e-6)
        logits, loss = run(variables, x, np.zeros(found.shape, np.float32))
        of_model = objective.make_loss_fn(model, variables.batch_stats, batch)(variables.params)
        np.testing.assert_allclose(loss, of_model, rtol=1e-6)
        by_logits = (nn.softmax(logits) - nn.one_hot(batch.labels, 10)) / 4
        np.testing.assert_allclose(found[-1], by_logits @ variables.params["dense_3"]["kernel"].T, rtol=1e-4, atol=1e-7)


@pytest.mark.thorough
@pytest.mark.parametrize("statistics", ["per_step", "shared"])
def test_statistics_are_recalibrated(statistics):
    """On one batch, evaluation then gives what training gave, of statistics of each step."""
    _, model, variables, x = make(norm=BATCH_NORM, statistics=statistics)
    again = norms.recalibrate(model, variables, [x], show_progress=False)
    trained, tested = (apply(model, again, x, train=train)[0] for train in (True, False))
    assert np.allclose(trained, tested, rtol=1e-3, atol=1e-4) == (statistics == "per_step")


@pytest.mark.thorough
def test_one_normalised_layer_and_half_precision():
    """A tuple names the layers that are normalised, the cell with the second one; logits are float32."""
    for layers, expected in (((1,), {"norm_1"}), ((2,), {"norm_2", "norm_cell"})):
        _, _, variables, _ = make(norm=BATCH_NORM, norm_layers=layers)
        assert {*variables.batch_stats} == expected
    described, _, variables, x = make(norm=BATCH_NORM)
    half = models.LSTMConfig(**{**vars(described), "dtype": jnp.bfloat16})
    one, other = (apply(models.make_model(config), variables, x) for config in (described, half))
    assert other[0].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(other[1])} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(one[0], other[0], atol=0.2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"features": 0}, "features must be at least 1, got 0"),
        ({"recorded_steps": 0}, "recorded_steps must be at least 1, got 0"),
        ({"statistics": "global"}, "statistics must be one of per_step, shared, got 'global'"),
        ({"recurrent_init": "zeros"}, "recurrent_init must be one of identity, orthogonal, got 'zeros'"),
        ({"norm_scale": 0.0}, "norm_scale must be > 0 and finite, got 0.0"),
        ({"initial_noise": -1.0}, "initial_noise must be >= 0 and finite, got -1.0"),
        ({"norm_layers": (3,)}, r"norm_layers must be 'all' or numbers from 1 to 2, got \(3,\)"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.LSTMConfig(**config)


def test_inputs_and_normalisers_that_do_not_fit(as_a_user):
    """One line says so, too."""
    with pytest.raises(ValueError, match=r"inputs must have the shape \(batch, time, features\), got \(2, 3\)"):
        models.make_model(models.LSTMConfig()).init(jax.random.key(0), jnp.zeros((2, 3)))
    with pytest.raises(
        ValueError, match=r"norm must take use_bias and scale_init in an LSTM, as linen\.BatchNorm does"
    ):
        models.make_model(models.LSTMConfig(norm=linen.Noise)).init(jax.random.key(0), jnp.zeros((2, 3, 4)))


def test_hidden_gradients_of_masked_labels():
    """A label that does not count may have any value."""
    described, _, variables, x = make(1, norm=BATCH_NORM, num=4)
    mask = jnp.array([True, True, True, False])
    found = [
        models.hidden_gradients(described, variables, Batch(x, jnp.array([0, 1, 2, last]), mask)) for last in (0, -1)
    ]
    assert jnp.isfinite(found[1]).all()
    np.testing.assert_array_equal(*found)

"""Internal covariate shift (Definition 2.1): closed forms, a plain loop, models in training mode, files, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bnjax import objective, train
from bnjax.probes.covariate_shift import covariate_shift

LAYERS = ("first", "second", "third", "fourth")
SIZES = (3, 2, 4, 2)
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (2, 3))]


def split(vector):
    """Cut a vector into layers."""
    return dict(zip(LAYERS, map(jnp.asarray, np.split(vector, np.cumsum(SIZES)[:-1])), strict=True))


def quadratic(seed):
    """Make L = t'At / 2 - b't with a symmetric A: the loss, A, b, a start and an update."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(sum(SIZES),) * 2)
    a, (b, start, update) = a + a.T, rng.normal(size=(3, sum(SIZES)))

    def loss_fn(params):
        t = jnp.concatenate([params[name] for name in LAYERS])
        return 0.5 * t @ jnp.asarray(a, t.dtype) @ t - jnp.asarray(b, t.dtype) @ t

    return loss_fn, a, b, start, update


@pytest.mark.parametrize("seed", SEEDS)
def test_closed_form_on_a_quadratic(seed, x64):
    """G' - G = sum over j < i of H_ij u_j is exact, so that difference, cosine and prediction come out to 1e-10."""
    loss_fn, a, b, start, update = quadratic(seed)
    found = covariate_shift(loss_fn, split(start), split(update), LAYERS, first_order=True)
    gradient, ends = a @ start - b, np.cumsum(SIZES)
    for i, (size, end) in enumerate(zip(SIZES, ends, strict=True)):
        rows = slice(end - size, end)
        g = gradient[rows]
        change = a[rows, : end - size] @ update[: end - size]
        norm = np.linalg.norm(g)
        np.testing.assert_allclose(found.difference[i], np.linalg.norm(change), rtol=1e-10)
        np.testing.assert_allclose(found.first_order[i], np.linalg.norm(change), rtol=1e-10)
        np.testing.assert_allclose(found.gradient_norm[i], norm, rtol=1e-10)
        np.testing.assert_allclose(found.relative_difference[i], np.linalg.norm(change) / norm, rtol=1e-10)
        cosine = g @ (g + change) / norm / np.linalg.norm(g + change)
        np.testing.assert_allclose(found.cosine[i], cosine, rtol=1e-10)
    assert found.layers == LAYERS
    assert found.difference[0] == 0
    np.testing.assert_allclose(found.cosine[0], 1, rtol=1e-10)


def test_the_order_is_the_callers(x64):
    """Layers listed the other way round have their shift from the other side."""
    loss_fn, a, _, start, update = quadratic(1)
    found = covariate_shift(loss_fn, split(start), split(update), LAYERS[::-1])
    size = SIZES[0]
    np.testing.assert_allclose(found.difference[-1], np.linalg.norm(a[:size, size:] @ update[size:]), rtol=1e-10)
    assert found.difference[0] == 0


def test_what_is_in_no_layer_stays(x64):
    """A parameter that no layer matches does not move, and is in no gradient."""
    loss_fn, a, b, start, update = quadratic(1)
    found = covariate_shift(loss_fn, split(start), split(update), ("first", "fourth"))
    np.testing.assert_allclose(found.difference[1], np.linalg.norm(a[-2:, :3] @ update[:3]), rtol=1e-10)
    np.testing.assert_allclose(found.gradient_norm[1], np.linalg.norm((a @ start - b)[-2:]), rtol=1e-10)


def test_some_layers_are_measured_as_all_are():
    """Measuring two layers, in any order, gives what measuring all gives, though all earlier ones move."""
    loss_fn, _, _, start, update = quadratic(2)
    everything = covariate_shift(loss_fn, split(start), split(update), LAYERS, first_order=True)
    some = covariate_shift(loss_fn, split(start), split(update), LAYERS, of=("fourth", "second"), first_order=True)
    for values, all_values in zip(some[1:-1], everything[1:-1], strict=True):
        np.testing.assert_allclose(values, all_values[np.array([3, 1])], rtol=1e-5)
    assert some.layers == ("fourth", "second")


def deep_net(seed):
    """Make a net of three tanh layers with biases: its loss, its parameters and an update of the size of a gradient step."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.result_type(float))  # noqa: E731
    shapes = ((4, 6), (6, 5), (5, 3))
    params = {f"dense_{i}": {"kernel": draw(*shape), "bias": draw(shape[1])} for i, shape in enumerate(shapes)}
    x, y = draw(8, 4), draw(8, 3)

    def loss_fn(params):
        h = x
        for layer in params.values():
            h = jnp.tanh(h @ layer["kernel"] + layer["bias"][None])
        return jnp.mean((h - y) ** 2)

    return loss_fn, params, optax.tree.scale(-0.5, jax.jit(jax.grad(loss_fn))(params))


NAMES = ("dense_0", "dense_1", "dense_2")


def plain_loop(loss_fn, params, update, groups, moves=lambda path: True, compares=lambda path: True):
    """Follow Definition 2.1 with a copy of the parameters per layer: yield (difference, cosine) of each group of keys."""
    gradient_fn = jax.jit(jax.grad(loss_fn))
    gradient = gradient_fn(params)
    moved = jax.tree.map(jnp.copy, params)
    for group in groups:
        other = gradient_fn(moved)
        g, h = (
            np.concatenate([v.ravel() for k in group for n, v in tree[k].items() if compares(n)])
            for tree in (gradient, other)
        )
        yield np.linalg.norm(g - h), g @ h / np.linalg.norm(g) / np.linalg.norm(h)
        for key in group:
            moved[key] = {n: v + update[key][n] if moves(n) else v for n, v in moved[key].items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_a_plain_loop(seed, x64):
    """One program for all layers gives what a copy of the parameters per layer gives, to 1e-10."""
    loss_fn, params, update = deep_net(seed)
    found = covariate_shift(loss_fn, params, update, NAMES)
    expected = np.array(list(plain_loop(loss_fn, params, update, [[name] for name in NAMES])))
    np.testing.assert_allclose(np.stack([found.difference, found.cosine], 1), expected, rtol=1e-10)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("options", "rule"),
    [({"moved": "kernel$"}, {"moves": "kernel".__eq__}), ({"compared": "kernel$"}, {"compares": "kernel".__eq__})],
)
def test_weights_only(options, rule, x64):
    """Biases of earlier layers may stay, and those of the measured layer be left out."""
    loss_fn, params, update = deep_net(1)
    found = covariate_shift(loss_fn, params, update, NAMES, **options)
    expected = np.array(list(plain_loop(loss_fn, params, update, [[name] for name in NAMES], **rule)))
    np.testing.assert_allclose(np.stack([found.difference, found.cosine], 1), expected, rtol=1e-10)
    full = covariate_shift(loss_fn, params, update, NAMES)
    assert (np.abs(full.difference - found.difference)[1:] > 1e-6).all()


@pytest.mark.slow
def test_small_steps_follow_the_first_order(x64):
    """As the step shrinks tenfold, what the prediction misses shrinks a hundredfold."""
    loss_fn, params, update = deep_net(2)
    errors = []
    for size in (1e-3, 1e-4):
        found = covariate_shift(loss_fn, params, optax.tree.scale(size, update), NAMES, first_order=True)
        errors.append(np.abs(found.difference - found.first_order)[1:] / found.first_order[1:])
    assert (errors[1] < 1e-3).all()
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=0.05)


def test_without_a_step_there_is_no_shift():
    """An update of zeros leaves no bit of any gradient different."""
    loss_fn, params, update = deep_net(3)
    found = covariate_shift(loss_fn, params, jax.tree.map(jnp.zeros_like, update), NAMES, first_order=True)
    np.testing.assert_array_equal(found.difference, 0)
    np.testing.assert_array_equal(found.first_order, 0)
    np.testing.assert_allclose(found.cosine, 1, rtol=1e-6)


def test_not_asked_for_is_nan():
    """Without first_order the prediction is NaN."""
    loss_fn, params, update = deep_net(3)
    assert np.isnan(covariate_shift(loss_fn, params, update, NAMES).first_order).all()


def test_a_layer_without_gradient_has_no_cosine():
    """Where G is zero, cosine and relative difference are NaN and the difference is what it is."""
    params, update = (
        {name: jnp.array(v) for name, v in pair.items()} for pair in ({"a": 0.0, "b": 1.0}, {"a": 2.0, "b": 0.0})
    )
    found = covariate_shift(lambda p: p["a"] * p["b"], params, update, ("a", "b"))
    np.testing.assert_array_equal(found.difference, [0, 2])
    assert np.isnan(found.cosine[1])
    assert np.isnan(found.relative_difference[1])


def test_a_nan_stays_where_it_is():
    """A NaN in the gradient of one layer is a result there, and does not reach the others."""
    params = {"a": jnp.array(1.0), "b": jnp.array(-1.0)}
    found = covariate_shift(lambda p: p["a"] ** 2 + jnp.sqrt(p["b"]), params, params, ("a", "b"))
    assert np.isnan(found.difference).tolist() == [False, True]
    assert np.isnan(found.gradient_norm).tolist() == [False, True]


@pytest.fixture
def layers(state):
    """The layers of the small net in network order, each convolution or dense layer with its normaliser if there is one."""
    if "BatchNorm_0" not in state.params:
        return ("conv", "dense", "logits")
    return {"conv": "^(conv|BatchNorm_0)/", "dense": "^(dense|BatchNorm_1)/", "logits": "logits"}


def groups_of(layers):
    """Name the keys of each layer."""
    pairs = (("conv", "BatchNorm_0"), ("dense", "BatchNorm_1"), ("logits",))
    return [group if isinstance(layers, dict) else group[:1] for group in pairs]


def objective_of(trainer, state, synthetic, model=None):
    """Make the loss of the state's next batch in training mode, and what the optimiser would add to the parameters."""
    batch = train.current_batch(trainer, state, synthetic.train)
    loss_fn = objective.make_loss_fn(model or trainer.model, state.batch_stats, batch)
    update = jax.tree.map(
        lambda leaf: 0.02 * jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), state.params
    )
    return loss_fn, update


@pytest.mark.thorough
def test_a_model_in_training_mode(trainer, state, synthetic, layers):
    """On a net with batch norm the shift is that of a plain loop; its arrays stay as they were, bit for bit."""
    loss_fn, update = objective_of(trainer, state, synthetic)
    arrays = jax.tree.leaves((state.params, state.batch_stats, update, loss_fn))
    before = [np.array(array).tobytes() for array in arrays]
    found = covariate_shift(loss_fn, state.params, update, layers)
    expected = np.array(list(plain_loop(loss_fn, state.params, update, groups_of(layers))))
    np.testing.assert_allclose(np.stack([found.difference, found.cosine], 1), expected, rtol=2e-3, atol=1e-5)
    assert found.difference[0] == 0
    assert (found.difference[1:] > 1e-3).all()
    assert [np.array(array).tobytes() for array in arrays] == before
    assert (found.objective.statistics, found.objective.batch_size) == ("batch", 16)


@pytest.mark.thorough
def test_the_first_order_on_a_model(trainer, state, synthetic, layers):
    """Hessian-vector products pass through batch statistics and convolutions: for a small step they predict the shift."""
    loss_fn, update = objective_of(trainer, state, synthetic)
    small = optax.tree.scale(1e-2, update)
    found = covariate_shift(loss_fn, state.params, small, layers, first_order=True)
    np.testing.assert_allclose(found.difference, found.first_order, rtol=2e-2, atol=1e-6)


@pytest.mark.thorough
def test_one_program_for_all_training_steps(trainer, state, synthetic, layers):
    """At other states and batches of the same shape the model is not traced again."""
    traces, counts = [], []
    counted = trainer.model._replace(
        apply=lambda *arguments, **options: (traces.append(1), trainer.model.apply(*arguments, **options))[1]
    )
    for _ in range(3):
        loss_fn, update = objective_of(trainer, state, synthetic, counted)
        covariate_shift(loss_fn, state.params, update, layers)
        state, _ = train.run_steps(trainer, state, synthetic.train, num_steps=2)
        counts.append(len(traces))
    assert counts == [1, 1, 1]


def test_a_closure_is_never_stale():
    """One function whose batch is rebound is evaluated on the new batch."""
    box = {}
    ones = {"a": jnp.array(1.0), "b": jnp.array(1.0)}
    for batch in (1.0, 100.0):
        box["batch"] = batch
        found = covariate_shift(lambda p: box["batch"] * p["a"] * p["b"], ones, ones, ("a", "b"))
        np.testing.assert_allclose(found.difference, [0, batch])


@pytest.mark.slow
def test_composes_with_jit_and_vmap():
    """Compiled over many updates at once, the shift is what it is alone."""
    loss_fn, params, update = deep_net(1)
    scales = jnp.array([0.1, 0.5, 1.0])
    measure = lambda scale: covariate_shift(loss_fn, params, optax.tree.scale(scale, update), NAMES)  # noqa: E731
    together = jax.jit(jax.vmap(measure))(scales)
    assert together.layers == NAMES
    for i, scale in enumerate(scales):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), together, measure(scale)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": ("dense_0", "conv")}, r"layers must match a path of the parameters, .*dense_0/bias.*; got 'conv'"),
        ({"layers": ("dense_0", "bias")}, "layers must not overlap, but dense_0/bias is in both 'dense_0' and 'bias'"),
        ({"layers": ("dense_0", "dense_0")}, "layers must differ, got dense_0, dense_0"),
        ({"layers": ()}, "layers must name at least one layer"),
        (
            {"update": {"dense_0": {"bias": 0.0}}},
            r"update must be like params, but at dense_0/bias params has shape \(6,\)",
        ),
        ({"of": ("dense_1", "dense_7")}, "of must hold names of layers, dense_0, dense_1, dense_2; got 'dense_7'"),
        ({"of": ()}, "of must hold at least one of the layers, dense_0, dense_1, dense_2; got none"),
        ({"moved": "weight"}, "moved must match a path of the parameters, .*; got 'weight'"),
        ({"loss_fn": lambda p: p["dense_0"]["bias"]}, r"return a floating-point scalar, got float32 of shape \(6,\)"),
    ],
)
def test_misfits_are_named(arguments, message, as_a_user):
    """One line names the argument, the rule and the value."""
    loss_fn, params, update = deep_net(1)
    with pytest.raises(ValueError, match=message):
        covariate_shift(**{"loss_fn": loss_fn, "params": params, "update": update, "layers": NAMES} | arguments)


@pytest.mark.slow
def test_half_precision_is_subtracted_in_float32():
    """In bfloat16 512 + 1 is 512; the difference is not taken there."""
    params, update = ({"a": jnp.array(a, jnp.bfloat16), "b": jnp.array(b, jnp.bfloat16)} for a, b in ((8, 1), (-9, 0)))
    with jax.disable_jit():  # in compiled code XLA may keep digits that bfloat16 has not
        found = covariate_shift(lambda p: p["a"] * p["a"] * p["a"] * p["b"], params, update, ("a", "b"))
    np.testing.assert_array_equal(found.difference, [0, 513])


def test_whole_numbers_have_no_gradient():
    """One line names them."""
    params = {"a": jnp.ones(2), "table": jnp.arange(3)}
    with pytest.raises(ValueError, match="params must be floating-point, but table is int32"):
        covariate_shift(lambda p: jnp.sum(p["a"] ** 2), params, params, ("a",))

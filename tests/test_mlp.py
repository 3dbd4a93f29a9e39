"""The multilayer perceptron has the layers that its configuration says, in that order, at their stated initial scales."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, models
from bnjax.types import Variables

IMAGES = jnp.zeros((2, 28, 28, 1))
EXACT = partial(linen.BatchNorm, epsilon=0.0)


def init(x=IMAGES, seed=0, **config):
    """Make a model and its variables."""
    model = models.make_model(models.MLPConfig(**config))
    return model, jax.jit(model.init)(jax.random.key(seed), x)


def outputs_of(model, variables, x):
    """Apply a model in training."""
    return jax.jit(lambda variables, x: model.apply(variables, x, train=True)[0])(variables, x)


def count(params):
    """Count parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, 784 * 100 + 2 * 100 * 100 + 100 * 10 + 3 * 100 + 10),
        ({"norm": linen.BatchNorm}, 99_710 + 3 * 2 * 100),
        ({"norm": linen.BatchNorm, "use_bias": False}, 99_710 + 3 * 100),
        ({"norm": linen.BatchNorm, "norm_layers": (2,)}, 99_710 + 2 * 100),
        ({"norm": partial(linen.BatchNorm, use_scale=False, use_bias=False)}, 99_710),
        ({"hidden": (1000, 1000)}, 784 * 1000 + 1000 * 1000 + 1000 * 10 + 2 * 1000 + 10),
        ({"hidden": (256,) * 30, "activation": "relu"}, 785 * 256 + 29 * 257 * 256 + 257 * 10),
    ],
)
def test_parameter_counts(config, expected):
    """The networks of 3 x 100, 2 x 1000 and 30 x 256 units have the parameters counted by hand."""
    model = models.make_model(models.MLPConfig(**config))
    assert count(jax.eval_shape(model.init, jax.random.key(0), IMAGES).params) == expected


def test_names_and_shapes():
    """Weight layer n is `dense_n`, its normaliser `norm_n`; the last has none."""
    model, variables = init(norm=linen.BatchNorm)
    assert set(variables.params) == {*(f"dense_{n}" for n in (1, 2, 3, 4)), *(f"norm_{n}" for n in (1, 2, 3))}
    assert set(variables.batch_stats) == {"norm_1", "norm_2", "norm_3"}
    assert variables.params["dense_1"]["kernel"].shape == (784, 100)
    assert model.apply(variables, IMAGES, train=False)[0].shape == (2, 10)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("sigmoid", nn.sigmoid),
        ("relu", nn.relu),
        pytest.param("tanh", jnp.tanh, marks=pytest.mark.thorough),
        pytest.param("elu", nn.elu, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("position", ["before", "after"])
def test_order_of_layers(activation, function, position):
    """The logits equal the formula, with the normaliser on its side of the activation."""
    x = jax.random.normal(jax.random.key(1), (8, 5))
    model, variables = init(x, hidden=(6, 7), norm=EXACT, norm_position=position, activation=activation)
    expected = x

    def standardise(y):
        return (y - y.mean(0, keepdims=True)) / y.std(0, keepdims=True)

    for layer in (1, 2):
        z = expected @ variables.params[f"dense_{layer}"]["kernel"]
        expected = function(standardise(z)) if position == "before" else standardise(function(z))
    expected = expected @ variables.params["dense_3"]["kernel"]
    np.testing.assert_allclose(outputs_of(model, variables, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("config", "is_invariant"),
    [
        ({"norm": EXACT}, True),
        ({"norm": EXACT, "norm_layers": (1,)}, False),
        ({"norm": EXACT, "norm_position": "after"}, False),
        ({}, False),
    ],
)
def test_weights_before_batch_norm_have_no_scale(config, is_invariant):
    """Multiplied weights leave the logits the same where batch norm follows at once, and only there."""
    model = models.make_model(models.MLPConfig(hidden=(6, 7), **config))

    @jax.jit
    def compare(key):
        x = jax.random.normal(key, (8, 5))
        params, batch_stats = model.init(key, x)
        scaled = {**params, "dense_2": jax.tree.map(lambda leaf: 3 * leaf, params["dense_2"])}
        return [model.apply(Variables(p, batch_stats), x, train=True)[0] for p in (params, scaled)]

    for seed in (1, 2, 3):
        one, other = compare(jax.random.key(seed))
        assert np.allclose(one, other, rtol=0, atol=1e-4) == is_invariant


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("config", "variance", "kurtosis"),
    [
        ({}, 2 / 400, 1.8),
        ({"kernel_init": "xavier_normal"}, 2 / 400, 2.4),
        ({"kernel_init": "he_normal", "kernel_scale": 0.3}, 0.09 * 2 / 200, 2.4),
        ({"kernel_init": "normal"}, 1.0, 3.0),
        ({"kernel_init": "normal", "kernel_scale": 0.05}, 0.0025, 3.0),
        ({"kernel_init": "orthogonal", "kernel_scale": 3.0}, 9 / 200, 3.0),
    ],
)
def test_initial_scales(config, variance, kurtosis):
    """Kernels, of the last layer too, have the stated variance and shape; biases are 0."""
    _, variables = init(jnp.zeros((1, 200)), hidden=(200, 200), num_classes=200, **config)
    for name in ("dense_1", "dense_3"):
        kernel = np.asarray(variables.params[name]["kernel"], np.float64)
        np.testing.assert_allclose(kernel.var(), variance, rtol=0.03)
        np.testing.assert_allclose((kernel**4).mean() / kernel.var() ** 2, kurtosis, rtol=0.05)
        assert not np.any(variables.params[name]["bias"])


def test_orthogonal_kernels():
    """Their columns are orthonormal, times the scale."""
    _, variables = init(jnp.zeros((1, 9)), hidden=(6,), kernel_init="orthogonal", kernel_scale=2.0)
    kernel = variables.params["dense_1"]["kernel"]
    np.testing.assert_allclose(kernel.T @ kernel, 4 * np.eye(6), atol=1e-5)


@pytest.mark.parametrize(
    "norm",
    [
        linen.LayerNorm,
        partial(linen.LpNorm, p=1),
        partial(linen.GroupNorm, num_groups=5),
        nn.BatchNorm,
    ],
)
def test_any_normaliser(norm):
    """Others than batch norm fit."""
    model, variables = init(norm=norm, hidden=(10, 10))
    assert np.isfinite(outputs_of(model, variables, IMAGES + 1)).all()


def test_one_make_model_for_all(as_a_user):
    """What is no configuration is named, with those that there are."""
    with pytest.raises(
        ValueError,
        match="config must be one of VGGConfig, MLPConfig, ResNetConfig, InceptionConfig, DeepLinearConfig, LSTMConfig, "
        "got 'mlp'",
    ):
        models.make_model("mlp")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden": ()}, r"hidden must hold one number of at least 1 per hidden layer, got \(\)"),
        ({"hidden": (100, 0)}, r"hidden must hold one number of at least 1 per hidden layer, got \(100, 0\)"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"activation": "gelu"}, "activation must be one of sigmoid, relu, tanh, elu, got 'gelu'"),
        ({"norm_position": "first"}, "norm_position must be one of before, after, got 'first'"),
        ({"kernel_init": "zeros"}, "kernel_init must be one of xavier_uniform, .*, got 'zeros'"),
        ({"kernel_scale": 0.0}, "kernel_scale must be > 0 and finite, got 0.0"),
        ({"kernel_scale": float("nan")}, "kernel_scale must be > 0 and finite, got nan"),
        ({"norm_layers": (4,)}, r"norm_layers must be 'all' or numbers from 1 to 3, got \(4,\)"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.MLPConfig(**config)

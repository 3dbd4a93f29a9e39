"""VGGs have the parameters that are published, and take their normaliser as an argument."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, models
from bnjax.models.vgg import _adaptive_average_pool
from bnjax.types import Variables

IMAGES = jnp.zeros((2, 32, 32, 3))


def shapes(**config):
    """Infer the shapes of a VGG's variables."""
    return jax.eval_shape(models.make_model(models.VGGConfig(**config)).init, jax.random.key(0), IMAGES)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"head": "512"}, 9_750_922),
        ({"head": "512", "norm": linen.BatchNorm}, 9_758_474),
        ({"head": "mameli"}, 128_807_306),
    ],
)
def test_published_parameter_counts(config, count):
    """The counts printed with the sources come out."""
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes(**config).params)) == count


@pytest.mark.parametrize(("depth", "num_convs"), [("A", 8), ("13", 10), ("16", 13)])
def test_depths(depth, num_convs):
    """Each depth has its convolutions and three dense layers, all but the last normalised."""
    variables = shapes(depth=depth, norm=linen.BatchNorm)
    kinds = [name.split("_")[0] for name in variables.params]
    assert (kinds.count("conv"), kinds.count("dense"), kinds.count("norm")) == (num_convs, 3, num_convs + 2)
    assert set(variables.batch_stats) == {f"norm_{n}" for n in range(1, num_convs + 3)}


def test_one_normalised_layer():
    """A tuple names the layers that are normalised."""
    assert set(shapes(norm=linen.BatchNorm, norm_layers=(4,)).batch_stats) == {"norm_4"}


@pytest.mark.parametrize("norm", [linen.BatchNorm, partial(nn.BatchNorm, momentum=0.5)])
@pytest.mark.thorough
def test_any_normaliser_with_the_call_of_flax(norm):
    """Ours and Flax's normaliser both fit, and training moves their statistics."""
    model = models.make_model(models.VGGConfig(width=1 / 16, norm=norm))
    x = jax.random.normal(jax.random.key(1), IMAGES.shape)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    logits, batch_stats = jax.jit(model.apply, static_argnames="train")(variables, x, train=True)
    assert logits.shape == (2, 10)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), variables.batch_stats, batch_stats)
    assert all(jax.tree.leaves(moved))
    _, same = jax.jit(model.apply, static_argnames="train")(variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, same, variables.batch_stats)


def test_initial_scales():
    """Xavier kernels have variance 2 / (fan_in + fan_out), uniform or normal, and biases are 0."""
    for init, kurtosis in (("xavier_uniform", 1.8), ("xavier_normal", 3.0)):
        model = models.make_model(models.VGGConfig(kernel_init=init, width=0.5))
        layer = jax.jit(lambda key, model=model: model.init(key, IMAGES).params["conv_5"])(jax.random.key(0))
        kernel = np.asarray(layer["kernel"], np.float64)
        assert kernel.shape == (3, 3, 128, 256)
        np.testing.assert_allclose(kernel.var(), 2 / (9 * (128 + 256)), rtol=0.02)
        # Flax draws its normal from two standard deviations, which lowers the kurtosis.
        np.testing.assert_allclose(
            (kernel**4).mean() / kernel.var() ** 2, kurtosis, rtol=0.25 if kurtosis == 3 else 0.02
        )
        assert not np.any(layer["bias"])


@pytest.mark.thorough
def test_dropout_of_the_mameli_head_follows_its_key():
    """Equal keys give equal masks, and evaluation has none."""
    model = models.make_model(models.VGGConfig(head="mameli", width=1 / 64))
    x = jax.random.normal(jax.random.key(1), IMAGES.shape)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    # NOTE: at this width few features survive five ReLU layers; larger weights keep them apart.
    variables = Variables(jax.tree.map(lambda leaf: 3 * leaf + 0.01, variables.params), variables.batch_stats)
    apply = jax.jit(lambda key: model.apply(variables, x, train=True, rngs={"dropout": key})[0])
    one, same, other = (apply(jax.random.key(n)) for n in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    evaluation = jax.jit(lambda key: model.apply(variables, x, train=False, rngs={"dropout": key})[0])
    np.testing.assert_array_equal(evaluation(jax.random.key(0)), evaluation(jax.random.key(1)))


def test_adaptive_average_pool():
    """One pixel is copied, seven stay, fourteen are averaged in pairs, ten overlap as in the definition."""
    x = jnp.arange(10.0).reshape(1, 10, 1, 1)
    np.testing.assert_allclose(_adaptive_average_pool(x[:, 3:4], 7)[0, :, 0, 0], 3)
    np.testing.assert_allclose(_adaptive_average_pool(x[:, :7], 7)[0, :, 0, 0], np.arange(7))
    expected = [np.arange(10)[i * 10 // 7 : -(-(i + 1) * 10 // 7)].mean() for i in range(7)]
    np.testing.assert_allclose(_adaptive_average_pool(x, 7)[0, :, 0, 0], expected, rtol=1e-6)


def test_adaptive_average_pool_keeps_the_type():
    """A map in bfloat16 is averaged in bfloat16, so that the 49 pixels take no more memory than the map's type needs."""
    x = jnp.arange(8.0).reshape(1, 4, 2, 1)
    half = _adaptive_average_pool(x.astype(jnp.bfloat16), 7)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half.astype(jnp.float32), _adaptive_average_pool(x, 7))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"depth": "B"}, "depth must be one of A, 13, 16, got 'B'"),
        ({"head": "128"}, "head must be one of"),
        ({"width": 0.01}, "width must be at least 1/64"),
        ({"head": "mameli", "width": 6}, "width must lead to at most 2147483647 weights in an array, got 6"),
        ({"norm_layers": (11,)}, "norm_layers must be 'all' or numbers from 1 to 10"),
        ({"kernel_init": "zeros"}, "kernel_init must be one of"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.VGGConfig(**config)


@pytest.mark.slow
def test_a_plain_deep_vgg_starts_from_he_initialisation():
    """Then kernels have variance 2 / fan_in, and logits start with a deviation near 1; with Xavier's, near 1e-3."""
    x, deviation = jax.random.normal(jax.random.key(0), (8, 32, 32, 3)), {}
    for init in ("xavier_uniform", "he_normal"):
        model = models.make_model(models.VGGConfig(depth="16", width=1 / 8, kernel_init=init))
        variables = model.init(jax.random.key(1), x)
        deviation[init] = float(model.apply(variables, x, train=True)[0].std())
    kernel = variables.params["conv_8"]["kernel"]
    np.testing.assert_allclose(kernel.var() * kernel[..., 0].size, 2, rtol=0.1)
    assert deviation["he_normal"] > 0.05 > 10 * deviation["xavier_uniform"]


@pytest.mark.parametrize(
    ("make", "config", "message"),
    [
        (models.MLPConfig, {"hidden": 8}, "hidden must be a list of whole numbers, got 8"),
        (models.MLPConfig, {"hidden": (8.5,)}, r"hidden must be a list of whole numbers, got \(8.5,\)"),
        (models.MLPConfig, {"kernel_scale": "1"}, "kernel_scale must be a number, got '1'"),
        (models.MLPConfig, {"num_classes": 2.5}, "num_classes must be a whole number, got 2.5"),
        (models.MLPConfig, {"norm_layers": 1}, "norm_layers must be 'all' or numbers from 1 to 3, got 1"),
        (models.MLPConfig, {"norm_layers": (1.5,)}, "norm_layers must be 'all' or numbers from 1 to 3, got"),
        (models.MLPConfig, {"norm_layers": "none"}, "norm_layers must be 'all' or numbers from 1 to 3, got 'none'"),
        (models.MLPConfig, {"norm": linen.BatchNorm()}, "norm must make a normaliser, such as linen.BatchNorm or"),
        (models.MLPConfig, {"norm": "batch"}, "norm must make a normaliser, such as .*, got 'batch'"),
        (models.ResNetConfig, {"width": 2.5}, "width must be a whole number, got 2.5"),
        (models.DeepLinearConfig, {"depth": True}, "depth must be a whole number, got True"),
        (models.LSTMConfig, {"features": 2.5}, "features must be a whole number, got 2.5"),
        (models.InceptionConfig, {"width": None}, "width must be a number, got None"),
    ],
)
def test_values_of_another_type(make, config, message, as_a_user):
    """One line names the field and the rule, before anything is built."""
    with pytest.raises(ValueError, match=f"^{message}"):
        make(**config)


def test_lists_and_arrays_in_a_configuration(as_a_user):
    """They are taken as tuples and numbers, so that equal configurations are one model."""
    lists = models.MLPConfig(
        hidden=[8, np.int64(4)], norm=linen.BatchNorm, norm_layers=[1], kernel_scale=jnp.float32(2)
    )
    assert lists == models.MLPConfig(hidden=(8, 4), norm=linen.BatchNorm, norm_layers=(1,), kernel_scale=2.0)
    assert models.make_model(lists) is models.make_model(
        models.MLPConfig((8, 4), kernel_scale=2.0, norm=linen.BatchNorm, norm_layers=(1,))
    )


def test_fields_of_a_class_of_one_s_own(as_a_user):
    """They are not checked: neither their types nor whether they are there yet."""

    @dataclass(frozen=True)
    class Own(models.MLPConfig):
        extra: int = None
        made: int = field(init=False)

        def __post_init__(self):
            super().__post_init__()
            object.__setattr__(self, "made", len(self.hidden))

    assert Own(hidden=(4,), kernel_scale=Fraction(1, 2)).made == 1

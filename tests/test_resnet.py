"""Residual networks: published numbers of parameters, a case computed by hand, and float64 by another library."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from bnjax import linen, models, probes
from bnjax.types import Variables

IMAGES = jnp.zeros((2, 32, 32, 3))


def count(**config):
    """Count the parameters of a residual network for CIFAR-10."""
    model = models.make_model(models.ResNetConfig(**config))
    params = jax.eval_shape(model.init, jax.random.key(0), IMAGES).params
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("blocks", "number"), [(3, 269_722), pytest.param(18, 1_727_962, marks=pytest.mark.thorough)])
def test_published_parameter_counts(blocks, number):
    """ResNet-20 and ResNet-110 have 0.27 and 1.7 million (He et al. 2016, arXiv 1512.03385, Table 6), to the last one."""
    assert count(num_blocks=blocks, norm=linen.BatchNorm) == number


def formula(n, w, bias=False, skip=False):
    """Count the parameters of 6 n + 2 layers of widths w, 2 w and 4 w by hand, without a normaliser."""
    convolutions = 27 * w + 9 * (2 * n * w**2 + (2 * w**2 + (2 * n - 1) * 4 * w**2) * (1 + 4))
    return convolutions + bias * (w + 2 * n * 7 * w) + skip * 3 * n + 10 * (4 * w + 1)


@pytest.mark.parametrize(("n", "w"), [(1, 1), (2, 5)])
def test_parameters_follow_the_formula(n, w):
    """Of any depth and width, with biases and with a number for each branch."""
    assert count(num_blocks=n, width=w) == formula(n, w)
    more = count(num_blocks=n, width=w, use_bias=True, skip_init=True)
    assert more == formula(n, w, bias=True, skip=True)


def test_layers_and_their_features():
    """Weight layers are counted, and normalisers have the features that the shape names."""
    config = models.ResNetConfig(num_blocks=2, width=3, norm=linen.BatchNorm)
    variables = jax.eval_shape(models.make_model(config).init, jax.random.key(0), IMAGES)
    assert (config.num_layers, config.num_convolutions, config.num_normalised) == (14, 13, 13)
    features = [variables.batch_stats[f"norm_{n}"]["mean"].shape[0] for n in range(1, 14)]
    assert tuple(features) == config.features == (3, 3, 3, 3, 3, 6, 6, 6, 6, 12, 12, 12, 12)
    assert {name for name in variables.params if name.startswith("dense")} == {"dense_14"}


def by_hand(params, make):
    """Replace each kernel by one that passes pixels on: `make(in_features, out_features)` at its centre."""

    def passing(kernel):
        centre = np.asarray(make(*kernel.shape[-2:]), np.float32)
        return jnp.asarray(centre) if kernel.ndim == 2 else jnp.zeros(kernel.shape).at[1, 1].set(centre)

    return {name: {**leaf, "kernel": passing(leaf["kernel"])} for name, leaf in params.items()}


def test_a_case_computed_by_hand():
    """Of one block a stage and width 1, where each convolution passes on feature 1 of its input as its own feature 1.

    A positive image x then becomes x, 2 x after the first block, and at every second pixel 4 x and 8 x after the others.
    """
    config = models.ResNetConfig(num_blocks=1, width=1)
    model = models.make_model(config)
    x = jnp.arange(1.0, 17.0).reshape(1, 4, 4, 1)
    variables = model.init(jax.random.key(0), x)
    params = by_hand(variables.params, lambda a, b: np.eye(a, b) * (np.arange(b) == 0))
    logits = model.apply(Variables(params, {}), x, train=True)[0]
    # Pixels 0, 2, 8 and 10, then pixel 0 alone, whose value is 1.
    np.testing.assert_allclose(logits[0], [8.0, *[0.0] * 9])
    negative = model.apply(Variables(params, {}), -x, train=True)[0]  # no branch lets it pass, nor does the last ReLU
    np.testing.assert_allclose(negative, 0, atol=0)


def test_float64_by_another_library():
    """With batch norm in training, the logits equal those of SciPy's correlations on the padded map, in float64."""
    config = models.ResNetConfig(num_blocks=1, width=2, norm=partial(linen.BatchNorm, epsilon=1e-5))
    model, x = models.make_model(config), jax.random.normal(jax.random.key(1), (3, 6, 6, 2))
    variables = model.init(jax.random.key(0), x)
    actual, batch_stats = jax.jit(partial(model.apply, train=True))(variables, x)
    kernels = {
        name: np.asarray(leaf["kernel"], np.float64) for name, leaf in variables.params.items() if "kernel" in leaf
    }

    def conv(y, layer, stride=1):
        kernel = kernels[f"conv_{layer}"]
        maps = [
            [sum(correlate2d(image[..., i], kernel[..., i, o], "same") for i in range(kernel.shape[2])) for image in y]
            for o in range(kernel.shape[3])
        ]
        return np.moveaxis(np.array(maps), 0, -1)[:, ::stride, ::stride]

    def active(y):
        mean, var = y.mean((0, 1, 2), keepdims=True), y.var((0, 1, 2), keepdims=True)
        return np.maximum((y - mean) / np.sqrt(var + 1e-5), 0)

    y = conv(np.asarray(x, np.float64), 1)
    for layer, stride in ((2, 1), (4, 2), (6, 2)):
        branch = conv(active(conv(active(y), layer, stride)), layer + 1)
        shortcut = np.zeros_like(branch)
        shortcut[..., : y.shape[-1]] = y[:, ::stride, ::stride]
        y = shortcut + branch
    np.testing.assert_allclose(actual, active(y).mean((1, 2)) @ kernels["dense_8"], rtol=1e-3, atol=1e-4)
    assert set(batch_stats) == {f"norm_{n}" for n in range(1, 8)}


@pytest.mark.slow
def test_blocks_that_begin_as_the_identity():
    """With a number from 0 for each branch, branches change nothing, and their numbers have gradients."""
    model = models.make_model(models.ResNetConfig(num_blocks=1, width=2, skip_init=True))
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    params, _ = model.init(jax.random.key(0), x)
    assert {name for name in params if name.startswith("scale")} == {"scale_3", "scale_5", "scale_7"}

    @jax.jit
    def loss(params):
        return jnp.sum(model.apply(Variables(params, {}), x, train=True)[0] ** 2)

    other = {**params, "conv_2": jax.tree.map(lambda leaf: 5 * leaf, params["conv_2"])}
    assert loss(params) == loss(other)
    gradients = jax.grad(loss)(params)
    assert all(abs(gradients[f"scale_{n}"]) > 0 for n in (3, 5, 7))
    assert not np.any(gradients["conv_2"]["kernel"])


@pytest.mark.slow
def test_what_is_normalised():
    """The sum of branch and shortcut, and what stands between the two convolutions of a branch."""
    norm = partial(linen.GroupNorm, num_groups=1)
    model = models.make_model(models.ResNetConfig(num_blocks=1, width=2, norm=norm))
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    variables = model.init(jax.random.key(0), x)
    inputs = probes.capture(model, variables, x, where="inputs")
    outputs = probes.capture(model, variables, x)
    np.testing.assert_array_equal(inputs["norm_1"], outputs["conv_1"])
    np.testing.assert_array_equal(inputs["norm_2"], outputs["conv_2"])
    np.testing.assert_array_equal(inputs["norm_3"], outputs["conv_1"] + outputs["conv_3"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_blocks": 0}, "num_blocks must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 100_000}, "width must lead to at most 2147483647 weights in an array, got 100000"),
        ({"kernel_init": "zeros"}, "kernel_init must be one of"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"norm_layers": (20,)}, r"norm_layers must be 'all' or numbers from 1 to 19, got \(20,\)"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.ResNetConfig(**config)

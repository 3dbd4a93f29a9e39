"""BN-Inception: parameters counted from the printed table, shapes of all modules, and the same net of plain Flax layers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import linen, models, probes
from bnjax.types import Variables

# Ioffe & Szegedy 2015, Fig. 5, as printed: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, pool and projection.
PRINTED = """
3a   64  64  64  64  96 avg 32
3b   64  64  96  64  96 avg 64
3c    0 128 160  64  96 max pass-through
4a  224  64  96  96 128 avg 128
4b  192  96 128  96 128 avg 128
4c  160 128 160 128 160 avg 128
4d   96 128 192 160 192 avg 128
4e    0 128 192 192 256 max pass-through
5a  352 192 320 160 224 avg 128
5b  352 192 320 192 224 max 128
"""
# The first and the last convolution of each module, and features of its result: those printed, except those of 4c, 4d and 4e.
FIRST = (2, 9, 16, 21, 28, 35, 42, 49, 54, 61)
OUTPUTS = (256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024)


def rows():
    """Read the table."""
    for line in PRINTED.split("\n")[1:-1]:
        name, *numbers, pool, projection = line.split()
        yield name, [int(number) for number in numbers], pool, 0 if projection == "pass-through" else int(projection)


def parameters(width=1.0, stem=192):
    """Count weights and biases by hand, without a normaliser, and list the features of every module's result."""
    total, inputs, results = 28 * int(stem * width), int(stem * width), []
    for _, numbers, _, projection in rows():
        one, reduce, three, double_reduce, double, pooled = (int(width * number) for number in (*numbers, projection))
        total += (inputs + 1) * (one + reduce + double_reduce + pooled)
        total += (9 * reduce + 1) * three + (9 * double_reduce + 1) * double + (9 * double + 1) * double
        inputs = one + three + double + (pooled or inputs)
        results.append(inputs)
    return total + 10 * (inputs + 1), results


def shapes_of(size=32, **config):
    """Return the shapes of parameters and running statistics."""
    model = models.make_model(models.InceptionConfig(**config))
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1.0, 1 / 8])
def test_parameters_are_those_of_the_printed_table(width):
    """At both widths; at width 1, a convolution stem and ten classes make 10.1 million of them."""
    number, results = parameters(width)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes_of(width=width).params)) == number
    if width == 1:
        assert tuple(results) == OUTPUTS
        assert number == 10_141_418


def test_layers_and_their_features():
    """Weight layers are counted, and normalisers have the features that the shape names."""
    config = models.InceptionConfig(width=1 / 16, norm=linen.BatchNorm)
    variables = shapes_of(width=1 / 16, norm=linen.BatchNorm)
    assert (config.num_layers, config.num_convolutions, config.num_normalised) == (68, 67, 67)
    features = [variables.batch_stats[f"norm_{n}"]["mean"].shape[0] for n in range(1, 68)]
    assert tuple(features) == config.features
    assert {name for name in variables.params if name.startswith("dense")} == {"dense_68"}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(("stem_stride", "sides"), [(1, (32, 16, 8)), (2, (16, 8, 4))])
def test_shapes_of_all_modules(stem_stride, sides):
    """Modules 3c and 4e halve height and width; what enters the first convolution of a module is the result before it."""
    model = models.make_model(models.InceptionConfig(stem_stride=stem_stride))
    x = jnp.zeros((2, 32, 32, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    seen = jax.eval_shape(lambda v: probes.capture(model, v, x, where="inputs"), variables)
    found = [seen[f"conv_{n}"].shape[1:] for n in FIRST]
    features = (192, *OUTPUTS[:-1])
    places = [sides[0]] * 3 + [sides[1]] * 5 + [sides[2]] * 2
    assert found == [(side, side, number) for side, number in zip(places, features, strict=True)]
    assert seen["dense_68"].shape == (2, OUTPUTS[-1])


class Plain(nn.Module):
    """The net in Flax's own layers, after the printed table."""

    width: float

    @nn.compact
    def __call__(self, x):
        """Compute the logits with the statistics of the batch."""
        number = 0

        def conv(x, features, size, strides=1):
            nonlocal number
            number += 1
            padding = [(size // 2, size // 2)] * 2
            x = nn.Conv(int(self.width * features), (size, size), strides, padding, name=f"conv_{number}")(x)
            return nn.relu(nn.BatchNorm(use_running_average=False, name=f"norm_{number}")(x))

        x = conv(x, 192, 3)
        for _, (one, reduce, three, double_reduce, double), pool, projection in rows():
            step, found = 1 if projection else 2, [conv(x, one, 1)] if one else []
            found.append(conv(conv(x, reduce, 1), three, 3, step))
            found.append(conv(conv(conv(x, double_reduce, 1), double, 3), double, 3, step))
            window = {"window_shape": (3, 3), "strides": (step, step), "padding": ((1, 1), (1, 1))}
            pooled = nn.max_pool(x, **window) if pool == "max" else nn.avg_pool(x, count_include_pad=False, **window)
            found.append(conv(pooled, projection, 1) if projection else pooled)
            x = jnp.concatenate(found, axis=-1)
        return nn.Dense(10, name="dense_68")(x.mean((1, 2)))


@pytest.mark.thorough
def test_equals_plain_flax_layers():
    """Loss and gradient, with equal weights, in training with batch norm."""
    model = models.make_model(models.InceptionConfig(width=1 / 32, norm=linen.BatchNorm))
    x = jax.random.normal(jax.random.key(1), (8, 10, 10, 3))
    variables = model.init(jax.random.key(0), x)
    target = jax.random.normal(jax.random.key(2), (8, 10))
    plain = Plain(1 / 32)

    def by_flax(params):
        logits, _ = plain.apply({"params": params, "batch_stats": variables.batch_stats}, x, mutable=["batch_stats"])
        return jnp.mean((logits - target) ** 2)

    def here(params):
        return jnp.mean((model.apply(Variables(params, variables.batch_stats), x, train=True)[0] - target) ** 2)

    (loss, gradient), (expected, by_theirs) = (
        jax.jit(jax.value_and_grad(f))(variables.params) for f in (here, by_flax)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    for name, leaf in by_theirs.items():
        if name.startswith("conv"):
            scale = np.abs(leaf["kernel"]).max()
            np.testing.assert_allclose(
                gradient[name]["kernel"], leaf["kernel"], rtol=0, atol=2e-3 * scale, err_msg=name
            )
        elif name.startswith("dense"):
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), gradient[name], leaf)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"width": 1 / 64}, "width must be at least 1/32, which leaves one feature in the narrowest .*, got 0.015625"),
        ({"width": 1e4}, "width must lead to at most 2147483647 weights in an array, got 10000.0"),
        ({"stem_stride": 3}, "stem_stride must be 1 or 2, got 3"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"kernel_init": "zeros"}, "kernel_init must be one of"),
        ({"kernel_scale": 0.0}, "kernel_scale must be > 0 and finite, got 0.0"),
        ({"activation": "swish"}, "activation must be one of sigmoid, relu, tanh, elu, got 'swish'"),
        ({"norm_position": "beside"}, "norm_position must be one of before, after, got 'beside'"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"norm_layers": (68,)}, r"norm_layers must be 'all' or numbers from 1 to 67, got \(68,\)"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.InceptionConfig(**config)


@pytest.mark.parametrize(
    "config",
    [models.InceptionConfig(width=1 / 32), models.VGGConfig(width=1 / 32), models.ResNetConfig(num_blocks=1, width=2)],
    ids=lambda config: type(config).__name__,
)
def test_inputs_that_are_no_images(config, as_a_user):
    """An input without height and width is named, in all nets for images."""
    with pytest.raises(ValueError, match=r"x must have shape \(batch, height, width, channels\), got \(2, 12\)"):
        models.make_model(config).init(jax.random.key(0), jnp.zeros((2, 12)))

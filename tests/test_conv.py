"""The convolution equals JAX's, in value and in every derivative, on both sides of every choice by shape."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bnjax.ops import conv_general_dilated, cpu, max_pool_2x2, plain, winograd
from bnjax.ops.geometry import NHWC, Geometry

# (height, width, channels, features, kernel height, kernel width, padding)
FAST = {
    "few products": (8, 8, 5, 6, 3, 3, "SAME"),
    "large": (8, 8, 5, 6, 3, 3, "SAME"),
    "image": (9, 8, 3, 4, 3, 3, "SAME"),
    "image of another size than its result": (7, 8, 2, 4, 4, 3, "VALID"),
    "small tiles": (4, 4, 32, 33, 3, 3, "SAME"),
    "oblong tiles": (6, 4, 33, 32, 3, 3, ((1, 1), (2, 0))),
    "tiles from a larger image": (8, 6, 32, 32, 3, 3, "VALID"),
    "tiles of a wide map": (10, 8, 64, 64, 3, 3, "SAME"),
    "too large for tiles": (10, 8, 32, 32, 3, 3, "SAME"),
    "clipped": (3, 4, 5, 6, 3, 3, "SAME"),
    "odd": (7, 5, 6, 5, 3, 3, "SAME"),
    "2x2": (2, 2, 5, 4, 3, 3, "SAME"),
    "1x1": (1, 1, 5, 4, 3, 3, "SAME"),
    "oblong": (5, 7, 6, 4, 3, 2, "VALID"),
    "smaller than its kernel": (3, 3, 5, 4, 5, 5, "SAME"),
    "uneven padding": (4, 2, 5, 4, 5, 4, ((2, 1), (3, 2))),
    "even kernel": (6, 6, 5, 4, 4, 4, "SAME"),
    "pointwise": (5, 5, 6, 6, 1, 1, "SAME"),
    "only padding reached": (1, 4, 5, 3, 3, 3, ((2, 2), (0, 1))),
}


def operands(height, width, channels, features, kernel_height, kernel_width, seed=0):
    """Draw images, the more of them the smaller they are, so that all have many tiles, and a kernel."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(16 if height * width < 80 else 4, height, width, channels))
    return jnp.asarray(images), jnp.asarray(rng.normal(size=(kernel_height, kernel_width, channels, features)))


def scalar(convolve, padding):
    """Make a scalar function of images and kernel with derivatives of every order."""
    return lambda x, k: jnp.sum(jnp.sin(convolve(x, k, (1, 1), padding, dimension_numbers=NHWC)))


TRANSFORMS = {
    "value": lambda f, x, k: f(x, k),
    "gradient": lambda f, x, k: jax.grad(f, (0, 1))(x, k),
    "forward mode": lambda f, x, k: jax.jvp(f, (x, k), (jnp.cos(x), k + 1)),
    "hessian product": lambda f, x, k: jax.jvp(jax.grad(f, (0, 1)), (x, k), (jnp.cos(x), k + 1)),
    "reverse over reverse": lambda f, x, k: jax.grad(
        lambda x, k: sum(jnp.sum(g**2) for g in jax.grad(f, (0, 1))(x, k)), (0, 1)
    )(x, k),
    "vmap over kernels": lambda f, x, k: jax.vmap(jax.grad(f, (0, 1)), (None, 0))(x, jnp.stack([k, 2 * k])),
    "vmap over images": lambda f, x, k: jax.vmap(jax.grad(f, (0, 1)), (0, None))(jnp.stack([x, 2 * x]), k),
    "vmap inside grad": lambda f, x, k: jax.grad(lambda ks: jax.vmap(f, (None, 0))(x, ks).sum())(jnp.stack([k, -k])),
    "scan": lambda f, x, k: lax.scan(lambda c, _: (c - 0.1 * jax.grad(f, 1)(x, c), f(x, c)), k, None, length=3),
    "checkpoint": lambda f, x, k: jax.grad(jax.checkpoint(f), (0, 1))(x, k),
}


@pytest.fixture
def many_products(request, monkeypatch):
    """Choose algorithms as for shapes that take longer, but for those of the first row."""
    if "few products" not in request.node.name:
        monkeypatch.setattr(cpu, "_FEW_PRODUCTS", 0)


# Further shapes that go the ways of those before them.
MORE = (
    "oblong tiles",
    "tiles from a larger image",
    "tiles of a wide map",
    "too large for tiles",
    "odd",
    "uneven padding",
    "even kernel",
    "pointwise",
    "only padding reached",
    "oblong",
)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "shape",
    [pytest.param(s, id=name, marks=pytest.mark.thorough if name in MORE else ()) for name, s in FAST.items()],
)
def test_values_and_derivatives_equal_those_of_jax(shape, many_products, x64):
    """On the fast path, everything JAX can do with a convolution comes out as with its own."""
    *sizes, padding = shape
    x, k = operands(*sizes)

    def all_of(convolve):
        return {name: transform(scalar(convolve, padding), x, k) for name, transform in TRANSFORMS.items()}

    assert is_fast(x, k, (1, 1), padding, dimension_numbers=NHWC)
    ours, theirs = jax.jit(lambda: all_of(conv_general_dilated))(), jax.jit(lambda: all_of(lax.conv_general_dilated))()
    jax.tree.map_with_path(
        lambda path, a, b: np.testing.assert_allclose(a, b, atol=1e-9, err_msg=jax.tree_util.keystr(path)), ours, theirs
    )


def is_fast(x, k, *arguments, **options):
    """Tell whether a call takes the fast path."""
    return "bnjax_conv" in str(jax.make_jaxpr(lambda x, k: conv_general_dilated(x, k, *arguments, **options))(x, k))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (((2, 2), "SAME"), {}),
        (((1, 1), "SAME"), {"rhs_dilation": (2, 1)}),
        (((1, 1), ((1, 1), (1, 1))), {"lhs_dilation": (2, 2)}),
        (((1, 1), ((3, 3), (1, 1))), {}),
        (((1, 1), ((-1, 1), (1, 1))), {}),
        (((1, 1), "SAME"), {"preferred_element_type": jnp.float64}),
    ],
)
def test_other_convolutions_go_to_jax(arguments, options, x64):
    """Strides, dilations, odd paddings and result types are JAX's own, results included."""
    x, k = operands(6, 6, 4, 5, 3, 3)
    assert not is_fast(x, k, *arguments, dimension_numbers=NHWC, **options)
    ours = conv_general_dilated(x, k, *arguments, dimension_numbers=NHWC, **options)
    np.testing.assert_array_equal(ours, lax.conv_general_dilated(x, k, *arguments, dimension_numbers=NHWC, **options))


def test_groups_and_other_layouts_go_to_jax():
    """Grouped and NCHW convolutions are JAX's own."""
    x, k = jnp.ones((2, 4, 4, 6)), jnp.ones((3, 3, 3, 4))
    assert not is_fast(x, k, (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=2)
    assert not is_fast(jnp.ones((2, 4, 5, 5)), jnp.ones((3, 4, 3, 3)), (1, 1), "SAME")


def test_flax_convolution_is_unchanged():
    """A linen convolution with ours gives the outputs, gradients and parameters of a plain one."""
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    plain, fast = nn.Conv(4, (3, 3)), nn.Conv(4, (3, 3), conv_general_dilated=conv_general_dilated)
    variables = plain.init(jax.random.key(0), x)
    gradients = [jax.grad(lambda v, m=m: jnp.sum(m.apply(v, x) ** 2))(variables) for m in (plain, fast)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-4), *gradients)


def test_lowers_to_jax_on_accelerators():
    """For a GPU, forward and backward are XLA convolutions alone, with no matrix product in their place."""
    x, k = jnp.ones((2, 2, 2, 8)), jnp.ones((3, 3, 8, 8))
    gradient = jax.jit(jax.grad(scalar(conv_general_dilated, "SAME"), (0, 1)))
    text = gradient.trace(x, k).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") >= 3
    assert "dot_general" not in text
    assert "dot_general" in gradient.trace(x, k).lower(lowering_platforms=("cpu",)).as_text()


@pytest.mark.slow
def test_every_choice_by_shape_is_tested(many_products, monkeypatch):
    """The table of shapes reaches every algorithm."""
    algorithms = [(winograd, "conv"), (winograd, "kernel_gradient"), (plain, "conv")]
    algorithms += [(cpu, name) for name in ("_kernel_matrix", "patches", "_exchanged", "shifts", "_reached")]
    reached = set()

    def record(module, name):
        original = getattr(module, name)

        def recorded(*arguments, **options):
            reached.add((module, name))
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, recorded)

    for algorithm in algorithms:
        record(*algorithm)
    for *sizes, padding in FAST.values():
        gradient = jax.grad(scalar(conv_general_dilated, padding), (0, 1))
        jax.jit(lambda x, k, gradient=gradient: gradient(x, k)).lower(*operands(*sizes))
    assert reached == set(algorithms)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fewer_multiplications_keep_the_precision(seed, x64):
    """In float32 Winograd's algorithm is as close to float64 as float32 allows, forwards and in the kernel's gradient."""
    geometry = Geometry((8, 8), (3, 3), ((1, 1), (1, 1)))
    x, k = (a.astype(jnp.float32) for a in operands(8, 8, 48, 40, 3, 3, seed))
    dy = x @ k[1, 1]
    exact_x, exact_k, exact_dy = (a.astype(jnp.float64) for a in (x, k, dy))
    pairs = [
        (winograd.conv(x, k, geometry=geometry), plain.conv(exact_x, exact_k, geometry=geometry)),
        (
            winograd.kernel_gradient(x, dy, geometry=geometry),
            plain.kernel_gradient(exact_x, exact_dy, geometry=geometry),
        ),
    ]
    for ours, exact in pairs:
        assert ours.dtype == jnp.float32
        assert jnp.max(jnp.abs(ours - exact)) <= 3e-6 * jnp.max(jnp.abs(exact))


def test_few_and_many_pixels_go_to_jax():
    """A kernel is not transformed for a handful of tiles, and large arrays are not written out many times."""
    geometry, chosen = Geometry((8, 8), (3, 3), ((1, 1), (1, 1))), []
    for num in (1, 128, 4096):
        images = jax.ShapeDtypeStruct((num, 8, 8, 64), jnp.float32)
        jax.eval_shape(lambda x: chosen.append(cpu._is_tiled(x, 64, geometry)), images)
    assert chosen == [False, True, False]
    assert not cpu._is_tiled(jnp.ones((128, 8, 8, 64)), 31, geometry)
    gradient = jax.jit(
        jax.grad(lambda x, k: jnp.sum(conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC)))
    )
    image, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 512, 512, 1), (15, 15, 1, 2)))
    assert gradient.lower(image, kernel).compile().memory_analysis().temp_size_in_bytes < 2**26


def test_runs_without_compilation():
    """Under `jax.disable_jit` the numbers are the same."""
    x, k = (a.astype(jnp.float32) for a in operands(8, 8, 5, 6, 3, 3))
    with jax.disable_jit():
        ours = conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC)
    theirs = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_explicitly_sharded_images_go_to_jax():
    """Over an explicit mesh the convolution and the pooling are JAX's."""
    mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Explicit,))
    x, k = (a.astype(jnp.float32) for a in operands(8, 8, 5, 6, 3, 3))

    def loss(k, x):
        return jnp.sum(max_pool_2x2(conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC)) ** 2)

    alone = jax.value_and_grad(loss, 1)(k, x)
    with jax.set_mesh(mesh):
        sharded = jax.value_and_grad(loss, 1)(k, jax.device_put(x, NamedSharding(mesh, P("d"))))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-3), alone, sharded
    )


def test_half_precision_takes_no_tiles():
    """Numbers of few digits are not added before they are multiplied."""
    x, k = (a.astype(jnp.bfloat16) for a in operands(8, 8, 5, 6, 3, 3))
    assert not winograd.fits(x, Geometry((8, 8), (3, 3), ((1, 1), (1, 1))))
    ours, theirs = (
        f(x, k, (1, 1), "SAME", dimension_numbers=NHWC) for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    np.testing.assert_array_equal(np.asarray(ours, np.float32), np.asarray(theirs, np.float32))


HALF_SHAPES = ("large", "image", "small tiles", "clipped", "2x2", "smaller than its kernel")


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("shape", [FAST[name] for name in HALF_SHAPES], ids=HALF_SHAPES)
def test_half_precision_is_single_precision_rounded_once(shape):
    """In bfloat16, value and gradients equal float32's on the same numbers, rounded, and JAX's up to the last bit."""
    *sizes, padding = shape
    x, k = (a.astype(jnp.bfloat16) for a in operands(*sizes))
    dy = jnp.cos(lax.conv_general_dilated(x, k, (1, 1), padding, dimension_numbers=NHWC))

    def all_of(convolve, *arrays):
        *linear, dy = arrays
        y, transpose = jax.vjp(lambda x, k: convolve(x, k, (1, 1), padding, dimension_numbers=NHWC), *linear)
        return y, *transpose(dy)

    assert is_fast(x, k, (1, 1), padding, dimension_numbers=NHWC)
    ours = jax.jit(partial(all_of, conv_general_dilated))(x, k, dy)
    single = jax.jit(partial(all_of, conv_general_dilated))(*(a.astype(jnp.float32) for a in (x, k, dy)))
    theirs = jax.jit(partial(all_of, lax.conv_general_dilated))(x, k, dy)
    for half, exact, other in zip(ours, single, theirs, strict=True):
        assert half.dtype == jnp.bfloat16
        np.testing.assert_array_equal(*(np.asarray(a, np.float32) for a in (half, exact.astype(jnp.bfloat16))))
        np.testing.assert_allclose(*(np.asarray(a, np.float32) for a in (half, other)), rtol=2**-7, atol=1e-4)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P, NamedSharding, AxisType
from bnjax.ops import conv_general_dilated
mesh = jax.make_mesh((2,), ("d",), axis_types=(AxisType.Auto,))
rng = np.random.default_rng(0)
for size in (8, 4, 2):
    x = jnp.asarray(rng.normal(size=(4, size, size, 5)), jnp.float32)
    k = jnp.asarray(rng.normal(size=(3, 3, 5, 6)), jnp.float32)
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    loss = lambda k, x: jnp.sum(jnp.sin(conv_general_dilated(x, k, (1, 1), "SAME", **options)))
    alone = jax.grad(loss)(k, x)
    summed = jax.grad(lambda k, x: jax.lax.psum(loss(k, x), "d"))
    mapped = jax.shard_map(summed, mesh=mesh, in_specs=(P(), P("d")), out_specs=P())
    np.testing.assert_allclose(jax.jit(mapped)(k, x), alone, atol=1e-4)
    sharded = jax.device_put(x, NamedSharding(mesh, P("d")))
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(k, sharded), alone, atol=1e-4)
print("same")
"""


@pytest.mark.thorough
def test_sharded_batches_give_the_same_gradient():
    """Under shard_map and under jit with a sharded batch, two devices give the gradient of one."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr

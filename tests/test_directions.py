"""Directions to scan along."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from bnjax.probes import directions, evaluate_points

KEY = jax.random.key(0)
PARAMS = {
    "conv": {"kernel": jax.random.normal(KEY, (3, 3, 2, 4)).at[..., 1].set(0), "bias": jnp.arange(4.0)},
    "dense": {"kernel": jax.random.normal(KEY, (5, 3)), "bias": jnp.zeros(3)},
}


def test_gradient_goes_down():
    """It is minus the gradient."""
    direction = directions.gradient(lambda p: optax.tree.norm(p, squared=True) / 2, PARAMS)
    jax.tree.map(lambda d, p: np.testing.assert_allclose(d, -p), direction, PARAMS)


def test_random_leaves_are_independent():
    """Leaves of one shape get different numbers, of both signs, and the same key the same ones."""
    params = {"a": jnp.zeros((200, 2)), "b": jnp.zeros((200, 2))}
    direction = directions.random(KEY, params)
    assert abs(np.corrcoef(direction["a"].ravel(), direction["b"].ravel())[0, 1]) < 0.2
    assert abs(jnp.mean(direction["a"])) < 0.2
    jax.tree.map(np.testing.assert_array_equal, direction, directions.random(KEY, params))


@pytest.mark.parametrize("vectors", ["ignore", "match"])
def test_filters_have_the_norms_of_the_parameters(vectors):
    """Each index of a kernel's last axis does; filters of zeros get zeros; vectors as one says."""
    direction = directions.filter_normalized(KEY, PARAMS, vectors=vectors)
    for layer in PARAMS:
        norms = [
            np.linalg.norm(t[layer]["kernel"].reshape(-1, t[layer]["kernel"].shape[-1]), axis=0)
            for t in (direction, PARAMS)
        ]
        np.testing.assert_allclose(*norms, rtol=1e-5)
    np.testing.assert_array_equal(direction["conv"]["kernel"][..., 1], 0)
    wanted = {"ignore": 0, "match": np.linalg.norm(np.arange(4.0))}[vectors]
    np.testing.assert_allclose(np.linalg.norm(direction["conv"]["bias"]), wanted, rtol=1e-6)
    np.testing.assert_array_equal(direction["dense"]["bias"], 0)


class Block(nn.Module):
    """A dense layer, to be stacked."""

    @nn.compact
    def __call__(self, x, _):
        """Compute outputs."""
        return nn.Dense(5, use_bias=False, name="dense")(x), None


def stacked_layers():
    """Three layers stacked by a scan, (layers, in, out), of very different sizes."""
    stack = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
    params = jax.tree.map(jnp.copy, stack().init(KEY, jnp.ones((2, 5)), None)["params"])
    return jax.tree.map(lambda w: w * jnp.array([1.0, 10, 100])[:, None, None], params)


def attention():
    """Attention with heads of very different sizes: (in, heads, features) and (heads, features, out)."""
    module, x = nn.MultiHeadDotProductAttention(num_heads=4, qkv_features=8), jnp.ones((2, 3, 6))
    params = module.init(KEY, x, x)["params"]
    params["query"]["kernel"] *= jnp.array([1.0, 10, 100, 1000])[None, :, None]
    return params


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(
    ("make", "filter_axes"),
    [
        (stacked_layers, {"kernel": 1}),
        (stacked_layers, {"dense": (-2,), "kernel": 0}),
        (attention, {"query|key|value": 0, "out": (0, 1)}),
        (lambda: {"kernel": jax.random.normal(KEY, (3, 4, 5))}, {"kernel": (0, 1)}),
        (lambda: {"conv": {"kernel": jax.random.normal(KEY, (2, 3, 3, 4, 5))}}, {"^conv/": (1, 2, 3)}),
    ],
    ids=["stacked", "first pattern counts", "heads", "convolution over time", "stacked convolutions"],
)
def test_filters_lie_where_one_says(make, filter_axes):
    """Every filter has its parameter's norm, in each layer and head by itself; without a word, the shape is refused."""
    params = make()
    direction = directions.filter_normalized(KEY, params, filter_axes=filter_axes)
    for (path, w), d in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(direction), strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("bias"):
            np.testing.assert_array_equal(d, 0)
            continue
        axes = next(axes for pattern, axes in filter_axes.items() if re.search(pattern, name))
        np.testing.assert_allclose(*(np.sqrt(np.sum(np.square(v), axis=axes)) for v in (d, w)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"filter_axes must say along which axes a filter of .*kernel lies"):
        directions.filter_normalized(KEY, params)


@pytest.mark.slow
def test_what_has_no_filters_can_be_left():
    """None leaves parameters where they are; vectors of heads can be matched one by one; beside them, four axes are unclear."""
    params = {**attention(), "conv": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)}}
    axes = {"bias": 1, "query": 0, "out|key|value": None}
    with pytest.raises(ValueError, match="filter_axes must say along which axes a filter of conv/kernel lies"):
        directions.filter_normalized(KEY, params, filter_axes=axes)
    params["query"]["bias"] = jax.random.normal(KEY, (4, 2))
    direction = directions.filter_normalized(KEY, params, filter_axes=axes | {"conv": (0, 1, 2)}, vectors="match")
    np.testing.assert_array_equal(direction["out"]["kernel"], 0)
    norms = [np.linalg.norm(tree["query"]["bias"], axis=1) for tree in (direction, params)]
    np.testing.assert_allclose(*norms, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(direction["conv"]["bias"]), 2, rtol=1e-5)


def test_interpolation_reaches_its_end():
    """At coordinate 0 a scan is at the start, at 1 at the target."""
    target = jax.tree.map(lambda leaf: 2 * leaf + 1, PARAMS)
    ends = evaluate_points(lambda p: p, PARAMS, (directions.toward(PARAMS, target),), jnp.array([[0.0], [1.0]]))
    jax.tree.map(lambda e, a, b: np.testing.assert_allclose(e, jnp.stack([a, b]), atol=1e-6), ends, PARAMS, target)


@pytest.mark.slow
def test_principal_axes_of_an_ellipse():
    """A trajectory on an ellipse in a plane is drawn as that ellipse, long axis first, ending at the origin."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    u, v = directions.random(jax.random.key(1), PARAMS), directions.random(jax.random.key(2), PARAMS)
    u = optax.tree.scale(1 / optax.tree.norm(u), u)
    v = optax.tree.sub(v, optax.tree.scale(optax.tree.vdot(u, v), u))
    v = optax.tree.scale(1 / optax.tree.norm(v), v)
    trajectory = [
        jax.tree.map(lambda p, a, b, t=t: p + 3 * np.cos(t) * a + np.sin(t) * b, PARAMS, u, v) for t in angles
    ]
    axes = directions.principal(trajectory)
    np.testing.assert_allclose(axes.explained, [0.9, 0.1], atol=1e-4)
    np.testing.assert_allclose(abs(optax.tree.vdot(axes.direction_x, u)), 1, atol=1e-4)
    np.testing.assert_allclose(optax.tree.vdot(axes.direction_x, axes.direction_y), 0, atol=1e-4)
    np.testing.assert_allclose(axes.path[-1], 0, atol=1e-5)
    ellipse = np.stack([3 * np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(np.abs(axes.path), np.abs(ellipse - ellipse[-1]), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: directions.filter_normalized(KEY, PARAMS, vectors="all"),
            "vectors must be one of ignore, match, got 'all'",
        ),
        (
            lambda: directions.filter_normalized(KEY, PARAMS, filter_axes={"dense/kernel": (0, 2)}),
            r"filter_axes must be axes of dense/kernel, which has 2, got \(0, 2\) for 'dense/kernel'",
        ),
        (
            lambda: directions.filter_normalized(KEY, PARAMS, filter_axes={"conv/kernel": (0, -4)}),
            "filter_axes must be axes of conv/kernel, which has 4",
        ),
        (
            lambda: directions.filter_normalized(KEY, PARAMS, filter_axes={"attention": 0}),
            "pattern must match a path of the parameters, .*; got 'attention'",
        ),
        (
            lambda: directions.gradient(lambda p: p["conv"]["bias"], PARAMS),
            r"loss_fn must return a floating-point scalar, got float32 of shape \(4,\)",
        ),
        (lambda: directions.toward(PARAMS, {"conv": PARAMS["conv"]}), "target must be like params, but at dense/bias"),
        (lambda: directions.principal([PARAMS, PARAMS]), "trajectory must have at least three points, got 2"),
        (
            lambda: directions.principal([optax.tree.scale(s, PARAMS) for s in (1, 2, 3)]),
            "trajectory must not lie on one line",
        ),
        (
            lambda: directions.principal([PARAMS, optax.tree.scale(np.nan, PARAMS), PARAMS]),
            r"trajectory must be finite, but trajectory\[1\] is not",
        ),
        (lambda: directions.gradient(jnp.sum, jnp.arange(3)), "params must be floating-point, but the array is int32"),
    ],
)
def test_misfits_are_named(call, message, as_a_user):
    """What does not fit raises one line."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_rounding_is_no_second_axis(dtype):
    """A straight line is one also where its points are rounded; beside large weights that rest, small moves make a plane."""
    w, x, y = (jax.random.normal(jax.random.key(i), (200,)) for i in range(3))
    line = [{"w": (100 * w + t * x).astype(dtype)} for t in np.linspace(0, 1, 9)]
    with pytest.raises(ValueError, match="trajectory must not lie on one line: it has no second principal axis"):
        directions.principal(line)
    curve = [{"w": (t * x + t**2 * y).astype(dtype), "rest": jnp.full(200, 1e6, dtype)} for t in np.linspace(-1, 1, 9)]
    assert directions.principal(curve).explained[1] > 0.01


def test_numbers_are_parameters(as_a_user):
    """A Python number has a direction, as it has a place in a scan."""
    params = {"a": 2.0, "b": np.ones((2, 2), np.float32)}
    for direction in (directions.random(KEY, params), directions.filter_normalized(KEY, params, vectors="match")):
        assert np.isfinite(directions.toward(params, direction)["a"])
    np.testing.assert_allclose(abs(directions.filter_normalized(KEY, params, vectors="match")["a"]), 2, rtol=1e-6)


@pytest.mark.parametrize("draw", [directions.random, directions.filter_normalized])
def test_what_cannot_be_drawn_is_named(draw):
    """A counter among the parameters is refused by its path."""
    with pytest.raises(ValueError, match=r"^params must be floating-point or complex, but steps is int32\.$"):
        draw(jax.random.key(0), {"a": jnp.ones(3), "steps": jnp.arange(3)})

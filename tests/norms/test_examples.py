"""Layer, instance and group norm, against Flax's and each other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import norms

X = 3 * jax.random.normal(jax.random.key(0), (4, 5, 6, 8)) + 2
SCALE, BIAS = jax.random.normal(jax.random.key(1), (2, 8))
VARIABLES = {"params": {"scale": SCALE, "bias": BIAS}}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (norms.layer_norm, nn.LayerNorm()),
        (lambda *a: norms.layer_norm(*a, reduction_axes=(1, 2, 3)), nn.LayerNorm(reduction_axes=(1, 2, 3))),
        (norms.instance_norm, nn.InstanceNorm()),
        (lambda *a: norms.group_norm(*a, num_groups=2), nn.GroupNorm(2)),
        (lambda *a: norms.group_norm(*a, num_groups=None, group_size=2), nn.GroupNorm(None, 2)),
        (
            lambda *a: norms.group_norm(*a, num_groups=2, reduction_axes=(-2, -1)),
            nn.GroupNorm(2, reduction_axes=(-2, -1)),
        ),
    ],
    ids=["layer", "layer of a map", "instance", "group", "group size", "group of a row"],
)
def test_equals_flax(mine, theirs):
    """Outputs and gradients are those of Flax's modules, to rounding."""
    weights = jnp.cos(jnp.arange(X.size, dtype=jnp.float32)).reshape(X.shape)
    results = []
    for norm in (lambda x: mine(x, SCALE, BIAS), lambda x: theirs.apply(VARIABLES, x)):
        y, pullback = jax.jit(partial(jax.vjp, norm))(X)
        results.append((y, jax.jit(lambda pullback: pullback(weights))(pullback)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *results)


@pytest.mark.slow
def test_groups_lie_between_a_map_and_a_feature():
    """One group is a map over height, width and channels; as many groups as features are instance norm."""
    of_a_map = norms.layer_norm(X, SCALE, BIAS, reduction_axes=(1, 2, 3))
    np.testing.assert_allclose(norms.group_norm(X, SCALE, BIAS, num_groups=1), of_a_map, atol=1e-6)
    np.testing.assert_allclose(
        norms.group_norm(X, SCALE, BIAS, num_groups=8), norms.instance_norm(X, SCALE, BIAS), atol=1e-6
    )


def test_one_group_is_layer_norm_of_features_only():
    """For (batch, features) the two are the same; with positions they are not."""
    x = X[:, 0, 0]
    np.testing.assert_allclose(
        norms.group_norm(x, SCALE, BIAS, num_groups=1), norms.layer_norm(x, SCALE, BIAS), atol=1e-6
    )
    difference = norms.group_norm(X, SCALE, BIAS, num_groups=1) - norms.layer_norm(X, SCALE, BIAS)
    assert float(jnp.abs(difference).max()) > 0.1


def test_layer_norm_hides_the_future():
    """What comes later in a sequence does not reach what came before, so that a causal model stays one."""
    x = X[:, :, 0]
    changed = norms.layer_norm(x.at[:, 3:].multiply(5), SCALE, BIAS)
    np.testing.assert_array_equal(changed[:, :3], norms.layer_norm(x, SCALE, BIAS)[:, :3])


def test_features_may_come_first(x64):
    """With channels in front, the result is the same with its axes exchanged, in float64."""
    x, scale, bias = (jnp.asarray(array, jnp.float64) for array in (X, SCALE, BIAS))
    first, group_norm = jnp.moveaxis(x, -1, 1), partial(norms.group_norm, num_groups=2)
    for norm, in_front in [
        (norms.layer_norm, {"reduction_axes": 1, "feature_axes": 1}),
        (norms.instance_norm, {"feature_axes": 1}),
        (group_norm, {"axis": 1}),
    ]:
        mine, same = jax.jit(partial(norm, **in_front))(first, scale, bias), jax.jit(norm)(x, scale, bias)
        np.testing.assert_allclose(jnp.moveaxis(mine, 1, -1), same, atol=1e-12)


def test_several_feature_axes():
    """Scale and bias have the shape of those axes, ascending, as Flax's."""
    scale, bias = jax.random.normal(jax.random.key(2), (2, 6, 8))
    variables = {"params": {"scale": scale, "bias": bias}}
    for mine, theirs in [
        (norms.layer_norm, nn.LayerNorm(feature_axes=(-2, -1))),
        (norms.instance_norm, nn.InstanceNorm(feature_axes=(-2, -1))),
    ]:
        y = mine(X, scale, bias, feature_axes=(-2, -1))
        np.testing.assert_allclose(y, theirs.apply(variables, X), atol=1e-5)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "norm",
    [
        lambda *a, **o: norms.layer_norm(*a, reduction_axes=(1, 2), **o),
        norms.instance_norm,
        lambda *a, **o: norms.group_norm(*a, num_groups=2, **o),
    ],
)
def test_masked_positions_count_as_absent(norm):
    """Padding of a sequence, NaN too, leaves the rest as it would be alone."""
    x = X[:, :, 0]
    mask = (jnp.arange(5) < 3)[None, :, None]
    padded = norm(x.at[:, 3:].set(jnp.nan), SCALE, BIAS, mask=mask)
    np.testing.assert_allclose(padded[:, :3], norm(x[:, :3], SCALE, BIAS), atol=1e-5)
    assert np.isfinite(padded).all()


@pytest.mark.parametrize(
    ("norm", "options", "message"),
    [
        (norms.group_norm, {"num_groups": 3}, "num_groups must divide the number of features, 8, got 3"),
        (norms.group_norm, {"num_groups": 2.0}, "num_groups must divide the number of features, 8, got 2.0"),
        (norms.group_norm, {"num_groups": None}, "num_groups or group_size must be given, .*, got None and None"),
        (norms.group_norm, {"group_size": 4}, "num_groups or group_size must be given, .*, got 32 and 4"),
        (
            norms.group_norm,
            {"num_groups": None, "group_size": 3},
            "group_size must divide the number of features, 8, got 3",
        ),
        (
            norms.group_norm,
            {"num_groups": 2, "reduction_axes": (1, 2)},
            r"reduction_axes must contain that of the features, 3, got \(1, 2\)",
        ),
        (norms.instance_norm, {"feature_axes": 0}, "feature_axes must leave axis 0, that of the examples, got 0"),
        (norms.layer_norm, {"reduction_axes": (4,)}, r"reduction_axes must lie in \[-4, 4\) for .* rank 4, got 4"),
        (norms.layer_norm, {"feature_axes": 1.5}, "feature_axes must be a whole number or a tuple of them, got 1.5"),
        (norms.layer_norm, {"scale": jnp.ones(3)}, r"scale must have one entry per feature, shape \(8,\)"),
    ],
)
def test_misfits_are_named(norm, options, message, as_a_user):
    """What does not fit raises one line."""
    with pytest.raises(ValueError, match=message):
        norm(**{"x": X, **options})

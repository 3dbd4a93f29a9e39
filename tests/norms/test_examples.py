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


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (norms.layer_norm, nn.LayerNorm(epsilon=1e-5, reduction_axes=(1, 2, 3))),
        (lambda *a: norms.layer_norm(*a, reduction_axes=(-1,)), nn.LayerNorm(epsilon=1e-5)),
        (norms.instance_norm, nn.InstanceNorm(epsilon=1e-5)),
        (lambda *a: norms.group_norm(*a, num_groups=2), nn.GroupNorm(num_groups=2, epsilon=1e-5)),
    ],
    ids=["layer", "layer per position", "instance", "group"],
)
def test_equals_flax(mine, theirs):
    """Outputs and gradients are those of Flax's modules, to rounding."""
    weights = jnp.cos(jnp.arange(X.size, dtype=jnp.float32)).reshape(X.shape)
    results = []
    for norm in (lambda x: mine(x, SCALE, BIAS), lambda x: theirs.apply(VARIABLES, x)):
        y, pullback = jax.jit(partial(jax.vjp, norm))(X)
        results.append((y, jax.jit(lambda pullback: pullback(weights))(pullback)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *results)


def test_groups_lie_between_layer_and_instance():
    """One group is layer norm; as many groups as features are instance norm."""
    np.testing.assert_allclose(
        norms.group_norm(X, SCALE, BIAS, num_groups=1), norms.layer_norm(X, SCALE, BIAS), atol=1e-6
    )
    np.testing.assert_allclose(
        norms.group_norm(X, SCALE, BIAS, num_groups=8), norms.instance_norm(X, SCALE, BIAS), atol=1e-6
    )


@pytest.mark.parametrize(
    "norm", [norms.layer_norm, norms.instance_norm, lambda *a, **o: norms.group_norm(*a, num_groups=2, **o)]
)
def test_features_may_come_first(norm):
    """With channels in front, the result is the same with its axes exchanged."""
    first = norm(jnp.moveaxis(X, -1, 1), SCALE, BIAS, axis=1)
    np.testing.assert_allclose(jnp.moveaxis(first, 1, -1), norm(X, SCALE, BIAS), atol=1e-6)


@pytest.mark.parametrize("norm", [norms.layer_norm, lambda *a, **o: norms.group_norm(*a, num_groups=2, **o)])
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
        (norms.layer_norm, {"axis": 0}, "axis must leave axis 0, that of the examples, got 0"),
        (
            norms.layer_norm,
            {"reduction_axes": (4,)},
            r"reduction_axes must lie in \[-4, 4\) for an array of rank 4, got 4",
        ),
        (norms.layer_norm, {"scale": jnp.ones(3)}, r"scale must have one entry per feature, shape \(8,\)"),
        (
            norms.instance_norm,
            {"x": X[:, 0, 0]},
            r"x must have more than one entry to average over, got one for each mean in shape \(4, 8\)",
        ),
    ],
)
def test_misfits_are_named(norm, options, message, as_a_user):
    """What does not fit raises one line."""
    with pytest.raises(ValueError, match=message):
        norm(**{"x": X, **options})

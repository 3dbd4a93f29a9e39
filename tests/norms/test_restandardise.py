"""Frozen normalisers in a trained net: they change nothing, and when recalibrated restore the moments of the training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import linen, norms, probes
from bnjax.adapters import from_linen

KEY = jax.random.key(0)
X, SHIFTED = jax.random.normal(KEY, (12, 4)), 3 * jax.random.normal(jax.random.key(1), (20, 4)) + 2
LAYERS = ["first", "second"]


class Net(nn.Module):
    """Two layers and a head, and dropout, which stays out."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        for name in LAYERS:
            x = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(5, name=name)(x)))
        return nn.Dense(2, name="head")(x)


class Normalised(nn.Module):
    """A net that has statistics of its own."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        return nn.Dense(2)(linen.BatchNorm(use_running_average=not train)(nn.Dense(3, name="dense")(x)))


@pytest.fixture(scope="module")
def nets():
    """The net, and the same one with normalisers inserted."""
    model = from_linen(Net())
    variables = model.init(KEY, X)
    return model, variables, norms.restandardise(model, variables, [X[:5], X[5:]], LAYERS)


def test_nothing_changes_and_moments_are_those_of_the_data(nets):
    """Outputs are equal to rounding, on any data; mean and variance are exact over batches of unequal sizes."""
    model, variables, (wrapped, inserted) = nets
    for x in (X, SHIFTED):
        y, stats = wrapped.apply(inserted, x, train=False)
        np.testing.assert_allclose(y, model.apply(variables, x, train=False)[0], rtol=1e-5, atol=1e-6)
        assert jax.tree.all(jax.tree.map(np.array_equal, stats, inserted.batch_stats))
    outputs = probes.capture(model, variables, X, LAYERS, train=False)
    for name in LAYERS:
        found = inserted.batch_stats["inserted"][name]
        np.testing.assert_allclose(found["mean"], np.asarray(outputs[name], np.float64).mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["var"], np.asarray(outputs[name], np.float64).var(0), rtol=1e-5, atol=1e-6)


def test_recalibrated_normalisers_restore_the_moments(nets):
    """By hand, in float64: each layer's outputs on other data get the moments that they had on the first."""
    model, variables, (wrapped, inserted) = nets
    adapted = norms.recalibrate(wrapped, inserted, [SHIFTED], show_progress=False)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables.params)
    wanted = {
        name: np.asarray(value, np.float64)
        for name, value in probes.capture(model, variables, X, LAYERS, train=False).items()
    }
    h = np.asarray(SHIFTED, np.float64)
    for name in LAYERS:
        h = h @ params[name]["kernel"] + params[name]["bias"]
        h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5) * np.sqrt(wanted[name].var(0) + 1e-5) + wanted[name].mean(0)
        h = np.maximum(h, 0)
    y = h @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(wrapped.apply(adapted, SHIFTED, train=False)[0], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(wrapped.apply(inserted, SHIFTED, train=True)[0], y, rtol=1e-4, atol=1e-5)


def test_a_net_with_statistics_keeps_them():
    """They stand beside the inserted ones, and recalibration leaves them as they are."""
    model = from_linen(Normalised())
    variables = model.init(KEY, X)
    wrapped, inserted = norms.restandardise(model, variables, [X], ["dense"])
    np.testing.assert_allclose(
        wrapped.apply(inserted, X, train=False)[0], model.apply(variables, X, train=False)[0], rtol=1e-5, atol=1e-6
    )
    adapted = norms.recalibrate(wrapped, inserted, [SHIFTED], show_progress=False).batch_stats
    assert jax.tree.all(jax.tree.map(np.array_equal, adapted["net"], variables.batch_stats))
    assert np.any(adapted["inserted"]["dense"]["mean"] != inserted.batch_stats["inserted"]["dense"]["mean"])


def test_misfits(nets):
    """One line names the argument, the rule and the value."""
    model, variables, (wrapped, _) = nets
    for arguments, message in (
        (([X], ["third"]), "layers must be among first, .*head, got 'third'"),
        (([X], []), "layers must name at least one layer, got none"),
        (([], LAYERS), "batches must hold at least one batch, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            norms.restandardise(model, variables, *arguments)
    with pytest.raises(ValueError, match="init must be that of the net"):
        wrapped.init(KEY, X)


def test_mismatch_is_zero_where_statistics_agree():
    """By hand: root of the mean squared distance in standard deviations, and the mean absolute logarithm of the ratio."""
    stats, other = (
        norms.BatchStats(jnp.array(m), jnp.array(v)) for m, v in (([1.0, 2.0], [1.0, 4.0]), ([0.0, 2.0], [4.0, 4.0]))
    )
    found = norms.mismatch(stats, other, epsilon=0.0)
    np.testing.assert_allclose(found, (np.sqrt((1 / 4) / 2), np.log(4) / 2), rtol=1e-6)
    np.testing.assert_array_equal(norms.mismatch(other, other), (0, 0))


def test_a_layer_inside_a_transformed_module_is_refused():
    """Its outputs cannot be changed from outside."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.remat(nn.Dense)(3, name="hidden")(x))

    model = from_linen(Net())
    with pytest.raises(ValueError, match=r"layers must not lie inside a module that nn\.remat, .* got hidden\.$"):
        norms.restandardise(model, model.init(KEY, jnp.ones((4, 2))), [jnp.ones((4, 2))], ["hidden"])

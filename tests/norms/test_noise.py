"""Noise on normalised outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, norms

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (64, 4, 4, 6))
NOISES = ("santurkar", "santurkar_variance", "strong", "stationary")
STATS = norms.init_batch_stats(6)


@pytest.mark.parametrize("noise", NOISES)
def test_no_strength_is_batch_norm(noise):
    """To the bit."""
    options = {"train": True, "axis": -1}
    noisy = norms.noisy_batch_norm(X, STATS, key=KEY, noise=noise, strength=0.0, **options)
    jax.tree.map(np.testing.assert_array_equal, noisy, norms.batch_norm(X, STATS, **options))


def test_noise_is_for_training_and_follows_its_key():
    """The same key gives the same noise, another one another; evaluation has none unless asked for."""

    def run(seed, **options):
        return norms.noisy_batch_norm(X, STATS, key=jax.random.key(seed), **{"train": True, **options})[0]

    np.testing.assert_array_equal(run(0), run(0))
    assert jnp.max(jnp.abs(run(0) - run(1))) > 0.1
    clean = norms.batch_norm(X, STATS, train=False)[0]
    np.testing.assert_array_equal(run(0, train=False), clean)
    assert jnp.max(jnp.abs(run(0, train=False, noise_in_evaluation=True) - clean)) > 0.1


def coefficients(noise, shape, strength=1.0):
    """Return the factor and the shift of every entry."""
    shift = norms.add_noise(jnp.zeros(shape), KEY, noise=noise, strength=strength)
    return norms.add_noise(jnp.ones(shape), KEY, noise=noise, strength=strength) - shift, shift


@pytest.mark.slow
def test_the_noise_of_a_key_is_the_same_under_transforms():
    """What jax.random draws from the key, compiled or not, for one or many, with a gradient or without."""

    def run(key):
        return norms.add_noise(jnp.zeros((8, 5)), key, noise="stationary")

    def slope(key):
        return jax.grad(lambda scale: norms.add_noise(scale * jnp.ones((8, 5)), key, noise="santurkar").sum())(1.0)

    keys = jax.random.split(KEY, 3)
    expected = np.array([0.15 + 0.3 * jax.random.normal(key, (8, 5)) for key in keys])
    for found in (jax.vmap(run)(keys), jax.jit(jax.vmap(run))(keys), [run(key) for key in keys]):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    slopes = [(norms.add_noise(jnp.ones((8, 5)), key) - norms.add_noise(jnp.zeros((8, 5)), key)).sum() for key in keys]
    np.testing.assert_allclose(jax.jit(jax.vmap(slope))(keys), slopes, rtol=1e-5)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_the_distribution_of_the_source(strength):
    """Per feature a uniform shift and factor; per entry a uniform spread of the one and a normal of the other."""
    factor, shift = coefficients("santurkar", (2000, 400), strength)
    mu, sigma = shift.mean(0), factor.mean(0)
    np.testing.assert_allclose([mu.min(), mu.max()], [-0.5 * strength, 0.5 * strength], atol=0.02 * strength)
    np.testing.assert_allclose([sigma.min(), sigma.max()], [1, 1 + 0.25 * strength], atol=0.02 * strength)
    np.testing.assert_allclose(jnp.max(jnp.abs(shift - mu[None])), 0.1 * strength, atol=0.02 * strength)
    np.testing.assert_allclose((shift - mu[None]).std(), 0.1 * strength / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose((factor - sigma[None]).std(), 0.1 * strength, rtol=0.02)


def test_the_spread_of_the_source_read_as_a_variance():
    """Factors spread by the root of 0.1 around those of their feature; shifts are the same."""
    factor, shift = coefficients("santurkar_variance", (2000, 40))
    np.testing.assert_allclose((factor - factor.mean(0)[None]).var(), 0.1, rtol=0.02)
    np.testing.assert_array_equal(shift, coefficients("santurkar", (2000, 40))[1])


def test_the_distributions_of_the_replications():
    """Strong noise is one factor and one shift per feature; stationary noise is a shift per entry."""
    factor, shift = coefficients("strong", (2, 10_000))
    np.testing.assert_allclose(factor[0], factor[1], rtol=1e-4)
    np.testing.assert_allclose([jnp.log(factor).std(), shift.std()], [1, 2], rtol=0.03)
    factor, shift = coefficients("stationary", (100, 100))
    np.testing.assert_allclose(factor, 1, atol=1e-5)
    np.testing.assert_allclose([shift.mean(), shift.std()], [0.15, 0.3], atol=0.01)


def test_features_may_be_anywhere():
    """Noise per feature follows the feature axis, and the type stays."""
    x = jnp.ones((3, 5, 7), jnp.bfloat16)
    y = norms.add_noise(x, KEY, noise="strong", axis=1)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:1, :, :1], y.shape))
    assert len(np.unique(y[0, :, 0].astype(np.float32))) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "pink"}, "noise must be one of santurkar, santurkar_variance, strong, stationary, got 'pink'"),
        ({"key": None}, "key must be a jax.random.key where noise is added, got None"),
    ],
)
def test_misfits_are_named(options, message, as_a_user):
    """What does not fit raises one line."""
    with pytest.raises(ValueError, match=message):
        norms.noisy_batch_norm(X, STATS, train=True, **{"key": KEY, **options})


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("noise", NOISES)
def test_relative_noise_is_that_of_normalised_values(noise):
    """Undoing batch norm after the noise gives the same, and no gradient goes through mean and standard deviation."""
    x = 3 + 0.2 * X
    mean, std = jnp.mean(x, (0, 1, 2), keepdims=True), jnp.std(x, (0, 1, 2), keepdims=True)
    disturbed = mean + std * norms.add_noise((x - mean) / std, KEY, noise=noise)
    np.testing.assert_allclose(norms.add_noise(x, KEY, noise=noise, relative=True), disturbed, rtol=1e-4, atol=1e-4)
    factor = coefficients(noise, X.shape)[0]
    gradient = jax.grad(lambda x: jnp.sum(norms.add_noise(x, KEY, noise=noise, relative=True)))(x)
    np.testing.assert_allclose(gradient, jnp.broadcast_to(factor, X.shape), rtol=1e-5, atol=1e-5)


def test_noise_alone_as_a_module():
    """The linen module adds the noise in training, nothing in evaluation and while initialising, and has no variables."""
    module = linen.Noise(relative=True)
    assert not module.init(jax.random.key(0), X, use_running_average=False)
    np.testing.assert_array_equal(module.apply({}, X, use_running_average=True), X)
    noisy = module.apply({}, X, use_running_average=False, rngs={"noise": KEY})
    assert jnp.max(jnp.abs(noisy - X)) > 0.1
    again = linen.Noise(noise_in_evaluation=True).apply({}, X, use_running_average=True, rngs={"noise": KEY})
    assert jnp.max(jnp.abs(again - X)) > 0.1


def test_the_module_takes_a_mask_as_all_normalisers_do():
    """It makes no difference."""
    module, mask = linen.Noise(use_running_average=False), jnp.zeros((64, 4, 4, 1), bool)
    run = lambda **options: module.apply({}, X, rngs={"noise": KEY}, **options)  # noqa: E731
    np.testing.assert_array_equal(run(), run(mask=mask))

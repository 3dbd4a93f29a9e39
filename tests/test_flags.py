"""JAX's flags, with which people look for errors in their own nets, find none in what works."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import data, linen, models, nnx, norms, probes, train

KEY = jax.random.key(0)
PARAMS = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}
X = jax.random.normal(KEY, (12, 4), jnp.float32)


def loss(p):
    """Compute a loss of two arrays."""
    return jnp.sum(p["a"] ** 4) + jnp.sum(jnp.sin(p["b"]))


@pytest.fixture
def strict():
    """Let JAX promote no types by itself."""
    with jax.numpy_dtype_promotion("strict"):
        yield


def classify():
    """Take two steps on pictures, and test."""
    model = models.make_model(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm))
    trainer, split = train.Trainer(model, train.make_optimizer("sgd", 0.1), 32), data.load("synthetic").train
    state = train.init_state(trainer, KEY, jnp.zeros((1, 8, 8, 3), jnp.float32))
    state, metrics = train.run_steps(trainer, state, split, num_steps=2)
    return metrics, train.evaluate(trainer, state.variables, split, batch_size=32)


def approximate(learning_rate=1e-3):
    """Take two steps on numbers to approximate, and test."""
    split = data.draw_linear_map(KEY, num_examples=20, width=4).train
    model = models.make_model(models.DeepLinearConfig(depth=2, width=4))
    trainer = train.Trainer(model, train.make_optimizer("sgd", learning_rate), 20, loss="squared_error")
    state = train.init_state(trainer, KEY, jnp.zeros((1, 4)))
    state, metrics = train.run_steps(trainer, state, split, num_steps=8)
    return metrics, train.evaluate(trainer, state.variables, split, batch_size=10)


STATS = norms.init_batch_stats(4)
STRICT = {
    "take_batch": lambda: data.take_batch(data.load("synthetic").train, jnp.arange(4)),
    "training": classify,
    "activation_statistics": lambda: probes.activation_statistics(X),
    "scan_line": lambda: probes.scan_line(loss, PARAMS),
    **{
        f"{name}, {dtype}": lambda norm=norm, dtype=dtype: norm(X.astype(dtype))
        for dtype in ("float32", "bfloat16")
        for name, norm in {
            "batch_norm": lambda x: norms.batch_norm(x, STATS, train=True),
            "evaluation": lambda x: norms.batch_norm(x, STATS, train=False),
            "masked": lambda x: norms.batch_norm(x, STATS, train=True, mask=(jnp.arange(12) < 5)[:, None]),
            "layer_norm": lambda x: norms.layer_norm(x, jnp.ones(4), jnp.zeros(4)),
            "group_norm": lambda x: norms.group_norm(x, jnp.ones(4), num_groups=2),
            "linen": lambda x: linen.BatchNorm(use_running_average=False).init_with_output(KEY, x),
        }.items()
    },
}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("name", STRICT)
def test_strict_promotion(name, strict):
    """With jax_numpy_dtype_promotion "strict" the types are written out."""
    assert jax.tree.leaves(STRICT[name]())


def gradient():
    """Compute a direction."""
    return probes.directions.gradient(loss, PARAMS)


NO_VALUE = {
    "step 0": lambda: np.asarray(probes.scan_line(loss, PARAMS, step_sizes=jnp.linspace(0, 2, 5)).smoothness)[0],
    "no gradients": lambda: probes.scan_line(loss, PARAMS, gradient(), [0.1], gradients=False).gradient_cosine,
    "no previous gradient": lambda: probes.gradient_statistics(gradient()).step_cosine,
    "zero gradient": lambda: probes.gradient_statistics(gradient(), jax.tree.map(jnp.zeros_like, PARAMS)).step_cosine,
    "no first order": lambda: probes.covariate_shift(loss, PARAMS, gradient(), ["a", "b"]).first_order,
    "no accuracy": lambda: approximate()[0].accuracy,
    "no accuracy in a test": lambda: approximate()[1].accuracy,
}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("name", NO_VALUE)
def test_nan_that_stands_for_no_value(name):
    """With jax_debug_nans it is a result, not an error."""
    with jax.debug_nans(True):
        assert np.isnan(NO_VALUE[name]()).all()


def test_the_smoothness_of_a_scan_with_step_0():
    """It is a number, of the other steps."""
    with jax.debug_nans(True):
        scan = probes.scan_line(loss, PARAMS, step_sizes=jnp.linspace(0, 2, 5))
        assert np.isfinite(scan.effective_smoothness)


def test_a_loss_that_is_nan_is_still_found():
    """In training on numbers to approximate, by its step."""
    with (
        jax.debug_nans(True),
        pytest.raises(FloatingPointError, match=r"^loss must be a number, got NaN, first in step"),
    ):
        approximate(learning_rate=1e20)


@pytest.mark.parametrize("norm", [norms.batch_norm, norms.ghost_batch_norm, norms.batch_renorm])
def test_masks_without_infinity(norm):
    """With jax_debug_infs, a masked norm is computed."""
    options = {"ghost_size": 6} if norm is norms.ghost_batch_norm else {}
    mask = (jnp.arange(12) < 9)[:, None]
    expected = norm(X, STATS, train=True, mask=mask, **options)
    with jax.debug_infs(True):
        found = norm(X, STATS, train=True, mask=mask, **options)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_nnx_norm_in_strict_promotion(strict):
    """In half precision too, where Flax's fails."""
    from flax import nnx as flax_nnx

    module = nnx.BatchNorm(
        4,
        dtype=jnp.bfloat16,
        promote_dtype=lambda xs, dtype: [x if x is None else x.astype(dtype) for x in xs],
        rngs=flax_nnx.Rngs(0),
    )
    assert module(X.astype(jnp.bfloat16)).dtype == jnp.bfloat16

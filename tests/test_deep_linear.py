"""The deep linear network is a product of matrices, and batch norm stands behind every one of them."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import linen, models, objective, train
from bnjax.types import Batch, Variables
from experiments._config import DeepLinearRun, change
from experiments._training.tasks import make_task

EXACT = partial(linen.BatchNorm, epsilon=0.0)


@functools.cache
def make(config):
    """Make a model of compiled functions, once for all seeds."""
    model = models.make_model(config)
    return model._replace(init=jax.jit(model.init), apply=jax.jit(model.apply, static_argnames="train"))


def init(x=None, seed=0, **config):
    """Make a model and its variables."""
    model = make(models.DeepLinearConfig(**config))
    x = jnp.zeros((2, config.get("width", 10))) if x is None else x
    return model, model.init(jax.random.key(seed), x)


@jax.jit
def evaluate(loss_fn, params):
    """Evaluate a loss."""
    return loss_fn(params)


def outputs_of(model, variables, x):
    """Apply a model in training."""
    return model.apply(variables, x, train=True)[0]


def test_parameter_counts():
    """25 matrices of 10 x 10 without biases; a normaliser for each, the last too."""
    plain, normalised, partly = (
        jax.eval_shape(make(models.DeepLinearConfig(**config)).init, jax.random.key(0), jnp.zeros((2, 10)))
        for config in ({}, {"norm": linen.BatchNorm}, {"norm": linen.BatchNorm, "norm_layers": (3, 25)})
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(plain.params)) == 2500
    assert set(plain.params) == {f"dense_{n}" for n in range(1, 26)}
    assert sum(leaf.size for leaf in jax.tree.leaves(normalised.params)) == 2500 + 25 * 20
    assert set(normalised.batch_stats) == {f"norm_{n}" for n in range(1, 26)}
    assert set(partly.batch_stats) == {"norm_3", "norm_25"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_normaliser_it_is_the_product_of_its_matrices(seed):
    """The outputs are x times the kernels in turn, in training and in evaluation."""
    x = jax.random.normal(jax.random.key(seed), (7, 10))
    model, variables = init(seed=seed)
    product = np.linalg.multi_dot(
        [np.asarray(variables.params[f"dense_{n}"]["kernel"], np.float64) for n in range(1, 26)]
    )
    expected = np.asarray(x, np.float64) @ product
    for is_training in (True, False):
        outputs = model.apply(variables, x, train=is_training)[0]
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outputs_are_normalised(seed):
    """Before training each output has mean 0 and variance 1, which costs half the squares of the outputs more than none."""
    x = jax.random.normal(jax.random.key(seed), (1000, 10))
    y = x @ jax.random.normal(jax.random.key(seed + 10), (10, 10))
    model, variables = init(seed=seed, norm=EXACT)
    outputs = outputs_of(model, variables, x)
    np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.var(0), 1, rtol=1e-3)
    # 1000 * half the sum over outputs of 1 + y² - 2 y output
    loss_fn = objective.make_loss_fn(model, variables.batch_stats, Batch(x, y), loss="squared_error")
    loss = evaluate(loss_fn, variables.params)
    np.testing.assert_allclose(1000 * loss, 5000 + 0.5 * (y**2).sum() - (y * outputs).sum(), rtol=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_weights_before_batch_norm_have_no_scale(seed):
    """Multiplied matrices leave the outputs the same where batch norm follows at once; the plain product is multiplied."""
    x = jax.random.normal(jax.random.key(seed), (50, 10))
    for norm, factor in ((EXACT, 1), (None, 4**5)):
        model, variables = init(seed=seed, norm=norm, depth=5)
        params = {k: jax.tree.map(lambda w: 4 * w, v) if k[:5] == "dense" else v for k, v in variables.params.items()}
        one, other = (
            model.apply(Variables(p, variables.batch_stats), x, train=True)[0] for p in (variables.params, params)
        )
        np.testing.assert_allclose(other, factor * one, rtol=1e-3, atol=1e-4)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("p", [1, 2, "inf"])
def test_lp_norms(p):
    """Each output's lp norm is near 1 behind an lp normaliser, up to the mean that is taken off."""
    x = jax.random.normal(jax.random.key(0), (1000, 10))
    model, variables = init(norm=partial(linen.LpNorm, p=p, epsilon=0.0))
    outputs = np.abs(outputs_of(model, variables, x))
    size = {1: outputs.mean(0), 2: np.sqrt((outputs**2).mean(0)), "inf": outputs.max(0)}[p]
    np.testing.assert_allclose(size, 1, rtol=0.1)


@pytest.mark.parametrize(("kernel_init", "kurtosis"), [("xavier_uniform", 1.8), ("xavier_normal", 2.4)])
def test_initial_scales(kernel_init, kurtosis):
    """Matrices have variance 1 / width, uniform or normal cut off at two standard deviations."""
    _, variables = init(depth=2, width=300, kernel_init=kernel_init)
    kernel = np.asarray(variables.params["dense_2"]["kernel"], np.float64)
    np.testing.assert_allclose(kernel.var(), 1 / 300, rtol=0.03)
    np.testing.assert_allclose((kernel**4).mean() / kernel.var() ** 2, kurtosis, rtol=0.05)


def test_the_scale_multiplies_the_initial_matrices():
    """Every one of them, and nothing else of the draw."""
    usual, larger = (init(depth=3, kernel_scale=scale)[1].params for scale in (1.0, 1.05))
    for before, after in zip(jax.tree.leaves(usual), jax.tree.leaves(larger), strict=True):
        np.testing.assert_allclose(after, 1.05 * before, rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"kernel_init": "normal"}, "kernel_init must be one of xavier_uniform, xavier_normal, got 'normal'"),
        ({"norm_layers": (26,)}, r"norm_layers must be 'all' or numbers from 1 to 25, got \(26,\)"),
    ],
)
def test_impossible_configurations(config, message, as_a_user):
    """One line names the field, its rule and the value."""
    with pytest.raises(ValueError, match=message):
        models.DeepLinearConfig(**config)


def test_inputs_of_another_width():
    """They are refused before any product."""
    with pytest.raises(ValueError, match="inputs must have the width of the network, 10, got 3"):
        init(jnp.zeros((2, 3)))


@pytest.mark.parametrize(("optimizer", "unit"), [("sgd", 1000), ("adam", 1)])
def test_learning_rates_are_those_of_the_summed_loss(optimizer, unit):
    """The mean's gradient is a thousandth of the sum's; Adam's steps do not depend on how long gradients are."""
    config = change(DeepLinearRun(), model={"depth": 3}, optimizer={"name": optimizer, "learning_rate": 1e-6})
    task = make_task(config, None)
    state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, 10)))
    (rate,) = [leaf for path, leaf in jax.tree.leaves_with_path(state.opt_state) if "learning_rate" in str(path)]
    assert float(rate) == pytest.approx(1e-6 * unit)

"""Gradients layer by layer: closed forms, what a layer is, compiled code, files, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bnjax.probes.gradients import GradientStatistics, gradient_statistics

PARAMS = {"conv_1": {"bias": 2, "kernel": (3, 2)}, "conv_10": {"kernel": (2, 2)}, "norm_1": {"scale": 4}}


def trees(seed, num=4):
    """Draw trees like PARAMS, and for each the same as one vector per layer (conv_1, conv_10, norm_1)."""
    rng = np.random.default_rng(seed)
    shapes, treedef = jax.tree.flatten(PARAMS, is_leaf=lambda node: not isinstance(node, dict))
    arrays = [[rng.normal(size=shape) for shape in shapes] for _ in range(num)]
    vectors = [[np.concatenate([a[0], a[1].ravel()]), a[2].ravel(), a[3]] for a in arrays]
    return [treedef.unflatten(map(jnp.asarray, a)) for a in arrays], vectors


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_closed_forms(seed, x64):
    """Norms, ratios, cosines, differences and sums are those of the layers' vectors, to 1e-12."""
    (gradient, previous, params, update), (g, p, w, u) = trees(seed)
    found = gradient_statistics(gradient, previous, params, update, layers=["conv_1", "conv_10", "norm_1"])
    norm = np.linalg.norm
    for i in range(3):
        expected = GradientStatistics(
            found.layers, norm(g[i]), norm(w[i]), norm(u[i]), norm(p[i]), norm(g[i] - p[i]),
            g[i] @ p[i] / norm(g[i]) / norm(p[i]), norm(g[i] + p[i]),
        )  # fmt: skip
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-12), found, expected)
        np.testing.assert_allclose(found.update_ratio[i], norm(u[i]) / norm(w[i]), rtol=1e-12)
        relative = norm(g[i] + p[i]) / (norm(g[i]) + norm(p[i]))
        np.testing.assert_allclose(found.relative_sum[i], relative, rtol=1e-12)


@pytest.mark.parametrize(("factor", "cosine", "relative_sum"), [(1, 1, 1), (-1, -1, 0), (3, 1, 1), (-3, -1, 0.5)])
def test_the_sum_norm_grows_with_the_gradients_alone(factor, cosine, relative_sum):
    """Against its multiple a gradient has cosine 1 or -1, and a sum norm of |1 + factor| norms, whatever its size."""
    (gradient,), _ = trees(1, num=1)
    found = gradient_statistics(gradient, optax.tree.scale(factor, gradient))
    np.testing.assert_allclose(found.step_cosine, cosine, rtol=1e-6)
    np.testing.assert_allclose(found.step_sum, abs(1 + factor) * found.norm, rtol=1e-6)
    np.testing.assert_allclose(found.step_distance, abs(1 - factor) * found.norm, rtol=1e-6)
    np.testing.assert_allclose(found.relative_sum, relative_sum, rtol=1e-6)


def test_one_column_for_all():
    """The pattern that matches everything gives the global norm."""
    (gradient,), _ = trees(2, num=1)
    found = gradient_statistics(gradient, layers={"all": ""})
    np.testing.assert_allclose(found.norm, [optax.tree.norm(gradient)], rtol=1e-6)
    assert found.layers == ("all",)


def test_what_is_not_given_is_nan():
    """A gradient alone has its norm and nothing else."""
    (gradient,), _ = trees(1, num=1)
    found = gradient_statistics(gradient)
    assert np.isfinite(found.norm).all()
    for values in (*found[2:], found.update_ratio, found.relative_sum):
        assert np.isnan(values).all()


def test_zeros_have_no_direction():
    """Where a norm is zero, ratios and cosines are NaN, not infinite, and differences are what they are."""
    (gradient,), _ = trees(1, num=1)
    zero = jax.tree.map(jnp.zeros_like, gradient)
    found = gradient_statistics(gradient, previous=zero, params=zero, update=gradient)
    assert np.isnan(found.step_cosine).all()
    assert np.isnan(found.update_ratio).all()
    np.testing.assert_array_equal(found.step_distance, found.norm)
    np.testing.assert_allclose(found.relative_sum, 1)
    assert np.isnan(gradient_statistics(zero, zero).relative_sum).all()


def test_sums_in_float32():
    """Gradients in half precision are summed in float32: a thousand ones have norm sqrt(1000), though 256 + 1 rounds to 256."""
    found = gradient_statistics({"w": jnp.ones(1000, jnp.bfloat16)})
    assert found.norm.dtype == jnp.float32
    np.testing.assert_allclose(found.norm, np.sqrt(1000), rtol=1e-6)


def test_a_nan_stays_in_its_layer():
    """A NaN in one layer's gradient is a result there, and elsewhere nothing."""
    (gradient,), _ = trees(1, num=1)
    gradient["conv_1"]["bias"] = gradient["conv_1"]["bias"].at[0].set(jnp.nan)
    found = gradient_statistics(gradient, gradient, layers=["conv_1", "conv_10"])
    assert np.isnan(found.norm).tolist() == np.isnan(found.step_cosine).tolist() == [True, False]


def test_inside_a_training_loop():
    """In a scan of gradient descent on |w|² / 2 every statistic has its closed form at every step."""
    rate, num_steps = 0.25, 5
    optimizer = optax.sgd(rate)

    def step(carry, _):
        params, opt_state, previous = carry
        gradient = jax.grad(lambda p: 0.5 * optax.tree.norm(p, squared=True))(params)
        update, opt_state = optimizer.update(gradient, opt_state, params)
        statistics = gradient_statistics(gradient, previous, params, update, layers=["b", "a"])
        return (optax.apply_updates(params, update), opt_state, gradient), statistics

    params = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([1.0])}
    start = (params, optimizer.init(params), jax.tree.map(jnp.zeros_like, params))
    _, found = jax.jit(lambda start: jax.lax.scan(step, start, length=num_steps))(start)
    norms = (1 - rate) ** np.arange(num_steps)[:, None] * np.array([1.0, 5.0])
    assert found.layers == ("b", "a")
    np.testing.assert_allclose(found.norm, norms, rtol=1e-5)
    np.testing.assert_allclose(found.update_ratio, rate, rtol=1e-5)
    np.testing.assert_allclose(found.step_distance[1:], norms[:-1] - norms[1:], rtol=1e-5)
    np.testing.assert_allclose(found.step_sum[1:], norms[:-1] + norms[1:], rtol=1e-5)
    np.testing.assert_allclose(found.step_cosine[1:], 1, rtol=1e-5)
    assert np.isnan(found.step_cosine[0]).all()


def test_composes_with_vmap():
    """Statistics of many gradients at once are those of each."""
    gradients = {"w": jnp.arange(6.0).reshape(3, 2)}
    together = jax.vmap(lambda g: gradient_statistics(g, layers=["w"]))(gradients)
    np.testing.assert_allclose(together.norm[:, 0], np.linalg.norm(gradients["w"], axis=1), rtol=1e-6)
    assert together.layers == ("w",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"previous": {"w": jnp.ones(3)}}, r"previous must be like gradient, but at w gradient has shape \(2,\)"),
        ({"params": {"v": jnp.ones(2)}}, r"params must be like gradient, but at w .* and params nothing"),
        ({"update": {"w": jnp.ones(3)}}, r"update must be like gradient, but at w"),
        ({"layers": ["v"]}, r"layers must match a path of the parameters, w; got 'v'"),
        ({"layers": ["("]}, r"layers must be a regular expression, got '\('"),
        ({"layers": ["w", "w"]}, "layers must differ, got w, w"),
        ({"layers": []}, "layers must name at least one layer"),
    ],
)
def test_misfits_are_named(arguments, message, as_a_user):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        gradient_statistics({"w": jnp.ones(2)}, **arguments)


def test_differences_in_float32():
    """In bfloat16 256 + 1 is 256; differences and sums are not taken there."""
    gradient, previous = (
        {"w": jnp.array([256.0, 0.0], jnp.bfloat16)},
        {"w": jnp.array([-1.0, 0.0], jnp.bfloat16)},
    )
    assert gradient_statistics(gradient, previous).step_distance == 257
    assert gradient_statistics(gradient, {"w": -previous["w"]}).step_sum == 257

"""Relative sharpness: closed forms of quadratics, a net by hand in float64, and scales that it must not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import KEY, net, quadratic

from bnjax import norms, probes
from bnjax._host.digest import digest
from bnjax.probes import directions

pytestmark = pytest.mark.slow

SIZES = {"a": 6, "b": 9}
PARTS = ["a", "b"]


def split(flat):
    """Cut a vector into two layers."""
    return {"a": flat[: SIZES["a"]], "b": flat[SIZES["a"] :]}


def joined(params):
    """Put two layers together."""
    return jnp.concatenate([params["a"], params["b"]])


def lengths(vector):
    """Return the length of each layer, by layer."""
    return {name: np.linalg.norm(np.asarray(part)) for name, part in split(vector).items()}


def moved(point, direction, rho, *layers):
    """Move some layers by a share of their lengths along a direction, by hand."""
    of_point, of_direction, whole = lengths(point), lengths(direction), split(np.asarray(direction))
    step = {name: rho * of_point[name] / of_direction[name] * whole[name] * (name in layers) for name in PARTS}
    return np.asarray(point) + np.concatenate([step["a"], step["b"]])


@pytest.mark.parametrize("rho", [0.02, 0.5])
def test_a_quadratic_has_a_closed_form(rho, x64):
    """Of t'At / 2 + b't every loss is known, with all layers moved, and with each."""
    rng = np.random.default_rng(1)
    half, point = quadratic(np.linspace(-1, 4, 15))
    slope = jnp.asarray(rng.normal(size=15))

    def loss_fn(params):
        return half(joined(params)) + joined(params) @ slope

    found = probes.relative_sharpness(loss_fn, split(point), PARTS, key=KEY, radius=rho, num_directions=3)
    matrix = np.asarray(half.args[0])

    def by_hand(t):
        return 0.5 * t @ matrix @ t + t @ np.asarray(slope)

    gradient = matrix @ point + slope
    start = by_hand(np.asarray(point))
    np.testing.assert_allclose(found.start_loss, start, rtol=1e-12)
    np.testing.assert_allclose(found.ascent, by_hand(moved(point, gradient, rho, *PARTS)) - start, rtol=1e-9)
    expected = [by_hand(moved(point, gradient, rho, name)) - start for name in PARTS]
    np.testing.assert_allclose(found.layer_ascents, expected, rtol=1e-9)
    np.testing.assert_allclose(found.layer_norms, [*lengths(point).values()], rtol=1e-12)
    np.testing.assert_allclose(found.gradient_norms, [*lengths(gradient).values()], rtol=1e-12)
    drawn = [joined(directions.random(key, split(point))) for key in jax.random.split(KEY, 3)]
    random = [by_hand(moved(point, z, rho, *PARTS)) - start for z in drawn]
    np.testing.assert_allclose(found.random, random, rtol=1e-9)
    alone = [np.mean([by_hand(moved(point, z, rho, name)) - start for z in drawn]) for name in PARTS]
    np.testing.assert_allclose(found.layer_random, alone, rtol=1e-8)
    np.testing.assert_allclose(found.mean, np.mean(random), rtol=1e-9)
    np.testing.assert_allclose(found.standard_error, np.std(random, ddof=1) / np.sqrt(3), rtol=1e-8)
    both = probes.relative_sharpness(loss_fn, split(point), PARTS, key=KEY, radius=rho, num_directions=3, alone=False)
    np.testing.assert_allclose([both.ascent, *both.random], [found.ascent, *found.random], rtol=1e-12)
    assert np.isnan(both.layer_ascents).all()
    assert np.isnan(both.layer_random).all()


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_a_minimum_the_mean_is_a_trace(seed, x64):
    """Without a gradient it is rho² / 2 times the sum over layers of |w_l|² tr(H_ll) / n_l, to its standard error."""
    half, point = quadratic(np.linspace(0.5, 4, 15), seed)
    found = probes.relative_sharpness(
        lambda params: half(joined(params) - point), split(point), PARTS, key=jax.random.key(seed), num_directions=4000
    )
    diagonal = split(np.diag(np.asarray(half.args[0])))
    sizes = lengths(point)
    expected = [0.05**2 / 2 * sizes[name] ** 2 * diagonal[name].mean() for name in PARTS]
    np.testing.assert_allclose(found.mean, sum(expected), atol=4 * float(found.standard_error), rtol=0)
    np.testing.assert_allclose(found.layer_random, expected, rtol=0.05)
    assert found.standard_error < 0.03 * sum(expected)


def test_a_net_with_batch_norm(x64):
    """Each kernel moves by a share of its own length, and all else stays; parameters stay as they were."""
    loss_fn, params = net()
    before = digest((loss_fn, params))
    layers = {"one": "^first/kernel", "two": "^last/kernel"}
    found = probes.relative_sharpness(loss_fn, params, layers, key=KEY, radius=0.1, num_directions=2)
    assert digest((loss_fn, params)) == before
    gradient = jax.grad(loss_fn)(params)

    def at(direction, *modules):
        step = jax.tree.map(jnp.zeros_like, params)
        for module in modules:
            w, d = params[module]["kernel"], direction[module]["kernel"]
            step[module]["kernel"] = 0.1 * jnp.linalg.norm(w) / jnp.linalg.norm(d) * d
        return loss_fn(jax.tree.map(jnp.add, params, step)) - loss_fn(params)

    np.testing.assert_allclose(found.ascent, at(gradient, "first", "last"), rtol=1e-8)
    np.testing.assert_allclose(found.layer_ascents, [at(gradient, "first"), at(gradient, "last")], rtol=1e-8)
    drawn = [directions.random(key, params) for key in jax.random.split(KEY, 2)]
    np.testing.assert_allclose(found.random, [at(z, "first", "last") for z in drawn], rtol=1e-8)
    assert tuple(found.layers) == ("one", "two")
    assert (found.objective.statistics, found.objective.batch_size) == ("batch", 8)


def test_the_scale_of_weights_before_a_normaliser_does_not_matter(x64):
    """A kernel 7 times as long is the same net behind a normaliser: the trace is another one, the sharpness is not."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(16, 5))), jnp.asarray(rng.normal(size=(16, 3)))

    def loss_fn(params):
        stats = norms.init_batch_stats(4)
        hidden, _ = norms.batch_norm(x @ params["first"], stats, train=True, epsilon=0.0)
        return jnp.mean((jnp.tanh(hidden) @ params["last"] - y) ** 2)

    params = {"first": jnp.asarray(rng.normal(size=(5, 4))), "last": jnp.asarray(rng.normal(size=(4, 3)))}
    assert_same(loss_fn, params, {**params, "first": 7 * params["first"]})


def test_factors_that_cancel_do_not_matter(x64):
    """Of two layers with a ReLU between them, one 7 times as long and one a seventh are the same net."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(16, 5))), jnp.asarray(rng.normal(size=(16, 3)))

    def loss_fn(params):
        return jnp.mean((jax.nn.relu(x @ params["first"]) @ params["last"] - y) ** 2)

    params = {"first": jnp.asarray(rng.normal(size=(5, 4))), "last": jnp.asarray(rng.normal(size=(4, 3)))}
    assert_same(loss_fn, params, {"first": 7 * params["first"], "last": params["last"] / 7})


def assert_same(loss_fn, params, others):
    """Assert the same sharpness where the first layer is 7 times as long, though its Hessian has a 49th of the trace."""
    options = {"key": KEY, "radius": 0.1, "num_directions": 3}
    first, second = (probes.relative_sharpness(loss_fn, each, **options) for each in (params, others))
    for name in ("ascent", "layer_ascents", "random", "layer_random"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-8, err_msg=name)
    traces = [float(probes.curvature.trace(loss_fn, each, key=KEY, pattern="first").trace) for each in (params, others)]
    np.testing.assert_allclose(traces[0] / traces[1], 49, rtol=1e-8)


def test_layers_without_length_or_gradient():
    """A layer of zeros stays, one without a gradient has no ascent, and neither matters to another layer alone."""
    params = {"a": jnp.ones(3), "b": jnp.zeros(2), "c": jnp.ones(2)}

    def loss_fn(w):
        return jnp.sum(w["a"] ** 2) + jnp.sum(w["b"]) + jnp.sum((w["c"] - 1) ** 2)

    found = probes.relative_sharpness(loss_fn, params, key=KEY, radius=0.1)
    np.testing.assert_allclose(found.layer_ascents, [0.63, 0, np.nan], atol=1e-6)
    assert np.isnan(found.ascent)
    assert np.isfinite(found.random).all()
    np.testing.assert_allclose(found.layer_random[1:], [0, 0.02], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": 0.0}, r"radius must be > 0 and finite, got 0\.0\."),
        ({"num_directions": 0}, r"num_directions must be a whole number >= 1, got 0\."),
        ({"layers": ["a", "nothing"]}, r"layers must match a path of the parameters"),
        ({"loss_fn": lambda w: w["a"]}, r"loss_fn must return a floating-point scalar"),
        ({"params": {}}, r"params must"),
    ],
)
def test_bad_input_is_one_line(changes, message):
    """It names what is wrong."""
    given = {"loss_fn": lambda w: jnp.sum(w["a"]), "params": {"a": jnp.ones(2)}, "key": KEY} | changes
    with pytest.raises(ValueError, match=message) as error:
        probes.relative_sharpness(**given)
    assert "\n" not in str(error.value)

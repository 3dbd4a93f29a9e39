"""Dependence between layers: the chain of scalars in closed form, dense Hessians of a net, and what stays as it was."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hessians import dense_hessian, net
from jax.flatten_util import ravel_pytree

from bnjax import norms, probes
from bnjax._host.digest import digest
from bnjax.probes.paths import layer_leaves

CHAIN = np.array([1.3, -0.7, 0.9, 1.1, -1.6])
SIZES = np.array([1e-3, 0.1, 1.0])
LAYERS = [f"w{i}" for i in range(len(CHAIN))]
MLP = {"one": "^(first|norm)/", "two": "^last/"}


def chain(params, x=1.7, loss=lambda y: y):
    """Evaluate a loss of x w_1 ... w_l."""
    for name in LAYERS:
        x = x * params[name]
    return loss(x)


def half_square(y):
    """Half the squared error from 1."""
    return 0.5 * (y - 1) ** 2


def weights():
    """Return the weights of the chain, by name."""
    return {name: jnp.asarray(w) for name, w in zip(LAYERS, CHAIN, strict=True)}


def product(w, *left_out):
    """Multiply the input and all weights but some."""
    return 1.7 * np.prod(np.delete(w, left_out))


def derivatives(is_square):
    """Return gradient and Hessian of the loss of the chain."""
    num = len(CHAIN)
    first = np.array([product(CHAIN, i) for i in range(num)])
    second = np.array([[product(CHAIN, i, j) * (i != j) for j in range(num)] for i in range(num)])
    error = product(CHAIN) - 1
    return (error * first, np.outer(first, first) + error * second) if is_square else (first, second)


@pytest.mark.parametrize("is_square", [False, True])
def test_a_chain_of_scalars_has_the_exact_expansion(is_square, x64):
    """Of x w_1 ... w_l every change of the loss is a product, and Q_ij has the factor prod over k != i, j of w_k."""
    loss = half_square if is_square else float
    gradient, hessian = derivatives(is_square)
    found = probes.layer_dependence(
        partial(chain, loss=half_square if is_square else lambda y: y), weights(), LAYERS, step_sizes=SIZES
    )
    for m, eta in enumerate(SIZES):
        joint = loss(product(CHAIN - eta * gradient)) - loss(product(CHAIN))
        single = [loss(product(CHAIN - eta * gradient * np.eye(5)[i])) - loss(product(CHAIN)) for i in range(5)]
        np.testing.assert_allclose(found.joint_change[m], joint, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(found.single_changes[m], single, rtol=1e-10, atol=1e-14)
        ratio = (joint - sum(single)) / (eta * gradient @ gradient)
        np.testing.assert_allclose(found.interaction_ratio[m], ratio, rtol=1e-8, atol=1e-10)
        second = eta**2 * np.outer(gradient, gradient) * hessian
        np.testing.assert_allclose(found.second_order[m], second, rtol=1e-10, atol=1e-15)
        between = 0.5 * (second.sum() - np.trace(second)) / (eta * gradient @ gradient)
        np.testing.assert_allclose(found.second_order_ratio[m], between, rtol=1e-10)
    sizes = np.abs(np.outer(gradient, gradient) * hessian)
    np.testing.assert_allclose(found.off_diagonal_share, 1 - np.trace(sizes) / sizes.sum(), rtol=1e-12)
    np.testing.assert_allclose(found.first_order, SIZES * (gradient @ gradient), rtol=1e-12)
    np.testing.assert_allclose(found.relative_distances, SIZES * np.linalg.norm(gradient) / np.linalg.norm(CHAIN))
    # The smaller the step, the better the second order explains the interaction.
    np.testing.assert_allclose(found.interaction_ratio[0], found.second_order_ratio[0], rtol=0.1)


@pytest.mark.slow
def test_with_batch_norm_a_chain_is_a_matter_of_signs(x64):
    """Behind a normaliser only the sign of a weight is left: earlier layers change nothing, and R is 0."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 1)))

    def loss_fn(params):
        y = x
        for name in LAYERS[:-1]:
            y, _ = norms.batch_norm(y * params[name], norms.init_batch_stats(1), train=True, epsilon=0.0)
        return jnp.mean(half_square(params[LAYERS[-1]] * y))

    found = probes.layer_dependence(loss_fn, weights(), LAYERS, step_sizes=SIZES)
    np.testing.assert_allclose(found.single_changes[:, :-1], 0, atol=1e-14)
    np.testing.assert_allclose(found.joint_change, found.single_changes[:, -1], rtol=1e-12)
    np.testing.assert_allclose(found.interaction_ratio, 0, atol=1e-11)
    np.testing.assert_allclose(found.off_diagonal_share, 0, atol=1e-11)


def test_layers_that_add_up_are_independent(x64):
    """Of a sum of losses R, the off-diagonal share and the second order between layers are 0, whatever each layer does."""
    found = probes.layer_dependence(
        lambda p: jnp.sum(p["a"] ** 4) + jnp.sum(p["b"] ** 4),
        {"a": jnp.ones(2), "b": jnp.ones(3)},
        ["a", "b"],
        step_sizes=SIZES,
    )
    np.testing.assert_allclose(found.interaction_ratio, 0, atol=1e-11)
    np.testing.assert_array_equal(found.second_order_ratio, 0)
    assert found.off_diagonal_share == 0


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_a_net_has_the_blocks_of_its_dense_hessian(statistics, x64):
    """Q_ij is eta² g_i' H_ij g_j, blocks in the order of the layers; the loss is evaluated at the points of its definition."""
    loss_fn, params = net(statistics)
    before = digest((loss_fn, params))
    found = probes.layer_dependence(loss_fn, params, MLP, step_sizes=SIZES)
    assert digest((loss_fn, params)) == before
    flat, unravel = ravel_pytree(params)
    hessian, gradient = (
        np.asarray(dense_hessian(loss_fn, params)),
        np.asarray(ravel_pytree(jax.grad(loss_fn)(params))[0]),
    )
    masks = dense_masks(params)
    parts = [mask * gradient for mask in masks]
    for m, eta in enumerate(SIZES):
        expected = [[eta**2 * a @ hessian @ b for b in parts] for a in parts]
        np.testing.assert_allclose(found.second_order[m], expected, rtol=1e-8)
        at = [loss_fn(unravel(flat - eta * part)) - loss_fn(params) for part in [gradient, *parts]]
        np.testing.assert_allclose(found.joint_change[m], at[0], rtol=1e-10)
        np.testing.assert_allclose(found.single_changes[m], at[1:], rtol=1e-10)
    assert found.layers == ("one", "two")
    assert (found.objective.statistics, found.objective.batch_size) == (statistics, 8)


def dense_masks(params):
    """Return, for each layer, 1 where the flat parameters are its own."""
    leaves, sizes = layer_leaves(params, MLP), [leaf.size for leaf in jax.tree.leaves(params)]
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return [np.isin(owner, positions).astype(float) for positions in leaves.values()]


@pytest.mark.slow
def test_a_direction_of_ones_own(x64):
    """Along any direction, also one that only some layers have; parameters of no layer stay, and are in no norm."""
    loss_fn, params = net()
    direction = jax.tree.map(jnp.sin, params)
    found = probes.layer_dependence(loss_fn, params, {"one": "^first/", "two": "^last/"}, direction, step_sizes=[0.3])
    still = direction | {"norm": optax.tree.zeros_like(direction["norm"])}
    moved = jax.tree.map(lambda w, d: w + 0.3 * d, params, still)
    np.testing.assert_allclose(found.joint_change[0], loss_fn(moved) - loss_fn(params), rtol=1e-10)
    np.testing.assert_allclose(found.direction_norm, optax.tree.norm(still), rtol=1e-12)
    weights = params | {"norm": optax.tree.zeros_like(params["norm"])}
    np.testing.assert_allclose(found.param_norm, optax.tree.norm(weights), rtol=1e-12)
    slope = optax.tree.vdot(jax.grad(loss_fn)(params), still)
    np.testing.assert_allclose(found.first_order[0], 0.3 * abs(slope), rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_gradients_whose_squares_are_out_of_range(scale):
    """A loss times a scale has the same shares, at steps that are as far."""
    params = {name: w.astype(jnp.float32) for name, w in weights().items()}
    plain = probes.layer_dependence(chain, params, LAYERS, step_sizes=[0.1])
    scaled = probes.layer_dependence(lambda p: scale * chain(p), params, LAYERS, step_sizes=[0.1 / scale])
    np.testing.assert_allclose(scaled.off_diagonal_share, plain.off_diagonal_share, rtol=1e-5)
    np.testing.assert_allclose(scaled.interaction_ratio, plain.interaction_ratio, rtol=1e-4)
    np.testing.assert_allclose(scaled.curvature / scale, plain.curvature, rtol=1e-5)


def test_rounding_bounds_the_error_of_small_steps():
    """In float32 R differs from that of float64 by less than what is said, also where it is nothing but rounding."""
    sizes = np.array([1e-7, 1e-5, 1e-3, 0.1], np.float32)
    params = {name: w.astype(jnp.float32) for name, w in weights().items()}
    found = probes.layer_dependence(chain, params, LAYERS, step_sizes=sizes)
    gradient, _ = derivatives(is_square=False)
    joint = [product(CHAIN - eta * gradient) - product(CHAIN) for eta in sizes.astype(float)]
    exact = np.array(joint) / (sizes * (gradient @ gradient)) + 1  # single changes are -eta g_i² each
    assert (np.abs(found.interaction_ratio - exact) < found.rounding + 1e-4).all()
    assert found.rounding[0] > 0.5


def test_where_there_is_no_gradient_and_without_the_second_order():
    """No slope, no ratio; and what was not asked for is NaN."""
    found = probes.layer_dependence(
        lambda p: p["a"] ** 2 * p["b"], {"a": jnp.zeros(()), "b": jnp.zeros(())}, ["a", "b"], step_sizes=[0.1]
    )
    assert np.isnan(found.interaction_ratio).all()
    assert np.isnan(found.off_diagonal_share)
    found = probes.layer_dependence(chain, weights(), LAYERS, step_sizes=[0.1], second_order=False)
    assert np.isnan(found.curvature).all()
    assert np.isfinite(found.interaction_ratio).all()


@pytest.mark.slow
def test_under_vmap_everything_gains_an_axis():
    """Several nets measured together give the results of each by itself."""
    many = jax.tree.map(lambda w: jnp.stack([w, 1.5 * w]), weights())
    measure = partial(probes.layer_dependence, chain, layers=LAYERS, step_sizes=jnp.asarray(SIZES[:2]))
    stacked = jax.vmap(lambda w: measure(w))(many)
    for i in (0, 1):
        alone = measure(jax.tree.map(lambda w, i=i: w[i], many))
        for name in ("interaction_ratio", "second_order_ratio", "off_diagonal_share", "second_order", "rounding"):
            np.testing.assert_allclose(getattr(stacked, name)[i], getattr(alone, name), rtol=1e-4, atol=1e-6)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_blocks_have_the_norms_of_the_dense_hessian(seed, x64):
    """The estimate lies within a few standard errors of the squared Frobenius norms of all blocks of a layer."""
    loss_fn, params = net()
    hessian, masks = np.asarray(dense_hessian(loss_fn, params)), dense_masks(params)
    found = probes.hessian_blocks(loss_fn, params, MLP, "one", key=jax.random.key(seed), num_probes=200)
    expected = [np.sum((hessian * np.outer(masks[0], mask)) ** 2) for mask in masks]
    assert found.num == 200
    assert (np.abs(found.mean - np.array(expected)) < 4 * found.standard_error).all()
    assert (found.standard_error < 0.2 * np.array(expected)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ["w0", "z"]}, r"layers must match a path of the parameters"),
        ({"layers": ["w0", "w"]}, r"layers must not overlap, but w0 is in both 'w0' and 'w'\."),
        ({"step_sizes": []}, r"step_sizes must be a list of one or more numbers, got shape \(0,\)\."),
        ({"step_sizes": 0.1}, r"step_sizes must be"),
        ({"step_sizes": [jnp.nan]}, r"step_sizes must be finite, got \[nan\]\."),
        ({"direction": {"w0": jnp.ones(())}}, r"direction must be like params"),
        ({"loss_fn": lambda p: p["w0"] * jnp.ones(2)}, r"loss_fn must return a floating-point scalar"),
        ({"params": {"w0": jnp.array(1)}}, r"params must be floating-point"),
    ],
)
def test_bad_input_is_one_line(changes, message):
    """It names what is wrong."""
    arguments = {"loss_fn": chain, "params": weights(), "layers": LAYERS, "step_sizes": [0.1]}
    with pytest.raises(ValueError, match=message) as error:
        probes.layer_dependence(**arguments | changes)
    assert "\n" not in str(error.value)


def test_the_layer_of_the_blocks_must_be_one():
    """The names there are stand in the message."""
    with pytest.raises(ValueError, match=r"of must be the name of a layer, one of w0, w1, w2, w3, w4; got 'b'\."):
        probes.hessian_blocks(chain, weights(), LAYERS, "b", key=jax.random.key(0))


def test_there_must_be_a_random_vector():
    """None would be an average over nothing."""
    with pytest.raises(ValueError, match=r"num_probes must be .* >= 1, got 0\."):
        probes.hessian_blocks(chain, weights(), LAYERS, "w0", key=jax.random.key(0), num_probes=0)

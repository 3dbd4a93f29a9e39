"""Curvature: known spectra, dense Hessians in every statistics mode, identities of batch norm, files, errors."""

from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from bnjax import adapters, linen, objective, train
from bnjax.checkpoint import digest
from bnjax.probes import curvature
from bnjax.types import Batch

KEY = jax.random.key(0)
DIMENSION = 30
SPECTRA = {
    "indefinite": np.linspace(-3, 5, DIMENSION),
    "outliers": np.r_[-20.0, 10, 9, np.linspace(-1, 1, DIMENSION - 3)],
    "zero operator": np.zeros(DIMENSION),
    "rank one": np.r_[4.0, np.zeros(DIMENSION - 1)],
    "identity": np.ones(DIMENSION),
    "three values": np.repeat([-1.0, 0.5, 2.0], DIMENSION // 3),
}
RESULTS = {
    "top_eigenpairs": partial(curvature.top_eigenpairs, num=2),
    "trace": partial(curvature.trace, num_probes=4),
    "spectral_density": partial(curvature.spectral_density, num_matvecs=8, num_points=50),
}


def half_form(matrix, t):
    """Evaluate t'At / 2."""
    return 0.5 * t @ matrix @ t


def quadratic(eigenvalues, seed=1):
    """Make t'At / 2 with a known spectrum, as a pytree, and a point."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))
    return Partial(half_form, jnp.asarray(basis * eigenvalues @ basis.T)), jnp.asarray(rng.normal(size=len(basis)))


class Mlp(nn.Module):
    """Two dense layers with batch norm between."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x, *, train):
        """Compute outputs."""
        x = nn.Dense(4, param_dtype=x.dtype, name="first")(x)
        x = linen.BatchNorm(epsilon=self.epsilon, param_dtype=x.dtype, name="norm")(x, use_running_average=not train)
        return nn.Dense(3, param_dtype=x.dtype, name="last")(jnp.tanh(x))


def net(statistics="batch", seed=0, epsilon=1e-5, dtype=jnp.float64):
    """Make the loss of a small net with statistics that are not the initial ones, and its parameters."""
    rng = np.random.default_rng(seed)
    model = adapters.from_linen(Mlp(epsilon))
    batch = Batch(jnp.asarray(rng.normal(size=(8, 5)), dtype), jnp.asarray(rng.integers(3, size=8)))
    variables = jax.jit(model.init)(jax.random.key(seed), batch.inputs)
    params = jax.tree.map(lambda w: w + np.asarray(rng.normal(size=w.shape) * 0.3, w.dtype), variables.params)
    batch_stats = jax.tree.map(lambda s: s + jnp.asarray(rng.uniform(0, 1, s.shape), s.dtype), variables.batch_stats)
    return objective.make_loss_fn(model, batch_stats, batch, statistics=statistics), params


@jax.jit
def dense_hessian(loss_fn, params):
    """Compute the Hessian as a matrix over the parameters in the order of their paths."""
    flat, unravel = ravel_pytree(params)
    return jax.hessian(lambda flat: loss_fn(unravel(flat)))(flat)


@jax.jit
def product_and_gradient(loss_fn, params, vector):
    """Compute H v and g in compiled code."""
    return curvature.hvp(loss_fn, params, vector), jax.grad(loss_fn)(params)


@pytest.mark.parametrize("which", ["top", "bottom", "magnitude"])
@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra(name, which, x64):
    """Three pairs come out to 1e-10 with their residuals and flags, also where the Krylov space is smaller than the basis."""
    eigenvalues = SPECTRA[name]
    loss_fn, params = quadratic(eigenvalues)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, which=which, tolerance=1e-11)
    order = {"top": -eigenvalues, "bottom": eigenvalues, "magnitude": -np.abs(eigenvalues)}[which]
    np.testing.assert_allclose(pairs.eigenvalues, eigenvalues[np.argsort(order)[:3]], atol=1e-10)
    vectors = pairs.eigenvectors[""]
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-10)
    residuals = jnp.linalg.norm(vectors @ loss_fn.args[0] - pairs.eigenvalues[:, None] * vectors, axis=1)
    np.testing.assert_allclose(pairs.residuals, residuals, atol=1e-13)
    assert pairs.converged.all()
    assert pairs.num_matvecs < 300


@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.thorough
def test_known_spectra_in_float32(name, scale):
    """In float32 they come out to 1e-5 of the largest, where rounding blurs breakdowns, also if their squares vanish."""
    loss_fn, params = quadratic(SPECTRA[name] * scale)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=1e-5)
    expected = np.sort(SPECTRA[name])[:-4:-1]
    np.testing.assert_allclose(pairs.eigenvalues / scale, expected, atol=1e-5 * np.abs(SPECTRA[name]).max())
    assert pairs.converged.all()


def test_products_run_out(x64):
    """With too few products the flags say so, and the residuals still bound the distance to an eigenvalue."""
    eigenvalues = np.linspace(-3, 5, 200)
    loss_fn, params = quadratic(eigenvalues)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=2, max_matvecs=12)
    assert not pairs.converged.any()
    assert pairs.num_matvecs == 12 + 2
    distances = np.abs(eigenvalues[:, None] - np.asarray(pairs.eigenvalues)).min(0)
    assert (distances <= pairs.residuals).all()


def test_one_dimension(x64):
    """One parameter has one eigenvalue, trace and node, its second derivative."""
    loss_fn, params = quadratic(np.array([2.0]))
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY)
    density = curvature.spectral_density(loss_fn, params, key=KEY)
    assert pairs.eigenvalues == curvature.trace(loss_fn, params, key=KEY).trace == 2
    np.testing.assert_array_equal(density.nodes, np.full((4, 1), 2.0))
    np.testing.assert_allclose(density.weights, 1)


@pytest.mark.parametrize("statistics", get_args(objective.Statistics))
@pytest.mark.thorough
def test_batch_norm_net_in_every_statistics_mode(statistics, x64):
    """Products, the top and, from as many steps as dimensions, all of the spectrum are the dense Hessian's in float64."""
    loss_fn, params = net(statistics)
    hessian = np.asarray(dense_hessian(loss_fn, params))
    flat, unravel = ravel_pytree(params)
    vector = np.random.default_rng(1).normal(size=flat.shape)
    product = ravel_pytree(product_and_gradient(loss_fn, params, unravel(vector))[0])[0]
    eigenvalues = np.linalg.eigvalsh(hessian)
    # Re-estimated statistics are float32, whatever the parameters.
    exact, inexact = (1e-10, 1e-7) if statistics != "recalibrated" else (1e-6, 1e-5)
    scale = np.abs(eigenvalues).max()
    np.testing.assert_allclose(product, hessian @ vector, atol=exact * scale)
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=inexact)
    np.testing.assert_allclose(pairs.eigenvalues, eigenvalues[:-4:-1], atol=exact * scale)
    assert pairs.converged.all()
    assert (pairs.objective.statistics, pairs.objective.batch_size) == (statistics, 8)
    density = curvature.spectral_density(loss_fn, params, key=KEY, num_matvecs=len(flat), num_probes=1)
    np.testing.assert_allclose(density.nodes[0], eigenvalues, atol=inexact * scale)


@pytest.mark.thorough
def test_not_scaled_by_batches(x64):
    """The Hessian of data cut into uneven batches is that of the data in one, with running statistics."""
    whole, params = net("running")
    cut = [jax.tree.map(lambda leaf: leaf[rows], whole.batch) for rows in (slice(3), slice(3, 6), slice(6, 8))]  # noqa: B023
    loss_fn = objective.make_loss_fn(whole.model, whole.batch_stats, cut, statistics="running")
    vector = jax.tree.map(np.ones_like, params)
    products = (product_and_gradient(f, params, vector)[0] for f in (whole, loss_fn))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *products)


@pytest.mark.parametrize("pattern", ["^first/kernel", "bias", pytest.param("^norm/", marks=pytest.mark.thorough)])
@pytest.mark.thorough
def test_blocks_are_parts_of_the_dense_hessian(pattern, x64):
    """With a pattern, eigenvalues and trace are those of the selected rows and columns."""
    loss_fn, params = net()
    block = {"first": {"kernel": pattern == "^first/kernel", "bias": pattern == "bias"}}
    block |= {"last": {"kernel": False, "bias": pattern == "bias"}}
    block |= {"norm": {"bias": pattern != "^first/kernel", "scale": pattern == "^norm/"}}
    mask = ravel_pytree(jax.tree.map(lambda w, on: jnp.full(w.shape, on), params, block))[0]
    part = np.asarray(dense_hessian(loss_fn, params))[np.ix_(mask, mask)]
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=2, pattern=pattern, tolerance=1e-8)
    np.testing.assert_allclose(pairs.eigenvalues, np.linalg.eigvalsh(part)[:-3:-1], atol=1e-10)
    assert pairs.dimension == mask.sum()
    estimate = curvature.trace(loss_fn, params, key=KEY, num_probes=200, pattern=pattern)
    np.testing.assert_allclose(estimate.trace, np.trace(part), atol=4 * float(estimate.standard_error) + 1e-12)
    direction = pairs.direction(params, 1)
    flat, product = (ravel_pytree(t)[0] for t in (direction, product_and_gradient(loss_fn, params, direction)[0]))
    np.testing.assert_allclose(np.vdot(flat, product), pairs.eigenvalues[1], atol=1e-10)
    assert not np.asarray(flat)[~np.asarray(mask)].any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scale_invariant_weights(seed, x64):
    """Before batch norm with epsilon 0, H w = -g in the block of the weights: a wrong mode would show at once."""
    loss_fn, params = net(seed=seed, epsilon=0.0)
    weights = params["first"]["kernel"]
    vector = {**jax.tree.map(np.zeros_like, params), "first": {"kernel": weights, "bias": np.zeros(4)}}
    product, gradient = (t["first"]["kernel"] for t in product_and_gradient(loss_fn, params, vector))
    np.testing.assert_allclose(product, -gradient, atol=1e-10 * np.abs(gradient).max())
    running = loss_fn.replace(statistics="running")
    product, gradient = (t["first"]["kernel"] for t in product_and_gradient(running, params, vector))
    assert np.abs(product + gradient).max() > 1e-2 * np.abs(gradient).max()


@pytest.mark.thorough
def test_convolutions_and_pooling(trainer, state, synthetic, x64):
    """Products through the library's own layers are the central differences of the gradient, in float64 to 1e-6."""
    params, batch_stats, batch = jax.tree.map(
        lambda a: a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a,
        (state.params, state.batch_stats, train.current_batch(trainer, state, synthetic.train)),
    )
    loss_fn = objective.make_loss_fn(trainer.model, batch_stats, batch)
    rng = np.random.default_rng(0)
    vector = jax.tree.map(lambda w: rng.normal(size=w.shape), params)
    forward, backward = (
        product_and_gradient(loss_fn, jax.tree.map(lambda w, v: w + step * v, params, vector), vector)[1]  # noqa: B023
        for step in (1e-7, -1e-7)
    )
    product, _ = product_and_gradient(loss_fn, params, vector)
    expected = jax.tree.map(lambda a, b: (a - b) / 2e-7, forward, backward)
    product, expected = (ravel_pytree(tree)[0] for tree in (product, expected))
    assert product.dtype == jnp.float64
    np.testing.assert_allclose(product, expected, atol=1e-6 * np.abs(expected).max())


def test_trace_of_a_diagonal(x64):
    """One probe is exact for a diagonal Hessian, and has no standard error."""
    estimate = curvature.trace(lambda t: jnp.sum(jnp.arange(5.0) * t**2), jnp.ones(5), key=KEY, num_probes=1)
    assert estimate.trace == estimate.samples[0] == 20
    assert jnp.isnan(estimate.standard_error)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.thorough
def test_standard_errors_cover_the_truth(seed, x64):
    """Trace and density are within four standard errors, and the trace's is the known one, within a third."""
    eigenvalues = np.sort(SPECTRA["outliers"])
    loss_fn, params = quadratic(eigenvalues, seed)
    estimate = curvature.trace(loss_fn, params, key=jax.random.key(seed), num_probes=128)
    np.testing.assert_allclose(estimate.trace, eigenvalues.sum(), atol=4 * float(estimate.standard_error))
    matrix = np.asarray(loss_fn.args[0])
    variance = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
    np.testing.assert_allclose(estimate.standard_error, np.sqrt(variance / 128), rtol=1 / 3)
    density = curvature.spectral_density(
        loss_fn, params, key=jax.random.key(seed), num_matvecs=30, num_probes=64, width=1.0, num_points=200
    )
    truth = np.exp(-0.5 * (np.asarray(density.grid)[:, None] - eigenvalues) ** 2).mean(1) / np.sqrt(2 * np.pi)
    assert (np.abs(density.density - truth) <= 4 * density.standard_error + 1e-10).mean() > 0.98


@pytest.mark.parametrize("name", SPECTRA)
def test_density_integrates_to_one(name, x64):
    """The integral of the density is 1 and its mean the nodes' mean, also for the zero operator and the identity."""
    loss_fn, params = quadratic(SPECTRA[name])
    density = curvature.spectral_density(loss_fn, params, key=KEY, num_matvecs=12)
    np.testing.assert_allclose(np.trapezoid(density.density, density.grid), 1, atol=1e-5)
    mean = jnp.sum(density.nodes * density.weights, axis=1).mean()
    np.testing.assert_allclose(np.trapezoid(density.density * density.grid, density.grid), mean, atol=1e-4)
    np.testing.assert_allclose(density.weights.sum(1), 1)


def test_density_on_a_given_grid(x64):
    """The grid and the width are the caller's."""
    loss_fn, params = quadratic(SPECTRA["identity"])
    density = curvature.spectral_density(loss_fn, params, key=KEY, grid=[1.0, 2.0], width=0.5)
    peak = 1 / np.sqrt(2 * np.pi) / 0.5
    np.testing.assert_allclose(density.density, [peak, peak * np.exp(-2)], rtol=1e-10)
    np.testing.assert_array_equal(density.grid, [1, 2])


def test_float32_and_half_precision_together():
    """Parameters of several types are one Hessian; its eigenvectors are float32, as a direction in the type of each."""
    params = {"a": jnp.ones(3), "b": jnp.ones(2, jnp.bfloat16)}
    loss_fn = lambda p: jnp.sum(p["a"] ** 2) + 4 * jnp.sum(p["b"].astype(jnp.float32) ** 2)  # noqa: E731
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY, num=3, tolerance=0.01)
    np.testing.assert_allclose(pairs.eigenvalues, [8, 8, 2], rtol=0.01)
    assert pairs.eigenvectors["b"].dtype == jnp.float32
    assert jax.tree.map(lambda d: d.dtype, pairs.direction(params)) == jax.tree.map(lambda w: w.dtype, params)
    assert pairs.converged.all()


@pytest.mark.parametrize("trainer", ["batch_norm"], indirect=True)
@pytest.mark.thorough
def test_float32_net_converges(trainer, state, synthetic):
    """On a net in float32 the default tolerance is met, within the default number of products."""
    batch = train.current_batch(trainer, state, synthetic.train)
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
    pairs = curvature.top_eigenpairs(loss_fn, state.params, key=KEY, num=2)
    assert pairs.converged.all()
    assert (pairs.residuals <= 1e-4 * pairs.eigenvalues[0]).all()


@pytest.mark.parametrize("probe", RESULTS.values(), ids=RESULTS)
@pytest.mark.thorough
def test_not_a_number_is_a_result(probe):
    """A NaN Hessian gives NaN values, no pair converged, and no exception."""
    result = probe(lambda t: jnp.nan * jnp.sum(t**2), jnp.ones(30), key=KEY)
    assert jnp.isnan(result[0]).all()
    if isinstance(result, curvature.EigenPairs):
        assert not result.converged.any()
        assert result.num_matvecs < 30


@pytest.mark.parametrize("probe", RESULTS.values(), ids=RESULTS)
@pytest.mark.thorough
def test_one_program_for_all_batches_and_nothing_changes(probe):
    """At other batches and parameters of the same shape nothing is traced again; inputs stay as they were, bit for bit."""
    loss_fn, params = net(dtype=jnp.float32)
    traces = []
    apply = loss_fn.model.apply
    counted = loss_fn.model._replace(apply=lambda *args, **options: (traces.append(1), apply(*args, **options))[1])
    loss_fn = loss_fn.replace(model=counted)
    before = digest((loss_fn, params))
    first = probe(loss_fn, params, key=KEY)
    count = len(traces)
    assert digest((loss_fn, params)) == before
    batch = loss_fn.batch._replace(inputs=2 * loss_fn.batch.inputs)
    second = probe(loss_fn.replace(batch=batch), params, key=jax.random.key(1))
    assert len(traces) == count > 0
    assert not np.array_equal(first[0], second[0])


def test_a_closure_is_never_stale():
    """One function whose batch is rebound is evaluated on the new batch."""
    box = {}
    for batch in (1.0, 100.0):
        box["batch"] = batch
        estimate = curvature.trace(lambda t: box["batch"] * jnp.sum(t**2), jnp.ones(2), key=KEY, num_probes=1)
        np.testing.assert_allclose(estimate.trace, 4 * batch)


def test_composes_with_vmap():
    """Many starts at once give the eigenvalues that each gives alone."""
    points = jnp.arange(1.0, 7).reshape(3, 2)
    find = partial(curvature.top_eigenpairs, lambda p: jnp.sum(p["t"] ** 3), key=KEY, pattern="t")
    together = jax.vmap(lambda t: find({"t": t}))(points)
    np.testing.assert_allclose(together.eigenvalues, 6 * points[:, 1:], rtol=1e-5)
    assert (together.which, together.pattern) == ("top", "t")


@pytest.mark.parametrize("probe", RESULTS.values(), ids=RESULTS)
@pytest.mark.thorough
def test_survives_its_file(probe, tmp_path):
    """What is loaded is what was saved."""
    loss_fn, params = net(dtype=jnp.float32)
    result = probe(loss_fn, params, key=KEY, pattern="kernel")
    result.save(tmp_path / "result")
    loaded = type(result).load(tmp_path / "result")
    jax.tree.map(np.testing.assert_array_equal, loaded, result)
    assert (loaded.pattern, loaded.objective) == ("kernel", result.objective)


def square(p):
    """Evaluate |w|²."""
    return jnp.sum(p["w"] ** 2)


@pytest.mark.parametrize("probe", RESULTS.values(), ids=RESULTS)
@pytest.mark.parametrize(
    ("loss_fn", "params", "pattern", "message"),
    [
        (
            lambda p: p["w"],
            {"w": jnp.ones(2)},
            None,
            r"loss_fn must return a floating-point scalar, got float32 of shape \(2,\)",
        ),
        (square, {"w": jnp.ones(2, int)}, None, "params must be floating-point, but w is int32"),
        (square, {}, None, "params must hold at least one number"),
        (square, {"w": jnp.ones(2)}, "kernel", "pattern must match a path of the parameters, w; got 'kernel'"),
        (square, {"w": jnp.ones(2), "v": jnp.ones(0)}, "v", "pattern must select at least one number, got 'v'"),
    ],
)
def test_misfits_are_named(probe, loss_fn, params, pattern, message, as_a_user):
    """One line names the argument, the rule and the value, for every probe."""
    with pytest.raises(ValueError, match=message):
        probe(loss_fn, params, key=KEY, pattern=pattern)


@pytest.mark.parametrize(
    ("probe", "arguments", "message"),
    [
        ("top_eigenpairs", {"num": 0}, "num must be a whole number >= 1, got 0"),
        ("top_eigenpairs", {"num": 3}, "num must be <= 2, the number of selected entries, got 3"),
        ("top_eigenpairs", {"which": "largest"}, "which must be one of top, bottom, magnitude, got 'largest'"),
        ("top_eigenpairs", {"tolerance": float("nan")}, "tolerance must be >= 0, got nan"),
        ("top_eigenpairs", {"basis_size": 1}, "basis_size must be a whole number >= 2, got 1"),
        ("top_eigenpairs", {"max_matvecs": 1}, "max_matvecs must be a whole number >= 2, got 1"),
        ("trace", {"num_probes": 0}, "num_probes must be a whole number >= 1, got 0"),
        ("trace", {"num_probes": 1.5}, "num_probes must be a whole number >= 1, got 1.5"),
        ("spectral_density", {"num_matvecs": 0}, "num_matvecs must be a whole number >= 1, got 0"),
        ("spectral_density", {"width": 0.0}, "width must be > 0 and finite, got 0.0"),
        ("spectral_density", {"grid": [0.0, float("inf")]}, "grid must be a non-empty list of finite numbers"),
        ("spectral_density", {"grid": []}, "grid must be a non-empty list of finite numbers"),
        ("hvp", {"vector": {"w": jnp.ones(3)}}, r"vector must be like params, but at w params has shape \(2,\)"),
    ],
)
def test_wrong_arguments_are_named(probe, arguments, message, as_a_user):
    """One line names the argument, the rule and the value."""
    key = {} if probe == "hvp" else {"key": KEY}
    with pytest.raises(ValueError, match=message):
        getattr(curvature, probe)(square, {"w": jnp.ones(2)}, **key, **arguments)

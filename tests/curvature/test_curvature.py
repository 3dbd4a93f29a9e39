"""What all curvature probes share: one dimension, NaN, compiled code, files, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hessians import KEY, RESULTS, net, quadratic

from bnjax.probes import curvature
from bnjax.runs.checkpoint import digest


@pytest.mark.slow
def test_one_dimension(x64):
    """One parameter has one eigenvalue, trace and node, its second derivative."""
    loss_fn, params = quadratic(np.array([2.0]))
    pairs = curvature.top_eigenpairs(loss_fn, params, key=KEY)
    density = curvature.spectral_density(loss_fn, params, key=KEY)
    assert pairs.eigenvalues == curvature.trace(loss_fn, params, key=KEY).trace == 2
    np.testing.assert_array_equal(density.nodes, np.full((4, 1), 2.0))
    np.testing.assert_allclose(density.weights, 1)


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


@pytest.mark.slow
def test_composes_with_vmap():
    """Many starts at once give the eigenvalues that each gives alone."""
    points = jnp.arange(1.0, 7).reshape(3, 2)
    find = partial(curvature.top_eigenpairs, lambda p: jnp.sum(p["t"] ** 3), key=KEY, pattern="t")
    together = jax.vmap(lambda t: find({"t": t}))(points)
    np.testing.assert_allclose(together.eigenvalues, 6 * points[:, 1:], rtol=1e-5)
    assert (together.which, together.pattern) == ("top", "t")


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("probe", "value"),
    [
        ("top_eigenpairs", lambda r: r.eigenvalues[0]),
        ("trace", lambda r: r.trace),
        ("spectral_density", lambda r: r.nodes.max()),
    ],
    ids=["top_eigenpairs", "trace", "spectral_density"],
)
def test_a_pattern_may_leave_out_what_is_not_floating_point(probe, value):
    """A counter or a key beside the block stays where it is; a block that contains one is refused by its path."""
    params = {"a": jnp.array([1.0, 2.0, 3.0]), "steps": jnp.arange(3), "key": jax.random.key(0)}
    expected = {"trace": 168.0}.get(probe, 108.0)
    found = getattr(curvature, probe)(lambda p: jnp.sum(p["a"] ** 4), params, key=KEY, pattern="^a$")
    np.testing.assert_allclose(value(found), expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"^params must be floating-point, but steps is int32\.$"):
        getattr(curvature, probe)(lambda p: jnp.sum(p["a"] ** 4), params, key=KEY, pattern="^(a|steps)$")

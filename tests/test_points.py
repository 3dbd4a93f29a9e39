"""The engine gives the same numbers however points are batched, and compiles once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax.probes import evaluate_points

BASE = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
DIRECTIONS = ({"a": jnp.ones(3), "b": jnp.eye(2)}, {"a": jnp.array([0.0, 1.0, 0.0]), "b": jnp.zeros((2, 2))})


def measure(params):
    """Measure two things of different shapes."""
    return {"sum": jnp.sum(params["a"]) + jnp.sum(params["b"]), "a": params["a"] ** 2}


@pytest.mark.parametrize("batching", ["auto", "loop", "map", "vmap", 1, 2, 5, 100])
def test_every_batching_gives_the_closed_form(batching):
    """Values belong to their points, also where the last chunk is not full."""
    coordinates = jnp.asarray(np.random.default_rng(0).normal(size=(7, 2)), jnp.float32)
    result = evaluate_points(measure, BASE, DIRECTIONS, coordinates, batching=batching)
    x, y = np.asarray(coordinates).T
    np.testing.assert_allclose(result["sum"], 3 + 4 + 3 * x + 2 * x + y, rtol=1e-5)
    moved = np.arange(3.0) + x[:, None] * np.ones(3) + y[:, None] * np.array([0, 1, 0])
    np.testing.assert_allclose(result["a"], moved**2, rtol=1e-5, atol=1e-6)


def test_types_are_those_of_the_base():
    """Coordinates in float32 do not widen a half-precision model."""
    base = {"w": jnp.ones(2, jnp.bfloat16)}
    result = evaluate_points(lambda p: p["w"], base, (base,), jnp.ones((3, 1)))
    assert result.dtype == jnp.bfloat16


def test_a_pytree_is_traced_once():
    """The same function at other points, with other data, is not traced again."""
    traces = []

    def counted(factor, params):
        traces.append(1)
        return factor * jnp.sum(params["a"])

    for factor in range(3):
        fn = jax.tree_util.Partial(counted, jnp.float32(factor))
        result = evaluate_points(fn, BASE, DIRECTIONS, jnp.ones((4, 2)) * factor)
        np.testing.assert_allclose(result, factor * (3 + 4 * factor))
    assert len(traces) == 1


@pytest.mark.parametrize("batching", ["map", "loop"])
def test_a_closure_is_never_stale(batching):
    """What a plain function closes over is read at every call."""
    box = {}
    for factor in (1.0, 100.0):
        box["factor"] = factor
        result = evaluate_points(
            lambda p: box["factor"] * jnp.sum(p["a"]), BASE, DIRECTIONS, jnp.zeros((1, 2)), batching=batching
        )
        np.testing.assert_allclose(result, 3 * factor)


@pytest.mark.parametrize("batching", ["fast", 0, -1, True, 2.0])
def test_unknown_batching(batching, as_a_user):
    """One line says what there is."""
    with pytest.raises(ValueError, match="batching"):
        evaluate_points(measure, BASE, DIRECTIONS, jnp.ones((4, 2)), batching=batching)


@pytest.mark.parametrize("shape", [(4, 1), (4,), (0, 2)])
def test_coordinates_that_do_not_fit(shape, as_a_user):
    """A column per direction and at least one row are needed."""
    with pytest.raises(ValueError, match="coordinates"):
        evaluate_points(measure, BASE, DIRECTIONS, jnp.ones(shape))


def test_composes_with_jit_and_vmap():
    """A scan may stand inside compiled and mapped code."""
    scan = jax.jit(lambda base: evaluate_points(measure, base, DIRECTIONS, jnp.ones((4, 2)))["sum"])
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), BASE)
    np.testing.assert_allclose(jax.vmap(scan)(stacked)[0], scan(BASE))

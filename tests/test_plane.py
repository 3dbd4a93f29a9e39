"""The plane scan."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import objective, probes, train
from bnjax._host.digest import digest

PARAMS = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
X, Y = {"a": jnp.array([1.0, 0.0]), "b": jnp.array(2.0)}, {"a": jnp.array([0.0, 3.0]), "b": jnp.array(0.0)}


def loss_fn(params):
    """A cubic that tells its arguments apart."""
    return params["a"][0] ** 3 + 10 * params["a"][1] + 100 * params["b"] ** 2


@pytest.mark.parametrize("batching", ["auto", "loop", "vmap", 4])
def test_each_loss_is_at_its_coordinates(batching):
    """On a grid that is not square and does not hold the centre, loss[i, j] is at (xs[i], ys[j])."""
    xs, ys = np.array([-1.0, 0.25, 2.0]), np.array([0.5, -1.5, 3.0, 4.0, 7.0])
    scan = probes.scan_plane(loss_fn, PARAMS, X, Y, xs, ys, batching=batching)
    x, y = xs[:, None], ys[None, :]
    np.testing.assert_allclose(scan.loss, (1 + x) ** 3 + 10 * (-2 + 3 * y) + 100 * (0.5 + 2 * x) ** 2, rtol=1e-6)
    np.testing.assert_allclose(scan.start_loss, 1 - 20 + 25)
    np.testing.assert_allclose([scan.norm_x, scan.norm_y, scan.cosine], [np.sqrt(5), 3, 0], atol=1e-6)


@pytest.mark.slow
def test_a_model_stays_as_it_was(trainer, state, synthetic):
    """In training mode too; the centre of the grid is the loss at the start, and the mode is in the result."""
    batch = train.current_batch(trainer, state, synthetic.train)
    loss = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
    before = digest((state, loss))
    axes = [probes.directions.filter_normalized(jax.random.key(i), state.params) for i in (0, 1)]
    scan = probes.scan_plane(loss, state.params, *axes, (-0.1, 0.0, 0.1), (0.0, 0.2))
    assert digest((state, loss)) == before
    np.testing.assert_allclose(scan.loss[1, 0], scan.start_loss, rtol=1e-5)
    assert scan.objective == replace(loss.info, precision="highest", platform="cpu")


def test_nan_is_a_value():
    """A point without a loss is kept as such."""
    scan = probes.scan_plane(lambda p: jnp.log(p["a"][0]), PARAMS, X, Y, (-3.0, 0.0), (0.0,))
    np.testing.assert_array_equal(jnp.isnan(scan.loss), [[True], [False]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xs": ()}, "xs must be a non-empty list of finite numbers"),
        ({"ys": (0.0, np.inf)}, "ys must be a non-empty list of finite numbers"),
        (
            {"direction_y": {"a": jnp.ones(3), "b": jnp.ones(())}},
            r"direction_y must be like params, but at a params has shape \(2,\)",
        ),
        ({"direction_x": jax.tree.map(jnp.zeros_like, X)}, "direction_x must not be zero everywhere"),
        ({"loss_fn": lambda p: p["a"]}, r"loss_fn must return a floating-point scalar, got float32 of shape \(2,\)"),
    ],
)
def test_misfits_are_named(change, message, as_a_user):
    """What does not fit raises one line."""
    arguments = {"loss_fn": loss_fn, "params": PARAMS, "direction_x": X, "direction_y": Y, "xs": (0.0,), "ys": (0.0,)}
    with pytest.raises(ValueError, match=message):
        probes.scan_plane(**{**arguments, **change})

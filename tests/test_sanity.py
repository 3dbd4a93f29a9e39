"""The sanity line of a scan: exact on quadratics, finds gradients that are not the loss's, and says when it cannot tell."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import objective, probes, train

STEPS = (0.3, -0.1, 0.0, 0.05, 0.1)
START, DIRECTION = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.5, 1.0, 1.0])


def quadratic(t):
    """Evaluate sum(k t_k²) / 2."""
    return jnp.sum(jnp.arange(1.0, 4) * t**2) / 2


def false_factor(factor):
    """Make a quadratic whose derivative is wrong by a factor."""

    @jax.custom_jvp
    def loss_fn(t):
        return quadratic(t)

    loss_fn.defjvp(lambda ts, dots: (quadratic(ts[0]), factor * jnp.vdot(jax.grad(quadratic)(ts[0]), dots[0])))
    return loss_fn


def stopped(t):
    """Evaluate a product of which one factor has no derivative."""
    return quadratic(t) * jnp.sum(1 + jax.lax.stop_gradient(t) ** 2)


def stopped_far_away(t):
    """Evaluate a quadratic whose derivative is lost beyond some distance from the start."""
    far = jnp.linalg.norm(t - START) > 0.2
    return quadratic(jnp.where(far, jax.lax.stop_gradient(t), t))


def test_quadratic_in_closed_form(x64):
    """The prediction is exact, the uncertainty the slopes' changes d'Ad |b - a| times distances |b - a|, in any order."""
    start, direction = (jnp.asarray(np.asarray(v), jnp.float64) for v in (START, DIRECTION))
    scan = probes.scan_line(quadratic, start, direction, STEPS)
    found, etas = scan.check(), np.sort(STEPS)
    a, w, d = np.diag(np.arange(1.0, 4)), np.asarray(start), np.asarray(direction)
    losses = [(w + eta * d) @ a @ (w + eta * d) / 2 for eta in etas]
    np.testing.assert_allclose(scan.slope, [(w + eta * d) @ a @ d for eta in STEPS], rtol=1e-12)
    np.testing.assert_allclose(scan.start_slope, w @ a @ d, rtol=1e-12)
    np.testing.assert_allclose(found.change, np.abs(np.diff(losses)).sum(), rtol=1e-10)
    np.testing.assert_allclose(found.predicted_change, found.change, rtol=1e-10)
    np.testing.assert_allclose(found.misfit, 0, atol=1e-12)
    np.testing.assert_allclose(found.uncertainty, d @ a @ d * (np.diff(etas) ** 2).sum(), rtol=1e-10)
    assert found.start_loss == found.centre_loss == w @ a @ w / 2
    assert found.agrees
    assert found.is_decided
    assert str(found).startswith("loss 4.875 at the start, 4.875 at step size 0; from point to point it changes by ")
    assert str(found).endswith("is uncertain: they agree")


def test_the_start_is_a_point():
    """Where 0 is no step size, the value and the slope of the start stand in; along the default direction it is -|g|²."""
    scan = probes.scan_line(quadratic, START, step_sizes=(1e-3,))
    found = scan.check()
    np.testing.assert_allclose(scan.start_slope, -(scan.gradient_norm**2), rtol=1e-6)
    np.testing.assert_allclose(found.change, 1e-3 * scan.gradient_norm**2, rtol=0.01)
    assert np.isnan(found.centre_loss)
    assert found.agrees
    assert found.is_decided
    assert "step size 0" not in str(found)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize(
    "loss_fn",
    [*map(false_factor, (2.0, 0.5, 0.0, -1.0)), stopped, stopped_far_away],
    ids=["twice", "half", "none", "wrong sign", "stopped", "stopped far away"],
)
def test_a_false_gradient_is_found(loss_fn):
    """A gradient that is not that of the loss, at the start or anywhere along the line, does not agree."""
    found = probes.scan_line(loss_fn, START, DIRECTION, np.linspace(-0.3, 0.3, 21)).check()
    assert not found.agrees
    assert str(found).endswith("they do NOT agree")


def test_a_centre_elsewhere_is_found():
    """A loss at step size 0 that is not the start's does not agree, beyond rounding."""
    scan = probes.scan_line(quadratic, START, DIRECTION, STEPS)
    assert scan._replace(start_loss=scan.start_loss * (1 + 1e-5)).check().agrees
    assert not scan._replace(start_loss=scan.start_loss * 1.01).check().agrees


def test_a_false_centre_is_said_without_gradients():
    """A loss at step size 0 that is not the start's, or is not finite, stands in the line."""
    scan = probes.scan_line(quadratic, START, DIRECTION, STEPS, gradients=False)
    elsewhere = str(scan._replace(start_loss=jnp.float32(5.0)).check())
    assert elsewhere == (
        "loss 5 at the start, 4.875 at step size 0: they do NOT agree; no gradients along the line to compare"
    )
    assert "nan at the start, 4.875 at step size 0: it is NOT finite" in str(
        scan._replace(start_loss=jnp.float32(jnp.nan)).check()
    )


@pytest.mark.thorough
@pytest.mark.parametrize("statistics", get_args(objective.Statistics))
@pytest.mark.parametrize("trainer", ["batch_norm"], indirect=True)
def test_a_net_agrees_with_itself(trainer, state, synthetic, statistics):
    """Downhill and anywhere, near and far, rounding, ReLU and pooling raise no false alarm; a few steps downhill decide."""
    batch = train.current_batch(trainer, state, synthetic.train)
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch, statistics=statistics)
    downhill = probes.directions.gradient(loss_fn, state.params)
    anywhere = probes.directions.filter_normalized(jax.random.key(0), state.params)
    for direction in (downhill, anywhere):
        for scale in (1e-4, 1e-2, 1.0):
            found = probes.scan_line(loss_fn, state.params, direction, scale * np.linspace(-0.1, 0.1, 9)).check()
            assert found.agrees, str(found)
            assert found.is_decided or scale != 1e-2 or direction is anywhere


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        (lambda: probes.scan_line(quadratic, START, step_sizes=(0.05, 0.4)), "too uncertain to tell"),
        (lambda: probes.scan_line(quadratic, START, DIRECTION, STEPS, gradients=False), "no gradients along the line"),
        (
            lambda: probes.scan_line(quadratic, START, DIRECTION, STEPS)._replace(
                slope=np.full((), np.nan, np.float32)
            ),
            "no gradients along the line",
        ),
        (lambda: probes.scan_line(lambda t: jnp.log(t[1] + 2.05), START, DIRECTION, (-1.0, 0.0)), "no gradients along"),
    ],
)
def test_what_is_not_known_is_said(scan, words):
    """Points too far apart, no gradients, or losses that are not finite: nothing is found wrong, and nothing is decided."""
    scan = scan()
    found = scan._replace(
        slope=jnp.full_like(scan.loss, scan.slope) if jnp.ndim(scan.slope) == 0 else scan.slope
    ).check()
    assert found.agrees
    assert not found.is_decided
    assert words in str(found)


def test_half_precision_decides_nothing():
    """Gradients of two digits are no evidence."""
    found = probes.scan_line(quadratic, START.astype(jnp.bfloat16), DIRECTION.astype(jnp.bfloat16), STEPS).check()
    assert found.agrees
    assert not found.is_decided


def test_of_many_scans_the_worst_is_told():
    """Stacked scans have an entry each, and the line is of the one that fits least."""
    losses = quadratic, false_factor(2.0), false_factor(1.5), quadratic
    stacked = probes.stack_lines([probes.scan_line(f, START, DIRECTION, np.linspace(0, 0.2, 9)) for f in losses])
    found = stacked.check()
    assert found.agrees.tolist() == [True, False, False, True]
    assert str(found).startswith("2 of 4 scans agree; scan 1: loss 4.875")
    assert str(found).endswith("they do NOT agree")

"""The line scan: closed forms, models in training mode, files, errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import objective, probes, train
from bnjax._host.digest import digest
from bnjax.probes import line

STEP_SIZES = (-0.2, 0.05, 0.1, 0.4)


@pytest.mark.parametrize("batching", ["auto", "loop", "map", "vmap", 3])
def test_every_way_of_batching_has_the_closed_form(batching):
    """L = t'At / 2: the gradient changes by eta |Ag|, the smoothness is |Ag| / |g|, to 1e-5 in float32."""
    a, start = np.diag([1.0, -2.0, 3.0]), np.array([1.0, 1.0, 2.0])
    matrix = jnp.asarray(a, jnp.float32)
    scan = probes.scan_line(
        lambda t: t @ matrix @ t / 2, jnp.asarray(start, jnp.float32), None, STEP_SIZES, batching=batching
    )
    points = start - np.array(STEP_SIZES)[:, None] * (a @ start)
    np.testing.assert_allclose(scan.loss, np.einsum("pi,ij,pj->p", points, a, points) / 2, rtol=1e-5)
    curvature, norm = np.linalg.norm(a @ a @ start), np.linalg.norm(a @ start)
    np.testing.assert_allclose(scan.gradient_distance, np.abs(STEP_SIZES) * curvature, rtol=1e-5)
    np.testing.assert_allclose(scan.effective_smoothness, curvature / norm, rtol=1e-5)


def test_lengths_added_up_over_arrays():
    """Gradient distance, its lengths and smoothness are those of each array, added up, where they are asked for."""
    params = {"x": jnp.array([3.0, 4.0]), "y": jnp.array([[1.0]])}
    scan = probes.scan_line(
        lambda p: jnp.sum(p["x"] ** 2) + 2 * jnp.sum(p["y"] ** 2), params, step_sizes=(0.5, 1.0), norm="sum_of_layers"
    )
    np.testing.assert_allclose(scan.gradient_norm, 2 * 5 + 4 * 1)
    np.testing.assert_allclose(scan.gradient_distance, [(4 * 5 + 16 * 1) * eta for eta in (0.5, 1.0)])
    np.testing.assert_allclose(scan.smoothness, 36 / 14, rtol=1e-6)
    with pytest.raises(ValueError, match="the same norm"):
        probes.stack_lines([scan, scan._replace(norm="global")])


@pytest.fixture
def loss_fn(trainer, state, synthetic):
    """The loss of the state's next batch."""
    return objective.make_loss_fn(
        trainer.model, state.batch_stats, train.current_batch(trainer, state, synthetic.train)
    )


@pytest.mark.thorough
def test_batchings_agree_on_a_model_and_change_nothing(loss_fn, state):
    """Loop, map, vmap and groups agree to rounding on a net in training mode; its arrays stay as they were, bit for bit."""
    before = digest((state, loss_fn))
    scans = [
        probes.scan_line(loss_fn, state.params, step_sizes=(0.05, 0.2, 0.4), batching=batching)
        for batching in ("loop", "map", "vmap", 2)
    ]
    for scan in scans[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5), scans[0], scan)
    assert digest((state, loss_fn)) == before
    assert (scans[0].objective.statistics, scans[0].objective.batch_size) == ("batch", 16)


@pytest.mark.slow
def test_one_program_for_all_training_steps(trainer, state, synthetic):
    """Scans at other states and batches of the same shape do not trace the model again."""
    traces = []
    counted = trainer.model._replace(
        apply=lambda *arguments, **options: (traces.append(1), trainer.model.apply(*arguments, **options))[1]
    )
    counts = []
    for _ in range(3):
        batch = train.current_batch(trainer, state, synthetic.train)
        probes.scan_line(objective.make_loss_fn(counted, state.batch_stats, batch), state.params)
        state, _ = train.run_steps(trainer, state, synthetic.train, num_steps=2)
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2] == 1


@pytest.mark.slow
def test_losses_alone(loss_fn, state):
    """Without gradients the losses are the same, and the gradients' fields are NaN."""
    direction = jax.tree.map(jnp.ones_like, state.params)
    alone, both = (
        probes.scan_line(loss_fn, state.params, direction, (0.001, 0.002), gradients=flag) for flag in (False, True)
    )
    np.testing.assert_allclose(alone.loss, both.loss, rtol=1e-4)
    assert np.isnan(alone.gradient_distance).all()
    assert np.isfinite(both.gradient_distance).all()


def test_the_start_has_no_smoothness():
    """At step size 0 it is NaN, and the effective smoothness is that of the other points."""
    scan = probes.scan_line(lambda t: jnp.sum(t**2), jnp.ones(2), step_sizes=(0.0, 0.1))
    assert np.isnan(scan.smoothness[0])
    np.testing.assert_allclose(scan.effective_smoothness, 2, rtol=1e-5)


def test_a_closure_is_never_stale():
    """One function whose batch is rebound is evaluated on the new batch."""
    box = {}

    def loss_fn(t):
        return box["batch"] * jnp.sum(t**2)

    for batch in (1.0, 100.0):
        box["batch"] = batch
        scan = probes.scan_line(loss_fn, jnp.ones(2), step_sizes=(0.1,))
        np.testing.assert_allclose(scan.start_loss, 2 * batch)
        np.testing.assert_allclose(scan.smoothness, 2 * batch, rtol=1e-5)


def test_half_precision_keeps_the_step_sizes():
    """Step sizes stay float32 where the loss is not."""
    scan = probes.scan_line(lambda t: jnp.sum(t**2).astype(jnp.bfloat16), jnp.ones(2), step_sizes=(0.1, 0.1001))
    np.testing.assert_allclose(scan.step_sizes, [0.1, 0.1001], rtol=1e-6)


def test_traced_step_sizes():
    """Step sizes may be computed in compiled code, a list of them too."""
    scan = jax.jit(lambda rate: probes.scan_line(lambda t: jnp.sum(t**2), jnp.ones(2), step_sizes=[rate, 2 * rate]))
    np.testing.assert_allclose(scan(0.1).step_sizes, [0.1, 0.2], rtol=1e-6)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_what_a_loss_closes_over_may_be_traced(transform):
    """Inside compiled or mapped code a scan with a given direction works, though none of its own arguments is traced."""
    params = {"w": jnp.array([1.0, 2.0])}

    def scan(batch):
        return probes.scan_line(lambda p: jnp.sum(p["w"] ** 2) * jnp.sum(batch), params, params, (1.0, 2.0)).loss

    losses = transform(scan)(jnp.ones((3, 2)))
    expected = np.array([20.0, 45.0])
    np.testing.assert_allclose(
        losses, 6 * expected if transform is jax.jit else np.tile(2 * expected, (3, 1)), rtol=1e-6
    )


def test_composes_with_vmap():
    """Many scans at once give what they give alone."""
    starts = jnp.arange(6.0).reshape(3, 2) + 1
    scan = lambda t: probes.scan_line(lambda t: jnp.sum(t**3), t, step_sizes=(0.01, 0.02))  # noqa: E731
    together = jax.vmap(scan)(starts)
    for i, start in enumerate(starts):
        np.testing.assert_allclose(together.smoothness[i], scan(start).smoothness, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_sizes": ()}, "step_sizes must be a non-empty list of finite numbers"),
        ({"step_sizes": (0.1, float("inf"))}, "step_sizes must be a non-empty list of finite numbers"),
        ({"step_sizes": (0.1, -1e39)}, r"step_sizes must be a non-empty list of finite numbers, got \(0.1, -1e\+39\)"),
        ({"direction": {"w": jnp.ones(3)}}, r"at w params has shape \(2,\) and direction \(3,\)"),
        ({"direction": {"v": jnp.ones(2)}}, r"at w params has shape \(2,\) and direction nothing"),
        ({"norm": "l1"}, "norm must be one of global, sum_of_layers, got 'l1'"),
        ({"gradients": False}, "direction must be given where gradients is False"),
        ({"direction": {"w": jnp.zeros(2)}}, "direction must not be zero everywhere"),
        ({"loss_fn": lambda p: p["w"]}, r"loss_fn must return a floating-point scalar, got float32 of shape \(2,\)"),
        ({"loss_fn": lambda p: jnp.sum(p["w"] > 0)}, r"floating-point scalar, got int32 of shape \(\)"),
        ({"loss_fn": lambda p: (jnp.sum(p["w"]), p)}, "loss_fn must return a floating-point scalar, got tuple"),
        ({"loss_fn": lambda p: None}, "loss_fn must return a floating-point scalar, got NoneType"),
    ],
)
def test_misfits_are_named(arguments, message, as_a_user):
    """One line names the argument, the rule and the value."""
    loss_fn = arguments.pop("loss_fn", lambda p: jnp.sum(p["w"] ** 2))
    with pytest.raises(ValueError, match=message):
        probes.scan_line(loss_fn, {"w": jnp.ones(2)}, **arguments)


def test_stacked_scans_have_bands():
    """Scans of several directions gain an axis; the band is their smallest, mean and largest loss, with a standard error."""
    params = {"t": jnp.array([1.0, 2.0])}
    scans = [
        probes.scan_line(lambda p: jnp.sum(p["t"] ** 2), params, {"t": jnp.array(d)}, (1.0, 2.0))
        for d in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    ]
    stacked = probes.stack_lines(scans)
    assert stacked.loss.shape == stacked.smoothness.shape == (3, 2)
    assert stacked.loss_range[0].shape == (3,)
    losses = np.array([[8.0, 13.0], [10.0, 17.0], [13.0, 25.0]])
    band = probes.band(stacked.loss)
    for mine, expected in zip(
        band, (losses.min(0), losses.mean(0), losses.max(0), losses.std(0, ddof=1) / 3**0.5, 3), strict=True
    ):
        np.testing.assert_allclose(mine, expected, rtol=1e-6)
    assert np.isnan(probes.band(stacked.loss[:1]).standard_error).all()
    with pytest.raises(ValueError, match="scans must hold at least one scan"):
        probes.stack_lines([])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_overflows_nowhere(dtype):
    """Norms and products of a large half-precision model are taken in float32."""
    params = jnp.ones(100_000, dtype)
    scan = probes.scan_line(lambda w: jnp.sum(w.astype(jnp.float32) ** 2), params, step_sizes=(0.125, 0.25))
    np.testing.assert_allclose(scan.gradient_norm, 2 * 100_000**0.5, rtol=1e-5)
    np.testing.assert_allclose(scan.smoothness, 2, rtol=1e-2)
    np.testing.assert_allclose(float(scan.start_slope), -400_000, rtol=4e-3)


def test_the_start_alone_has_no_smoothness():
    """The largest of no smoothness is not known."""
    assert jnp.isnan(probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=(0.0,)).effective_smoothness)


def test_whole_numbers_cannot_be_moved():
    """Parameters that are no floating-point numbers are named."""
    params = {"w": jnp.ones(2), "table": jnp.arange(3)}
    with pytest.raises(ValueError, match="params must be floating-point, but table is int32"):
        probes.scan_line(lambda p: jnp.sum(p["w"] ** 2), params)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("wrap", [jax.tree_util.Partial, partial], ids=["pytree", "function"])
def test_a_start_that_differs_by_rounding_is_the_same_scan(wrap, tmp_path, monkeypatch):
    """Another machine's last bit of the gradient at the start is no reason to refuse a file; another loss is."""

    def loss_fn(factor, params):
        return factor * jnp.sum(params**3)

    begin = line._begin

    def nudged(*arguments):
        return jax.tree.map(lambda leaf: jnp.nextafter(leaf, jnp.inf), begin(*arguments))

    params, file = jnp.array([1.0, 2.0]), tmp_path / "scan.npz"
    scan = probes.scan_line(wrap(loss_fn, 1.0), params, resume=file)
    monkeypatch.setattr(line, "_begin", nudged)
    again = probes.scan_line(wrap(loss_fn, 1.0), params, resume=file)
    np.testing.assert_array_equal(again.loss, scan.loss)
    for other in (
        {"params": 2 * params},
        {"loss_fn": wrap(loss_fn, 2.0)},
        {"direction": params},
        {"step_sizes": (0.1,)},
    ):
        with pytest.raises(ValueError, match="resume must be a file of the same scan"):
            probes.scan_line(**{"loss_fn": wrap(loss_fn, 1.0), "params": params, "resume": file} | other)


@pytest.mark.slow
@pytest.mark.parametrize("dtypes", [("bfloat16", "float32"), ("float32", "bfloat16"), ("float32", "int32")])
def test_a_direction_of_another_type(dtypes):
    """All ways of running points give the same numbers, along the direction in the parameters' type."""
    of_params, of_direction = dtypes
    params, direction = {"a": jnp.ones(3, of_params)}, {"a": jnp.ones(3, of_direction)}
    loss_fn = lambda p: jnp.sum(p["a"].astype(jnp.float32) ** 2)  # noqa: E731
    scans = [probes.scan_line(loss_fn, params, direction, batching=way) for way in ("map", "vmap", "loop")]
    expected = probes.scan_line(loss_fn, params, {"a": jnp.ones(3, of_params)})
    for scan in scans:
        jax.tree.map(np.testing.assert_array_equal, (scan.loss, scan.slope), (expected.loss, expected.slope))


@pytest.mark.parametrize("sizes", [[[0.1], [0.1, 0.2]], [1j]])
def test_step_sizes_that_are_no_numbers_in_a_row(sizes, as_a_user):
    """One line, in place of NumPy's."""
    with pytest.raises(ValueError, match=r"^step_sizes must be .*got .*\.$"):
        probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(2), step_sizes=sizes)


def test_directions_and_step_sizes_in_other_kinds_of_numbers():
    """Step sizes may be bfloat16; a direction that is complex, or zero in the parameters' type, is refused."""
    loss_fn = lambda w: jnp.sum(w.astype(jnp.float32) ** 2)  # noqa: E731
    scan = probes.scan_line(loss_fn, jnp.ones(2), step_sizes=jnp.array([0.0, 0.5], jnp.bfloat16))
    np.testing.assert_allclose(scan.loss, [2.0, 0.0])
    with pytest.raises(ValueError, match=r"^direction must be real where the parameters are, got complex64\.$"):
        probes.scan_line(loss_fn, jnp.ones(2), jnp.full(2, 1j))
    with pytest.raises(ValueError, match="direction must not be zero everywhere"):
        probes.scan_line(loss_fn, jnp.ones(2, jnp.float16), jnp.full(2, 1e-9))

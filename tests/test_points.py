"""The engine gives the same numbers however points are batched, and compiles once."""

from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import Batch, Model, Variables, norms, objective, probes
from bnjax.probes import evaluate_points
from bnjax.probes.points import _evaluate

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


def test_points_spread_over_devices():
    """On a mesh of 8 devices, and for a number that 8 does not divide, every point has its value."""
    mesh = jax.make_mesh((4, 2), ("a", "b"))
    coordinates = jnp.asarray(np.random.default_rng(0).normal(size=(21, 2)), jnp.float32)
    expected = evaluate_points(measure, BASE, DIRECTIONS, coordinates)
    for fn in (measure, jax.tree_util.Partial(measure)):
        for batching in ("auto", "vmap", 2):
            spread = evaluate_points(fn, BASE, DIRECTIONS, coordinates, batching=batching, mesh=mesh)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), spread, expected)


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("batching", ["auto", "loop", 3])
def test_an_interrupted_scan_resumes(batching, tmp_path):
    """Only missing points are evaluated, except for two that are compared; NaN is a value; the file stays and says so."""
    seen = []

    def report(value):
        seen.append(float(value))
        return np.float32(value)

    def counted(params):
        value = jax.pure_callback(
            report, jax.ShapeDtypeStruct((), jnp.float32), params["a"][1], vmap_method="sequential"
        )
        return jnp.where(value == 3.0, jnp.nan, value)

    class StopError(Exception):
        pass

    def stopping(params):
        def stop_at(value):
            if value > 39:
                raise StopError
            return np.float32(value)

        return jax.pure_callback(
            stop_at, jax.ShapeDtypeStruct((), jnp.float32), counted(params), vmap_method="sequential"
        )

    scan = partial(
        evaluate_points,
        base=BASE,
        directions=DIRECTIONS[:1],
        coordinates=jnp.arange(60.0)[:, None],
        batching=batching,
        resume=tmp_path / "scan.npz",
    )
    with pytest.raises(Exception):  # noqa: B017, PT011 - JAX wraps what a callback raises
        scan(stopping)
    before = len(seen)
    result = scan(counted)
    np.testing.assert_array_equal(result, jnp.where(jnp.arange(60) == 2, jnp.nan, jnp.arange(1.0, 61)))
    assert before + len(seen[before:]) < 60 + 2 * 20
    num_seen = len(seen)
    np.testing.assert_array_equal(scan(counted), result)
    assert len(seen) == num_seen + 2  # the first and the last point, which tell whether it is the same function


@pytest.mark.parametrize("change", ["coordinates", "base", "data"])
def test_the_file_of_another_scan_is_refused(change, tmp_path):
    """Other points, parameters or data are another scan."""

    def fn(factor):
        return jax.tree_util.Partial(lambda factor, params: factor * params["a"][0], factor)

    arguments = {"measure": fn(1.0), "base": BASE, "directions": DIRECTIONS, "coordinates": jnp.ones((3, 2))}
    evaluate_points(**arguments, resume=tmp_path / "scan.npz")
    other = {
        "coordinates": {"coordinates": jnp.zeros((3, 2))},
        "base": {"base": jax.tree.map(jnp.zeros_like, BASE)},
        "data": {"measure": fn(2.0)},
    }
    with pytest.raises(ValueError, match=r"resume must be a file of the same scan, got .*scan\.npz of another one"):
        evaluate_points(**{**arguments, **other[change]}, resume=tmp_path / "scan.npz")


@pytest.mark.parametrize("change", ["function", "outputs", "types"])
def test_the_file_of_another_function_is_refused(change, tmp_path):
    """A function has no name in the file: what it gives at points that are done tells."""
    other = {
        "function": lambda p: jnp.sum(p["a"]) ** 2,
        "outputs": lambda p: (jnp.sum(p["a"]), jnp.sum(p["b"])),
        "types": lambda p: jnp.sum(p["a"]).astype(jnp.int32),
    }
    scan = partial(evaluate_points, base=BASE, directions=DIRECTIONS, coordinates=jnp.ones((3, 2)))
    scan(lambda p: jnp.sum(p["a"]), resume=tmp_path / "scan.npz")
    with pytest.raises(ValueError, match=r"resume must be a file of the same scan, got .*scan\.npz of another one"):
        scan(other[change], resume=tmp_path / "scan.npz")


def test_a_missing_folder_is_said_before_anything_is_evaluated(tmp_path):
    """Work is not lost for a file that cannot be written."""
    with pytest.raises(ValueError, match="resume must be a file in a folder that exists"):
        evaluate_points(lambda p: 1 / 0, BASE, DIRECTIONS, jnp.ones((3, 2)), resume=tmp_path / "none" / "scan.npz")


@pytest.mark.parametrize("start", [b"no scan", b"PK\x03\x04 the start of an archive"])
def test_a_file_that_is_none_is_refused(start, tmp_path):
    """Something else under that name is left alone, and said so in one line."""
    path = tmp_path / "scan.npz"
    path.write_bytes(start)
    with pytest.raises(ValueError, match="resume must be a file that a scan has written"):
        evaluate_points(measure, BASE, DIRECTIONS, jnp.ones((3, 2)), resume=path)
    assert path.read_bytes() == start


def test_want_of_memory_is_no_damage(tmp_path, monkeypatch):
    """A file that cannot be read for now may be whole: the error comes through, for a scan that is resumed and a result."""
    path = tmp_path / "scan.npz"
    scan = partial(evaluate_points, measure, BASE, DIRECTIONS, jnp.ones((3, 2)), resume=path)
    scan()

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", exhausted)
    with pytest.raises(MemoryError):
        scan()
    with pytest.raises(MemoryError):
        probes.load(path)


@pytest.mark.parametrize(
    "change", [{"is_done": np.ones(4, bool)}, {"is_done": np.ones(3)}, {"leaf_0": np.ones((2, 5), np.float32)}]
)
def test_a_file_whose_arrays_do_not_fit_together_is_refused(change, tmp_path):
    """As one of another scan."""
    path = tmp_path / "scan.npz"
    evaluate_points(measure, BASE, DIRECTIONS, jnp.ones((3, 2)), resume=path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **arrays | change)
    with pytest.raises(ValueError, match="resume must be a file of the same scan"):
        evaluate_points(measure, BASE, DIRECTIONS, jnp.ones((3, 2)), resume=path)


def test_a_point_that_does_not_fit_is_one_line():
    """Where a single point needs more than there is, that is said."""

    def hungry(params):
        return jnp.max(jnp.cumsum(jnp.broadcast_to(params["a"][0], (2**40,))))

    with (
        pytest.warns(UserWarning, match="2 points do not fit into memory together: trying 1"),
        pytest.raises(MemoryError, match="One point must fit into the device's memory: RESOURCE_EXHAUSTED"),
    ):
        evaluate_points(hungry, BASE, DIRECTIONS, jnp.zeros((2, 2)))


def test_memory_does_not_grow_with_the_number_of_points():
    """A program for thousands of points needs as much scratch memory as one for a few, except for what it returns."""
    base = {"w": jnp.ones((64, 64)), "b": jnp.ones(64)}

    def memory(num):
        measure = lambda p: jnp.sum(jnp.tanh(p["w"] @ p["w"] + p["b"][None]))  # noqa: E731
        program = jax.jit(partial(_evaluate, measure, group_size=None))
        analysis = program.lower(base, (base,), jnp.zeros((num, 1))).compile().memory_analysis()
        return analysis.temp_size_in_bytes

    few, many = memory(16), memory(4096)
    assert many - few < 64 * 4096 < 4096 * 64 * 64


@pytest.mark.slow
@pytest.mark.parametrize("statistics", get_args(objective.Statistics))
def test_a_model_s_losses_spread_over_devices(statistics):
    """A loss that is a loop over batches, in every statistics mode, is on a mesh what it is without."""

    def apply(params, x, *, train, rngs=None):
        hidden, stats = norms.batch_norm(x @ params.params, params.batch_stats, train=train)
        return hidden, stats

    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    params, stats = draw(4, 3), norms.init_batch_stats(3)
    batches = [Batch(draw(8, 4), draw(8, 3)) for _ in range(2)]
    model = Model(lambda key, x: Variables(params, stats), apply)
    loss_fn = objective.make_loss_fn(model, stats, batches, loss="squared_error", statistics=statistics)
    scan = partial(evaluate_points, jax.tree_util.Partial(jax.grad(loss_fn)), params, (draw(4, 3),), draw(9, 1))
    np.testing.assert_allclose(scan(mesh=jax.make_mesh((8,), ("points",))), scan(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"directions": ({"a": jnp.ones(3)},)},
            r"directions\[0\] must be like base, but at b base has shape \(2, 2\) and ",
        ),
        (
            {"directions": ({**BASE, "a": jnp.ones(1)},)},
            r"directions\[0\] must be like base, but at a base has shape \(3,\)",
        ),
        ({"base": {**BASE, "a": jnp.arange(3)}}, "^base must be floating-point or complex, but a is int32.$"),
        ({"coordinates": [1.0, 2.0]}, r"coordinates must have shape \(points, 1\), .*, got \(2,\)"),
    ],
)
def test_misfits_are_named(arguments, message, as_a_user):
    """Trees that are not alike, whole numbers and rows that are none are told in one line."""
    usual = {"base": BASE, "directions": DIRECTIONS[:1], "coordinates": [[0.0]]}
    with pytest.raises(ValueError, match=message):
        evaluate_points(measure, **usual | arguments)


def test_coordinates_may_be_a_list():
    """It gives what an array gives."""
    found = evaluate_points(measure, BASE, DIRECTIONS, [[0, 1], [2, 3]])["sum"]
    np.testing.assert_array_equal(
        found, evaluate_points(measure, BASE, DIRECTIONS, jnp.array([[0.0, 1.0], [2.0, 3.0]]))["sum"]
    )

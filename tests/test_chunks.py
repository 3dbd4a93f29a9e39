"""A long evaluation in pieces: few calls, within memory, and resumed only where it is the same evaluation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax.probes import evaluate_points
from bnjax.probes.chunks import run_chunks

ROWS = np.arange(20.0)[:, None]
ANOTHER = r"resume must be a file of the same scan, got .*done\.npz of another one\.$"


def test_many_points_come_in_few_calls():
    """Ten thousand points of a small function take chunks that grow, each compiled once."""
    sizes = []

    def evaluate(rows, _):
        sizes.append(len(rows))
        return rows[:, 0] ** 2

    rows = np.random.default_rng(0).normal(size=(10_000, 1))
    np.testing.assert_allclose(run_chunks(evaluate, rows), rows[:, 0] ** 2, rtol=1e-6)
    assert len(sizes) < 30
    assert len(set(sizes)) <= 4


def test_a_group_that_does_not_fit_is_halved():
    """Where the device runs out of memory, half as many points run together, with a warning each time, chunks first."""

    def evaluate(rows, group_size):
        jnp.zeros(2**40 if group_size is None or group_size > 2 else 1).block_until_ready()
        return rows[:, 0]

    with pytest.warns(UserWarning, match="points do not fit into memory together: trying") as warned:
        result = run_chunks(evaluate, np.arange(20.0)[:, None], group_size=8)
    assert [str(w.message).split()[0] for w in warned] == ["10", "5"]
    np.testing.assert_array_equal(result, np.arange(20))


@pytest.mark.parametrize("multiple_of", [1, 2])
@pytest.mark.parametrize("group_size", [None, 2])
def test_a_chunk_that_does_not_fit_is_halved(group_size, multiple_of):
    """Before a group is, since a chunk's results lie on the device together; chunks that have become smaller stay so."""
    calls = []

    def evaluate(rows, group_size):
        calls.append((len(rows), group_size))
        jnp.zeros(2**40 if len(rows) > 4 * multiple_of else 1).block_until_ready()
        return rows[:, 0]

    rows = np.arange(512.0)[:, None]
    with pytest.warns(UserWarning, match="points do not fit into memory together: trying") as warned:
        result = run_chunks(evaluate, rows, group_size=group_size, multiple_of=multiple_of)
    np.testing.assert_array_equal(result, rows[:, 0])
    assert [str(w.message).split()[0] for w in warned] == ["16", "8"][multiple_of - 1 :]
    assert calls[-1] == (4 * multiple_of, group_size)


@pytest.mark.parametrize("num_rows", [20, 200, 4000])
def test_chunks_do_not_outgrow_what_is_left(num_rows):
    """Few rows are evaluated only to fill the last call up."""
    sizes = []

    def evaluate(rows, _):
        sizes.append(len(rows))
        return rows[:, 0]

    run_chunks(evaluate, np.zeros((num_rows, 1)))
    assert num_rows <= sum(sizes) < 1.1 * num_rows


def interrupted(evaluate, path, num_rows, **options):
    """Evaluate some rows, and stop."""

    def stopping(rows, group_size):
        if len(seen) == num_rows:
            raise KeyboardInterrupt
        seen.append(rows)
        return evaluate(rows, group_size)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_chunks(stopping, ROWS, one_by_one=True, resume=path, **options)


def test_a_resumed_evaluation_is_checked_point_by_point(tmp_path):
    """The rows that are done are evaluated by themselves, so that they fit into memory where a group does not."""
    calls = []

    def evaluate(rows, group_size):
        calls.append((rows[:, 0].tolist(), group_size))
        jnp.zeros(2**40 if group_size is not None and group_size > 2 else 1).block_until_ready()
        return rows[:, 0]

    interrupted(evaluate, tmp_path / "done.npz", 5)
    calls.clear()
    with pytest.warns(UserWarning, match="points do not fit into memory together: trying"):
        result = run_chunks(evaluate, ROWS, group_size=8, resume=tmp_path / "done.npz")
    np.testing.assert_array_equal(result, np.arange(20))
    assert calls[:2] == [([0.0], None), ([4.0], None)]


def test_a_check_of_several_devices_has_a_row_for_each(tmp_path):
    """The number of rows in a call is the multiple that was asked for, also where what is done is compared."""
    sizes = []

    def evaluate(rows, _):
        sizes.append(len(rows))
        return rows[:, 0]

    interrupted(evaluate, tmp_path / "done.npz", 1, multiple_of=8)
    np.testing.assert_array_equal(
        run_chunks(evaluate, ROWS, multiple_of=8, resume=tmp_path / "done.npz"), np.arange(20)
    )
    assert set(sizes) <= {8, 16, 24}
    mesh = jax.make_mesh((8,), ("points",))
    one = jnp.ones(())
    scan = partial(evaluate_points, lambda w: w**2, one, (one,), ROWS, mesh=mesh, resume=tmp_path / "scan.npz")
    np.testing.assert_array_equal(scan(), scan())
    few = partial(evaluate_points, lambda w: w**2, one, (one,), ROWS[:3], mesh=mesh, resume=tmp_path / "few.npz")
    np.testing.assert_array_equal(few(), few())


def test_a_point_that_does_not_fit_any_more_is_one_line(tmp_path):
    """Where what is done needs more memory than there is now, that is said."""
    interrupted(lambda rows, _: rows[:, 0], tmp_path / "done.npz", 5)

    def hungry(rows, _):
        return jnp.zeros(2**40).block_until_ready()

    with pytest.raises(MemoryError, match="One point must fit into the device's memory: RESOURCE_EXHAUSTED"):
        run_chunks(hungry, ROWS, resume=tmp_path / "done.npz")


def offset(**offsets):
    """Make an evaluation of a loss of about 1, a distance that grows from 0, and a count, each with an offset."""

    def evaluate(rows, _):
        values = {"loss": 1 + rows[:, 0] ** 2, "distance": rows[:, 0], "count": np.full(len(rows), 3)}
        return {name: value + np.asarray(offsets.get(name, 0), value.dtype) for name, value in values.items()}

    return evaluate


@pytest.mark.parametrize("num_rows", [1, 5])
@pytest.mark.parametrize("name", ["loss", "distance"])
def test_rounding_is_no_other_evaluation(name, num_rows, tmp_path):
    """Nor where all that is done is 0 except for rounding, as the change of the gradient at step size 0."""
    interrupted(offset(distance=2e-8), tmp_path / "done.npz", num_rows)
    result = run_chunks(offset(**{name: -3e-7}), ROWS, resume=tmp_path / "done.npz")
    np.testing.assert_allclose(result["distance"], np.arange(20), atol=1e-6)


@pytest.mark.parametrize("num_rows", [1, 5])
@pytest.mark.parametrize("offsets", [{"loss": 0.05}, {"distance": 1e-2}, {"loss": np.nan}, {"count": 1}])
def test_anything_else_is(offsets, num_rows, tmp_path):
    """A loss, a distance or a count of its own belongs to another evaluation."""
    interrupted(offset(), tmp_path / "done.npz", num_rows)
    with pytest.raises(ValueError, match=ANOTHER):
        run_chunks(offset(**offsets), ROWS, resume=tmp_path / "done.npz")


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64, jnp.int8])
def test_types_survive_the_file(dtype, tmp_path):
    """Also those that numpy knows only by their size."""
    base = jnp.ones((), dtype if jnp.issubdtype(dtype, jnp.inexact) else float)
    scan = partial(evaluate_points, base=base, directions=(base,), coordinates=ROWS, resume=tmp_path / "done.npz")
    first = scan(lambda w: (3 * w).astype(dtype))
    again = scan(lambda w: (3 * w).astype(dtype), batching="vmap")
    assert again.dtype == first.dtype == dtype
    np.testing.assert_array_equal(again, first)
    with pytest.raises(ValueError, match=ANOTHER):
        scan(lambda w: (5 * w).astype(dtype))

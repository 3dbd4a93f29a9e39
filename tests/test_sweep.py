"""Many runs at once are each as if alone, in every way, with what diverges, and from a checkpoint."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from bnjax import data, linen, models, objective, probes, sweep, train
from bnjax._host.digest import digest
from bnjax.sweep import training as sweep_training
from bnjax.sweep import ways

WAYS = ("loop", "threads", "map", "vmap", 2)
RUNS = sweep.grid(norm=("none", "batch"), learning_rate=(0.1, 0.5), seed=(0, 1, 2))


def make_trainer(learning_rate, norm="batch", epsilon=1e-5, momentum=0.0, weight_decay=0.0):
    """Make a small network's trainer."""
    normaliser = None if norm == "none" else partial(linen.BatchNorm, epsilon=epsilon)
    model = models.make_model(models.MLPConfig(hidden=(8,), norm=normaliser))
    optimizer = train.make_optimizer("sgd", learning_rate, momentum=momentum, weight_decay=weight_decay)
    return train.Trainer(model, optimizer, batch_size=16)


def scan(trainer, state, split):
    """Scan along minus the gradient of the state's next batch."""
    batch = train.current_batch.__wrapped__(trainer, state, split)
    loss_fn = objective.make_loss_fn(trainer.model, state.batch_stats, batch)
    return probes.scan_line(loss_fn, state.params, step_sizes=(0.1, 0.2)).loss


@pytest.fixture(scope="module")
def digits():
    """Real digits."""
    return data.load("digits")


@pytest.fixture(scope="module")
def alone(digits):
    """Each run as it is without the others."""
    found = []
    for run in RUNS:
        trainer = make_trainer(run["learning_rate"], run["norm"])
        state = train.init_state(trainer, jax.random.key(run["seed"]), jnp.zeros((1, 8, 8, 1)))
        state, metrics = train.run_steps(trainer, state, digits.train, num_steps=12)
        found.append((state, metrics, train.evaluate(trainer, state.variables, digits.test)))
    return found


def test_a_grid_has_every_combination():
    """The last field varies fastest, and there is a run for each combination."""
    assert sweep.grid(a=(1, 2), seed=range(2)) == [{"a": a, "seed": seed} for a in (1, 2) for seed in (0, 1)]


def test_runs_that_differ_in_numbers_are_one_program():
    """Programs differ in what is no float, and in floats that are fixed."""
    assert [program.rows for program in sweep.programs(make_trainer, RUNS)] == [tuple(range(6)), tuple(range(6, 12))]
    fixed = sweep.programs(make_trainer, RUNS, fixed=("learning_rate",))
    assert [program.rows for program in fixed] == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)]


@pytest.mark.parametrize(
    "batching", [pytest.param(way, marks=[] if way == "threads" else pytest.mark.thorough) for way in WAYS]
)
def test_each_run_is_as_if_alone(batching, alone, digits):
    """Curves, tests and states of a grid are those of single runs, whatever way they share the machine."""
    found = sweep.train_grid(make_trainer, RUNS, digits, num_steps=12, chunk_size=5, way=sweep.Way(batching))
    assert found.runs == RUNS
    for row, (state, metrics, test) in enumerate(alone):
        np.testing.assert_allclose(found.loss[row], metrics.loss, rtol=1e-4)
        np.testing.assert_allclose(found.accuracy[row], metrics.accuracy, atol=1e-6)
        np.testing.assert_allclose(found.test_loss[row], test.loss, rtol=1e-4)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), found.states[row].params, state.params)
        np.testing.assert_array_equal(jax.random.key_data(found.states[row].key), jax.random.key_data(state.key))


@pytest.mark.slow
@pytest.mark.parametrize(
    "batching", ["threads", *(pytest.param(way, marks=pytest.mark.thorough) for way in ("loop", "map"))]
)
def test_same_way_same_bits(batching, digits):
    """A run is the same to the bit whatever other runs are in the grid, where runs are not batched."""
    options = {"num_steps": 12, "chunk_size": 6, "way": sweep.Way(batching)}
    whole = sweep.train_grid(make_trainer, RUNS[:3], digits, **options)
    single = sweep.train_grid(make_trainer, RUNS[1:2], digits, **options)
    assert digest(whole.states[1]) == digest(single.states[0])
    np.testing.assert_array_equal(whole.loss[1], single.loss[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "batching", ["auto", *(pytest.param(way, marks=pytest.mark.thorough) for way in ("threads", "loop", "measured"))]
)
def test_inside_a_compiled_function_runs_are_mapped(batching, digits):
    """There is neither a thread nor a clock: what chooses or needs one is a loop of the program, with the same losses."""
    (program,) = sweep.programs(partial(make_trainer, norm="none"), sweep.grid(learning_rate=(0.1, 0.5), seed=(0,)))
    states = sweep.init_states(program, jnp.zeros((1, 8, 8, 1)))

    def losses(states, split, way):
        return sweep.run_steps(program, states, split, num_steps=3, way=way)[1].loss

    traced = jax.jit(partial(losses, way=sweep.Way(batching)))(states, digits.train)
    np.testing.assert_allclose(traced, losses(states, digits.train, sweep.Way("map")), rtol=1e-6)


@pytest.mark.thorough
def test_any_number_can_vary(digits):
    """Numbers of the normaliser and the optimiser are traced, and mean what they mean as constants."""
    runs = sweep.grid(
        learning_rate=(0.2,), epsilon=(1e-5, 1.0), momentum=(0.0, 0.9), weight_decay=(0.0, 0.1), seed=(3,)
    )
    (program,) = sweep.programs(make_trainer, runs)
    found = sweep.train_grid(make_trainer, runs, digits, num_steps=6, way=sweep.Way("map"))
    fields = [name for name in runs[0] if name != "seed"]
    expected = sweep.train_grid(make_trainer, runs, digits, num_steps=6, fixed=fields, way=sweep.Way("map"))
    assert len(program.rows) == 8
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
    assert len(np.unique(found.loss[:, -1])) == 8


@pytest.mark.slow
def test_a_closure_is_never_stale(digits):
    """What the function that makes trainers closes over is read again by every grid."""
    box = {}

    def make(learning_rate):
        return make_trainer(learning_rate, norm=box["norm"])

    found = []
    for box["norm"] in ("none", "batch"):
        found.append(sweep.train_grid(make, sweep.grid(learning_rate=(0.1,), seed=(0, 1)), digits, num_steps=4))
    assert len(jax.tree.leaves(found[0].states[0].batch_stats)) < len(jax.tree.leaves(found[1].states[0].batch_stats))


class Unnamed:
    """A field's value whose repr is that of any other of its kind."""


def test_a_grid_is_written_down_alike_in_every_process():
    """Functions have no address in it; other objects do, so that what cannot be told apart is refused."""
    assert sweep_training._describe_value(partial(scan, 1)) == "functools.partial(<function scan>, 1)"
    assert sweep_training._describe_value(scan) == "test_sweep.scan"
    assert "0x" not in sweep_training._describe_value(partial(lambda x: x, 1))
    assert sweep_training._describe_value(np.int64(3)) == "3"
    many = [np.zeros(2000), np.arange(2000) == 1000]
    assert len({sweep_training._describe_value(values) for values in many}) == 2
    odd = [sweep_training._describe_value(Unnamed()) for _ in range(2)]
    assert all(" at 0x" in words for words in odd)


@pytest.mark.slow
@pytest.mark.parametrize("batching", ["threads", pytest.param("vmap", marks=pytest.mark.thorough)])
def test_a_run_that_diverges_freezes(batching, digits):
    """Its step is recorded, what follows is NaN, and the others are as they are without it."""
    runs = sweep.grid(norm=("none",), learning_rate=(0.1, 3e38), seed=(0,))
    options = {"num_steps": 12, "chunk_size": 4, "test_every": 4, "way": sweep.Way(batching), "probes": {"scan": scan}}
    found = sweep.train_grid(make_trainer, runs, digits, **options)
    single = sweep.train_grid(make_trainer, runs[:1], digits, **options)
    assert found.diverged_at[0] is None
    assert 0 < found.diverged_at[1] < 4
    assert int(found.states[1].step) == 4
    assert np.isnan(found.loss[1, 4:]).all()
    assert np.isnan(found.probes["scan"][1, 1:]).all()
    np.testing.assert_allclose(found.loss[0], single.loss[0], rtol=1e-5)
    np.testing.assert_allclose(found.probes["scan"][0], single.probes["scan"][0], rtol=1e-5)
    np.testing.assert_array_equal(found.test_step, [4, 8, 12])
    assert np.isfinite(found.test_loss[0]).all()


@pytest.mark.thorough
def test_a_grid_continues_where_it_was_stopped(digits, tmp_path, monkeypatch):
    """What was stopped in the midst of programs ends in the bits of what was not; another grid is refused."""
    runs = sweep.grid(norm=("none", "batch"), learning_rate=(0.1, 3e38), seed=(0, 1))
    norms = {"norm": lambda _trainer, state, _split: optax.tree.norm(state.params)}
    options = {"num_steps": 8, "chunk_size": 4, "probes": norms, "save_seconds": 0.0, "way": sweep.Way("map")}
    whole = sweep.train_grid(make_trainer, runs, digits, **options)
    calls = []

    def stopped(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sweep.run_steps(*arguments, **keywords)

    monkeypatch.setattr("bnjax.sweep.loop.run_steps", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweep.train_grid(make_trainer, runs, digits, folder=tmp_path, **options)
    found = sweep.train_grid(make_trainer, runs, digits, folder=tmp_path, **options)
    assert len(calls) == 5
    assert digest(found._asdict() | {"runs": [], "diverged_at": []}) == digest(
        whole._asdict() | {"runs": [], "diverged_at": []}
    )
    assert found.diverged_at == whole.diverged_at
    others = sweep.grid(norm=("none", "batch"), learning_rate=(0.1, 0.2), seed=(0, 1))
    inverted = digits._replace(train=digits.train._replace(images=1 - digits.train.images))

    def make_other(*numbers, **fields):
        return make_trainer(*numbers, **fields)._replace(batch_size=32)

    def make_faster(learning_rate, **fields):
        return make_trainer(2 * learning_rate, **fields)

    named = {
        "runs": (make_trainer, others, digits),
        "data": (make_trainer, runs, inverted),
        "batches": (make_other, runs, digits),
        "optimizer": (make_faster, runs, digits),
    }
    for other, call in named.items():
        with pytest.raises(ValueError, match=f"holds another grid with other .*{other}"):
            sweep.train_grid(*call, folder=tmp_path, **options)


@pytest.mark.slow
def test_a_folder_is_refused_for_other_probes(digits, tmp_path):
    """Another name, or numbers of another shape under the same name; nothing is made up."""
    runs = sweep.grid(norm=("none",), learning_rate=(0.1,), seed=(0,))
    shape = ()

    def measured(_trainer, state, _split):
        return optax.tree.norm(state.params) * jnp.ones(shape)

    options = {"num_steps": 4, "chunk_size": 4, "folder": tmp_path}
    sweep.train_grid(make_trainer, runs, digits, probes={"a": measured}, **options)
    with pytest.raises(ValueError, match="holds another grid with other probes"):
        sweep.train_grid(make_trainer, runs, digits, probes={"a": measured, "b": measured}, **options)
    shape = (3,)
    with pytest.raises(ValueError, match="a measures something else than it did before"):
        sweep.train_grid(make_trainer, runs, digits, probes={"a": measured}, **options)


def test_functions_of_one_name_are_refused(digits, tmp_path):
    """A folder could not tell their runs apart."""
    runs = [{"seed": 0, "norm": "none", "learning_rate": 0.1, "act": act} for act in (lambda x: x, lambda x: -x)]

    def make(learning_rate, norm, act):
        assert callable(act)
        return make_trainer(learning_rate, norm=norm)

    with pytest.raises(ValueError, match="act must have values of different names"):
        sweep.train_grid(make, runs, digits, num_steps=4, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": True}, "num_steps must be a whole number >= 1, got True"),
        ({"probes": {"a": sweep.HostProbe(lambda *_: 1.0)}}, "must return numbers by name, a returns float"),
    ],
)
def test_what_a_grid_cannot_be_asked(options, message, digits):
    """One line says what."""
    runs = sweep.grid(norm=("none",), learning_rate=(0.1,), seed=(0,))
    with pytest.raises(ValueError, match=message):
        sweep.train_grid(make_trainer, runs, digits, **({"num_steps": 4} | options))


@pytest.mark.parametrize("num_devices", [None, 2])
def test_what_fits_into_memory_is_remembered(num_devices, monkeypatch):
    """Runs that do not fit together are tried in halves, once: the next call begins with what did."""
    sizes, together = [], ways._together

    def scarce(program, fixed, group_size, runs, shared):
        sizes.append(group_size)
        if group_size > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return together(program, fixed, group_size, runs, shared)

    monkeypatch.setattr(ways, "_together", scarce)
    monkeypatch.setattr(
        ways, "_on_devices", lambda program, fixed, size, runs, shared, _: scarce(program, fixed, size, runs, shared)
    )
    monkeypatch.setattr(ways, "_fitting", {})
    mesh = num_devices and Mesh(np.array(jax.devices()[:num_devices]), ("runs",))
    call = (lambda run, _: 2 * run, (), jnp.arange(16.0), None, sweep.Way("vmap", mesh))
    with pytest.warns(UserWarning, match="runs do not fit into memory together"):
        found = ways.for_each(*call)
    first = len(sizes)
    np.testing.assert_array_equal(found, ways.for_each(*call))
    np.testing.assert_array_equal(found, 2 * np.arange(16))
    assert sizes == [16, 8, 4, 2, 2][-first - 1 :]
    assert sizes[0] == 16 // (num_devices or 1)


@pytest.mark.thorough
@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_runs_spread_over_devices(batching, alone, digits):
    """On eight devices, which the runs do not divide, each comes out as if alone."""
    way = sweep.Way(batching, Mesh(np.array(jax.devices()), ("runs",)))
    found = sweep.train_grid(make_trainer, RUNS[:6], digits, num_steps=12, way=way)
    for row, (_, metrics, _) in enumerate(alone[:6]):
        np.testing.assert_allclose(found.loss[row], metrics.loss, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sweep.grid(learning_rate=(0.1,)), "seed must be one of the fields of a grid, got learning_rate."),
        (lambda: sweep.grid(seed=(0, 0)), r"seed must have one or more different values, got \[0, 0\]."),
        (
            lambda: sweep.programs(make_trainer, [0, 1]),
            "runs must be dictionaries of fields, as sweep.grid lists them, got 0",
        ),
        (lambda: sweep.programs(make_trainer, []), "runs must hold at least one run"),
        (lambda: sweep.programs(make_trainer, [{"seed": -1}]), "seed must be a whole number from 0"),
        (lambda: sweep.programs(make_trainer, [{"seed": 1}, {}]), "All runs must have the fields seed, one has none."),
    ],
)
def test_a_grid_that_is_none(call, message, as_a_user):
    """One clear line says what is wrong."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps must be a whole number >= 1, got 0."),
        ({"test_every": 5}, "test_every must be a multiple of chunk_size, 2, got 5."),
        ({"way": "vmap"}, r"way must be a Way, such as sweep\.Way\('vmap'\), got 'vmap'\."),
        (
            {"way": sweep.Way("fast")},
            "batching must be one of auto, loop, threads, map, vmap, measured or a number >= 1, got 'fast'.",
        ),
        (
            {"way": sweep.Way(mesh=Mesh(np.array(jax.devices()[:1]), ("x",)))},
            "axis must be one of the mesh's, x, got 'runs'.",
        ),
    ],
)
def test_a_plan_that_is_none(options, message, digits, as_a_user):
    """One clear line says what is wrong."""
    with pytest.raises(ValueError, match=message):
        sweep.train_grid(make_trainer, RUNS[:1], digits, **{"num_steps": 8, "chunk_size": 2, **options})

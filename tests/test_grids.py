"""Grids of any numbers, types and shapes are each run as it is alone; what is none is one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bnjax import Model, Variables, adapters, data, sweep, train
from bnjax._host.digest import digest

pytestmark = pytest.mark.slow

SPLIT = data.from_arrays(jnp.linspace(-1.0, 1.0, 60).reshape(20, 3), jnp.arange(20) % 2)
DATASET = data.Dataset(SPLIT, SPLIT)


def trainer_of(model, name="sgd", learning_rate=0.1, **options):
    """Make a trainer."""
    return train.Trainer(model, train.make_optimizer(name, learning_rate, **options), batch_size=10)


def steps_alone(trainer, num_steps=4):
    """Train one run of seed 0 by itself."""
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, 3)))
    return train.run_steps(trainer, state, SPLIT, num_steps=num_steps)


def test_numbers_of_arrays_are_floats():
    """Entries of JAX's arrays are Python's numbers, which share a program where they are floats."""
    runs = sweep.grid(rate=jnp.array([0.5, 0.25]), decay=[np.array(0.5)], width=jnp.array([2]), seed=[0])
    assert runs == [{"rate": rate, "decay": 0.5, "width": 2, "seed": 0} for rate in (0.5, 0.25)]
    assert [{type(value) for value in run.values()} for run in runs] == [{float, int}] * 2


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("sgd", "momentum", [0.5, 0.9]),
        *(
            pytest.param(*case, marks=pytest.mark.thorough)
            for case in (
                ("adam", "weight_decay", [0.5, 0.1]),
                ("sgd", "clip", [0.5, 0.1]),
                ("rmsprop", "momentum", [0.9]),
            )
        ),
    ],
)
def test_parameters_in_bfloat16(name, field, values):
    """Numbers of a grid do not widen them: each run is as it is alone."""
    model = adapters.from_linen(nn.Dense(2, param_dtype=jnp.bfloat16))
    runs = sweep.grid(**{field: values}, seed=[0])
    alone = [steps_alone(trainer_of(model, name, **{field: value})) for value in values]
    assert len({digest(state.params) for state, _ in alone}) == len(values)
    for way in ("threads", "map", "vmap"):
        make_trainer, options = lambda **numbers: trainer_of(model, name, **numbers), {"way": sweep.Way(way)}
        found = sweep.train_grid(make_trainer, runs, DATASET, num_steps=4, **options)
        for loss, state, (expected, metrics) in zip(found.loss, found.states, alone, strict=True):
            assert jax.tree.map(jnp.result_type, state) == jax.tree.map(jnp.result_type, expected)
            np.testing.assert_allclose(loss, metrics.loss, rtol=2e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_not_rounded_in_float64(dtype, x64):
    """Where JAX has float64, a net in float64 has its number in it, and one in float32 stays there."""
    model = adapters.from_linen(nn.Dense(2, dtype=dtype, param_dtype=dtype))
    runs = sweep.grid(learning_rate=[0.1, 0.2], momentum=[0.9], seed=[0])
    (program,) = sweep.programs(lambda **numbers: trainer_of(model, **numbers), runs)
    states = sweep.init_states(program, jnp.zeros((1, 3)))
    states, _ = sweep.run_steps(program, states, SPLIT, num_steps=4, way=sweep.Way("map"))
    expected, _ = steps_alone(trainer_of(model, momentum=0.9))
    assert states.params["kernel"].dtype == dtype
    rtol = 1e-13 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(states.params["kernel"][0], expected.params["kernel"], rtol=rtol)


def init_with_nothing(key, x):
    """Draw a kernel, and a bias of no entries."""
    return Variables({"kernel": jax.random.normal(key, (3, 2)), "nothing": jnp.zeros((0, 3))}, {})


NOTHING = Model(init_with_nothing, lambda v, x, **_: (x @ v.params["kernel"], v.batch_stats))


@pytest.mark.parametrize("batching", ["threads", "map", "vmap", 2])
def test_arrays_of_no_entries(batching):
    """Parameters and measurements may have none, in every way."""
    probe = {"a": lambda *_: {"e": jnp.zeros((0, 3)), "f": jnp.zeros((2, 0)), "x": jnp.ones(1)}}
    options = {"num_steps": 4, "chunk_size": 2, "probes": probe, "way": sweep.Way(batching)}
    runs = sweep.grid(learning_rate=[0.1, 0.2, 0.3], seed=[0])
    found = sweep.train_grid(lambda learning_rate: trainer_of(NOTHING, "sgd", learning_rate), runs, DATASET, **options)
    assert jax.tree.map(np.shape, found.probes["a"]) == {"e": (3, 2, 0, 3), "f": (3, 2, 2, 0), "x": (3, 2, 1)}
    assert found.states[2].params["nothing"].shape == (0, 3)
    np.testing.assert_allclose(found.loss[0], steps_alone(trainer_of(NOTHING))[1].loss, rtol=1e-5)


def test_arrays_of_no_entries_change_no_bit_of_the_others():
    """In a group of all runs."""
    runs = {"x": jnp.linspace(0.0, 1.0, 6).reshape(3, 2), "nothing": jnp.zeros((3, 0))}
    both = [
        sweep.ways.for_each(lambda run, _: jnp.exp(run["x"]), (), tree, None, sweep.Way("vmap"))
        for tree in (runs, {"x": runs["x"]})
    ]
    assert digest(both[0]) == digest(both[1])


def host(*_):
    """Measure nothing in particular."""
    return {"one": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dataset": SPLIT},
            r"dataset must be a Dataset of two splits: write data\.Dataset\(train, test\), got Split\.",
        ),
        ({"dataset": (SPLIT, SPLIT)}, "dataset must be a Dataset of two splits: .*, got tuple"),
        ({"dataset": data.Dataset((1, 2), (3, 4))}, "dataset must be a Dataset of two splits: .*, got other parts"),
        ({"probes": [host]}, "probes must be a dictionary of probes by name, got "),
        ({"probes": {"a": 3}}, "probes must be functions or HostProbes, got 3 for 'a'"),
        (
            {"probes": {"a": sweep.HostProbe(host, "tests")}},
            "split must be 'train', 'test' or None, got 'tests' for 'a'",
        ),
        ({"probes": {"a": sweep.HostProbe(host, steps=2)}}, "steps must be a list of steps or None, got 2 for 'a'"),
        (
            {"probes": {"a": sweep.HostProbe(host, steps=(1,))}},
            r"steps must hold one or more of those before chunks, .*, got \[1\] for 'a' and chunks from 0, 2",
        ),
        ({"runs": [0, 1]}, "runs must be dictionaries of fields, as sweep.grid lists them, got 0"),
    ],
)
def test_what_no_grid_can_use(options, message, tmp_path, as_a_user):
    """One line names the argument and what it got, before there is a folder."""
    options = {"runs": sweep.grid(seed=[0]), "dataset": DATASET, "num_steps": 4, "chunk_size": 2, **options}
    trainer = trainer_of(NOTHING)
    with pytest.raises(ValueError, match=f"^{message}"):
        sweep.train_grid(lambda: trainer, folder=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()

"""How many runs train together is measured before the first step, kept with each run, and found again where one is resumed."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from bnjax import data, linen, models, sweep, train
from bnjax._host import groups
from bnjax._host.digest import digest
from bnjax._host.trials import Group, Key, from_json
from bnjax.runs import read_json
from bnjax.sweep import ways

RUNS = sweep.grid(learning_rate=(0.1, 0.2, 0.3), seed=(0, 1))
GROUPS = {"vmap": {1: 4.0, 4: 2.0, 6: 1.0}, "map": {1: 1.0, 4: 2.0, 6: 3.0}, "memory": {1: 3.0, 4: 2.0, 6: np.inf}}


def make_trainer(learning_rate):
    """Make a small network's trainer."""
    model = models.make_model(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm))
    return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=16)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Forget what was measured before."""
    monkeypatch.setattr(groups, "_known", {})


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets how many seconds a call takes by its group, and returns the groups of the calls so far."""
    now, calls, together, seconds = [0.0], [], ways._together, {}

    def timed(program, fixed, group_size, runs, shared, _way=None):
        if len(jax.tree.leaves(runs)[0]) == len(RUNS) and program.__name__ in ("_steps", "_double"):
            calls.append((fixed[-1] if fixed else 0, group_size))
            if np.isinf(seconds.get(group_size or 1, 0.0)):
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            now[0] += seconds.get(group_size or 1, 0.0)
        return together(program, fixed, group_size, runs, shared)

    def set_up(times):
        calls.clear()
        seconds.update(times)
        return calls

    monkeypatch.setattr(ways, "_together", timed)
    monkeypatch.setattr(ways, "_on_devices", timed)
    monkeypatch.setattr(groups, "clock", lambda: now[0])
    return set_up


def train_grid(folder=None, batching: Any = "measured", **options):
    """Train the grid in chunks of two steps."""
    options = {"num_steps": 4, "chunk_size": 2, "way": sweep.Way(batching), "folder": folder, **options}
    return sweep.train_grid(make_trainer, RUNS, data.load("digits"), **options)


def _double(run, shared):
    """Stand for the steps of a run."""
    return 2 * run + shared


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("devices", [None, 1])
def test_the_fastest_group_is_found(name, devices, machine):
    """Of 1, 4 and all runs, each called twice; what was found is asked for once, and holds for other runs of these shapes."""
    calls = machine(GROUPS[name])
    mesh = devices and Mesh(np.array(jax.devices()[:devices]), ("runs",))
    runs = jnp.arange(float(len(RUNS)))
    found = [ways.settle(_double, (), runs + i, jnp.ones(()), sweep.Way("measured", mesh)) for i in range(2)]
    chosen: Any = {"vmap": 6, "map": "map", "memory": 4}[name]
    assert found == [sweep.Way(chosen, mesh, kernels="grouped")] * 2
    assert [group for _, group in calls] == [None, None, 4, 4, 6, 6][: 6 - (name == "memory")]
    (measured,) = groups.measured_batching()
    assert measured.program.startswith("runs of _double ")
    assert measured.device == "1 x cpu"
    expected = {group: 1000 * seconds / len(RUNS) for group, seconds in GROUPS[name].items()}
    np.testing.assert_allclose([*measured.milliseconds.values()], [*expected.values()])


@pytest.mark.thorough
def test_the_fastest_way_is_kept_from_the_first_step_on(machine, tmp_path):
    """Groups of 1, 4 and all runs are tried on steps that are thrown away; every run's record says what was found."""
    calls = machine(GROUPS["memory"])
    found = train_grid(tmp_path)
    assert calls == [(8, None), (8, None), (8, 4), (8, 4), (8, 6), (2, 4), (2, 4)]
    (measured,) = groups.measured_batching()
    assert measured.program.startswith("runs of _steps ")
    expected = train_grid(batching=4)
    assert digest(found.states) == digest(expected.states)
    for i in range(len(RUNS)):
        ((program, device, times),) = read_json(tmp_path / f"run{i}" / "finished.json")["batching"]
        assert (program, device) == measured[:2]
        assert [*times.values()] == [0.5, pytest.approx(2 / 6), None]


@pytest.mark.thorough
@pytest.mark.parametrize("lost", [[], [1, 4]])
def test_what_is_resumed_keeps_its_way_and_its_bits(lost, machine, monkeypatch, tmp_path):
    """Stopped, or with runs that were lost beside finished ones, on a machine on which another way is the fastest now."""
    calls = machine(GROUPS["memory"])
    whole = train_grid(tmp_path / "whole")
    folder = tmp_path / "stopped"
    if lost:
        train_grid(folder)
        for i in lost:
            (folder / f"run{i}").rename(tmp_path / f"lost{i}")
    else:
        train_grid_until(2, folder, monkeypatch)
    groups._known.clear()
    machine(GROUPS["vmap"])
    found = train_grid(folder)
    assert {*calls} == {(2, 4)}
    assert digest(found.states) == digest(whole.states)


def train_grid_until(num_steps, folder, monkeypatch):
    """Train the grid, and stop after so many steps."""
    run_steps = sweep.run_steps

    def stopping(program, states, *arguments, **options):
        if int(states.step[0]) == num_steps:
            raise KeyboardInterrupt
        return run_steps(program, states, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("bnjax.sweep.loop.run_steps", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_grid(folder, save_seconds=0.0)


def test_choices_of_a_run_s_probes_are_kept_with_it(tmp_path):
    """A HostProbe that measures finds what the run's record says."""
    key = Key("points", "1 x device")

    def probe(_trainer, state, _split):
        if state.step == 0:
            groups.trials_of(key).seconds[Group(1)] = 2.0
        return {"milliseconds": groups.trials_of(key).seconds[Group(1)]}

    options = {"way": sweep.Way("loop"), "folder": tmp_path, "probes": {"probe": sweep.HostProbe(probe)}}
    run = sweep.grid(learning_rate=(0.1,), seed=(0,))
    call = partial(sweep.train_grid, make_trainer, run, data.load("digits"), chunk_size=2, **options)
    call(num_steps=4)
    assert from_json(read_json(tmp_path / "run0" / "finished.json")["batching"])[key].seconds == {Group(1): 2.0}
    groups._known.clear()
    (tmp_path / "run0" / "finished.json").unlink()
    call(num_steps=4)  # from the checkpoint
    assert len(read_json(tmp_path / "run0" / "finished.json")["batching"]) == 1


def test_cpus_measure_nothing_unless_asked():
    """`auto` is what it was, on one CPU and on several."""
    assert ways.resolve(sweep.Way()) == "threads"
    assert ways.resolve(sweep.Way(mesh=Mesh(np.array(jax.devices()[:2]), ("runs",)))) == "map"


def test_one_run_needs_no_measurement(machine):
    """It is what a loop has."""
    calls = machine(GROUPS["vmap"])
    assert ways.settle(_double, (), jnp.ones(1), jnp.ones(()), sweep.Way("measured")) == sweep.Way(
        "map", kernels="grouped"
    )
    assert calls == []


def test_accelerators_measure(monkeypatch):
    """`auto` is measured there."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert ways.resolve(sweep.Way()) == "measured"
    assert ways.resolve(sweep.Way(mesh=Mesh(np.array(jax.devices()[:2]), ("runs",)))) == "measured"


@pytest.mark.thorough
def test_runs_over_devices_are_measured_by_the_share_of_each(machine):
    """Six runs on two devices are three each, in groups of 1 and 3."""
    way = sweep.Way("measured", Mesh(np.array(jax.devices()[:2]), ("runs",)))
    found, expected = train_grid(way=way), train_grid(batching="map")
    (measured,) = groups.measured_batching()
    assert [*measured.milliseconds] == [1, 3]
    assert measured.device == "2 x cpu"
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)

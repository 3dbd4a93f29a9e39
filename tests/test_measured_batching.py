"""How many points run together is measured on points that count, remembered, and kept by what is resumed."""

import doctest
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from machine import Machine

from bnjax import probes
from bnjax._host import groups
from bnjax._host.trials import Group, Key, read_trials
from bnjax.probes.chunks import run_chunks
from bnjax.probes.points import _evaluate

BASE = {"w": jnp.ones((3, 3)), "b": jnp.arange(3.0)}
# Milliseconds per point of each group, and which is the fastest after which were tried.
MACHINES = {
    "a CPU, where groups are slower": ({1: 1.0, 4: 2.0, 16: 3.0}, 1, [1, 4, 16]),
    "an accelerator that larger groups fill": ({1: 9.0, 4: 4.0, 16: 2.0, 64: 1.0, 256: 0.5}, 256, [1, 4, 16, 64, 256]),
    "slow groups of 4 and fast ones of 16": ({1: 3.0, 4: 4.0, 16: 1.0, 64: 1.2, 256: 1.3}, 16, [1, 4, 16, 64, 256]),
    "groups of 64 do not fit into memory": ({1: 3.0, 4: 2.0, 16: 1.0, 64: np.inf}, 16, [1, 4, 16, 64]),
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Forget what was measured before."""
    monkeypatch.setattr(groups, "_known", {})


def trials_of(name="points"):
    """Return the trials of a program."""
    return groups.trials_of(Key(name, "1 x device"))


@pytest.mark.parametrize("name", MACHINES)
def test_the_fastest_group_is_found(name, monkeypatch):
    """On chunks that count: every point is evaluated once, except for those that fill the last call up."""
    milliseconds, fastest, tried = MACHINES[name]
    machine, rows = Machine(milliseconds, monkeypatch), np.arange(1600.0)[:, None]
    result = run_chunks(machine.evaluate, rows, trials=trials_of())
    np.testing.assert_array_equal(result, np.arange(1600.0) ** 2)
    assert len({*machine.points}) == 1600
    assert len(machine.points) - 1600 < machine.calls[-1][0]
    (found,) = groups.measured_batching()
    assert [*found.milliseconds] == tried
    np.testing.assert_allclose([*found.milliseconds.values()], [milliseconds[group] for group in tried])
    assert found.batching == fastest
    assert found.is_settled
    assert machine.calls[-1][1] == fastest


def test_short_scans_measure_together(monkeypatch):
    """Four points are a call: the first of a group compiles, the second is timed, and no group is larger than the scan."""
    machine = Machine({1: 3.0, 4: 1.0}, monkeypatch)
    for _ in range(6):
        run_chunks(machine.evaluate, np.arange(4.0)[:, None], trials=trials_of())
    assert machine.calls == [(4, 1), (4, 1), *[(4, 4)] * 4]
    assert groups.measured_batching()[0].batching == 4
    assert not groups.measured_batching()[0].is_settled  # a longer scan would go on


def test_each_device_gets_a_group(monkeypatch):
    """Of points that are spread over eight devices, a group is what one of them has."""
    machine = Machine({1: 3.0, 4: 1.0, 16: 2.0}, monkeypatch)
    run_chunks(machine.evaluate, np.arange(100.0)[:, None], multiple_of=8, trials=trials_of())
    assert {group for _, group in machine.calls} == {1, 4}
    assert all(size % 8 == 0 for size, _ in machine.calls)


@pytest.mark.parametrize("stop_at", [40, 200])
def test_a_resumed_scan_keeps_the_choice(stop_at, monkeypatch, tmp_path):
    """And the times from before it was stopped; on the machine of the second half, on which all is slower, 1 is the fastest."""
    machine, rows = Machine(MACHINES["groups of 64 do not fit into memory"][0], monkeypatch), np.arange(400.0)[:, None]

    def stopping(rows, group_size):
        if len(machine.points) >= stop_at:
            raise KeyboardInterrupt
        return machine.evaluate(rows, group_size)

    options = {"resume": tmp_path / "scan.npz"}
    with pytest.raises(KeyboardInterrupt):
        run_chunks(stopping, rows, trials=trials_of(), **options)
    groups._known.clear()
    other = Machine({1: 1.0, 4: 5.0, 16: 6.0, 64: 7.0}, monkeypatch)
    run_chunks(other.evaluate, rows, trials=trials_of(), **options)
    tried = {group for _, group in other.calls[2:]}  # after two points that are compared with the file
    assert tried == ({16} if stop_at == 200 else {1, 4, 16})


def test_a_file_of_another_device_says_nothing(monkeypatch, tmp_path):
    """There it is measured again."""
    machine, rows = Machine({1: 1.0, 4: 2.0, 16: 3.0}, monkeypatch), np.arange(400.0)[:, None]
    elsewhere = groups.trials_of(Key("points", "8 x another"))
    for trials in (elsewhere, trials_of()):
        run_chunks(machine.evaluate, rows, trials=trials, resume=tmp_path / "scan.npz")
    assert elsewhere.is_settled
    assert not trials_of().seconds


@jax.tree_util.Partial
def loss(params):
    """Compute a number of the parameters."""
    return jnp.sum(jnp.tanh(params["w"] @ params["w"]) * params["b"][:, None])


def test_a_scan_on_an_accelerator_is_measured(monkeypatch):
    """`auto` measures where the platform is none of CPUs, gives what `map` gives up to rounding, and says what it has found."""
    steps = np.linspace(0, 1, 64)
    scan = partial(probes.scan_line, loss, BASE, step_sizes=steps, show_progress=False)
    expected = scan()
    assert groups.measured_batching() == []
    monkeypatch.setattr("bnjax.probes.points.platform_of", lambda *_: "gpu")
    found = scan()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found[:7], expected[:7])
    (measured,) = groups.measured_batching()
    assert [*measured.milliseconds] == [1, 4]
    assert measured.batching in measured.milliseconds
    assert measured.device == "1 x cpu"
    assert measured.program.startswith("points of _compare ")


def test_what_is_known_depends_on_shapes_and_devices():
    """Other values of the same shapes need no measurement; other shapes, other devices and other precisions do."""
    direction = jax.tree.map(jnp.ones_like, BASE)
    wide = jax.tree.map(lambda leaf: jnp.ones([2 * size for size in leaf.shape]), BASE)
    mesh = jax.make_mesh((2,), ("points",), devices=jax.devices()[:2])

    def scan(base, **options):
        probes.evaluate_points(loss, base, (jax.tree.map(jnp.ones_like, base),), jnp.ones((2, 1)), **options)
        return len(groups.measured_batching())

    assert scan(BASE) == 0
    numbers = [scan(BASE, batching="measured"), scan(direction, batching="measured")]
    numbers.append(scan(wide, batching="measured"))
    numbers.append(scan(BASE, batching="measured", mesh=mesh))
    numbers.append(scan(BASE, batching="measured", precision="default"))
    assert numbers == [1, 1, 2, 3, 4]


def test_traced_scans_are_mapped(monkeypatch):
    """Inside compiled code nothing can be timed: there is no group of several points in the program."""
    monkeypatch.setattr("bnjax.probes.points.platform_of", lambda *_: "gpu")
    scan = lambda batching: str(  # noqa: E731
        jax.make_jaxpr(lambda base: probes.scan_line(loss, base, step_sizes=jnp.ones(64), batching=batching).loss)(BASE)
    )
    assert scan("auto") == scan("measured") == scan("map") != scan(4)
    assert groups.measured_batching() == []


def test_a_scan_that_is_resumed_has_the_same_bits(tmp_path, monkeypatch):
    """Stopped after the choice, it ends in the bits of a scan that nobody stopped."""
    machine = Machine({1: 3.0, 4: 1.0, 16: 2.0, 64: 4.0}, monkeypatch)
    steps, num_calls = jnp.linspace(0, 1, 300)[:, None], []

    program = jax.jit(partial(_evaluate, loss, BASE, (BASE,)), static_argnames="group_size")

    def counted(rows, group_size):
        machine.evaluate(rows, group_size)
        return program(jnp.asarray(rows), group_size=group_size)

    def stopping(rows, group_size):
        num_calls.append(1)
        if len(num_calls) > 9:
            raise KeyboardInterrupt
        return counted(rows, group_size)

    whole = run_chunks(counted, np.asarray(steps), trials=trials_of())
    groups._known.clear()
    with pytest.raises(KeyboardInterrupt):
        run_chunks(stopping, np.asarray(steps), trials=trials_of(), resume=tmp_path / "scan.npz")
    assert trials_of().is_settled
    groups._known.clear()
    np.testing.assert_array_equal(
        run_chunks(counted, np.asarray(steps), trials=trials_of(), resume=tmp_path / "scan.npz"), whole
    )


def test_a_run_keeps_its_choices():
    """What was measured while it was at work is found by it alone, whatever the process has found since."""
    key, choices = Key("points", "1 x device"), {}
    with groups.kept_in(choices):
        groups.trials_of(key).seconds[Group(1)] = 5.0
    assert choices[key] is groups.trials_of(key)
    restored = {key: read_trials(key, {"1": 2.0, "4": 1.0, "16": None})}
    with groups.kept_in(restored):
        assert groups.trials_of(key).fastest == Group(4)
        assert groups.trials_of(key).is_settled
    assert groups.trials_of(key).fastest == Group(1)


def test_the_example_runs():
    """That of the function which is asked, whose file is none of a public package."""
    (example,) = doctest.DocTestFinder().find(groups.measured_batching, "example", groups, extraglobs={"jnp": jnp})
    assert doctest.DocTestRunner().run(example).failed == 0

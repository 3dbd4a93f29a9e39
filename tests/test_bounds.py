"""A group that would not fit into memory, as its compiler predicts, is not tried, and the choice says why."""

import itertools
import json
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax import probes, sweep
from bnjax._host import bounds, groups, memory, programs
from bnjax._host.trials import Group, Key, Trials, from_json, to_json
from bnjax.probes import points
from bnjax.probes.chunks import run_chunks
from bnjax.sweep import ways

pytestmark = pytest.mark.slow

KEY = Key("points", "1 x device")
BASE = {"w": jnp.full((24, 24), 1 / 24), "b": jnp.linspace(0, 1, 24)}
# Bytes that are free, the groups that are compiled and those that run, and why there are no more, where
# a group needs 100 + 50 bytes for each of its points: 150, 300, 900, 3300, 12900.
LIMITS = {
    "nothing known": (np.inf, [], [1, 4, 16, 64, 256], "No more than 256 together are tried."),
    "all": (12900, [1, 4, 16, 64, 256], [1, 4, 16, 64, 256], "No more than 256 together are tried."),
    "64": (
        12000,
        [1, 4, 16, 64, 256],
        [1, 4, 16, 64],
        "256 together were not tried: they need 12.9 kB, as the compiler predicts, and 12 kB of memory are free.",
    ),
    "16": (
        900,
        [1, 4, 16],
        [1, 4, 16],
        "64 together were not tried: they would need about 3.3 kB, as 4 and 16 suggest, and 900 bytes of memory are free.",
    ),
    "4": (
        899,
        [1, 4, 16],
        [1, 4],
        "16 together were not tried: they need 900 bytes, as the compiler predicts, and 899 bytes of memory are free.",
    ),
    "4, which is not near 16": (
        400,
        [1, 4],
        [1, 4],
        "16 together were not tried: they would need about 900 bytes, as 1 and 4 suggest, and 400 bytes of memory are free.",
    ),
    "1": (
        299,
        [1, 4],
        [1],
        "4 together were not tried: they need 300 bytes, as the compiler predicts, and 299 bytes of memory are free.",
    ),
    # That even one fits is for the device to say.
    "none": (
        10,
        [1, 4],
        [1],
        "4 together were not tried: they need 300 bytes, as the compiler predicts, and 10 bytes of memory are free.",
    ),
}


class Device:
    """A device with some free memory."""

    device_kind, process_index, id, platform = "small", 0, 0, "gpu"

    def __init__(self, free):
        self.free = free

    def memory_stats(self):
        """Return it, as JAX does; a device without such numbers returns None."""
        return {"bytes_limit": 1000 + self.free, "bytes_in_use": 1000} if np.isfinite(self.free) else None


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Return a function that forgets what was measured; then every call is faster than the last, and so are larger groups.

    There is one form of them.
    """
    for module in (points, ways):
        monkeypatch.setattr(module, "forms_on", lambda _devices: ("grouped",))

    def start():
        monkeypatch.setattr(groups, "_known", {})
        monkeypatch.setattr(groups, "clock", partial(next, itertools.accumulate(1 / i for i in itertools.count(1))))

    start()
    return start


class Program:
    """A program whose groups need 100 + 50 bytes for each of their points, beside 5000 of arguments."""

    def __init__(self, is_predicted=True):
        self.is_predicted, self.compiled, self.ran, self.sizes = is_predicted, [], [], []

    def __call__(self, rows, group_size):
        """Square the rows."""
        group = group_size or 1
        check = programs._check.get()
        if check is not None:
            self.compiled.append(group)
            sizes = dict.fromkeys([f"{name}_size_in_bytes" for name in ("output", "temp", "alias")], 0)
            sizes |= {"argument_size_in_bytes": 5000, "temp_size_in_bytes": 100 + 50 * group}
            analysis = SimpleNamespace(**sizes) if self.is_predicted else None
            check(SimpleNamespace(memory_analysis=lambda: analysis))
        self.ran.append(group)
        self.sizes.append(len(rows))
        return rows[:, 0] ** 2


def in_order(numbers):
    """Return different numbers in the order of their first appearance."""
    return [*dict.fromkeys(numbers)]


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_not_free_is_not_tried(name):
    """Every group up to the limit runs, the next one does not, and the choice says why; each is compiled at most once."""
    free, compiled, ran, reason = LIMITS[name]
    program, rows = Program(), np.arange(1600.0)[:, None]
    result = run_chunks(program, rows, trials=groups.trials_of(KEY), devices=[Device(free)])
    np.testing.assert_array_equal(result, rows[:, 0] ** 2)
    assert program.compiled == compiled
    assert in_order(program.ran) == ran
    (found,) = groups.measured_batching()
    assert found.batching == max(ran)
    assert found.is_settled
    assert found.reason == reason
    assert [group for group, time in found.milliseconds.items() if np.isfinite(time)] == ran


def test_where_the_compiler_predicts_nothing_all_are_tried():
    """As on a device that does not say what memory it has."""
    program = Program(is_predicted=False)
    run_chunks(program, np.zeros((1600, 1)), trials=groups.trials_of(KEY), devices=[Device(10)])
    assert in_order(program.ran) == [1, 4, 16, 64, 256]


def test_the_next_scan_tries_it_no_more():
    """Nor does it ask the compiler again."""
    for _ in range(2):
        program = Program()
        run_chunks(program, np.zeros((200, 1)), trials=groups.trials_of(KEY), devices=[Device(899)])
    assert (program.compiled, {*program.ran}) == ([], {4})


def test_the_next_scan_tries_it_where_more_is_free():
    """What other arrays have taken once is not lost to every later scan."""
    for free in (899, np.inf):
        program = Program()
        run_chunks(program, np.zeros((200, 1)), trials=groups.trials_of(KEY), devices=[Device(free)])
    assert {*program.ran} == {16, 64}
    (found,) = groups.measured_batching()
    assert 16 in found.milliseconds
    assert found.reason is None


def test_a_function_of_the_same_name_and_shapes_has_its_own_memory():
    """A plain function does not say what it closes over: what another one needed rules nothing out."""
    trials = groups.trials_of(KEY)
    run_chunks(Program(), np.zeros((200, 1)), trials=trials, devices=[Device(899)])
    groups.trials_of(KEY).forget_programs()
    assert (trials.called, trials.memory, trials.too_large) == (set(), {}, {})
    assert trials.untried(16) == Group(16)


def test_a_resumed_scan_knows_why(tmp_path, forget):
    """Its file says what was not tried, so that a device with more memory keeps the choice, and so the bits."""

    def stopping(rows, group_size):
        if len(program.ran) == 6:
            raise KeyboardInterrupt
        return program(rows, group_size)

    program, rows, file = Program(), np.zeros((200, 1)), tmp_path / "scan.npz"
    with pytest.raises(KeyboardInterrupt):
        run_chunks(stopping, rows, trials=groups.trials_of(KEY), devices=[Device(899)], resume=file)
    forget()
    program = Program()
    run_chunks(program, rows, trials=groups.trials_of(KEY), devices=[Device(np.inf)], resume=file)
    assert {*program.ran[2:]} == {4}  # after two points that are compared with the file


@pytest.mark.parametrize("reason", ["16 together were not tried: they need 2 MB.", None])
def test_a_record_says_why(reason):
    """That of a run, too: what was not tried, in words; where it did not fit when it was tried, null."""
    trials = Trials(KEY, {Group(1): 3.0, Group(4): 2.0})
    trials.fail(Group(16), memory.TooLargeError(reason) if reason else jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"))
    record = json.loads(json.dumps(to_json({KEY: trials})))
    assert record == [[*KEY, {"1": 3.0, "4": 2.0, "16": reason}]]
    restored = from_json(record)[KEY]
    assert restored.by_size == {1: 3.0, 4: 2.0, 16: np.inf}
    assert restored.reason == trials.reason == (reason or "16 together did not fit into memory.")
    assert restored.is_settled


def test_slower_groups_are_a_reason():
    """And there is none while larger ones may be tried."""
    trials = Trials(KEY, {Group(1): 1.0, Group(4): 2.0})
    assert trials.reason is None
    trials.seconds[Group(16)] = 3.0
    assert trials.reason == "More than 1 together were slower."


@pytest.mark.parametrize("fails_here", [False, True])
@pytest.mark.parametrize("status", [0, -1])
def test_where_one_process_cannot_compile_all_leave_the_call(status, fails_here, monkeypatch):
    """If memory ran out, with the same line and the same record; else with an error that ends the scan in all of them."""
    asked = []

    def agreed(number, is_shared):
        """Return the least of two processes: both have as much memory, and one of them has compiled."""
        asked.append((number, is_shared))
        return number if len(asked) == 1 else float(status)

    monkeypatch.setattr(bounds, "agreed_least", agreed)
    monkeypatch.setattr(bounds, "free_memory", lambda _devices: 1e9)
    trials = Trials(KEY, {Group(1): 1.0})

    def fail(_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory" if status == 0 else "INTERNAL: no kernel")

    def call():
        with bounds.within_memory(trials, 4, Group(4), [], is_shared=True):
            programs.jitted(fail if fails_here else jnp.sin)(jnp.ones(3))

    with pytest.raises((RuntimeError, memory.TooLargeError)) as raised:
        call()
    assert asked == [(1e9, True), (status if fails_here else 1.0, True)]
    assert not trials.memory
    error = raised.value
    if status == 0:
        assert type(error) is memory.TooLargeError
        assert str(error) == "4 together were not tried: there is no memory for compiling them."
    elif fails_here:
        assert "INTERNAL: no kernel" in str(error)
    else:
        assert str(error) == "Another process could not compile 4 together; its message says why."
        assert not isinstance(error, jax.errors.JaxRuntimeError | memory.TooLargeError)


@jax.tree_util.Partial
def loss(params):
    """Compute a number of the parameters, by way of matrices that every point of a group has."""
    return jnp.sum(jnp.tanh(params["w"] @ params["w"]) * params["b"][:, None])


def make_mesh(num_devices):
    """Join some devices; one needs no mesh."""
    return None if num_devices == 1 else jax.make_mesh((num_devices,), ("points",), devices=jax.devices()[:num_devices])


@pytest.fixture
def scan(forget, monkeypatch):
    """Return a function that scans a line on devices with some free memory, and what it has measured and asked for."""

    def run(free, mesh=None, loss_fn=loss):
        forget()
        monkeypatch.setattr(groups, "devices_of", lambda *_: [Device(free)] * (2 if mesh else 1))
        options = {"mesh": mesh, "batching": "measured", "show_progress": False}
        found = probes.scan_line(loss_fn, BASE, step_sizes=np.linspace(0, 1, 320), **options)
        (measured,), (trials,) = groups.measured_batching(), groups._known.values()
        return found, measured, trials.memory

    return run


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_scan_stays_within_memory(num_devices, scan):
    """Between what 4 and 16 points need it stops at 4; a limit that is none changes no bit."""
    mesh = make_mesh(num_devices)
    unbounded, measured, needed = scan(np.inf, mesh)
    assert needed == {}
    bounded, again, needed = scan(1e12, mesh)
    assert again == measured
    jax.tree.map(np.testing.assert_array_equal, bounded[:7], unbounded[:7])
    # Matrices of 24 x 24 float32, at least one for every point.
    one, four, sixteen = (needed[Group(size)] for size in (1, 4, 16))
    assert one < four < sixteen
    assert sixteen - four >= 12 * 24 * 24 * 4
    free = (four + sixteen) // 2
    few, found, _ = scan(free, mesh)
    assert [group for group, time in found.milliseconds.items() if np.isfinite(time)] == [1, 4]
    assert found.batching == 4
    assert f"and {memory.size_text(free)} of memory are free." in found.reason
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), few[:7], unbounded[:7])


@pytest.mark.parametrize("num_devices", [1, 2])
def test_what_was_looked_at_is_what_runs(num_devices, scan, compilations):
    """A scan within memory compiles as many programs as one that knows no limit."""
    mesh = make_mesh(num_devices)
    scan(np.inf, mesh)  # what the first scan of a process compiles
    numbers = []
    for free in (np.inf, 1e12):
        before = compilations()
        # Of another function each time, whose programs nobody has compiled.
        scan(free, mesh, jax.tree_util.Partial(lambda params: loss(params) + 1))
        numbers.append(compilations() - before)
    assert numbers == [5, 5]  # the start, and groups of 1, 4, 16 and 64


@pytest.mark.parametrize(
    ("free", "called", "says"), [(600, [1, 4, 6], None), (560, [1, 4, 6], "need"), (500, [1, 4], "would")]
)
def test_runs_of_a_grid_stay_within_memory(free, called, says, monkeypatch):
    """Groups of 1, 4 and all six need 100, 400 and 600 bytes beside their arguments; what is far too large is not called."""
    calls, in_groups = [], ways._in_groups

    def counted(program, fixed, group_size, *arguments):
        calls.append(group_size or 1)
        return in_groups(program, fixed, group_size, *arguments)

    monkeypatch.setattr(ways, "_in_groups", counted)
    monkeypatch.setattr(groups, "devices_of", lambda *_: [Device(free)])
    predict = lambda _: memory.ProgramMemory(1000, 0, 100 * calls[-1], 0)  # noqa: E731
    monkeypatch.setattr(bounds, "predicted_memory", predict)
    runs = jnp.arange(6.0)
    found = ways.settle(lambda run, shared: 2 * run + shared, (), runs, jnp.ones(()), sweep.Way("measured"))
    assert in_order(calls) == called
    assert len(calls) == 2 * len(called) - (says == "need")
    (measured,) = groups.measured_batching()
    assert found == sweep.Way(6 if says is None else 4, kernels="grouped")
    assert (measured.reason or "None").startswith(
        "None" if says is None else f"6 together were not tried: they {says} "
    )

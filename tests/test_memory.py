"""Limits of memory."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bnjax._host import memory

X = jnp.ones(1000)


def device(stats, process_index=0):
    """Make a device that says what memory it has."""
    return SimpleNamespace(memory_stats=lambda: stats, process_index=process_index)


def test_halves():
    """What does not fit is halved; one thing that does not fit is an error, and other errors stay what they are."""
    full = RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    with pytest.warns(UserWarning, match="8 runs do not fit into memory together: trying 4"):
        assert memory.halved(8, full, "run") == 4
    with pytest.raises(MemoryError, match="One run must fit into the device's memory: RESOURCE_EXHAUSTED"):
        memory.halved(None, full, "run")
    with pytest.raises(RuntimeError, match="something else"):
        memory.halved(8, RuntimeError("something else"), "run")


def test_a_sum_needs_two_arguments_and_a_result():
    """Of a thousand float32 each; a result that is written over an argument is counted once."""
    compiled = jax.jit(lambda x, y: x + y).lower(X, X).compile()
    found = memory.predicted_memory(compiled)
    assert found == (8000, 4000, 0, 0)
    assert (found.total, found.added) == (12000, 4000)
    found = memory.predicted_memory(jax.jit(lambda x: 2 * x, donate_argnums=0).lower(X).compile())
    assert found == (4000, 4000, 0, 4000)
    assert (found.total, found.added) == (4000, 0)


def test_each_of_several_devices_has_its_share():
    """Of an argument that is spread over two, half."""
    mesh = jax.make_mesh((2,), ("x",), devices=jax.devices()[:2])
    spread = jax.device_put(X, jax.NamedSharding(mesh, jax.P("x")))
    assert memory.predicted_memory(jax.jit(lambda x: 2 * x).lower(spread).compile())[:2] == (2000, 2000)


def test_a_compiler_may_predict_nothing():
    """Then nothing is known."""
    assert memory.predicted_memory(SimpleNamespace(memory_analysis=lambda: None)) is None


def unknown():
    """Fail as a backend without statistics of its memory does."""
    raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: memory statistics")


@pytest.mark.parametrize(
    ("devices", "free"),
    [
        ([device({"bytes_limit": 100, "bytes_in_use": 30})], 70),
        ([device({"bytes_limit": 100, "bytes_in_use": 30}), device({"bytes_limit": 80, "bytes_in_use": 20})], 60),
        ([device({"bytes_limit": 100, "bytes_in_use": 30}), device({"bytes_limit": 40}, process_index=1)], 70),
        ([device({"bytes_limit": 100, "bytes_in_use": 110})], 0),
        ([device(None)], np.inf),
        ([device({"bytes_in_use": 30}), device(None)], np.inf),
        ([SimpleNamespace(memory_stats=unknown, process_index=0)], np.inf),
        ([], np.inf),
    ],
)
def test_the_device_with_the_least_free_memory_counts(devices, free):
    """Of this process's devices, those that say what they have."""
    assert memory.free_memory(devices) == free


def test_a_cpu_says_nothing():
    """There is no bound on it."""
    assert memory.free_memory(jax.devices("cpu")) == np.inf


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (3.5e5, "350 kB"), (999_900, "1 MB"), (1.2345e10, "12.3 GB"), (2e12, "2 TB")],
)
def test_bytes_are_written_in_their_unit(num_bytes, text):
    """To three digits."""
    assert memory.size_text(num_bytes) == text

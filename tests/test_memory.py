"""Compiled programs are given back before a process has too many."""

import jax
import jax.numpy as jnp
import pytest

from bnjax._host import memory


def test_programs_are_given_back_when_there_are_many(monkeypatch):
    """Below the share nothing is compiled again, above it everything is."""
    count = []

    @jax.jit
    def program(x):
        count.append(1)
        return x + 1

    for share, compilations in ((0.5, 1), (0.2, 2), (0.0, 3)):
        program(jnp.ones(3))
        monkeypatch.setattr(memory, "_mapped_share", lambda: 0.3)
        memory.free_programs(share)
        program(jnp.ones(3))
        assert len(count) == compilations


def test_maps_are_counted():
    """The share grows with what is compiled, where the system tells."""
    before = memory._mapped_share()
    if not before:
        pytest.skip("this system does not say how many memory maps a process has")
    assert 0 < before < 1


def test_halves():
    """What does not fit is halved; one thing that does not fit is an error, and other errors stay what they are."""
    full = RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    with pytest.warns(UserWarning, match="8 runs do not fit into memory together: trying 4"):
        assert memory.halved(8, full, "run") == 4
    with pytest.raises(MemoryError, match="One run must fit into the device's memory: RESOURCE_EXHAUSTED"):
        memory.halved(None, full, "run")
    with pytest.raises(RuntimeError, match="something else"):
        memory.halved(8, RuntimeError("something else"), "run")

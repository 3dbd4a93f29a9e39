"""Limits of memory."""

import pytest

from bnjax._host import memory


def test_halves():
    """What does not fit is halved; one thing that does not fit is an error, and other errors stay what they are."""
    full = RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    with pytest.warns(UserWarning, match="8 runs do not fit into memory together: trying 4"):
        assert memory.halved(8, full, "run") == 4
    with pytest.raises(MemoryError, match="One run must fit into the device's memory: RESOURCE_EXHAUSTED"):
        memory.halved(None, full, "run")
    with pytest.raises(RuntimeError, match="something else"):
        memory.halved(8, RuntimeError("something else"), "run")

"""`import bnjax` is quick, and enough: every public name is there when it is first asked for."""

import subprocess
import sys

import pytest

import bnjax

FRESH = """
import sys, bnjax
heavy = {"jax", "flax", "optax", "numpy", "matplotlib", "orbax", "tqdm"} & set(sys.modules)
assert not heavy, heavy
assert set(bnjax.__all__) <= set(dir(bnjax))
assert bnjax.__version__.count(".") == 2 and "jax" not in sys.modules
assert bnjax.norms.init_batch_stats(3) and bnjax.probes.scan_line and bnjax.BatchStats
assert "matplotlib" not in sys.modules
from bnjax import *
missing = [name for name in bnjax.__all__ if name not in globals()]
assert not missing, missing
"""


def test_a_fresh_process_imports_nothing_heavy_and_finds_every_name():
    """Modules and types come on first use; a picture's library only where something is drawn."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error():
    """So that `hasattr` and completion work."""
    with pytest.raises(AttributeError, match=r"^module 'bnjax' has no attribute 'probs'$"):
        _ = bnjax.probs
    assert not hasattr(bnjax, "conv")

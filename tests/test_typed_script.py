"""A user's script is checked by pyright as it runs: every name is known, and what is misspelt is found."""

import json
import subprocess
import sys

import pytest

SCRIPT = """\
import jax
import jax.numpy as jnp
from flax import linen as flax_linen
from flax import nnx as flax_nnx

import bnjax
from bnjax import Batch, BatchStats, adapters, linen, nnx, norms, objective, probes

x = jnp.arange(12.0).reshape(3, 4)
layer = nnx.BatchNorm(4, momentum=0.9, rngs=flax_nnx.Rngs(0))
y = layer(x) + nnx.GhostBatchNorm(4, ghost_size=3, epsilon=1e-3, rngs=flax_nnx.Rngs(0))(x)
variance: jnp.ndarray = layer.var[...]
y, stats = norms.batch_norm(x, norms.init_batch_stats(4), train=True)
moved: BatchStats = stats
normed = linen.LayerNorm(epsilon=1e-3).init_with_output(jax.random.key(0), x)
model = adapters.from_linen(flax_linen.Dense(3))
variables = model.init(jax.random.key(0), x)
loss_fn = objective.make_loss_fn(model, variables.batch_stats, Batch(x, jnp.arange(3)))
scan = probes.scan_line(loss_fn, variables.params)
smoothness: float = float(scan.effective_smoothness)
name: str = bnjax.__version__
found = bnjax.probes.scan_plane(loss_fn, variables.params, variables.params, variables.params, (0.0, 1.0), (0.0, 1.0))
"""
MISTAKES = {
    "bnjax.probs": "probs",
    "nnx.GhostBatchNorm(4, ghost_siz=2, rngs=flax_nnx.Rngs(0))": "ghost_siz",
    "nnx.LpNorm(4, momentun=0.9, rngs=flax_nnx.Rngs(0))": "momentun",
    "linen.LayerNorm(axis=1)": "axis",
    "nnx.GroupNorm(4, rngs=flax_nnx.Rngs(0)).var": "var",
    "scan.smoothnes": "smoothnes",
    "norms.batch_norm(x, stats)": "train",
}


def check(path):
    """List what pyright says about a file: (line, message)."""
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, cwd=path.parent).stdout)
    return [(each["range"]["start"]["line"], each["message"]) for each in said["generalDiagnostics"]]


@pytest.mark.thorough
def test_a_script_is_checked(tmp_path):
    """It runs, nothing is said about it, and each mistake is named where it stands."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    subprocess.run([sys.executable, str(path)], check=True)
    assert check(path) == []
    path.write_text(SCRIPT + "\n".join(MISTAKES))
    start, said = SCRIPT.count("\n"), dict(check(path))
    assert len(said) == len(MISTAKES)
    assert all(word in said[start + i] for i, word in enumerate(MISTAKES.values()))

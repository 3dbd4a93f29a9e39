"""Two processes that share each batch train, save and restore as one does."""

import json
import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from two_processes import make_trainer

from bnjax import data, train
from bnjax.checkpoint import Checkpoints
from bnjax.digest import digest
from bnjax.processes import is_first, largest

pytestmark = pytest.mark.thorough


def free_port():
    """Find a port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start(command, **environment):
    """Start a process with two devices."""
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    everything = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *command], env=everything, text=True, cwd=ROOT, **pipes)


def finish(processes):
    """Wait for processes, and return what each has printed; they must all succeed."""
    said = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [output for output, _ in said]


def test_two_processes_train_save_and_restore_as_one(tmp_path):
    """Both end at the losses of one device; what both restore goes on to the same bits, and one device restores it too."""
    script, port = ROOT / "tests" / "two_processes.py", free_port()
    finish([start([script, tmp_path, str(port), "2", str(i)]) for i in range(2)])
    first, second = (json.loads((tmp_path / f"process{i}.json").read_text()) for i in range(2))
    assert first == second
    assert first["devices"] == 4
    assert all(first["same"])

    trainer, split = make_trainer(None), data.load("digits", image_size=8).train
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state)
    assert digest(restored.state) == first["saved"]
    state, metrics = train.run_steps(trainer, state, split, num_steps=6)
    tested = train.evaluate(trainer, state.variables, split)
    np.testing.assert_allclose(first["loss"], [*metrics.loss, tested.loss], rtol=1e-5)


def test_one_process_decides_and_writes_alone():
    """Without jax.distributed nothing is exchanged."""
    assert is_first()
    assert largest(3, True, 0) == (3, True, 0)

"""Two processes that share each batch train, save and restore as one does."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from conftest import ROOT
from two_processes import make_sweep, make_trainer

from bnjax import data, sweep, train
from bnjax._host.digest import digest
from bnjax._host.processes import first, is_first, largest
from bnjax.runs import Checkpoints
from experiments._training import processes
from experiments._training.quiet_libraries import LOST, NOT_THERE

pytestmark = pytest.mark.thorough
COMMAND = "import sys, pathlib, tiny; sys.exit(tiny.call(pathlib.Path(sys.argv[1]), *sys.argv[2:]))"
BATCHES = ("--optimizer.batch-size", "32", "--norm", "batch")


def free_port():
    """Find a port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start(command, num_devices, **environment):
    """Start a process with so many devices."""
    flags = f"--xla_force_host_platform_device_count={num_devices} --xla_backend_optimization_level=0"
    everything = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *command], env=everything, text=True, cwd=ROOT, **pipes)


def finish(processes):
    """Wait for processes, and return what each has printed; they must all succeed."""
    said = [process.communicate(timeout=900) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return [output for output, _ in said]


def test_two_processes_train_save_and_restore_as_one(tmp_path):
    """Both end at the losses of one device; what both restore goes on to the same bits, and one device restores it too.

    A scan runs points together, and a sweep runs, as the first one's clock has it, by which groups of one are the fastest; and
    no more than fit into the memory of both.
    """
    script, port = ROOT / "tests" / "two_processes.py", free_port()
    finish([start([script, tmp_path, str(port), "2", str(i)], 2) for i in range(2)])
    first, second = (json.loads((tmp_path / f"process{i}.json").read_text()) for i in range(2))
    assert first == second
    assert first["devices"] == 4
    assert all(first["same"])
    assert first["batching"] == [1, 4, 16, 1]
    assert first["reason"].startswith("4 together were not tried: they need ")
    assert first["reason"].endswith(" as the compiler predicts, and 0 bytes of memory are free.")
    assert len(first["scan"]) == 97
    batching, together = first["sweep"]
    assert batching == "map"
    program, states, of_all = make_sweep()
    np.testing.assert_allclose(
        together, sweep.run_steps(program, states, of_all, num_steps=4)[1].loss, rtol=1e-4, atol=1e-6
    )

    trainer, split = make_trainer(None), data.load("digits", image_size=8).train
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state)
    assert digest(restored.state) == first["saved"]
    state, metrics = train.run_steps(trainer, state, split, num_steps=6)
    tested = train.evaluate(trainer, state.variables, split)
    np.testing.assert_allclose(first["loss"], [*metrics.loss, tested.loss], rtol=1e-5)


def launch(results, *arguments):
    """Start an experiment in two processes, as Slurm would."""
    job = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2"}
    job["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"  # else a port that follows from the job's number
    command = ["-c", COMMAND, results, *BATCHES, "--distributed", "True", *arguments]
    return [start(command, 1, **job, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)) for i in range(2)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of an experiment in two processes that nobody stopped, and what each of them printed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(launch(folder))


def log(results):
    """Read the metrics of a run."""
    (path,) = results.glob("mlp-*/seed0/metrics.jsonl")
    return path.read_bytes()


def losses(results):
    """Read the losses of a run's steps."""
    lines = map(json.loads, log(results).splitlines())
    return [loss for line in lines if line["kind"] == "train" for loss in line["loss"]]


def test_an_experiment_under_a_launcher(whole, tmp_path, capsys):
    """Its losses are those of one process whose devices share each batch; the first alone prints, and leaves all there is."""
    two, (talking, silent) = whole
    assert "Written:" in talking
    assert "last losses" not in silent
    assert tiny.call(tmp_path, *BATCHES, "--batching", "sharded") == 0
    np.testing.assert_allclose(losses(two), losses(tmp_path), rtol=1e-4)
    before = log(two)
    assert tiny.call(two, *BATCHES) == 0  # everything is there
    assert log(two) == before
    (said,) = (line for line in talking.splitlines() if line.startswith("The last losses"))
    assert said in capsys.readouterr().out


def test_a_signal_to_one_process_stops_both(whole, tmp_path):
    """Both save the same step and stop; started again, they come to the log of processes that nobody stopped."""
    stopped = launch(tmp_path, "--checkpoint-seconds", "0")
    while not list(tmp_path.glob("mlp-*/seed0/checkpoints/bnjax_20")):
        assert all(process.poll() is None for process in stopped), [process.communicate() for process in stopped]
        time.sleep(0.01)
    stopped[1].send_signal(signal.SIGTERM)
    for process in stopped:
        process.communicate(timeout=900)
    assert [process.returncode for process in stopped] == [128 + signal.SIGTERM] * 2
    assert not list(tmp_path.glob("*/finished.json"))
    finish(launch(tmp_path))
    assert log(tmp_path) == log(whole[0])


@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_dies_the_other_ends_in_one_line(killed, tmp_path):
    """It does not wait, and the same command continues."""
    both = launch(tmp_path, "--checkpoint-seconds", "0")
    while not list(tmp_path.glob("mlp-*/seed0/checkpoints/bnjax_20")):
        assert all(process.poll() is None for process in both), [process.communicate() for process in both]
        time.sleep(0.01)
    both[killed].kill()
    _, said = both[1 - killed].communicate(timeout=90)
    assert both[1 - killed].returncode in (1, -signal.SIGABRT)
    is_bar = re.compile(r"\|.*\d/\d+ \[")
    assert [line for line in said.splitlines() if line.strip() and not is_bar.search(line)] == [LOST]
    both[killed].communicate()


@pytest.mark.parametrize("there", [0, 1])
def test_one_that_never_comes_is_said(there, tmp_path, monkeypatch):
    """First that it is missing, within a minute; then this process ends."""
    assert processes._QUIET < 60
    settings = "from experiments._training import processes; processes._QUIET, processes._PATIENCE = 1, 8; "
    monkeypatch.setattr(sys.modules[__name__], "COMMAND", settings + COMMAND)
    both = launch(tmp_path)
    both[1 - there].kill()
    _, said = both[there].communicate(timeout=300)
    assert both[there].returncode == -signal.SIGABRT
    first, last = said.splitlines()
    assert first == "note: Not all processes of this job are there after 1 s; they have 8 s to come."
    assert last == NOT_THERE
    both[1 - there].communicate()


def test_without_a_launcher_processes_are_not_joined(tmp_path):
    """One line says who would have to start them."""
    process = start(["-c", COMMAND, tmp_path, "--distributed", "True"], 1)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 2
    assert said.startswith(
        "error: distributed must be for processes that Slurm, Open MPI, Kubernetes or a TPU pod slice"
    )
    assert len(said.splitlines()) == 1


def test_one_process_decides_and_writes_alone():
    """Without jax.distributed nothing is exchanged."""
    assert is_first()
    assert largest(3, True, 0) == (3, True, 0)
    assert first(0.5, 2.0) == (0.5, 2.0)

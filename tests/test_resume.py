"""A run that is killed or stopped, again and again, ends in the state and the log of one that was not."""

import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest
import tiny
from conftest import ROOT
from disturbed import folder_of

from bnjax import train
from bnjax.runs import read_json
from bnjax.runs.checkpoint import Checkpoints, digest
from experiments import quickstart
from experiments._config import change
from experiments._presets import with_and_without
from experiments._training.tasks import make_task

CONFIG = change(quickstart.PRESETS["smoke"], schedule={"num_steps": 160, "eval_every": 40}, optimizer={"momentum": 0.9})
RUNS = {f"{folder_of(arm)}/seed0": arm for arm in with_and_without(CONFIG).values()}
STEPS = ["--schedule.num-steps", "160", "--schedule.eval-every", "40", "--optimizer.momentum", "0.9"]
COMMAND = [sys.executable, "-m", "experiments", "quickstart", "--preset", "smoke", "--checkpoint-seconds", "0", *STEPS]


@pytest.fixture(scope="module")
def start():
    """Return a function that starts the command with its results in a folder."""

    def start(folder):
        return subprocess.Popen(
            [*COMMAND, "--results", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    """The results of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder


def logged(folder):
    """Count the bytes logged so far by all runs below a folder."""
    return sum(file.stat().st_size for file in folder.glob("vgg-*/seed0/metrics.jsonl"))


def final_states(folder):
    """Restore the last state of each run, and return its digest."""
    digests = {}
    for run, config in RUNS.items():
        task = make_task(config.net(), None)
        images = task.load(0).train.images
        like = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *images.shape[1:])))
        with Checkpoints(folder / run / "checkpoints") as checkpoints:
            restored = checkpoints.restore(like)
        assert restored.step == int(restored.state.step) == 160
        digests[run] = digest(restored.state)
    return digests


def assert_same_results(folder, expected):
    """Compare final states, logs and figure data of two results folders."""
    assert final_states(folder) == final_states(expected)
    for run in RUNS:
        log, other = (root / run / "metrics.jsonl" for root in (folder, expected))
        assert log.read_bytes() == other.read_bytes()
    runs, others = (read_json(next(root.glob("quickstart-*/quickstart-*.json")))["arms"] for root in (folder, expected))
    for arms in (runs, others):
        for run in (run for runs_of_arm in arms.values() for run in runs_of_arm):
            del run["seconds"]
    assert runs == others


STATUS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}


@pytest.mark.thorough
def test_interrupted(start, uninterrupted, tmp_path):
    """Killed and asked to stop at random moments, in both arms, the run ends bit for bit as if it had been left alone."""
    rng, whole = random.Random(0), logged(uninterrupted)
    signals = [signal.SIGKILL, signal.SIGTERM]
    for i, number in enumerate(signals):
        process = start(tmp_path)
        target = whole * (i + rng.random()) / len(signals)
        while process.poll() is None and logged(tmp_path) < target:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(number)
        output, errors = process.communicate()
        assert process.returncode == STATUS[number], errors
        if number != signal.SIGKILL:
            assert "The same command continues" in output
            assert "Traceback" not in errors
    process = start(tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same_results(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "num_saves"), [("0", 6), ("0.001", 2)])
def test_slow_checkpoints_are_rare(seconds, num_saves, tmp_path, monkeypatch):
    """They take no more than 2 % of the time, unless every measurement is to be saved: here the first one and the last."""
    saves, save = [], Checkpoints.save

    def slow(*arguments, **options):
        saves.append(1)
        time.sleep(0.3)
        return save(*arguments, **options)

    monkeypatch.setattr(Checkpoints, "save", slow)
    assert tiny.call(tmp_path, "--checkpoint-seconds", seconds) == 0
    assert len(saves) == num_saves

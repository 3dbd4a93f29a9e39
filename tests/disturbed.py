"""What disturbs runs of the tiny experiment, and how those that were disturbed are compared with those that were not."""

import os
import re
import signal
import time

import jax
import jax.numpy as jnp
import tiny

from bnjax import train
from bnjax._host.digest import digest
from bnjax.runs import Checkpoints, folder_name, read_json
from bnjax.runs.folder import STEP_PREFIX
from bnjax.sweep.loop import Crew
from experiments._training.experiment import facts
from experiments._training.tasks import make_task


def folder_of(config):
    """Name the folder of a configuration's runs."""
    return folder_name(config.kind, config.identity(**facts(make_task(config.net(), None))))


CONFIG = tiny.PRESETS["smoke"]
FOLDER = folder_of(CONFIG)
AT_ONCE = ("--checkpoint-seconds", "0")


def steps(run):
    """List the steps of a run's checkpoints that are whole, and count what else is there."""
    names = [file.name.removeprefix(f"{STEP_PREFIX}_") for file in (run / "checkpoints").iterdir()]
    return sorted(int(name) for name in names if name.isdigit()), sum(not name.isdigit() for name in names)


def last_state(run, config):
    """Restore a run's last state; return its step and digest."""
    task = make_task(config.net(), None)
    images = task.load(0).train.images
    like = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *images.shape[1:])))
    with Checkpoints(run / "checkpoints") as checkpoints:
        restored = checkpoints.restore(like)
    return restored.step, digest(restored.state)


def assert_same(results, expected, config=CONFIG):
    """Compare states, logs and data of two folders of results."""
    runs = sorted(run.relative_to(expected) for run in expected.glob("mlp-*/seed*"))
    assert runs == sorted(run.relative_to(results) for run in results.glob("mlp-*/seed*"))
    assert len(runs) == len(config.seeds)
    for run in runs:
        assert last_state(results / run, config) == last_state(expected / run, config)
        assert (results / run / "metrics.jsonl").read_bytes() == (expected / run / "metrics.jsonl").read_bytes()
    nets, others = (read_json(next(root.glob("tiny-*/tiny-*.json")))["arms"]["net"] for root in (results, expected))
    assert [net | {"seconds": 0} for net in nets] == [net | {"seconds": 0} for net in others]


def logged(results):
    """Count the bytes that all runs have logged."""
    return sum(log.stat().st_size for log in results.glob("mlp-*/seed*/metrics.jsonl"))


def at_chunk(monkeypatch, number, *actions):
    """Do something before the chunk of this number, counted from 0, and something before each of the next ones."""
    chunk, seen = Crew.take_chunk, []

    def counted(*arguments):
        seen.append(1)
        if 0 <= len(seen) - 1 - number < len(actions):
            actions[len(seen) - 1 - number]()
        return chunk(*arguments)

    monkeypatch.setattr(Crew, "take_chunk", counted)


def send(number):
    """Return a function that sends this process a signal, and comes back once it was handled."""

    def act():
        os.kill(os.getpid(), number)
        while signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN):
            time.sleep(0.001)

    return act


def stopped_at(results, monkeypatch, chunk):
    """Make a run that was stopped before the end of a chunk, counted from 0; return its folder."""
    with monkeypatch.context() as patch:
        at_chunk(patch, chunk, send(signal.SIGTERM))
        assert tiny.call(results, *AT_ONCE) == 143
    return results / FOLDER / "seed0"


def complaints(capsys):
    """List the lines on standard error that are no progress bar's."""
    return re.findall("(?:Warning|error|Saved again): ?[^\r\n]*", capsys.readouterr().err)

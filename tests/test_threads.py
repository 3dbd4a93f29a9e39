"""Runs side by side: the same bits as one after another, an error stops the others, and their seconds add up."""

import json
import threading
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from bnjax import sweep
from bnjax.sweep import ways
from bnjax.sweep.signals import Interrupted, StopRequest
from bnjax.sweep.threads import SharedClock, run_all
from experiments._config import MLPRun, NoNorm, Options, Schedule, change
from experiments._training.experiment import train_all

MLP = change(
    MLPRun(),
    data={"dataset": "digits"},
    model={"hidden": (8,)},
    schedule=Schedule(num_steps=40, eval_every=20, probe_every=20),
).measuring("percentiles")


def test_jobs_run_side_by_side():
    """As many as were asked for are at work at once."""
    together = threading.Barrier(3, timeout=30)
    run_all([together.wait] * 6, StopRequest(), parallel=3)
    with pytest.raises(threading.BrokenBarrierError):
        run_all([threading.Barrier(2, timeout=0.2).wait] * 2, StopRequest(), parallel=1)


def test_threads_end():
    """None is left, whether the jobs end or fail."""

    def fails():
        raise ValueError("no such thing.")

    before = threading.active_count()
    run_all([lambda: None] * 4, StopRequest(), parallel=4)
    with pytest.raises(ValueError, match="no such thing"):
        run_all([fails] * 4, StopRequest(), parallel=4)
    assert threading.active_count() == before


def test_an_error_stops_the_others():
    """Jobs at work see that they are to stop, those behind them are left out, and the error is the one that is raised."""
    stop, began, late = StopRequest(), threading.Event(), []

    def works():
        began.set()
        while not stop.asked:
            time.sleep(0.001)
        raise Interrupted(0)

    def fails():
        began.wait()
        raise ValueError("no such thing.")

    with pytest.raises(ValueError, match="no such thing"):
        run_all([works, fails, lambda: late.append(1)], stop, parallel=2)
    assert not late


def test_no_more_runs_at_once_than_threads(monkeypatch, trainer, synthetic):
    """A run waits for the one before it in its thread."""
    one, begun, pending = ways._one, [], []

    def call(*arguments):
        pending.append(sum(not found.is_ready() for found in begun))
        begun.append(one(*arguments))
        return begun[-1]

    def work(_trainer, state, _split):  # takes some milliseconds
        return jax.lax.fori_loop(0, 20, lambda _, a: jnp.tanh(a @ a), jnp.eye(200) + state.step).sum()

    monkeypatch.setattr(ways, "_one", call)
    monkeypatch.setattr(ways, "count_cores", lambda: 1)
    (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(6)))
    states = sweep.init_states(program, jnp.zeros((1, 8, 8, 3)))
    sweep.measure(work, program, states, synthetic.train, way=sweep.Way("threads"))
    assert pending == [0] * 6


def test_jobs_with_a_thread_each_are_all_begun():
    """They may wait for one another: one that is left out would keep the others waiting."""
    ended, left = threading.Event(), []

    def waits():
        assert ended.wait(30)

    def refused():
        raise ValueError("no such thing.")

    def leaves():
        left.append(1)
        if len(left) == 30:
            ended.set()

    with pytest.raises(ValueError, match="no such thing"):
        run_all([waits, refused, *[leaves] * 30], StopRequest(), parallel=32)


def test_seconds_add_up():
    """Runs at work at the same time have half of its seconds each."""
    clock, start = SharedClock(), time.perf_counter()
    with clock.running() as first:
        time.sleep(0.05)
        with clock.running() as second:
            time.sleep(0.05)
            found = [first(), second()]
        found[0] = first()
    assert found[1] >= 0.025
    assert sum(found) == pytest.approx(time.perf_counter() - start, abs=0.02)
    assert found[0] - found[1] >= 0.05


@pytest.mark.slow
def test_runs_side_by_side_have_the_same_bits(tmp_path):
    """Logs of nets and seeds that were trained at the same time are those of one after another; equal arms train once."""
    arms = {"plain": replace(MLP, norm=NoNorm(), seeds=(0, 1, 2)), "batch_norm": MLP, "again": MLP}
    found = []
    for parallel in (1, 4):
        folder = tmp_path / str(parallel)
        data = train_all({"arms": arms}, Options(results=str(folder), parallel=parallel))
        assert min(run["seconds"] for runs in data["arms"].values() for run in runs) > 0
        assert json.dumps(data["arms"]["again"]) == json.dumps(data["arms"]["batch_norm"])
        logs = sorted(folder.glob("*/*/metrics.jsonl"))
        found.append({log.relative_to(folder): log.read_bytes() for log in logs})
    assert found[0] == found[1]
    assert len(found[0]) == 4

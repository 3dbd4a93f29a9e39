"""Runs that take their steps together are those of single runs, diverge alone, and continue where they were stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bnjax import sweep
from bnjax.sweep.signals import Interrupted
from experiments._config import MLPRun, NoNorm, Options, Schedule, change
from experiments._presets import SMOKE_DEEP_LINEAR
from experiments._training.experiment import train_all

pytestmark = pytest.mark.slow

MLP = change(
    MLPRun(seeds=(0, 1)),
    data={"dataset": "digits"},
    model={"hidden": (8,)},
    schedule=Schedule(num_steps=40, eval_every=20, probe_every=20),
)
DEEP_LINEAR = change(SMOKE_DEEP_LINEAR, model={"depth": 5})
ARMS = {
    "slow": change(MLP, optimizer={"learning_rate": 0.1}),
    "fast": MLP,
    "diverges": change(MLP, optimizer={"learning_rate": 3e38}, seeds=(0,)),
    "plain": replace(MLP, norm=NoNorm()),
}


def train_arms(folder, batching, arms=ARMS):
    """Train the arms, and return their curves."""
    options = Options(results=str(folder), batching=batching)
    return train_all({"arms": arms}, options)["arms"]


def assert_alike(found, expected):
    """Compare curves up to rounding."""
    for arm, runs in expected.items():
        for run, other in zip(found[arm], runs, strict=True):
            assert run["diverged_at"] == other["diverged_at"]
            np.testing.assert_allclose(run["train"]["loss"], other["train"]["loss"], rtol=1e-3)
            accuracies = (np.array(each["test"].get("accuracy", []), float) for each in (run, other))
            np.testing.assert_allclose(*accuracies, atol=0.01)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The curves of runs in threads of their own."""
    return train_arms(tmp_path_factory.mktemp("single"), "threads")


@pytest.mark.parametrize("batching", ["map", pytest.param("vmap", marks=pytest.mark.thorough)])
def test_runs_are_as_if_alone(batching, single, tmp_path, monkeypatch):
    """Learning rates and seeds of a net are one program, and come out as single runs do, the one that diverges too."""
    sizes, run_steps = [], sweep.run_steps

    def counted(*arguments, active, **options):
        sizes.append((len(active), int(active.sum())))
        return run_steps(*arguments, active=active, **options)

    monkeypatch.setattr("bnjax.sweep.loop.run_steps", counted)
    assert_alike(train_arms(tmp_path, batching), single)
    assert sizes == [(5, 5), (5, 4), (2, 2), (2, 2)]


@pytest.mark.thorough
def test_runs_with_data_of_their_own(tmp_path):
    """Deep linear networks, of which every seed draws its own map, are as if alone too."""
    arms = {"batch_norm": replace(DEEP_LINEAR, seeds=(0, 1))}
    assert_alike(train_arms(tmp_path / "a", "vmap", arms), train_arms(tmp_path / "b", "threads", arms))


@pytest.mark.thorough
def test_runs_continue_where_they_were_stopped(tmp_path, monkeypatch):
    """Stopped after a chunk, all runs are saved, and end in the bits of what was not stopped."""
    arms = {"fast": ARMS["fast"], "slow": ARMS["slow"]}
    whole = train_arms(tmp_path / "whole", "map", arms)
    run_steps = sweep.run_steps

    def stopping(*arguments, **options):
        asked[0].ask()
        return run_steps(*arguments, **options)

    asked = []
    monkeypatch.setattr("bnjax.sweep.loop.StopRequest.__enter__", lambda stop: asked.append(stop) or stop)
    with monkeypatch.context() as patch:
        patch.setattr("bnjax.sweep.loop.run_steps", stopping)
        with pytest.raises(Interrupted):
            train_arms(tmp_path / "stopped", "map", arms)
    found = train_arms(tmp_path / "stopped", "map", arms)
    for runs in (*whole.values(), *found.values()):
        for run in runs:
            del run["seconds"]
    assert json.dumps(found) == json.dumps(whole)


@pytest.mark.thorough
@pytest.mark.parametrize("config", [MLP, DEEP_LINEAR], ids=["mlp", "deep_linear"])
@pytest.mark.parametrize("batching", ["map", pytest.param("vmap", marks=pytest.mark.thorough)])
def test_a_run_that_is_lost_comes_back_to_the_same_bits(batching, config, tmp_path):
    """Trained again beside runs that are finished, it is what it was when all were trained."""
    arms = {"fast": replace(config, seeds=(0, 1, 2))}
    whole = train_arms(tmp_path, batching, arms)
    (lost,) = tmp_path.glob("*/seed1")
    lost.rename(tmp_path / "lost")
    found = train_arms(tmp_path, batching, arms)
    for runs in (whole["fast"], found["fast"]):
        del runs[1]["seconds"]
    assert json.dumps(found) == json.dumps(whole)

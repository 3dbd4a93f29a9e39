"""A net is trained once: to the longest length that is asked, with every probe that is asked, to the bits of less."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from disturbed import AT_ONCE, at_chunk, folder_of, last_state, send

from bnjax import data, train
from bnjax.runs import read_json, read_metrics
from bnjax.sweep.signals import Interrupted
from experiments import _presets as presets
from experiments._config import BatchNorm, DeepLinearRun, MLPRun, NoNorm, Options, VGGRun, change
from experiments._training.asked import Asked, from_json
from experiments._training.experiment import collect, list_nets, train_all
from experiments._training.nets import train_nets
from experiments._training.tasks import make_task

pytestmark = pytest.mark.slow

SHORT = change(tiny.PRESETS["smoke"], schedule={"num_steps": 40})
LONG = change(SHORT, schedule={"num_steps": 70, "probe_every": 7, "eval_every": 35})
PROBED = change(SHORT.measuring("landscape"), schedule={"num_steps": 40, "probe_every": 5, "eval_every": 10})


def options(folder, **more):
    """Say where results are, with a checkpoint after every chunk."""
    return Options(results=str(folder), checkpoint_seconds=0.0, **more)


def trained(folder, *configs, **more):
    """Train nets, each as an arm of one experiment; return their curves."""
    found = train_all({"arms": {str(i): config for i, config in enumerate(configs)}}, options(folder, **more))
    return [found["arms"][str(i)][0] for i in range(len(configs))]


def without_time(curves):
    """Leave out how long it took."""
    return curves | {"seconds": 0}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What each configuration gives by itself."""
    root = tmp_path_factory.mktemp("alone")
    return {config: trained(root / str(i), config)[0] for i, config in enumerate((SHORT, LONG, PROBED))}


@pytest.fixture
def steps_taken(monkeypatch):
    """Note how many steps are taken at a time."""
    noted, run_steps = [], train.run_steps

    def counted(*arguments, num_steps):
        noted.append(num_steps)
        return run_steps(*arguments, num_steps=num_steps)

    monkeypatch.setattr("bnjax.train.run_steps", counted)
    return noted


def test_shared_nets_are_trained_once(alone, steps_taken, tmp_path):
    """Whoever asks, in whatever order, gets what it would get alone; the steps are taken once, however they are cut."""
    found = trained(tmp_path, SHORT, LONG, PROBED)
    assert sum(steps_taken) == 70
    assert [without_time(curves) for curves in found] == [without_time(alone[c]) for c in (SHORT, LONG, PROBED)]
    (folder,) = tmp_path.glob("mlp-*/seed0")
    assert folder.parent.name == folder_of(SHORT) == folder_of(LONG)
    log = read_metrics(folder / "metrics.jsonl")
    assert {line["kind"] for line in log} == {"train", "test", "landscape"}
    assert [line["step"] for line in log if line["kind"] == "landscape"] == list(range(0, 40, 5))
    del steps_taken[:]
    assert trained(tmp_path, PROBED) + trained(tmp_path, SHORT) == [found[2], found[0]]
    assert steps_taken == []
    assert found[0]["seconds"] < found[1]["seconds"]


def test_a_longer_run_continues(alone, steps_taken, tmp_path):
    """From the last checkpoint of the shorter one, to the bits of one that was longer from the start."""
    trained(tmp_path, SHORT)
    (longer,) = trained(tmp_path, change(LONG, schedule={"probe_every": 10, "eval_every": 70}))
    assert sum(steps_taken) == 70
    assert longer["train"] == alone[LONG]["train"]
    assert longer["test"]["loss"][-1] == alone[LONG]["test"]["loss"][-1]


def test_a_run_that_lacks_a_probe_is_trained_again(alone, tmp_path, capsys, monkeypatch):
    """It says so first, with its time; the finished one stays until the new one is finished, with all that was asked before."""
    first = trained(tmp_path, SHORT)[0]
    (folder,) = tmp_path.glob("mlp-*/seed0")
    before, text = read_metrics(folder / "metrics.jsonl"), (folder / "finished.json").read_text()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(signal.SIGTERM))
        with pytest.raises(Interrupted):
            trained(tmp_path, PROBED)
    output = capsys.readouterr().out
    assert f"{folder.parent.name}/seed0 (0, seed 0) lacks some of what is measured now (landscape, test): " in output
    assert ": it is trained from step 0 to 40 in about" in output
    assert "until then, the finished one of 40 steps stays" in output
    assert read_metrics(folder / "metrics.jsonl") == before
    assert trained(tmp_path, SHORT) == [first]
    assert without_time(trained(tmp_path, PROBED)[0]) == without_time(alone[PROBED])
    assert (folder / "finished.json").read_text() != text
    assert [path.name for path in folder.parent.glob("seed*")] == ["seed0"]
    assert without_time(trained(tmp_path, SHORT)[0]) == without_time(first)


def test_a_process_that_ends_while_a_run_is_replaced(alone, steps_taken, tmp_path):
    """Wherever it ended, the next one finds the new run in its place, and trains nothing."""
    trained(tmp_path, PROBED)
    (folder,) = tmp_path.glob("mlp-*/seed0")
    again, old = folder.with_name("seed0.again"), folder.with_name("seed0.replaced")
    shutil.copytree(folder, old)
    for moves in ([(folder, again)], [(folder, again), (old, folder)]):
        for source, target in moves:
            source.rename(target)
        shutil.copytree(again, old, dirs_exist_ok=True)
        del steps_taken[:]
        assert without_time(trained(tmp_path, PROBED)[0]) == without_time(alone[PROBED])
        assert steps_taken == []
        assert [path.name for path in folder.parent.glob("seed*")] == ["seed0"]
        shutil.copytree(folder, old)


def test_without_its_checkpoints_a_longer_run_starts_at_the_beginning(alone, tmp_path, capsys):
    """It says so; the shorter one stays until then."""
    trained(tmp_path, SHORT)
    (folder,) = tmp_path.glob("mlp-*/seed0")
    shutil.rmtree(folder / "checkpoints")
    longer = trained(tmp_path, LONG)[0]
    assert "has no checkpoint to go on from: it is trained from step 0 to 70" in capsys.readouterr().out
    assert without_time(longer) == without_time(alone[LONG])


def test_what_follows_is_measured_at_once(alone, steps_taken, tmp_path):
    """Of several experiments, the first one trains shared nets for all of them."""
    nets, later = (list_nets({"arms": {"net": config}}, options(tmp_path)) for config in (SHORT, PROBED))
    found = collect(nets, train_nets(nets.values(), options(tmp_path), later.values()))
    assert without_time(found["arms"]["net"][0]) == without_time(alone[SHORT])
    assert sum(steps_taken) == 40
    assert without_time(trained(tmp_path, PROBED)[0]) == without_time(alone[PROBED])
    assert sum(steps_taken) == 40


def test_a_run_that_was_to_be_longer_is_no_burden(alone, steps_taken, tmp_path, monkeypatch):
    """Whoever asks for less gets it: nothing more is trained than is asked, and what was trained counts."""
    far = change(SHORT, schedule={"num_steps": 400})
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(signal.SIGTERM))
        with pytest.raises(Interrupted):
            trained(tmp_path, far)
    assert sum(steps_taken) == 30
    assert without_time(trained(tmp_path, SHORT)[0]) == without_time(alone[SHORT])
    assert sum(steps_taken) == 40
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(signal.SIGTERM))
        with pytest.raises(Interrupted):
            trained(tmp_path, far)
    assert sum(steps_taken) == 70
    middle = change(SHORT, schedule={"num_steps": 60})
    assert len(trained(tmp_path, middle)[0]["train"]["step"]) == 60
    assert sum(steps_taken) == 70
    trained(tmp_path, change(SHORT, schedule={"num_steps": 80}))
    assert sum(steps_taken) == 80


def test_a_test_that_the_last_step_lacks(tmp_path):
    """A finished run is trained again for it, even if nothing else is missing."""
    config = change(SHORT, norm=BatchNorm(), schedule={"num_steps": 20, "eval_every": 20})
    trained(tmp_path, config)
    again = trained(tmp_path, change(config, schedule={"recalibrated_tests": True}))[0]
    assert len(again["test"]["recalibrated_loss"]) == 1


def test_what_diverges_is_the_same_for_whoever_asks(tmp_path):
    """However far the log goes on behind the step whose loss was not finite."""
    configs = [change(config, optimizer={"learning_rate": 1e30}) for config in (SHORT, LONG, PROBED)]
    alone = [trained(tmp_path / str(i), config)[0] for i, config in enumerate(configs)]
    assert all(0 < curves["diverged_at"] < 40 for curves in alone)
    together = trained(tmp_path / "together", *configs)
    assert [json.dumps(without_time(curves)) for curves in together] == [
        json.dumps(without_time(curves)) for curves in alone
    ]
    assert json.dumps(trained(tmp_path / "together", configs[1])[0]) == json.dumps(together[1])


@pytest.mark.thorough
@pytest.mark.parametrize("run", [presets.SMOKE, change(tiny.PRESETS["smoke"], norm=NoNorm())], ids=["vgg", "mlp"])
def test_steps_have_the_same_bits_however_they_are_cut(run):
    """Also one by one, for which XLA would make another program."""
    task = make_task(run.net(), None)
    split = task.load(0).train

    def end(chunks):
        state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
        losses = []
        for num_steps in chunks:
            state, metrics = train.run_steps(task.stepper, state, split, num_steps=num_steps)
            losses += np.asarray(metrics.loss).tolist()
        return losses, [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)]

    assert end([6]) == end([1, 3, 1, 1])


@pytest.mark.thorough
@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_runs_that_are_trained_together_are_cut_alike(batching, tmp_path):
    """Also by those who ask for chunks of one step."""
    seeds = {"seeds": (0, 1)}
    configs = [change(config, norm=BatchNorm(), **seeds) for config in (SHORT, LONG)]
    alone = [trained(tmp_path / str(i), config, batching=batching)[0] for i, config in enumerate(configs)]
    together = trained(tmp_path / "together", *configs, batching=batching)
    assert [without_time(curves) for curves in together] == [without_time(curves) for curves in alone]


def test_other_data_are_another_run(tmp_path, capsys, monkeypatch):
    """Data of the same name that differ are trained on by themselves, and a line names both folders."""
    trained(tmp_path, SHORT)
    digits = data.load("digits")
    fewer = data.Dataset(
        jax.tree.map(lambda leaf: leaf[:600] if len(leaf) == 1500 else leaf, digits.train), digits.test
    )
    load = data.load
    monkeypatch.setattr("bnjax.data.load", lambda name, **more: fewer if more["data_dir"] else load(name, **more))
    capsys.readouterr()
    trained(tmp_path, SHORT, data_dir="elsewhere")
    folders = sorted(path.parent.name for path in tmp_path.glob("mlp-*/config.json"))
    assert len(folders) == 2
    notes = [line for line in capsys.readouterr().err.splitlines() if "other data" in line]
    assert len(notes) == 1
    assert all(name in notes[0] for name in folders)


def test_how_weights_and_batches_are_drawn_has_a_number():
    """Whoever changes what keys give raises `train.DRAWING`, so that runs of before are not taken for new ones."""
    drawn = {}
    for run in (presets.SMOKE, MLPRun(), DeepLinearRun()):
        task = make_task(change(run, data={"dataset": "digits"}).net() if hasattr(run, "data") else run.net(), None)
        split = task.load(0).train
        state = train.init_state(task.trainer, jax.random.key(0), jnp.zeros((1, *split.images.shape[1:])))
        batch = train.current_batch(task.trainer, state, split)
        weights = sum(float(jnp.sum(jnp.abs(leaf))) for leaf in jax.tree.leaves(state.params))
        drawn[run.kind] = (float(f"{weights:.4g}"), float(f"{float(jnp.sum(jnp.abs(batch.labels))):.4g}"))
    expected = {"vgg": (2607.0, 70.0), "mlp": (1402.0, 251.0), "deep_linear": (931.2, 28510.0)}
    assert (train.DRAWING, drawn) == (2, expected)


def test_what_was_asked_is_read_again():
    """From JSON, with every setting; what is something else is refused."""
    config = VGGRun().measuring("landscape", "drift", "shift")
    asked, choices = Asked.of(config), make_task(config.net(), None).choices
    assert from_json(asked.as_json(), choices) == asked
    with pytest.raises(ValueError, match="it does not say what was asked of a run"):
        from_json({"probes": [{"kind": "landscape"}]}, choices)


@pytest.mark.parametrize("content", ["{", "[]", '{"asked": 3}', '{"asked": [{"probes": [{"kind": "later"}]}]}'])
def test_what_was_asked_is_damaged(content, alone, tmp_path):
    """The log says what was measured; probes of another version are not forgotten."""
    trained(tmp_path, SHORT)
    (folder,) = tmp_path.glob("mlp-*/seed0")
    (folder / "asked.json").write_text(content)
    assert without_time(trained(tmp_path, PROBED)[0]) == without_time(alone[PROBED])
    assert ("later" in (folder / "asked.json").read_text()) == ("later" in content)


def test_results_of_the_committed_length_say_what_was_asked(tmp_path):
    """Beside a run stands what was asked of it; its record says how far it is."""
    assert tiny.call(tmp_path, *AT_ONCE) == 0
    (folder,) = tmp_path.glob("mlp-*/seed0")
    assert read_json(folder / "asked.json")["asked"][0]["num_steps"] == 60
    assert read_json(folder / "finished.json")["num_steps"] == last_state(folder, tiny.PRESETS["smoke"])[0] == 60

"""The one loop: runs are stopped and continued in every way, probes of either kind measure them, folders are refused."""

import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from disturbed import at_chunk, send

from bnjax import data, linen, models, sweep, train
from bnjax._host.digest import digest
from bnjax.runs import latest_step, read_metrics

RUNS = sweep.grid(learning_rate=(0.1, 3e38), seed=(0, 1))
WAYS = ["threads", *(pytest.param(way, marks=pytest.mark.thorough) for way in ("loop", "map", "vmap", 2))]


def make_trainer(learning_rate):
    """Make a small network's trainer."""
    model = models.make_model(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm))
    return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=16)


def norm(_trainer, state, _split):
    """Measure the length of the parameters."""
    return {"norm": optax.tree.norm(state.params)}


def host_norm(_trainer, state, _split):
    """Measure it with NumPy."""
    return {"norm": np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(state.params)))}


def train_grid(way="threads", folder=None, **options):
    """Train the grid in chunks of four steps."""
    options = {"num_steps": 12, "chunk_size": 4, "test_every": 4, "probes": {"norm": norm}, **options}
    way = sweep.Way(way)
    return sweep.train_grid(make_trainer, RUNS, data.load("digits"), way=way, folder=folder, **options)


def bits(found):
    """Return the digest of everything that a grid has come to."""
    return digest(found._replace(runs=[], diverged_at=[])), found.diverged_at


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=str)
def test_ctrl_c_saves_a_grid(number, tmp_path, monkeypatch):
    """Every run that has begun has a checkpoint, long before the next one was due, and the error says where."""
    at_chunk(monkeypatch, 1, send(number))
    with pytest.raises(sweep.Interrupted, match="what was saved is in ") as stopped:
        train_grid("map", tmp_path, save_seconds=1e6)
    assert stopped.value.signal_number == number
    folders = [tmp_path / f"run{i}" for i in range(4)]
    assert [latest_step(folder / "checkpoints") for folder in folders] == [8, 8, 4, 4]
    assert stopped.value.saved == tuple(folders)


@pytest.mark.parametrize("way", WAYS)
def test_stopped_and_lost_runs_come_to_the_same_bits(way, tmp_path, monkeypatch):
    """Stopped after a chunk, with one run lost: it catches up, and all end as if nobody had stopped them."""
    whole = train_grid(way)
    with monkeypatch.context() as patch:
        at_chunk(patch, 1, send(signal.SIGTERM))
        with pytest.raises(sweep.Interrupted):
            train_grid(way, tmp_path)
    assert not (tmp_path / "run0" / "finished.json").exists()
    shutil.rmtree(tmp_path / "run1", ignore_errors=True)
    assert bits(train_grid(way, tmp_path)) == bits(whole)
    with monkeypatch.context() as patch:
        at_chunk(patch, 0, pytest.fail)
        assert bits(train_grid(way, tmp_path)) == bits(whole)


def test_each_run_has_a_folder_and_a_log(tmp_path):
    """The log of a run has its measurements, steps and tests in their order; a run that diverges ends with that."""
    found = train_grid(folder=tmp_path)
    kinds = [line["kind"] for line in read_metrics(tmp_path / "run0" / "metrics.jsonl")]
    assert kinds == ["norm", "train", "test"] * 3
    kinds = [line["kind"] for line in read_metrics(tmp_path / "run2" / "metrics.jsonl")]
    assert kinds == ["norm", "train", "diverged"]
    assert [step is None for step in found.diverged_at] == [True, True, False, False]
    assert sorted(path.name for path in (tmp_path / "run0").iterdir()) == [
        *("checkpoints", "finished.json", "lock", "metrics.jsonl")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["threads", "map"])
def test_a_probe_of_the_host(way):
    """It is called run by run, and measures what a pure one does; its records are listed for each run."""
    found = train_grid(way, probes={"pure": norm, "host": sweep.HostProbe(host_norm)})
    assert [len(records) for records in found.probes["host"]] == [3, 3, 1, 1]
    values = [record["norm"] for record in found.probes["host"][0]]
    np.testing.assert_allclose(values, found.probes["pure"]["norm"][0], rtol=1e-5)


@pytest.mark.slow
def test_measurements_at_chosen_steps():
    """A plan may have chunks of any lengths, and measure and test before the first step and after the last."""
    (program,) = sweep.programs(make_trainer, RUNS[:1])
    plan, dataset = sweep.Plan(7, (0, 2, 7), (0, 7)), data.load("digits")

    def start(inputs):
        return jax.tree.map(lambda leaf: leaf[0], sweep.init_states(program, inputs))

    probe = {"norm": sweep.HostProbe(host_norm)}
    member = sweep.Member("net", "net", None, lambda: dataset, start, probe, {"test": sweep.HostProbe(host_norm)})
    ((run,),) = sweep.train_groups([sweep.Group(program, plan, [member])])
    lines = [(line["kind"], line["step"]) for line in run.records()]
    assert lines == [
        *(("test", 0), ("norm", 0), ("train", 0), ("norm", 2), ("train", 2), ("test", 7), ("norm", 7)),
    ]


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (host_norm, r"bad must be a pure function of JAX arrays, or be wrapped as sweep\.HostProbe\(\.\.\.\): "),
        (
            sweep.HostProbe(lambda *_: {"step": 1}),
            "A probe must not return kind or step, which its log says, bad returns",
        ),
    ],
)
def test_a_probe_that_is_none(probe, message):
    """One line says what is wrong."""
    with pytest.raises(sweep.RunError, match=message):
        train_grid(probes={"bad": probe})


def test_names_of_probes_that_logs_need():
    """One line says which."""
    with pytest.raises(
        ValueError, match="probes must not be called train, test, diverged or recalibrated_test, got test"
    ):
        train_grid(probes={"test": norm})


@pytest.mark.slow
def test_folders_that_are_refused(tmp_path):
    """A grid of before, with one checkpoint for all, is refused, and what was damaged is named."""
    (tmp_path / "old" / "8").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"folder must be this grid's or empty, {tmp_path}/old holds another grid"):
        train_grid(folder=tmp_path / "old")
    train_grid(folder=tmp_path / "new")
    for file in Path(tmp_path, "new", "run1", "checkpoints").glob("*/record/metadata"):
        file.write_text("{")
    with pytest.raises(sweep.RunError, match=r"None of the checkpoints in .*/run1/checkpoints is whole"):
        train_grid(folder=tmp_path / "new")


@pytest.mark.slow
def test_arrays_and_the_loss_of_the_next_step():
    """Arrays of one's own are a split as they are; the loss of a state's next step is the one that the step reports."""
    images = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    split = data.from_arrays(images, np.arange(64) % 10)
    np.testing.assert_array_equal(data.take_batch(split, jnp.arange(64)).inputs, images)
    trainer = make_trainer(0.1)
    state = train.init_state(trainer, jax.random.key(0), jnp.zeros((1, 5)))
    expected = train.current_loss_fn(trainer, state, split)(state.params)
    metrics = train.run_steps(trainer, state, split, num_steps=1)[1]
    np.testing.assert_allclose(metrics.loss[0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels must have one entry for each of the inputs .*, got labels \(3,\)"):
        data.from_arrays(images, np.arange(3))

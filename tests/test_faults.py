"""Runs that are killed, stopped, out of space, damaged or disturbed go on from their last checkpoint, to the same bits."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
import tiny
from conftest import ROOT

from bnjax import train
from bnjax.checkpoint import Checkpoints
from bnjax.digest import digest
from bnjax.records import config_hash, read_json
from experiments import _run
from experiments._tasks import make_task

CONFIG = tiny.PRESETS["smoke"]
FOLDER = f"mlp-{config_hash(CONFIG.identity())}"
AT_ONCE = ("--checkpoint-seconds", "0")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function that returns the results of a run which nothing disturbs, by default of one seed."""
    results = {}

    def make(*arguments):
        arguments = arguments or ("--num-steps", "60", "--seeds", "0")
        if arguments not in results:
            results[arguments] = tmp_path_factory.mktemp("undisturbed")
            assert tiny.call(results[arguments], *AT_ONCE, *arguments) == 0
        return results[arguments]

    return make


def steps(run):
    """List the steps of a run's checkpoints that are whole, and count what else is there."""
    names = [file.name for file in (run / "checkpoints").iterdir()]
    return sorted(int(name) for name in names if name.isdigit()), sum(not name.isdigit() for name in names)


def last_state(run, config):
    """Restore a run's last state; return its step and digest."""
    task = make_task(config.identity(), None)
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
    nets, others = (read_json(next(root.glob("tiny-*/tiny.json")))["arms"]["net"] for root in (results, expected))
    assert [net | {"seconds": 0} for net in nets] == [net | {"seconds": 0} for net in others]


def logged(results):
    """Count the bytes that all runs have logged."""
    return sum(log.stat().st_size for log in results.glob("mlp-*/seed*/metrics.jsonl"))


def at_chunk(monkeypatch, number, *actions):
    """Do something before the chunk of this number, counted from 0, and something before each of the next ones."""
    chunk, seen = _run.Run._chunk, []

    def counted(*arguments):
        seen.append(1)
        if 0 <= len(seen) - 1 - number < len(actions):
            actions[len(seen) - 1 - number]()
        return chunk(*arguments)

    monkeypatch.setattr(_run.Run, "_chunk", counted)


def send(number):
    """Return a function that sends this process a signal, and comes back once it was handled."""

    def act():
        os.kill(os.getpid(), number)
        while signal.getsignal(number) is not signal.SIG_DFL:
            time.sleep(0.001)

    return act


@pytest.mark.parametrize(
    ("kills", "num_steps", "seeds"), [(2, 60, (0,)), pytest.param(20, 500, (0, 1), marks=pytest.mark.thorough)]
)
def test_killed_at_random_times(kills, num_steps, seeds, undisturbed, tmp_path):
    """However often it is killed, wherever it is, a run loses at most a chunk, and ends bit for bit as one left alone."""
    config = replace(CONFIG, num_steps=num_steps, seeds=seeds)
    arguments = ("--num-steps", str(num_steps), "--seeds", *map(str, seeds))
    expected, rng = undisturbed(*arguments), random.Random(kills)
    whole, run = logged(expected), tmp_path / f"mlp-{config_hash(config.identity())}" / "seed0"
    last = 0
    for i in range(kills):
        process = tiny.start(tmp_path, *AT_ONCE, *arguments)
        target = whole * (i + rng.random()) / (kills + 1)
        while process.is_alive() and logged(tmp_path) < target:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "output").read_text()
        if run.exists() and steps(run)[0]:
            assert steps(run)[0][-1] >= last
            last = steps(run)[0][-1]
            trained = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
            assert len(trained) * 10 - last in (0, 10)
    assert last > 0
    process = tiny.start(tmp_path, *arguments)
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert steps(run)[1] == 0
    assert_same(tmp_path, expected, config)


def wait_until_held(process, held):
    """Wait until a chunk has begun that lasts as long as the file `held` is there."""
    while process.is_alive() and not held.with_suffix(".reached").exists():
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(number, status, undisturbed, tmp_path, capsys, monkeypatch):
    """A signal ends the command after the chunk at hand, which is saved; the same command continues."""
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, send(number))
        assert tiny.call(tmp_path) == status
    output, errors = capsys.readouterr()
    assert output.endswith("the same command continues.\n")
    assert "Traceback" not in errors
    assert steps(tmp_path / FOLDER / "seed0") == ([30], 0)
    assert tiny.call(tmp_path) == 0
    assert_same(tmp_path, undisturbed())


@pytest.mark.thorough
@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_asked_to_stop_together(batching, undisturbed, tmp_path, capsys, monkeypatch):
    """Runs that take their steps as one program stop and continue together."""
    arguments = ("--batching", batching, "--seeds", "0", "1", "2")
    with monkeypatch.context() as patch:
        at_chunk(patch, 7, send(signal.SIGTERM))
        assert tiny.call(tmp_path, *arguments) == 143
    assert capsys.readouterr().out.endswith("the same command continues.\n")
    stopped = [steps(run) for run in tmp_path.glob("mlp-*/seed*")]
    assert [(len(whole), others) for whole, others in stopped] == [(1, 0)] * 3
    assert tiny.call(tmp_path, *arguments) == 0
    assert_same(tmp_path, undisturbed(*arguments), replace(CONFIG, seeds=(0, 1, 2)))


@pytest.mark.parametrize(
    ("number", "chunks"),
    [
        (signal.SIGINT, 3),
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, 0, marks=pytest.mark.thorough),
        pytest.param(signal.SIGTERM, 3, marks=pytest.mark.thorough),
    ],
)
def test_asked_twice(number, chunks, undisturbed, tmp_path):
    """A second signal ends the process at once, in the midst of its first compilation or of any chunk; nothing is lost."""
    held = tmp_path / "held"
    if not chunks:
        held.touch()
    process = tiny.start(tmp_path, *AT_ONCE, held=held)
    while process.is_alive() and logged(tmp_path) < chunks * 100:
        time.sleep(0.01)
    held.touch()
    wait_until_held(process, held)
    os.kill(process.pid, number)
    process.join(0.5)
    assert process.exitcode is None, (tmp_path / "output").read_text()
    start = time.perf_counter()
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == -number
    assert time.perf_counter() - start < 1
    assert tiny.call(tmp_path) == 0
    assert_same(tmp_path, undisturbed())


def complaints(capsys):
    """List the lines on standard error that are no progress bar's."""
    return re.findall("(?:Warning|error|Saved again): ?[^\r\n]*", capsys.readouterr().err)


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of 3 MB, and functions that fill it and make space again."""

    def fill():
        with open(tmp_path / "disk" / "filler", "ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs a small tmpfs: {error}")
    if done.returncode:
        pytest.skip(f"needs a small tmpfs: {done.stderr.strip()}")
    yield folder / "results", fill, lambda: (folder / "filler").unlink()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(disk, undisturbed, capsys, monkeypatch):
    """Training goes on and says so once; the exit status is 1, the last checkpoints are there, and nothing of a half one."""
    results, fill, make_space = disk
    run = results / FOLDER / "seed0"
    with monkeypatch.context() as patch:
        at_chunk(patch, 3, fill)
        assert tiny.call(results, *AT_ONCE) == 1
    errors = complaints(capsys)
    begin, end = (
        f"The checkpoint of step {step} could not be written to {run}/checkpoints: No space" for step in (40, 60)
    )
    assert len(errors) == 2, errors
    assert errors[0].startswith(f"Warning: {begin}")
    assert errors[0].endswith("Training goes on; make space, or what comes now is lost.")
    assert errors[1].startswith(f"error: {run} is not saved to the end. {end}")
    assert errors[1].endswith("Make space; the same command continues from what is saved.")
    assert steps(run) == ([20, 30], 0)
    assert not (run / "finished.json").exists()
    make_space()
    assert tiny.call(results, *AT_ONCE) == 0
    assert_same(results, undisturbed())


def test_space_comes_back(disk, undisturbed, capsys, monkeypatch):
    """A save that succeeds after others have failed takes up everything, and says so."""
    results, fill, make_space = disk
    at_chunk(monkeypatch, 2, fill, lambda: None, make_space)
    assert tiny.call(results, *AT_ONCE) == 0
    warning, news = complaints(capsys)
    assert warning.startswith("Warning: The checkpoint of step 30 could not be written")
    assert news == "Saved again: nothing is lost."
    assert_same(results, undisturbed())


def test_stopped_on_a_full_disk(disk, undisturbed, monkeypatch):
    """A signal ends the command as ever; what was saved before is continued."""
    results, fill, make_space = disk
    with monkeypatch.context() as patch:
        at_chunk(patch, 2, fill, send(signal.SIGTERM))
        assert tiny.call(results, *AT_ONCE) == 143
    assert steps(results / FOLDER / "seed0") == ([10, 20], 0)
    make_space()
    assert tiny.call(results) == 0
    assert_same(results, undisturbed())


def test_a_disk_that_is_full_before_and_after_training(disk, undisturbed, capsys, monkeypatch):
    """The file that cannot be written is named in a line; no training is lost that was done."""
    results, fill, make_space = disk
    results.mkdir()
    fill()
    assert tiny.call(results) == 2
    (line,) = complaints(capsys)
    assert re.fullmatch(
        r"error: No space left on device: .*/config\.json\. Make space; the same command continues\.", line
    )
    make_space()

    def run_and_fill(*arguments):
        data = run(*arguments)
        fill()
        return data

    run = tiny.run
    with monkeypatch.context() as patch:
        patch.setattr(tiny, "run", run_and_fill)
        assert tiny.call(results) == 2
    (line,) = complaints(capsys)
    assert re.fullmatch(
        r"error: No space left on device: .*/tiny\.json\. Make space; the same command continues\.", line
    )
    make_space()
    with monkeypatch.context() as patch:
        at_chunk(patch, 0, pytest.fail)
        assert tiny.call(results) == 0
    assert_same(results, undisturbed())


def stopped_at(results, monkeypatch, chunk):
    """Make a run that was stopped before the end of a chunk, counted from 0; return its folder."""
    with monkeypatch.context() as patch:
        at_chunk(patch, chunk, send(signal.SIGTERM))
        assert tiny.call(results, *AT_ONCE) == 143
    return results / FOLDER / "seed0"


def flip(file):
    """Flip a bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file):
    """Leave the first half of a file."""
    os.truncate(file, file.stat().st_size // 2)


def damage_all(run, step, damage):
    """Damage the files that hold the arrays of a checkpoint."""
    for file in (run / "checkpoints" / str(step)).rglob("d/*"):
        damage(file)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a failed read leaves callbacks behind
@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_checkpoint(damage, undisturbed, tmp_path, capsys, monkeypatch):
    """The run goes on from the one before, says so, and ends as ever; without any that is whole, it says what can be done."""
    run = stopped_at(tmp_path, monkeypatch, 3)
    shutil.copytree(run, tmp_path / "copy")
    for step in (30, 40):
        damage_all(run, step, damage)
    assert tiny.call(tmp_path) == 2
    assert complaints(capsys) == [
        f"error: None of the checkpoints in {run}/checkpoints is whole: steps [40, 30]. "
        "Remove that folder to train from the start."
    ]
    shutil.rmtree(run)
    shutil.move(tmp_path / "copy", run)
    damage_all(run, 40, damage)
    assert tiny.call(tmp_path) == 0
    assert "Skipped the checkpoint of step 40: " in capsys.readouterr().out
    assert_same(tmp_path, undisturbed())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hidden", "9"), r"The checkpoint does not fit: at .* it holds float32\[8\], the run needs float32\[9\]\."),
        (("--learning-rate", "0.25"), r".* holds checkpoints of 'mlp-[0-9a-f]{10}/seed0'\. Move that folder away\."),
        (("--seeds", "1"), r".*/seed1 holds checkpoints of 'mlp-[0-9a-f]{10}/seed0'\. Move that folder away\."),
    ],
)
def test_a_checkpoint_of_another_run(arguments, message, tmp_path, capsys, monkeypatch):
    """A folder with what another configuration has left, of another shape or of the same, is refused in one line."""
    run = stopped_at(tmp_path, monkeypatch, 0)
    with monkeypatch.context() as patch:
        at_chunk(patch, 0, send(signal.SIGTERM))
        assert tiny.call(tmp_path / "other", *arguments) == 143
    (other,) = (tmp_path / "other").glob("mlp-*/seed*")
    shutil.rmtree(other)
    shutil.copytree(run, other)
    capsys.readouterr()
    assert tiny.call(tmp_path / "other", *arguments) == 2
    (line,) = complaints(capsys)
    assert re.fullmatch(f"error: {message}", line)


@pytest.mark.thorough
@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8)])
def test_another_number_of_devices(before, after, undisturbed, tmp_path):
    """A run that was stopped on one number of devices goes on with another."""
    flag = "--xla_force_host_platform_device_count="
    others = [flag_ for flag_ in os.environ["XLA_FLAGS"].split() if not flag_.startswith(flag)]
    held = tmp_path / "held"
    held.touch()
    process = tiny.start(tmp_path, held=held, flags=" ".join([*others, f"{flag}{before}"]))
    wait_until_held(process, held)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    held.unlink()
    process.join()
    assert process.exitcode == 143, (tmp_path / "output").read_text()
    assert steps(tmp_path / FOLDER / "seed0") == ([10], 0)
    process = tiny.start(tmp_path, flags=" ".join([*others, f"{flag}{after}"]))
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert_same(tmp_path, undisturbed())


def test_two_processes_on_one_folder(undisturbed, tmp_path, capsys):
    """The second one is refused in one line, before it has touched anything; the first one does not notice."""
    held = tmp_path / "held"
    held.touch()
    process = tiny.start(tmp_path, held=held)
    wait_until_held(process, held)
    assert tiny.call(tmp_path) == 2
    (folder,) = tmp_path.glob("tiny-*")
    assert complaints(capsys) == [f"error: Another process is at work in {folder}."]
    held.unlink()
    process.join()
    assert process.exitcode == 0, (tmp_path / "output").read_text()
    assert_same(tmp_path, undisturbed())


def test_a_figure_folder_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    """It is named before anything is trained."""
    at_chunk(monkeypatch, 0, pytest.fail)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "figures", "/proc/self/figures", "/proc/self"):
        assert tiny.call(tmp_path / "results", "--figures", str(folder)) == 2
        (line,) = complaints(capsys)
        assert re.fullmatch(f"error: [^:]+: {folder}", line)
    assert not (tmp_path / "results").exists()


def test_a_configuration_that_is_refused_leaves_no_folder(tmp_path, capsys):
    """Nothing is left of what could not be run, and what was there stays."""
    arguments = ("--norm-layers", "7")
    assert tiny.call(tmp_path, *arguments) == 2
    assert len(complaints(capsys)) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
def test_a_backend_that_is_not_there(tmp_path):
    """It is named in one line, with what drives it."""
    command = [sys.executable, "-m", "experiments", "quickstart", "--preset", "smoke", "--results", str(tmp_path / "x")]
    environment = {**os.environ, "JAX_PLATFORMS": "cuda"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: JAX finds no device for JAX_PLATFORMS=cuda (")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_reader_that_leaves():
    """Whoever has read enough, as head has, ends the command quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 128 + signal.SIGPIPE
    process.stderr.close()

"""On a full disk training goes on, says so, and loses nothing that can be saved later."""

import errno
import os
import re
import signal
import subprocess

import numpy as np
import pytest
import tiny
from disturbed import AT_ONCE, FOLDER, assert_same, at_chunk, complaints, send, steps

from bnjax import data, models, sweep, train
from bnjax.runs import CheckpointError
from bnjax.sweep.saving import SaveError, Saves
from experiments._evidence.keep import keep

pytestmark = pytest.mark.slow


def mount(folder, options):
    """Mount a small file system in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs a small tmpfs: {error}")
    if done.returncode:
        pytest.skip(f"needs a small tmpfs: {done.stderr.strip()}")


def unmount(folder):
    """Remove it."""
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def few_files(tmp_path):
    """A folder on a disk with space for a few files only, and a function that makes it one of many."""
    folder = tmp_path / "disk"
    mount(folder, "size=30m,nr_inodes=30")
    yield folder / "results", lambda: subprocess.run(["mount", "-o", "remount,nr_inodes=3000", str(folder)], check=True)
    unmount(folder)


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
    mount(folder, "size=3m")
    yield folder / "results", fill, lambda: (folder / "filler").unlink()
    unmount(folder)


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


def test_a_disk_without_inodes(few_files, undisturbed, capsys):
    """It has space; files must go, and both lines say so."""
    results, make_files = few_files
    assert tiny.call(results, *AT_ONCE) == 1
    warning, error = complaints(capsys)
    assert re.search(
        r"No space left on device\. Training goes on; remove files: the disk has inodes for \d+ more", warning
    )
    assert re.search(
        r"Remove files: the disk has inodes for \d+ more, not for enough; the same command continues", error
    )
    make_files()
    assert tiny.call(results, *AT_ONCE) == 0
    assert_same(results, undisturbed())


@pytest.mark.parametrize(
    ("number", "way_out"),
    [(errno.ENOSPC, "make space"), (errno.EDQUOT, "make space, or remove files, until the quota has room")]
    + [(number, "") for number in (errno.EACCES, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EFBIG)],
)
def test_space_is_asked_for_only_where_it_is_wanted(number, way_out, tmp_path):
    """In the warning and at the end, also where the system's error is in tensorstore's words, or the cause of another one."""
    told = []
    saves = Saves(told.append)
    wrapped = CheckpointError(f"The checkpoint could not be written: {os.strerror(number)}.")
    wrapped.__cause__ = ValueError(f"Error writing file [source locations='x', os_error_code='{number}']")
    for error in (OSError(number, os.strerror(number), "file"), wrapped):
        del told[:]
        with saves.attempt(tmp_path):
            raise error
        with pytest.raises(SaveError) as raised:
            saves.check()
        lines = [*told, str(raised.value)]
        assert len(lines) == 2
        assert all(os.strerror(number) in line for line in lines)
        assert all(("make space" in line.lower()) == bool(way_out) for line in lines)
        assert not way_out or (f"; {way_out}, or" in lines[0] and f" {way_out.capitalize()}; the same" in lines[1])
        with saves.attempt(tmp_path):
            pass


def test_space_comes_back(disk, undisturbed, capsys, monkeypatch):
    """A save that succeeds after others have failed takes up everything, and says so."""
    results, fill, make_space = disk
    at_chunk(monkeypatch, 2, fill, lambda: None, make_space)
    assert tiny.call(results, *AT_ONCE) == 0
    warning, news = complaints(capsys)
    assert warning.startswith("Warning: The checkpoint of step 30 could not be written")
    assert news == "Saved again: nothing is lost."
    assert_same(results, undisturbed())


def test_a_full_disk_that_holds_what_is_printed_too(disk, undisturbed, monkeypatch):
    """The warning cannot be written either, nor can the bar: training goes on, and saves once there is space."""
    results, fill, make_space = disk
    monkeypatch.setattr("experiments._training.train._QUIET_SECONDS", 0.0)
    with (results.parent / "log.txt").open("w") as log, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", log)
        patch.setattr("sys.stderr", log)
        at_chunk(patch, 2, fill, lambda: None, make_space)
        assert tiny.call(results, *AT_ONCE) == 0
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

    def keep_and_fill(data, kept):
        fill()
        return keep(data, kept)

    with monkeypatch.context() as patch:
        patch.setattr("experiments._evidence.keep.keep", keep_and_fill)
        assert tiny.call(results) == 2
    (line,) = complaints(capsys)
    assert re.fullmatch(
        r"error: No space left on device: .*/tiny-\w+\.json\. Make space; the same command continues\.", line
    )
    make_space()
    with monkeypatch.context() as patch:
        at_chunk(patch, 0, pytest.fail)
        assert tiny.call(results) == 0
    assert_same(results, undisturbed())


@pytest.mark.thorough
def test_a_grid_on_a_full_disk(disk, monkeypatch):
    """A grid is trained to the end and warns, and its last checkpoint raises; with space again, the same call continues."""
    folder, fill, make_space = disk
    folder.mkdir()

    def make_trainer(learning_rate):
        model = models.make_model(models.MLPConfig(hidden=(8,)))
        return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=16)

    def train_grid(folder):
        runs = sweep.grid(learning_rate=(0.1,), seed=(0, 1))
        options = {"num_steps": 30, "chunk_size": 10, "save_seconds": 0.0, "folder": folder, "way": sweep.Way("map")}
        return sweep.train_grid(make_trainer, runs, data.load("digits"), **options)

    def filling(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            fill()
        return sweep.run_steps(*arguments, **options)

    calls = []
    with monkeypatch.context() as patch:
        patch.setattr("bnjax.sweep.loop.run_steps", filling)
        with (
            pytest.warns(UserWarning, match="No space left on device. Training goes on"),
            pytest.raises(CheckpointError, match="could not be written"),
        ):
            train_grid(folder)
    assert len(calls) == 3
    make_space()
    np.testing.assert_array_equal(train_grid(folder).loss, train_grid(None).loss)

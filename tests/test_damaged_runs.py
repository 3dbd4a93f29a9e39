"""Checkpoints that are damaged, or another run's, are told and passed over, or refused in a line."""

import os
import re
import shutil
import signal

import pytest
import tiny
from disturbed import assert_same, at_chunk, complaints, send, stopped_at

pytestmark = pytest.mark.slow


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
    for file in (run / "checkpoints" / f"bnjax_{step}").rglob("d/*"):
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


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--model.hidden", "9"),
            r"The checkpoint does not fit: at .* it holds float32\[8\], the run needs float32\[9\]\.",
        ),
        (
            ("--optimizer.learning-rate", "0.25"),
            r".* holds checkpoints of 'mlp-[0-9a-f]{10}/seed0'\. Move that folder away\.",
        ),
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

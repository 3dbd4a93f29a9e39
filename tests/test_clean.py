"""`python -m experiments clean`: what results take on disk, and what is removed when asked to."""

import pytest
from reporting import run

from bnjax.runs import lock


@pytest.fixture
def results(tmp_path):
    """Results of a finished run, one at work, one that is not finished, and things that are not ours."""
    for net, seed in (("vgg-1", 0), ("vgg-1", 1), ("mlp-2", 0)):
        folder = tmp_path / "results" / net / f"seed{seed}"
        (folder / "checkpoints" / "40").mkdir(parents=True)
        (folder / "checkpoints" / "40" / "arrays").write_bytes(bytes(2_000_000))
        (folder / "metrics.jsonl").write_text("{}\n")
        if net == "vgg-1":
            (folder / "finished.json").write_text("{}")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(bytes(3_000_000))
    linked = tmp_path / "results" / "vgg-3" / "seed0"
    linked.mkdir(parents=True)
    for name in ("metrics.jsonl", "finished.json"):
        (linked / name).write_text("{}")
    (linked / "checkpoints").symlink_to(outside)
    (tmp_path / "results" / "elsewhere").symlink_to(outside)
    return tmp_path / "results"


def files(folder):
    """List all files below a folder, those that links lead to included."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_it_lists_and_removes_nothing(results, capsys):
    """The largest folder comes first, with what could go; links count as nothing."""
    before = files(results.parent)
    status, output, errors = run(capsys, "clean", "--results", results)
    assert (status, errors) == (0, "")
    rows = [line.split() for line in output.splitlines()]
    assert [row[0] for row in rows[:5]] == ["folder", "vgg-1", "mlp-2", "vgg-3", "all"]
    assert rows[1][1:] == ["4.0", "MB", "4.0", "MB"]
    assert rows[2][1:] == ["2.0", "MB", "0.0", "MB"]
    assert rows[3][1:] == ["0.0", "MB", "0.0", "MB"]
    assert "Nothing was removed." in output
    assert files(results.parent) == before


def test_it_removes_the_checkpoints_of_finished_runs_alone(results, capsys):
    """Logs, runs that are not finished, runs at work and what links lead to stay."""
    before = files(results.parent)
    with lock(results / "vgg-1" / "seed1"):
        status, output, _ = run(capsys, "clean", "--results", results, "--remove")
    assert status == 0
    assert "Removed: 2.0 MB." in output
    assert "Left: Another process is at work in" in output
    gone = "results/vgg-1/seed0/checkpoints/40/arrays"
    assert {*before} - {*files(results.parent)} == {gone}
    assert "Removed: 2.0 MB." in run(capsys, "clean", "--results", results, "--remove")[1]
    assert "Removed: 0.0 MB." in run(capsys, "clean", "--results", results, "--remove")[1]


def test_a_folder_that_is_not_there_is_one_line(capsys, tmp_path):
    """The folder is named."""
    status, output, errors = run(capsys, "clean", "--results", tmp_path / "none")
    assert (status, output, errors) == (2, "", f"error: No such file or directory: {tmp_path / 'none'}\n")


def test_runs_of_every_kind_are_known(results, capsys):
    """Those of the theorems have the net in their name; those of a grid are read again from their checkpoints, and stay."""
    for name, removable in (("plain-seed0", "4.0"), ("run0", "2.0")):
        (results / "vgg-1" / "seed0").rename(results / "vgg-1" / name)
        output = run(capsys, "clean", "--results", results)[1]
        assert output.splitlines()[1].split() == ["vgg-1", "4.0", "MB", removable, "MB"]
        (results / "vgg-1" / name).rename(results / "vgg-1" / "seed0")

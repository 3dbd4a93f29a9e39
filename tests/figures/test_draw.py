"""`python -m experiments draw` draws results from their files."""

import contextlib
import json
import warnings

import numpy as np
import pytest
from drawn import trajectory
from reporting import make_data

from experiments import __main__ as command_line


@pytest.mark.thorough
def test_the_command_draws_results(capsys, tmp_path):
    """Each file's picture is beside it; principal axes that follow a plane are drawn over it."""
    for name, result in zip(("plane", "axes"), trajectory(), strict=True):
        result.save(tmp_path / f"{name}.npz")
    data_files, pictures = ([tmp_path / f"{name}.{end}" for name in ("plane", "axes")] for end in ("npz", "png"))
    command_line.main(["draw", str(data_files[1]), str(data_files[0])])
    assert capsys.readouterr().out == f"{pictures[1]}\n{pictures[0]}\n"
    alone = pictures[0].read_bytes()
    pictures[1].unlink()
    command_line.main(["draw", *map(str, data_files)])
    assert capsys.readouterr().out == f"{pictures[0]}\n"
    assert not pictures[1].exists()
    assert pictures[0].read_bytes() != alone


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "No such file or directory: "),
        ("text.npz", "text", "cannot be drawn (ValueError: "),
        ("data.json", "{}", "cannot be drawn (KeyError: 'experiment')"),
        ("data.json", "text", "cannot be drawn (JSONDecodeError: "),
        ("other.json", '{"experiment": "other"}', "is the data of 'other'; there is no such experiment here."),
        ("picture.png", "", "must be the data of a figure (.json) or the result of a probe (.npz)."),
    ],
)
def test_files_that_cannot_be_drawn_are_one_line(name, content, message, capsys, tmp_path):
    """The file is named, the exit status is 2, and no picture is made."""
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit) as stop:
        command_line.main(["draw", str(tmp_path / name)])
    output, errors = capsys.readouterr()
    assert (stop.value.code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: ")
    assert str(tmp_path / name) in errors
    assert message in errors
    assert list(tmp_path.iterdir()) == ([] if content is None else [tmp_path / name])


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e400", '"\\ud800"', "null", "[" * 300 + "]" * 300])
def test_a_file_that_cannot_be_drawn_costs_its_own_picture(number, capsys, tmp_path):
    """Whatever a number in it is; the file after it is drawn."""
    text = json.dumps(make_data()).replace("[1, 2]", f"[1, {number}]")
    (tmp_path / "landscape.json").write_text(text)
    trajectory()[1].save(tmp_path / "axes.npz")
    with contextlib.suppress(SystemExit), np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        command_line.main(["draw", str(tmp_path / "landscape.json"), str(tmp_path / "axes.npz")])
    printed, errors = capsys.readouterr()
    assert printed.endswith(f"{tmp_path / 'axes.png'}\n")
    assert errors.count("\n") == errors.count("error: ") <= 1


def test_drawing_needs_a_file(capsys):
    """Without one, it says which files there are."""
    with pytest.raises(SystemExit) as stop:
        command_line.main(["draw"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: draw needs a file: the data of a figure (.json) or the result of a probe (.npz).\n"
    )

"""`python -m bnjax.draw` draws results from their files; without matplotlib it says how to install it."""

import subprocess
import sys

import numpy as np
import pytest
from drawn import trajectory

from bnjax.draw import __main__ as command_line

# Finds matplotlib nowhere.
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "mpl_toolkits"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import bnjax, bnjax.draw
from bnjax.draw.__main__ import main
main()
"""


@pytest.fixture
def saved(tmp_path):
    """A plane, and the principal axes that it was scanned along, in files."""
    for name, result in zip(("plane", "axes"), trajectory(), strict=True):
        result.save(tmp_path / f"{name}.npz")
    return tmp_path / "plane.npz", tmp_path / "axes.npz"


def run(*arguments):
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.thorough
def test_the_module_draws_a_saved_scan(saved):
    """Principal axes that follow a plane are drawn over it."""
    plane, axes = saved
    done = run("-m", "bnjax.draw", plane, axes)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{plane.with_suffix('.png')}\n", "")
    assert plane.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert not axes.with_suffix(".png").exists()


@pytest.mark.slow
def test_without_matplotlib_the_library_imports_and_tells_how_to_install_it(saved):
    """One line, exit status 2."""
    done = run("-c", BLOCKED, saved[0])
    message = "error: drawing needs matplotlib: pip install 'bnjax[draw]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npz", None, "No such file or directory: "),
        ("text.npz", "text", "cannot be drawn (ValueError: "),
        ("data.json", "{}", "cannot be drawn (ValueError: file must be the result of a probe (.npz), got data.json.)"),
    ],
)
def test_files_that_cannot_be_drawn_are_one_line(name, content, message, capsys, tmp_path):
    """The file is named, the exit status is 2, and no picture is made."""
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit) as stop:
        command_line.main([str(tmp_path / name)])
    output, errors = capsys.readouterr()
    assert (stop.value.code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: ")
    assert str(tmp_path / name) in errors
    assert message in errors
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.thorough
def test_a_file_that_cannot_be_drawn_costs_its_own_picture(saved, capsys, tmp_path):
    """The others are drawn, a plane without the axes that cannot be read after it; the exit status is 2."""
    plane, axes = saved
    axes.rename(tmp_path / "more.npz")
    axes.write_text("no axes")
    scan = np.load(plane)
    np.savez(tmp_path / "misfit.npz", **{name: scan[name] for name in scan.files} | {"xs": np.ones(3, np.float32)})
    names = ["\x1b[31m.npz", "misfit.npz", "plane.npz", "axes.npz", "more.npz"]
    with pytest.raises(SystemExit) as stop:
        command_line.main([str(tmp_path / name) for name in names])
    printed, errors = capsys.readouterr()
    assert (stop.value.code, printed) == (2, f"{plane.with_suffix('.png')}\n{tmp_path / 'more.png'}\n")
    for line, words in zip(
        errors.splitlines(), ("No such file", "shapes fit together", "axes.npz cannot be"), strict=True
    ):
        assert line.startswith("error: ")
        assert words in line
    assert "\x1b" not in errors


def test_a_wrong_command_line_is_one_line(capsys):
    """Without a file, or with an unknown option."""
    for arguments in ([], ["--unknown", "line.npz"]):
        with pytest.raises(SystemExit) as stop:
            command_line.main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_help(capsys):
    """It shows how the command is called."""
    with pytest.raises(SystemExit) as stop:
        command_line.main(["--help"])
    assert stop.value.code == 0
    assert "usage: python -m bnjax.draw [-h] FILE [FILE ...]" in capsys.readouterr().out

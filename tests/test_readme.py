"""The README's commands are the ones that work."""

import re
import shlex

from conftest import ROOT

from bnjax.records import read_json
from experiments import __main__ as command_line
from experiments import _cli, _curves

README = (ROOT / "README.md").read_text()


def commands():
    """List the shell commands of the README, one per line of its sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def test_the_two_commands_are_there():
    """Quickstart and tests, each from nothing, in one line."""
    setup = "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[{}]' && {}"
    assert setup.format("experiments", "python -m experiments quickstart") in commands()
    assert setup.format("test", "pytest") in commands()


def test_every_experiment_command_parses():
    """Experiments, presets and options that the README shows exist."""
    shown = re.findall(r"python -m experiments (\w+)([^\n`&]*)", README)
    assert {"quickstart", "landscape"} <= {name for name, _ in shown}
    for name, rest in shown:
        if name in command_line.names() and "--help" not in rest:
            presets = __import__(f"experiments.{name}", fromlist=["PRESETS"]).PRESETS
            _cli.parse(name, "", presets, shlex.split(rest))
        assert name in ("redraw", *command_line.names()), f"there is no experiment {name!r}"


def test_links_and_pictures_exist():
    """Every relative link leads to a file."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_python_blocks_run():
    """Every Python block of the README runs as it stands."""
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})


def test_the_late_smoothness_is_the_one_of_the_committed_data():
    """The scans that the README counts are those of the data file."""
    arms = read_json(ROOT / "figures" / "landscape.json")["arms"]
    for arm, words in (("batch_norm", "30 of 30 scans with batch norm"), ("plain", "25 of 30 without")):
        probe = arms[arm][0]["probe"]
        late = [values for step, values in zip(probe["step"], probe["smoothness"], strict=True) if step >= 1000]
        from_smallest = sum(values[0] == max(values) for values in late)
        assert f"{from_smallest} of {len(late)}" == " ".join(words.split()[:3])
        assert words in README


def test_the_table_is_the_one_of_the_committed_data():
    """The numbers that the README shows are what the command prints from the data file beside the figure."""
    assert _curves.table(read_json(ROOT / "figures" / "landscape.json")).strip("\n") in README

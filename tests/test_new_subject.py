"""A new subject: four files of its own and one line elsewhere are all that the command line, figures and report need."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from bnjax.runs import read_json

FILES = {
    "__init__": '''"""A normaliser that has just been invented, beside batch norm.

Claim: it is as good.
Source: nobody yet.
Command: python -m experiments dummy
Measured: never.
"""

from experiments._config import LpNorm
from experiments._evidence.keep import training
from experiments._presets import SMOKE, arm, with_and_without

PRESETS = {"smoke": SMOKE}
KEEP = {"arms": {"train": training(20, "loss", "accuracy")}}


def groups(config):
    """Name the nets."""
    return {"arms": {**with_and_without(config), "l2": arm(config, norm=LpNorm.like(config.norm))}}
''',
    "claims": '''"""Claims about it."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantities import TRAIN_ACCURACY

CLAIMS = claims(
    dummy_as_good=Claim(
        "It trains as well as batch norm.",
        "nobody yet",
        TRAIN_ACCURACY.median(10, 40).minus("l2", "batch_norm").within(0.5),
    ),
    dummy_late=Claim(
        "Later it does so, too.",
        "nobody yet",
        TRAIN_ACCURACY.at(5000).minus("l2", "batch_norm").within(0.5),
        caveat_of="dummy_as_good",
    ),
)
''',
    "figure": '''"""Its figure."""

from experiments._figures import captions
from experiments._figures.figure import Block, make_figure
from experiments._figures.panels import Accuracy


def plot(data):
    """Draw accuracy."""
    panel = Accuracy(data["arms"])
    return make_figure("Just invented", [Block("", [[panel]])], captions.origin(data))
''',
    "table": '''"""Its table and findings."""

from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.table import by_measure, written


def summarise(data):
    """Put accuracies into a table."""
    return "\\n".join(by_measure(data["arms"], {"test": TEST_ACCURACY.at_end()}))


def findings(data):
    """Describe the accuracy."""
    return f"It reaches {written(data['arms']['l2'], TEST_ACCURACY.at_end())} test accuracy."
''',
}


@pytest.mark.thorough
def test_a_new_subject(tmp_path):
    """It is listed, runs, is judged and shown; a net's name is the line elsewhere."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "experiments" / "dummy"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    nets = tmp_path / "experiments" / "_nets.py"
    assert nets.read_text().count('"l2 norm"') == 1
    nets.write_text(nets.read_text().replace('"l2 norm"', '"the new one"'))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def run(*words):
        command = [sys.executable, "-m", "experiments", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert "A normaliser that has just been invented" in run()
    output = run("dummy", "--seeds", "0", "1", "2", "--figures", "figures")
    assert "the new one" in output
    (data,) = (tmp_path / "figures").glob("dummy-*.json")  # after a hash: the seeds are not the preset's
    assert len(read_json(data)["arms"]["l2"][0]["train"]["step"]) == 20
    run("report", "--figures", "figures", "--output", "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "training accuracy, median over steps 10 to 40: l2 - BN" in page
    assert "needs 5,000 steps, ran 40" in page
    assert "% test accuracy." in page
    assert page.count('<img src="data:image/png;base64,') == 1
    assert page.count('<source media="(max-width: 40rem)" srcset="data:image/png;base64,') == 1

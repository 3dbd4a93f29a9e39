"""Every experiment's smoke run, its files, and the command line around it."""

import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import reporting
from conftest import ROOT

from bnjax import runs
from bnjax.runs import config_hash, read_json
from experiments import __main__ as command_line
from experiments import activation_drift, landscape, noisy_batchnorm, quickstart
from experiments._command import catalogue, cli
from experiments._config import (
    BatchNorm,
    NoisyBatchNorm,
    NoNorm,
    VGGRun,
    change,
)
from experiments._evidence.verdict import VERDICTS, judge
from experiments._presets import scanning
from experiments._report.load import png_size

pytestmark = pytest.mark.xdist_group("smoke")  # these are long
SMOKE = ["--preset", "smoke"]


def run(capsys, experiment, *arguments):
    """Run an experiment in this process, and return its exit status, output and errors."""
    try:
        cli.main(experiment, list(arguments))
        status = 0
    except SystemExit as stop:
        status = stop.code
    return (status, *capsys.readouterr())


def arms_of(data):
    """List every group of arms in an experiment's data."""
    return [group for group in data.values() if isinstance(group, dict) and is_run(next(iter(group.values()), None))]


def is_run(runs):
    """Tell whether this is what the training loop returns of an arm."""
    return isinstance(runs, list) and bool(runs) and isinstance(runs[0], dict) and "diverged_at" in runs[0]


@pytest.mark.thorough
def test_all_runs_each_experiment(capsys, smoke_results, monkeypatch):
    """The smoke presets of a few experiments run, the report shows them, and running again trains nothing."""
    few = ["mnist_mlp", "gradient_depth", "quickstart"]
    monkeypatch.setattr(catalogue, "names", lambda: few)
    monkeypatch.setattr(command_line, "names", catalogue.names)
    monkeypatch.setattr(sys, "argv", ["experiments", "all"])
    arguments = ["all", "--preset", "smoke", "--results", smoke_results]
    status, _, errors = reporting.run(capsys, *arguments)
    assert status == 0, errors[-2000:]
    page = (smoke_results / "report.html").read_text()
    pictures = {*(smoke_results / "figures").glob("*.png"), *smoke_results.glob("*/*.png")}
    assert len(command_line.names()) <= page.count('<img src="data:image/png;base64,') <= len(pictures)
    assert 'class="claim not-run' not in page
    monkeypatch.setattr("experiments._command.cli.main", None)
    status, output, _ = reporting.run(capsys, *arguments)
    assert (status, output.count(": done")) == (0, len(command_line.names()))


@pytest.mark.thorough
@pytest.mark.parametrize("name", command_line.names())
def test_a_run_leaves_its_table_figure_and_data(name, capsys, tmp_path, monkeypatch):
    """Every experiment's smoke preset writes figure and data, says what it found, and running again trains nothing."""
    experiment = importlib.import_module(f"experiments.{name}")
    figures = tmp_path / "figures"
    arguments = [*SMOKE, "--results", str(tmp_path), "--figures", str(figures)]
    status, output, _ = run(capsys, experiment, *arguments)
    assert status == 0
    data = read_json(figures / f"{name}-smoke.json")
    assert data["experiment"] == name
    assert data["preset"] == "smoke"
    assert data["provenance"][0]["versions"]["jax"]
    assert arms_of(data)
    (folder,) = tmp_path.glob(f"{name}-*")
    for target in (folder, figures):
        assert (target / f"{name}-smoke.png").read_bytes().startswith(b"\x89PNG")
        assert str(target / f"{name}-smoke.png") in output
    assert name == "quickstart" or len(catalogue.part(name, "table").findings(data)) > 50
    for claim in catalogue.claims_of(name):
        assert judge(claim, data).verdict in VERDICTS

    monkeypatch.setattr("bnjax.train.run_steps", None)
    status, again, _ = run(capsys, experiment, *arguments)
    assert status == 0
    assert again.split("This command")[0] == output.split("This command")[0]


@pytest.mark.thorough
def test_curves_of_a_run(capsys, tmp_path):
    """Training has a point per step of a short run, measurements and tests are where the configuration wants them."""
    status, output, _ = run(capsys, quickstart, *SMOKE, "--results", str(tmp_path))
    assert status == 0
    for word in ("without BN", "with BN", "accuracy", "loss range", "gradient predictiveness", "effective smoothness"):
        assert word in output
    data = read_json(next(tmp_path.glob("quickstart-*/quickstart-*.json")))
    num_steps = data["config"]["schedule"]["num_steps"]
    for run_of_net, *_ in data["arms"].values():
        assert run_of_net["train"]["step"] == list(range(num_steps))
        assert run_of_net["landscape"]["step"] == list(range(0, num_steps, 10))
        assert np.shape(run_of_net["landscape"]["loss"]) == (num_steps // 10, 2)
        assert run_of_net["test"]["step"] == list(range(20, num_steps + 1, 20))


@pytest.mark.thorough
def test_experiments_share_their_runs(capsys, smoke_results):
    """What another experiment has trained is not trained again, and a seed that is added leaves the others as they are."""

    def data_of(experiment, *arguments):
        name = experiment.__name__.split(".")[-1]
        run(capsys, experiment, *SMOKE, *arguments, "--results", str(smoke_results))
        return read_json(max(smoke_results.glob(f"{name}-*/{name}-*.json"), key=lambda file: file.stat().st_mtime_ns))

    drift, noise = data_of(activation_drift), data_of(noisy_batchnorm)
    assert drift["arms"]["plain"][0]["seconds"] == noise["arms"]["plain"][0]["seconds"]
    logs = {log: log.stat().st_mtime_ns for log in smoke_results.glob("vgg-*/seed0/metrics.jsonl")}
    more = data_of(activation_drift, "--seeds", "0", "1")
    assert {log: log.stat().st_mtime_ns for log in logs} == logs
    assert more["arms"]["plain"][0] == drift["arms"]["plain"][0]
    assert more["arms"]["plain"][1] != {**more["arms"]["plain"][0], "seed": 1}


@pytest.mark.thorough
def test_a_run_that_diverges_is_a_result(capsys, tmp_path):
    """Its step is recorded and told, the other net goes on, and the figure is drawn."""
    arguments = [*SMOKE, "--results", str(tmp_path), "--optimizer.learning-rate", "1e30"]
    status, output, _ = run(capsys, quickstart, *arguments)
    assert status == 0
    data = read_json(next(tmp_path.glob("quickstart-*/quickstart-*.json")))
    step = data["arms"]["plain"][0]["diverged_at"]
    assert 0 < step < 40
    assert f"without BN, seed 0: the loss stopped being finite at step {step}." in output
    again = run(capsys, quickstart, *arguments)
    assert again[1].split("This command")[0] == output.split("This command")[0]


FACTS = (("data_digest", "a"), ("drawing", "b"), ("x64", True))


def test_a_run_is_what_determines_it():
    """How long a run is, and what is measured, is no part of its identity; net, data and how weights are drawn are."""
    config = VGGRun().measuring("landscape", "drift")
    more = change(config, schedule={"num_steps": 7, "probe_every": 20, "eval_every": 40, "recalibrated_tests": True})
    for same in (replace(config, seeds=(4,)), VGGRun(), more, scanning(config, step_multiples=(1.0,))):
        assert config.identity() == same.identity()
        assert config_hash(config.identity()) == config_hash(same.identity())
    assert NoNorm.like(BatchNorm(layers=(4,))) == NoNorm.like(BatchNorm())
    for changes in (
        {"norm": {"layers": (4,)}},
        {"norm": NoNorm()},
        {"norm": NoisyBatchNorm()},
        {"optimizer": {"learning_rate": 0.5}},
    ):
        changed = change(config, **changes)
        assert config.identity() != changed.identity()
        assert config_hash(config.identity()) != config_hash(changed.identity())
    hashes = {config_hash(config.identity(**{fact: value})) for fact, value in FACTS}
    assert len(hashes | {config_hash(config.identity())}) == 1 + len(FACTS)
    one, same = (change(config, optimizer={"learning_rate": rate}) for rate in (1, 1.0))
    assert config_hash(one.identity()) == config_hash(same.identity())
    noisy = change(config, norm=NoisyBatchNorm())
    assert noisy.identity() != change(noisy, norm={"noise": {"strength": 2.0}}).identity()


@pytest.mark.parametrize("place", ["experiments._training.nets.train_nets", "experiments._command.cli._publish"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("One run must fit"), "One run must fit"),
        (MemoryError(), "There is not enough memory"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no"), "One run must fit"),
    ],
)
def test_what_does_not_fit_into_memory(error, words, place, capsys, tmp_path, monkeypatch):
    """One line on standard error, exit status 1, in training or after it."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr("experiments._command.cli._run", lambda *_: (tmp_path, {})) if "_publish" in place else None
    monkeypatch.setattr(place, fails)
    status, _, errors = run(capsys, quickstart, *SMOKE, "--results", str(tmp_path))
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"error: {words}")


def test_missing_data_is_one_line(capsys, tmp_path):
    """The real data that is not there is named, with the command that prepares it."""
    status, output, errors = run(capsys, landscape, "--data-dir", str(tmp_path), "--results", str(tmp_path))
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: cifar10 3.0.2 is not prepared in")


def test_results_that_cannot_be_written(capsys, tmp_path):
    """A results folder that is a file is named."""
    (tmp_path / "file").write_text("")
    status, _, errors = run(capsys, quickstart, *SMOKE, "--results", str(tmp_path / "file"))
    assert status == 2
    assert errors.count("\n") == 1
    assert str(tmp_path / "file") in errors


def test_results_of_an_older_version_are_named(capsys, tmp_path, monkeypatch):
    """One line says that they are not continued, and what to do."""
    monkeypatch.setattr("experiments._training.nets.train_nets", lambda *_: sys.exit(3))
    for name in ("vgg-0123456789", "quickstart-0123456789"):
        (tmp_path / name).mkdir()
        runs.write_json(tmp_path / name / "config.json", {"norm": "batch", "norm_epsilon": 1e-5})
    (tmp_path / "vgg-1").mkdir()  # of when a run's configuration said how long it is
    runs.write_json(tmp_path / "vgg-1" / "config.json", {"kind": "vgg", "schedule": {"num_steps": 3}})
    assert run(capsys, quickstart, *SMOKE, "--results", str(tmp_path))[2] == (
        f"note: {tmp_path / 'quickstart-0123456789'} and 2 more hold runs of an older version, which are not continued. "
        "Remove them, or choose another folder with --results.\n"
    )


def test_the_list_names_every_experiment(capsys):
    """Without arguments, every experiment is listed with what it shows."""
    command_line.main([])
    output = capsys.readouterr().out
    for name in command_line.names():
        assert command_line.title(name) in output
        assert importlib.import_module(f"experiments.{name}").PRESETS


@pytest.mark.parametrize("arguments", [["nonsense"], ["draw", "nothing.json"]])
def test_what_is_not_there_is_one_line(arguments, capsys):
    """Unknown experiments and files that are no data end with status 2."""
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


FIGURES = sorted(file for end in ("json", "npz") for file in (ROOT / "figures").glob(f"*.{end}"))


def test_committed_figures_have_their_data():
    """Each picture under figures/ has its data beside it, and no path of a machine in it."""
    pictures = {re.sub(r"-\d+-\w[\w.-]*$", "", file.stem) for file in (ROOT / "figures").glob("*.png")}
    assert sorted(file.stem for file in FIGURES) == sorted(pictures)
    for file in FIGURES:
        assert b'"/' not in file.read_bytes()
        assert file.suffix != ".json" or not re.search(rb"[ =]/\w", file.read_bytes())


def test_every_committed_picture_has_a_narrow_one():
    """By the same name in a folder beside it, as wide as a phone needs, and at most 300 kB as text."""
    folder = ROOT / "figures" / "narrow"
    pictures = {picture.name for picture in (ROOT / "figures").glob("*.png") if not picture.name.startswith("scan_")}
    assert pictures == {picture.name for picture in folder.iterdir()}
    for picture in folder.iterdir():
        width, height = png_size(picture.read_bytes())
        assert (width, height > width) == (780, True)
        assert picture.stat().st_size <= 225_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            file, id=file.stem, marks=() if file.stem in ("quickstart-cpu", "scan_line") else pytest.mark.thorough
        )
        for file in FIGURES
    ],
)
def test_committed_figures_can_be_redrawn(file, capsys, tmp_path):
    """From its data, each picture under figures/ is drawn again."""
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    command_line.main(["draw", str(copy)])
    pictures = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert copy.with_suffix(".png") in pictures
    committed = [*(ROOT / "figures").glob(f"{file.stem}.png"), *(ROOT / "figures").glob(f"{file.stem}-*.png")]
    assert sorted(picture.name for picture in pictures) == sorted(picture.name for picture in committed)
    assert copy.with_suffix(".png").stat().st_size > 10_000
    narrow = [picture.name for picture in (tmp_path / "narrow").glob("*")]
    assert sorted(narrow) == sorted(picture.name for picture in pictures if file.suffix == ".json")


def test_the_module_runs_from_a_shell():
    """`python -m experiments` answers without jax."""
    check = "import sys, experiments.__main__ as m; m.main([]); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.thorough
def test_folders_that_do_not_fit(capsys, tmp_path):
    """A folder whose runs had other defaults, one that another process uses and one without its log are told in a line."""
    arguments = [*SMOKE, "--results", str(tmp_path), "--schedule.num-steps", "10", "--schedule.eval-every", "10"]
    assert run(capsys, quickstart, *arguments)[0] == 0
    folder = next(tmp_path.glob("vgg-*/seed0"))
    with runs.lock(folder):
        assert run(capsys, quickstart, *arguments)[0] == 0  # it is finished
        (folder / "finished.json").unlink()
        status, _, errors = run(capsys, quickstart, *arguments)
        assert (status, errors) == (2, f"error: Another process is at work in {folder}.\n")
    assert run(capsys, quickstart, *arguments)[0] == 0  # nothing was lost with it
    (folder / "finished.json").unlink()
    (folder / "metrics.jsonl").unlink()
    status, _, errors = run(capsys, quickstart, *arguments)
    assert status == 2
    assert "None of the checkpoints in" in errors
    (results,) = tmp_path.glob("quickstart-*")
    for config_file in (folder.parent / "config.json", results / "config.json"):
        config = runs.read_json(config_file)
        runs.write_json(config_file, {**config, "optimizer": {**config["optimizer"], "learning_rate": 0.5}})
        status, _, errors = run(capsys, quickstart, *arguments)
        assert (status, errors.count("\n")) == (2, 1)
        assert "holds runs with optimizer.learning_rate 0.5, this one has 0.1: a default has changed since" in errors
        runs.write_json(config_file, config)

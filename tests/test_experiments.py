"""Every experiment's smoke run, its files, and the command line around it."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from bnjax import records
from bnjax.records import read_json
from experiments import __main__ as command_line
from experiments import _cli, _curves, landscape, quickstart

SMOKE = ["--preset", "smoke"]


def run(capsys, experiment, *arguments):
    """Run an experiment in this process, and return its exit status, output and errors."""
    try:
        _cli.main(experiment, list(arguments))
        status = 0
    except SystemExit as stop:
        status = stop.code
    return (status, *capsys.readouterr())


@pytest.mark.xdist_group("smoke")  # one worker: the programs are the same
@pytest.mark.parametrize(
    ("experiment", "seeds"),
    [pytest.param(landscape, [0, 3], marks=pytest.mark.thorough), (quickstart, [0])],
    ids=["landscape", "quickstart"],
)
def test_a_run_leaves_its_table_figure_and_data(experiment, seeds, capsys, tmp_path, monkeypatch):
    """The table has every quantity of both nets, figure and data are written, and running again trains nothing."""
    name = experiment.__name__.split(".")[-1]
    figures = tmp_path / "figures"
    arguments = [*SMOKE, "--results", str(tmp_path), "--figures", str(figures), "--seeds", *map(str, seeds)]
    status, output, _ = run(capsys, experiment, *arguments)
    assert status == 0
    assert f"{len(seeds)} seed{'s' * (len(seeds) > 1)})" in output
    for word in ("without BN", "with BN", "accuracy", "loss range", "gradient predictiveness", "effective smoothness"):
        assert word in output
    data = read_json(figures / f"{name}.json")
    assert data["provenance"][0]["versions"]["jax"]
    assert data["config"]["seeds"] == seeds
    (folder,) = tmp_path.glob(f"{name}-*")
    for target in (folder, figures):
        assert (target / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert str(target / f"{name}.png") in output
    for runs in data["arms"].values():
        num_steps = data["config"]["num_steps"]
        assert runs[0]["train"]["step"] == list(range(num_steps))
        assert runs[0]["probe"]["step"] == list(range(0, num_steps, 10))
        assert np.shape(runs[0]["probe"]["loss"]) == (num_steps // 10, 2)
        assert runs[0]["test"]["step"] == list(range(20, num_steps + 1, 20))

    monkeypatch.setattr("bnjax.train.run_steps", None)
    status, again, _ = run(capsys, experiment, *arguments)
    assert status == 0
    assert again.split("This command")[0] == output.split("This command")[0]


@pytest.mark.xdist_group("smoke")
@pytest.mark.thorough
def test_a_run_that_diverges_is_a_result(capsys, tmp_path):
    """Its step is recorded and told, the other net goes on, and the figure is drawn."""
    status, output, _ = run(capsys, landscape, *SMOKE, "--results", str(tmp_path), "--learning-rate", "1e30")
    assert status == 0
    data = read_json(next(tmp_path.glob("landscape-*/landscape.json")))
    step = data["arms"]["plain"][0]["diverged_at"]
    assert 0 < step < 40
    assert f"without BN, seed 0: the loss stopped being finite at step {step}." in output
    again = run(capsys, landscape, *SMOKE, "--results", str(tmp_path), "--learning-rate", "1e30")
    assert again[1].split("This command")[0] == output.split("This command")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--learning-rat", "1"], "Unrecognized options: --learning-rat, 1 (perhaps --learning-rate)"),
        (["--learning-rate", "fast"], "Error parsing --learning-rate: could not convert string to float: 'fast'"),
        (["--learning-rate", "-1"], "learning_rate must be > 0 and finite, got -1.0."),
        (["--eval-every", "35"], "eval_every must be a multiple of probe_every, 10, got 35."),
        (["--seeds", "1", "1"], "seeds must be one or more different numbers from 0 to 2147483647, got (1, 1)."),
        (["--norm-layers"], "norm_layers must be 'all' or one or more different numbers from 1, got ()."),
        (["--width", "inf"], "width must be > 0 and finite, got inf."),
        (["--checkpoint-seconds", "nan"], "checkpoint_seconds must be >= 0 and finite, got nan."),
        (["--step-multiples", "0"], "step_multiples must be one or more different numbers > 0 and finite, got (0.0,)."),
        (["--preset", "huge"], "preset must be one of cpu, smoke, mameli, paper, got 'huge'."),
        (["--norm-layers", "12"], "norm_layers must be 'all' or numbers from 1 to 10 for depth A, got (12,)."),
        (["--width", "0.001"], "width must be at least 1/64, which leaves one feature in the first layer, got 0.001."),
        (["--optimizer", "adam", "--momentum", "0.5"], "momentum must be 0 for adam, which has its own, got 0.5."),
        (["--batch-size", "9999"], "batch_size must lie between 1 and the 1500 examples there are, got 9999."),
        (["--image-size", "4"], "image_size must be at least the images' own, 8 x 8, got 4."),
    ],
)
def test_impossible_arguments(arguments, message, capsys, tmp_path):
    """One line on standard error, exit status 2, no run."""
    preset = [] if "--preset" in arguments else SMOKE
    status, output, errors = run(capsys, landscape, *preset, "--results", str(tmp_path), *arguments)
    assert (status, output, errors) == (2, "", f"error: {message}\n")
    assert not list(tmp_path.glob("*/*/metrics.jsonl"))


def test_missing_data_is_one_line(capsys, tmp_path):
    """The real data that is not there is named, with the command that prepares it."""
    status, output, errors = run(capsys, landscape, "--data-dir", str(tmp_path), "--results", str(tmp_path))
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: cifar10 3.0.2 is not prepared in")


def test_results_that_cannot_be_written(capsys, tmp_path):
    """A results folder that is a file is named."""
    (tmp_path / "file").write_text("")
    status, _, errors = run(capsys, landscape, *SMOKE, "--results", str(tmp_path / "file"))
    assert status == 2
    assert errors.count("\n") == 1
    assert str(tmp_path / "file") in errors


def test_help_names_presets_and_fields(capsys):
    """`--help` explains every field, and which presets there are."""
    status, output, _ = run(capsys, landscape, "--help")
    assert status == 0
    assert "--preset {cpu | smoke | mameli | paper}" in output
    assert "steps between scans of the landscape" in output


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


def test_committed_figures_can_be_redrawn(capsys, tmp_path):
    """Each picture under figures/ has its data beside it, from which it is drawn again, and no path of a machine in it."""
    files = sorted(file for end in ("json", "npz") for file in (ROOT / "figures").glob(f"*.{end}"))
    assert sorted(file.stem for file in files) == sorted(file.stem for file in (ROOT / "figures").glob("*.png"))
    for file in files:
        assert b'"/' not in file.read_bytes()
        copy = tmp_path / file.name
        copy.write_bytes(file.read_bytes())
        command_line.main(["draw", str(copy)])
        assert capsys.readouterr().out == f"{copy.with_suffix('.png')}\n"
        assert copy.with_suffix(".png").stat().st_size > 10_000


def test_the_module_runs_from_a_shell():
    """`python -m experiments` answers without jax."""
    check = "import sys, experiments.__main__ as m; m.main([]); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_curves_over_seeds():
    """Curves join seeds by step, leave out what is not finite, and stop where every run has diverged."""
    runs = [
        {"probe": {"step": [0, 10, 20], "loss": [[1, 2], [3, None], [5, 6]]}},
        {"probe": {"step": [0, 10], "loss": [[2, 4], [4, 8]]}},
    ]
    curve = _curves.over_seeds(runs, "probe", _curves.highest_loss)
    np.testing.assert_array_equal(curve.step, [0, 10, 20])
    np.testing.assert_array_equal(curve.low, [2, 8, 6])
    np.testing.assert_array_equal(curve.middle, [3, 8, 6])
    np.testing.assert_array_equal(curve.high, [4, 8, 6])
    np.testing.assert_allclose(_curves.rolling_mean(np.array([1.0, 2, 3, 4]), 2), [1, 1.5, 2.5, 3.5])


@pytest.mark.thorough
def test_folders_that_do_not_fit(capsys, tmp_path):
    """A folder whose runs had other defaults, one that another process uses and one without its log are told in a line."""
    arguments = [*SMOKE, "--results", str(tmp_path), "--num-steps", "10", "--eval-every", "10"]
    assert run(capsys, landscape, *arguments)[0] == 0
    (folder,) = tmp_path.glob("landscape-*")
    with records.lock(folder):
        status, _, errors = run(capsys, landscape, *arguments)
        assert (status, errors) == (2, f"error: Another process is at work in {folder}.\n")
    (folder / "plain-seed0" / "metrics.jsonl").unlink()
    status, _, errors = run(capsys, landscape, *arguments)
    assert status == 2
    assert "metrics.jsonl holds 0 bytes, fewer than" in errors
    config = records.read_json(folder / "config.json")
    records.write_json(folder / "config.json", {**config, "learning_rate": 0.5})
    status, _, errors = run(capsys, landscape, *arguments)
    assert (status, errors.count("\n")) == (2, 1)
    assert "holds runs with learning_rate 0.5, this one has 0.1: a default has changed since" in errors

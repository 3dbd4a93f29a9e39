"""The list of experiments with cost and state, and the command that runs all of them."""

import json

import pytest
from reporting import make_data, run

from bnjax.runs import config_dict, config_hash
from experiments import __main__ as command_line
from experiments import landscape
from experiments._command import catalogue, costs, everything

_DRAWS = ("initialisation", "scale_invariance", "shuffling")  # which train nothing that takes a night


def test_costs_are_those_that_were_measured(tmp_path, monkeypatch):
    """The time of a preset is that of its own data, of nothing that was changed, and of no other preset."""
    monkeypatch.setattr(costs, "FIGURES", tmp_path)
    assert costs.expected("landscape", "cpu") == "Expected: not measured yet."
    own = json.loads(json.dumps(config_dict(landscape.PRESETS["cpu"])))
    (tmp_path / "landscape-cpu.json").write_text(json.dumps(make_data(config=own)))
    assert costs.expected("landscape", "cpu") == "Expected: about 2 min (measured on CPU, 2 cores)."
    assert costs.cost("landscape", "cpu") == "2 min on CPU, 2 cores"
    assert costs.cost("landscape", "paper") == "not measured"
    other = landscape.PRESETS["smoke"]
    assert costs.expected("landscape", "cpu", other) == "Expected: not measured yet."
    assert costs.stem("landscape", "cpu", landscape.PRESETS["cpu"]) == "landscape-cpu"
    assert costs.stem("landscape", "cpu", other) == f"landscape-{config_hash(other)}"
    (tmp_path / "landscape-cpu.json").write_text(json.dumps(make_data(config={**own, "short_multiples": [77]})))
    assert costs.cost("landscape", "cpu") == "not measured"
    assert [costs.duration(x) for x in (36.8, 399, 5399, 7200)] == ["37 s", "7 min", "90 min", "2.0 h"]


@pytest.mark.slow
def test_the_list_says_how_far_each_preset_is(capsys, tmp_path):
    """Not run without a folder, partly with one, done when its data are there."""

    def state():
        _, _, listed = run(capsys, "--results", tmp_path)[1].partition("\nlandscape ")
        return listed.splitlines()[1].split("  ")[-1].strip()

    assert state() == "not run"
    folder = tmp_path / f"landscape-{config_hash(landscape.PRESETS['cpu'])}"
    folder.mkdir()
    assert state() == "partly"
    (folder / "landscape-cpu.json").write_text("{}")
    assert state() == "done"


@pytest.fixture
def stages(monkeypatch, tmp_path):
    """Replace every experiment's run by a note that it was run, and by an error or a signal where a test says so."""
    ran, ends = [], {}

    def main(experiment, arguments, later):
        name = experiment.__name__.split(".")[-1]
        ran.append((name, arguments, later))
        if name in ends:
            raise ends[name]

    monkeypatch.setattr("experiments._command.cli.main", main)
    return ran, ends


@pytest.mark.slow
def test_all_goes_on_where_one_fails_and_ends_with_the_report(stages, capsys, tmp_path):
    """Every experiment with the preset is run into the same folders; failures are told at the end, with status 1."""
    ran, ends = stages
    ends.update(landscape=SystemExit(2), quickstart=ZeroDivisionError("oh"))
    status, output, errors = run(capsys, "all", "--preset", "smoke", "--results", tmp_path)
    assert status == 1
    assert [name for name, _, _ in ran] == [n for n in command_line.names() if "smoke" in catalogue.module(n).PRESETS]
    shared = ["--preset", "smoke", "--results", str(tmp_path), "--figures", str(tmp_path / "figures")]
    assert all(arguments == shared for _, arguments, _ in ran)
    assert "ZeroDivisionError: oh" in errors
    assert "error: these experiments failed: landscape, quickstart; what they said stands above." in errors
    assert (tmp_path / "report.html").exists()
    assert output.endswith(f"Written: {tmp_path / 'report.html'}\n")


@pytest.mark.parametrize(
    ("preset", "left"),
    [
        ("overnight", ["theory_bounds", "gradient_depth", *_DRAWS, "inception", "quickstart"]),
        ("cpu", []),
    ],
)
def test_all_says_first_what_is_left_out_and_how_long_it_takes(preset, left, stages, capsys, tmp_path):
    """Experiments without the preset are named in one line, then the hours of all others, before any of them starts."""
    everything.run_all(preset, tmp_path, tmp_path / "figures", [])
    assert [name for name, _, _ in stages[0]] == [name for name in command_line.names() if name not in left]
    head, _, _ = capsys.readouterr().out.partition("\n== ")
    *first, last = head.strip().splitlines()
    assert first == ([f"Left out, without a preset {preset}: {', '.join(left)}."] if left else [])
    assert last.startswith("Expected for all: ")


@pytest.mark.parametrize("status", [130, 143])
def test_all_stops_where_a_signal_stopped_a_run(status, stages, capsys, tmp_path):
    """With the exit status of the run, at once, without a report."""
    ran, ends = stages
    ends[command_line.names()[0]] = SystemExit(status)
    assert run(capsys, "all", "--preset", "smoke", "--results", tmp_path)[0] == status
    assert len(ran) == 1
    assert not (tmp_path / "report.html").exists()


def test_all_leaves_out_what_is_done(stages, monkeypatch, tmp_path):
    """Done with its data there is skipped, done without them is run; what follows is told, so that runs are trained once."""
    ran, _ = stages
    monkeypatch.setattr("experiments._command.catalogue.names", lambda: ["landscape", "quickstart"])
    folder, figures = tmp_path / f"landscape-{config_hash(landscape.PRESETS['smoke'])}", tmp_path / "figures"
    for path in (folder, figures):
        path.mkdir()
    (folder / "landscape-smoke.json").write_text("{}")
    arguments = ("smoke", tmp_path, figures, [])
    assert everything.run_all(*arguments) == []
    assert [(name, later) for name, _, later in ran] == [("landscape", [("quickstart", "smoke")]), ("quickstart", [])]
    config = json.loads(json.dumps(config_dict(landscape.PRESETS["smoke"])))
    (figures / "landscape-smoke.json").write_text(json.dumps(make_data(preset="smoke", config=config)))
    assert everything.run_all(*arguments) == []
    assert [name for name, _, _ in ran[2:]] == ["quickstart"]


def test_names_and_remarks_of_experiments():
    """The order is that of the sources, and docstrings are read by their words."""
    names = command_line.names()
    assert names.index("landscape") < names.index("quickstart")
    assert catalogue.remark("quickstart", "Command") == "python -m experiments quickstart"
    assert catalogue.remark("quickstart", "Nonsense") == ""
    assert [catalogue.heading(name) for name in ("mnist_mlp", "landscape")] == ["MNIST MLP", "Landscape"]

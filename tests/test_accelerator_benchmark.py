"""The benchmark of an accelerator, on a CPU with nets of a few features: bounded in time, and nothing is lost on the way."""

import itertools
import json
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import ROOT

from experiments._command import catalogue
from experiments._command.arguments import parse
from experiments.benchmarks import _accelerator, _plan, _rows, _stopping, accelerator

TINY = ["--widths", "0.015625", "--dtypes", "float32", "--matrix-sizes", "32", "64", "--points", "4", "--runs", "2"]
TINY += ["--steps", "2", "--rounds", "1", "--cpu"]


@pytest.fixture
def arguments(tmp_path):
    """The command line of a tiny benchmark."""
    return accelerator.parse([*TINY, "--output", str(tmp_path)])


def test_each_row_is_on_disk_before_the_next(arguments):
    """What fails is a row with its reason, and what was killed in the midst of a row leaves those before it."""

    def fail():
        raise ValueError("two\nlines")

    def kill():
        before.extend(arguments.rows.read())
        raise KeyboardInterrupt

    before = []
    rows = [_accelerator.Row({"what": name}, run) for name, run in (("a", lambda: {"x": 1}), ("b", fail), ("c", kill))]
    with pytest.raises(KeyboardInterrupt):
        _accelerator.record(rows, arguments.rows, time.time() + 60.0)
    assert [{**row, "seconds": 0} for row in before] == [
        {"what": "a", "x": 1, "seconds": 0},
        {"what": "b", "error": "two lines", "seconds": 0},
    ]
    with arguments.rows.path.open("a") as file:
        file.write('{"what": "half of')
    assert arguments.rows.read() == before


def test_a_section_ends_in_time(arguments):
    """A row that would begin after the end is written as one for which no time was left; its process began before the clock."""
    now = itertools.count(step=4.0)
    rows = [_accelerator.Row({"what": name}, lambda: {"x": 1}) for name in "abc"]
    _accelerator.record(rows, arguments.rows, 6.0, clock=lambda: next(now))
    assert [row.get("error") for row in arguments.rows.read()] == [None, "no time was left", "no time was left"]


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_command_is_stopped(trap, tmp_path):
    """By SIGTERM, and where that is of no use by SIGKILL; what it printed is kept."""
    start = time.monotonic()
    command = ["sh", "-c", f"{trap}echo begun; while true; do sleep 0.05; done"]
    status, seconds = _stopping.run_within(command, 0.4, tmp_path / "log.txt", grace=0.3)
    assert status is None
    assert 0.4 <= seconds < 5
    assert time.monotonic() - start < 10
    assert (tmp_path / "log.txt").read_text() == "begun\n"
    assert _stopping.run_within(["sh", "-c", "exit 3"], 60, tmp_path / "log.txt", grace=0.3)[0] == 3


def test_the_device_is_measured(arguments):
    """Rates of products in each precision, a copy, and a convolution that is near that in float32."""
    rows = itertools.islice(_accelerator.rates(arguments), 5)
    _accelerator.record(rows, arguments.rows, time.time() + 60.0)
    *rates, copy, convolution = arguments.rows.read()
    assert [(row["dtype"], row["precision"]) for row in rates] == [
        ("float32", "highest"),
        ("float32", "default"),
        ("bfloat16", "default"),
    ]
    assert all(row["operations_per_second"] > 1e6 for row in rates)
    assert copy["bytes_per_second"] > 1e6
    assert convolution["what"] == "32 x 32, 3 to 1 channels"
    assert 1e-4 < convolution["relative_error"] < 0.02


def test_a_wrong_convolution_is_no_success(arguments, monkeypatch):
    """One whose result in bfloat16 is another is told."""
    convolve = _accelerator.conv_general_dilated
    monkeypatch.setattr(
        _accelerator,
        "conv_general_dilated",
        lambda x, *rest, **options: convolve(x, *rest, **options) * (1.1 if x.dtype == "bfloat16" else 1.0),
    )
    (row,) = itertools.islice(_accelerator.rates(arguments), 4, 5)
    _accelerator.record([row], arguments.rows, time.time() + 60.0)
    assert arguments.rows.read()[0]["error"] == "in bfloat16 it is 0.1 of its length away from float32"


def test_a_convolution_without_numbers_is_no_success(arguments, monkeypatch):
    """Forward it is right; a gradient of NaN, which a comparison overlooks, is told."""
    backward = _accelerator.conv.backward

    def broken(convolve, x, *rest):
        first, *others = backward(convolve, x, *rest)
        return (first, *((gradient * float("nan") if x.dtype == "bfloat16" else gradient) for gradient in others))

    monkeypatch.setattr(_accelerator.conv, "backward", broken)
    (row,) = itertools.islice(_accelerator.rates(arguments), 4, 5)
    _accelerator.record([row], arguments.rows, time.time() + 60.0)
    assert arguments.rows.read()[0]["error"] == "in bfloat16 it is nan of its length away from float32"


@pytest.mark.parametrize(("kind", "calls"), [("scan", 8), ("sweep", 1)])
def test_a_sweep_is_measured_in_one_call(kind, calls, arguments, monkeypatch):
    """A scan tries a group at each of its calls, and a sweep all of them at the first."""
    called = []
    programs = {"measured": (lambda: called.append(1), 4)}
    monkeypatch.setitem(_accelerator._PROGRAMS, kind, lambda *_: programs)
    monkeypatch.setattr(_accelerator, "measure", lambda programs, **_: dict.fromkeys(programs, 1000.0))
    _accelerator._time(arguments, kind, 1 / 64, "float32", "measured", None)
    assert len(called) == calls


def test_what_went_wrong_is_told(arguments, capsys):
    """A command that fails leaves its last line in the table, and the next one begins."""
    for words in ("echo one; echo 'error: no data' >&2; exit 2", "true"):
        about = {"kind": "command", "what": "training_curves"}
        accelerator._run(arguments, about, ["sh", "-c", words], time.time() + 60.0, 1.0)
    failed, done = arguments.rows.read()
    assert failed["error"] == "it ended with status 2: error: no data"
    assert "error" not in done
    assert "training_curves: it ended with status 2: error: no data" in capsys.readouterr().out


def test_short_experiments_come_first():
    """All at full width, of few steps and then of all, before the paper's own nets, which mameli does not have."""
    stages = [*_plan.stages(accelerator.parse(["--lengths", "100"]))]
    assert stages[:4] == [
        ("training_curves", "full_width", 100),
        ("landscape", "full_width", 100),
        ("mameli", "full_width", 100),
        ("training_curves", "full_width", None),
    ]
    assert [preset for _, preset, _ in stages] == ["full_width"] * 6 + ["paper"] * 4
    assert ("mameli", "paper") not in {stage[:2] for stage in stages}


@pytest.mark.parametrize("name", _plan.STEPS)
def test_full_width_is_trained_as_long_as_asked(name):
    """Each experiment has the preset, with nets of width 1, and its flag shortens them all."""
    experiment = catalogue.module(name)
    _, config, _ = parse(name, "", experiment.PRESETS, _plan.Stage(name, "full_width", 2000).flags)
    vggs = [run for arms in experiment.groups(config).values() for run in arms.values() if run.kind == "vgg"]
    assert {run.model.width for run in vggs} == {1.0}
    assert {run.schedule.num_steps for run in vggs} == {2000}


def test_short_experiments_train_few_deep_linear_nets():
    """Landscape would train 128 of 10,000 steps; its row says what it trains and measures beside its own."""
    short, whole = (_plan.Stage("landscape", "full_width", length) for length in (2000, None))
    linear = [run for run in short.runs() if run.kind == "deep_linear"]
    assert [(run.schedule.num_steps, run.seeds) for run in linear] == [(200, (0,))] * 2
    others = "with what training_curves, activation_drift, covariate_shift measure of the same nets"
    assert short.beside() == f"{others}; 2 deep linear nets of 200 steps"
    assert whole.beside() == f"{others}; 128 deep linear nets of 10,000 steps"
    assert _plan.Stage("mameli", "full_width", 2000).beside() == ""
    assert _plan.Stage("landscape", "smoke", 20).runs()[-1].schedule.num_steps == 20


def test_what_matters_most_is_timed_first(arguments):
    """A training, scans and a sweep of each net; then the other ways. The precision is that of what is timed."""
    arguments.widths, arguments.dtypes = [1.0, 0.25], ["float32", "bfloat16"]
    about = [row.about for row in _accelerator.speed(arguments)]
    nets = [(width, dtype) for width in arguments.widths for dtype in arguments.dtypes]
    for first, ways in (
        (0, [("training", "chunks"), ("scan", "map"), ("scan", "16")]),
        (12, [("scan", "16 products"), ("sweep", "vmap"), ("scan", "measured")]),
    ):
        found = [(row["width"], row["dtype"], row["kind"], row["batching"]) for row in about[first : first + 12]]
        assert found == [(*net, *way) for net in nets for way in ways]
    assert len(about) == len({json.dumps(row) for row in about}) == 52
    assert {(row["dtype"], row["kind"], row["precision"]) for row in about if row["kind"] != "training"} == {
        ("float32", "scan", "highest"),
        ("float32", "sweep", "default"),
        ("bfloat16", "scan", "default"),
        ("bfloat16", "sweep", "default"),
    }


@pytest.mark.thorough
def test_the_command_measures_everything(tmp_path):
    """On this CPU: rates and speed as far as a minute goes, an experiment of a few steps and then of all, and the table."""
    options = [*TINY, "--output", str(tmp_path), "--total-seconds", "400"]
    options += [
        "--presets",
        "smoke",
        "--lengths",
        "20",
        "--experiments",
        "training_curves",
    ]
    command = [sys.executable, "-m", "experiments.benchmarks.accelerator", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=1800)
    assert done.returncode == 0, done.stderr
    rows = _rows.Rows(tmp_path / "rows.jsonl").read()
    log = (tmp_path / "log.txt").read_text()
    ((machine, rows),) = _rows.by_machine(rows)
    assert machine is not None
    assert {row.get("error", "") for row in rows} <= {"", "no time was left", "its time was over"}, log
    speeds = [row for row in rows if row["kind"] in _rows.UNITS and "error" not in row]
    assert speeds
    assert all(row["images_per_second"] > 0 and 0 < row["share"] < 100 for row in speeds)
    ends = [(row["what"], row.get("error")) for row in rows if row["kind"] == "command"]
    assert [end for end in ends if end[0] not in _plan.SECTIONS] == [
        ("training_curves, preset smoke, 20 steps", None),
        ("training_curves, preset smoke, all steps", None),
    ], log
    assert len(list((tmp_path / "figures").glob("training_curves-*.png"))) == 2
    assert len(list((tmp_path / "runs").glob("*.run"))) == 6
    assert (tmp_path / "table.md").read_text().strip() in done.stdout
    with tarfile.open(tmp_path / "returned.tar.gz") as archive:
        names = archive.getnames()
    assert {"table.md", "rows.jsonl", "log.txt"} < {*names}
    assert sum(name.startswith(("figures/", "runs/")) for name in names) >= 8


@pytest.mark.thorough
def test_every_way_of_batching_is_timed(arguments):
    """Of a sweep, in each of its ways, and what was measured is told."""
    (arguments.rows.path).write_text(
        '{"kind": "rate", "what": "matrix product", "dtype": "float32", "precision": "default", "operations_per_second": 1e12}'
    )
    rows = [row for row in _accelerator.speed(arguments) if row.about["kind"] == "sweep"]
    for row in rows:
        values = row.run()
        assert values["steps_per_second"] * 128 == pytest.approx(values["images_per_second"])
        assert 0 < values["share"] < 1
        assert ("found" in values) == (row.about["batching"] == "measured")
    assert len(rows) == 4

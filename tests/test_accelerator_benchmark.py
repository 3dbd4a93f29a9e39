"""The benchmark of an accelerator, on a CPU with nets of a few features: bounded in time, and nothing is lost on the way."""

import itertools
import json
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from experiments._command import catalogue
from experiments._command.arguments import parse
from experiments.benchmarks import _accelerator, accelerator

TINY = ["--widths", "0.015625", "--dtypes", "float32", "--matrix-sizes", "32", "64", "--points", "4", "--runs", "2"]
TINY += ["--steps", "2", "--rounds", "1"]


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
        _accelerator.record(rows, arguments.rows, 60.0)
    assert [{**row, "seconds": 0} for row in before] == [
        {"what": "a", "x": 1, "seconds": 0},
        {"what": "b", "error": "two lines", "seconds": 0},
    ]
    with arguments.rows.path.open("a") as file:
        file.write('{"what": "half of')
    assert arguments.rows.read() == before


def test_a_section_ends_in_time(arguments):
    """A row that would begin after the limit is written as one for which no time was left."""
    now = itertools.count(step=4.0)
    rows = [_accelerator.Row({"what": name}, lambda: {"x": 1}) for name in "abc"]
    _accelerator.record(rows, arguments.rows, 10.0, clock=lambda: next(now))
    assert [row.get("error") for row in arguments.rows.read()] == [None, "no time was left", "no time was left"]


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_command_is_stopped(trap, tmp_path):
    """By SIGTERM, and where that is of no use by SIGKILL; what it printed is kept."""
    start = time.monotonic()
    command = ["sh", "-c", f"{trap}echo begun; while true; do sleep 0.05; done"]
    status, seconds = accelerator.run_within(command, 0.4, tmp_path / "log.txt", grace=0.3)
    assert status is None
    assert 0.4 <= seconds < 5
    assert time.monotonic() - start < 10
    assert (tmp_path / "log.txt").read_text() == "begun\n"
    assert accelerator.run_within(["sh", "-c", "exit 3"], 60, tmp_path / "log.txt")[0] == 3


def test_the_device_is_measured(arguments):
    """Rates of products in each precision, a copy, and a convolution that is near that in float32."""
    rows = itertools.islice(_accelerator.rates(arguments), 5)
    _accelerator.record(rows, arguments.rows, 60.0)
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
    _accelerator.record([row], arguments.rows, 60.0)
    assert arguments.rows.read()[0]["error"] == "in bfloat16 it is 0.1 of its length away from float32"


def test_what_went_wrong_is_told(arguments, capsys):
    """A command that fails leaves its last line in the table, and the next one begins."""
    for words in ("echo one; echo 'error: no data' >&2; exit 2", "true"):
        accelerator._run(arguments, "training_curves", ["sh", "-c", words], 60.0)
    failed, done = arguments.rows.read()
    assert failed["error"] == "it ended with status 2: error: no data"
    assert "error" not in done
    assert "training_curves: it ended with status 2: error: no data" in capsys.readouterr().out


def test_short_experiments_come_first():
    """All at full width, of few steps and then of all, before the paper's own nets, which mameli does not have."""
    stages = [*accelerator._stages(accelerator.parse(["--lengths", "100"]))]
    assert stages[:4] == [
        ("training_curves", "full_width", 100),
        ("landscape", "full_width", 100),
        ("mameli", "full_width", 100),
        ("training_curves", "full_width", None),
    ]
    assert [preset for _, preset, _ in stages] == ["full_width"] * 6 + ["paper"] * 4
    assert ("mameli", "paper") not in {stage[:2] for stage in stages}


@pytest.mark.parametrize("name", accelerator._STEPS)
def test_full_width_is_trained_as_long_as_asked(name):
    """Each experiment has the preset, with nets of width 1, and its flag shortens them all."""
    experiment = catalogue.module(name)
    _, config, _ = parse(name, "", experiment.PRESETS, ["--preset", "full_width", accelerator._STEPS[name], "2000"])
    vggs = [run for arms in experiment.groups(config).values() for run in arms.values() if run.kind == "vgg"]
    assert {run.model.width for run in vggs} == {1.0}
    assert {run.schedule.num_steps for run in vggs} == {2000}


def test_what_matters_most_is_timed_first(arguments):
    """A training, scans and a sweep of each net; then the other ways. The precision is that of what is timed."""
    arguments.widths, arguments.dtypes = [1.0, 0.25], ["float32", "bfloat16"]
    about = [row.about for row in _accelerator.speed(arguments)]
    assert [row["width"] for row in about[:24]] == [1.0] * 12 + [0.25] * 12
    assert [(row["kind"], row["batching"]) for row in about[:3]] == [
        ("training", "chunks"),
        ("scan", "map"),
        ("scan", "16"),
    ]
    assert len(about) == len({json.dumps(row) for row in about}) == 52
    assert {(row["dtype"], row["kind"], row["precision"]) for row in about if row["kind"] != "training"} == {
        ("float32", "scan", "highest"),
        ("float32", "sweep", "default"),
        ("bfloat16", "scan", "default"),
        ("bfloat16", "sweep", "default"),
    }


MACHINE = {
    "kind": "machine",
    "device": "1 x Fast",
    "platform": "gpu",
    "versions": {"jax": "0.10.2"},
    "date": "2026-01-02",
}
SCAN = {"kind": "scan", "width": 1.0, "batch": 128, "dtype": "float32", "precision": "highest", "batching": "measured"}
TABLE = """On 1 x Fast (gpu, jax 0.10.2), 2026-01-02: VGG-A with batch norm, batches of 128 images of 32x32.

| device | rate |
|---|---|
| matrix product, bfloat16, default | 700.000 TFLOP/s |
| copy | 4,000.0 GB/s |
| convolutions in bfloat16 | 1 of 2 shapes run |
| convolution 2 x 2, 8 to 8 channels | no algorithm |

| net | batching | per second | images per second | share of matrix rate |
|---|---|---|---|---|
| scan, width 1, float32, precision highest | measured (16 products) | 1,000.0 points | 128,000 | 50% |
| training, width 0.25, bfloat16, precision default | chunks | no time was left | | |

| command | seconds | ended |
|---|---|---|
| rates | 12 | done |"""


def test_the_table_names_machine_net_and_batch():
    """Of a row that was measured twice it has the later one."""
    shape = {"kind": "convolution", "dtype": "bfloat16"}
    training = {**SCAN, "kind": "training", "width": 0.25, "dtype": "bfloat16", "precision": "default"}
    rows = [
        MACHINE,
        {
            "kind": "rate",
            "what": "matrix product",
            "dtype": "bfloat16",
            "precision": "default",
            "operations_per_second": 7e14,
        },
        {"kind": "rate", "what": "copy", "bytes_per_second": 4e12},
        {**shape, "what": "4 x 4, 8 to 8 channels", "operations_per_second": 1e12},
        {**shape, "what": "2 x 2, 8 to 8 channels", "error": "no algorithm"},
        {"kind": "command", "what": "rates", "seconds": 12.1},
        {**SCAN, "error": "no time was left"},
        {
            **SCAN,
            "points_per_second": 1e3,
            "images_per_second": 1.28e5,
            "share": 0.5,
            "found": {"batching": 16, "kernels": "products"},
        },
        {**training, "batching": "chunks", "error": "no time was left"},
    ]
    assert accelerator.table(rows) == TABLE
    assert "| device | rate |" in accelerator.table([])


@pytest.mark.thorough
def test_the_command_measures_everything(tmp_path):
    """On this CPU: rates and speed as far as a minute goes, an experiment of a few steps and then of all, and the table."""
    options = [*TINY, "--output", str(tmp_path), "--rates-seconds", "20", "--speed-seconds", "40"]
    options += [
        "--experiments-seconds",
        "900",
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
    rows = accelerator.Rows(tmp_path / "rows.jsonl").read()
    log = (tmp_path / "log.txt").read_text()
    assert {row.get("error", "") for row in rows} <= {"", "no time was left", "its time was over"}, log
    speeds = [row for row in rows if row["kind"] in accelerator._UNITS and "error" not in row]
    assert speeds
    assert all(row["images_per_second"] > 0 and 0 < row["share"] < 100 for row in speeds)
    assert [(row["what"], row.get("error")) for row in rows if row["kind"] == "command"][2:] == [
        ("training_curves, preset smoke, 20 steps", None),
        ("training_curves, preset smoke, all steps", None),
    ], log
    assert len(list((tmp_path / "figures").glob("training_curves-*.png"))) == 2
    assert len(list((tmp_path / "runs").glob("*.run"))) == 6
    assert (tmp_path / "table.md").read_text().strip() in done.stdout


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

"""The benchmark of an accelerator ends in time, begins only where it can, and loses nothing: with commands that do nothing."""

import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import ROOT

from experiments.benchmarks import _accelerator, _rows, _stopping, accelerator

MACHINE = {"device": "1 x Fast", "platform": "gpu", "versions": {"jax": "0.10.2"}, "date": "2026-01-02"}
OPTIONS = ["--widths", "0.25", "--dtypes", "float32", "--presets", "smoke", "--lengths", "20"]


@pytest.fixture
def run_main(tmp_path, monkeypatch):
    """Return a function that runs the command, whose processes do what another function makes of their commands."""

    def run(act, *options):
        execute = accelerator.run_within
        (tmp_path / "log.txt").touch()

        def instead(command, seconds, log, grace, environment):
            if "machine" in command:
                _rows.Rows(tmp_path / "rows.jsonl").add(kind="machine", **MACHINE)
                return 0, 0.1
            command = act(command)
            return execute(command, seconds, log, grace, environment) if isinstance(command, list) else command

        monkeypatch.setattr(accelerator, "run_within", instead)
        accelerator.main([*OPTIONS, "--output", str(tmp_path), *options])
        return _rows.by_machine(_rows.Rows(tmp_path / "rows.jsonl").read())[0][1]

    return run


@pytest.mark.slow
def test_the_command_ends_in_time(run_main, tmp_path, capsys, monkeypatch):
    """Also where each of its processes goes on forever, and does not obey; what was not measured is told."""
    (tmp_path / "results").mkdir()
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_text("picture")
    timers = []
    monkeypatch.setattr(signal, "setitimer", lambda *timer: timers.append(timer))  # which would end the tests
    start = time.monotonic()
    rows = run_main(lambda _: ["sh", "-c", "trap '' TERM; while true; do sleep 0.05; done"], "--total-seconds", "16")
    assert time.monotonic() - start < 16
    assert timers == [(signal.ITIMER_REAL, 16.0), (signal.ITIMER_REAL, 0)]
    commands = {row["what"]: row["error"] for row in rows if row["kind"] == "command"}
    assert len(commands) == 8
    assert {commands.pop(name) for name in ("rates", "speed")} == {"its time was over"}
    assert [*commands.values()] == ["its time was over", *["no time was left"] * 5]
    assert {row["error"] for row in rows if row["kind"] != "command"} == {"no time was left"}
    text = (tmp_path / "table.md").read_text()
    assert "| convolutions in bfloat16 | 0 of 9 shapes run |" in text
    assert text in capsys.readouterr().out
    with tarfile.open(tmp_path / "returned.tar.gz") as archive:
        assert archive.getnames() == ["table.md", "rows.jsonl", "log.txt", "figures/a.png"]
        assert archive.extractfile("table.md").read().decode() == text


def test_the_command_is_killed_in_the_end(tmp_path):
    """Where even its own process does not go on."""
    code = "import sys, time; from experiments.benchmarks import accelerator as a; a.check = lambda _: []"
    code += "; a.start_device = lambda *_: time.sleep(60); a.main(sys.argv[1:])"
    options = ["--total-seconds", "0.5", "--output", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=ROOT, timeout=50)
    assert done.returncode == -signal.SIGALRM


def test_a_section_that_fails_says_why(run_main):
    """Its rows are not measured, for the reason of the section; the next ones run."""
    rows = run_main(lambda command: ["sh", "-c", "echo 'error: no kernel'; exit 1"] if "rates" in command else (0, 1.0))
    errors = {row["error"] for row in rows if row["kind"] in ("rate", "convolution")}
    assert errors == {"not measured: it ended with status 1: error: no kernel"}
    assert [row.get("error") for row in rows if row["kind"] == "command"] == [*[None] * 6, errors.pop()[14:], None]


def test_asked_to_stop_it_writes_the_table_first(run_main, tmp_path, capsys, monkeypatch):
    """The rows that were measured are in it before anything else happens, and in the archive after that."""
    before = signal.getsignal(signal.SIGTERM)

    def act(command):
        if "speed" in command:
            _rows.Rows(tmp_path / "rows.jsonl").add(kind="rate", what="copy", bytes_per_second=4e12)
            os.kill(os.getpid(), signal.SIGTERM)
        return 0, 1.0

    def save(arguments):
        first.extend(path.read_text() for path in tmp_path.glob("table.md"))
        kept(arguments)

    first, kept = [], accelerator.save
    monkeypatch.setattr(accelerator, "save", save)
    rows = run_main(act)
    assert "| copy | 4,000.0 GB/s |" in first[-1]
    assert "stopped" in capsys.readouterr().out
    assert {row.get("error") for row in rows if row["kind"] == "training"} == {"not measured"}
    assert (tmp_path / "returned.tar.gz").exists()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process that its parent died")
def test_a_command_dies_with_the_process_that_started_it(tmp_path):
    """Also where that is killed, and can do nothing about it."""
    inner = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    run = "from pathlib import Path; from experiments.benchmarks._stopping import run_within; import sys"
    run += f"; run_within([sys.executable, '-c', {inner!r}], 60, Path({str(tmp_path / 'log.txt')!r}), 60)"
    with subprocess.Popen([sys.executable, "-c", run], cwd=ROOT) as outer:
        while not (tmp_path / "log.txt").exists() or not (tmp_path / "log.txt").read_text().endswith("\n"):
            time.sleep(0.02)
        outer.kill()
    number = int((tmp_path / "log.txt").read_text())
    deadline = time.monotonic() + 10
    while _is_alive(number) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(number)


def _is_alive(number):
    """Return whether a process is there that has not ended, even if nobody has asked for its status."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_asked_to_stop_it_waits_for_seconds_only(tmp_path, monkeypatch):
    """A command that does not obey is killed soon, however long it may take to save otherwise."""
    monkeypatch.setattr(_stopping, "_HURRY", 0.2)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            _stopping.run_within(
                ["sh", "-c", "trap '' TERM; while true; do sleep 0.05; done"], 60, tmp_path / "log", 60
            )
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 10


def test_a_cpu_is_refused_unless_asked_for(tmp_path):
    """One line says what to install; nothing is written about it."""
    with pytest.raises(SystemExit, match=r"^error: the backend must be an accelerator, got cpu\. Install .*: --cpu$"):
        _accelerator.main("machine", ["--output", str(tmp_path)])
    assert not [*tmp_path.iterdir()]
    _accelerator.main("machine", ["--cpu", "--output", str(tmp_path)])
    (row,) = _rows.Rows(tmp_path / "rows.jsonl").read()
    assert (row["kind"], row["platform"], row["device"]) == ("machine", "cpu", "CPU")


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (
            1,
            "error: the backend must be an accelerator, got cpu.",
            "error: the backend must be an accelerator, got cpu.",
        ),
        (1, "RuntimeError: no driver", "error: it ended with status 1: RuntimeError: no driver"),
        (None, "", "error: the device did not start"),
    ],
)
def test_a_device_that_does_not_start_ends_the_command(status, said, message, tmp_path, monkeypatch):
    """In one line, before anything is measured."""

    def start(*_):
        (tmp_path / "log.txt").write_text(said)
        return status, 1.0

    monkeypatch.setattr(accelerator, "run_within", start)
    with pytest.raises(SystemExit) as stop:
        accelerator.main([*OPTIONS, "--output", str(tmp_path)])
    assert stop.value.code == message
    assert not (tmp_path / "rows.jsonl").exists()


def test_missing_data_end_the_command(tmp_path):
    """Before the device starts, and nothing is written."""
    place = tmp_path / "output"
    with pytest.raises(SystemExit, match=r"^error: cifar10 3\.0\.2 is not prepared in "):
        accelerator.main(["--output", str(place), "--data-dir", str(tmp_path)])
    assert not place.exists()


def test_a_missing_package_ends_the_command(tmp_path, monkeypatch):
    """The message says what is missing, and how to do without it."""
    monkeypatch.setattr(accelerator.importlib.util, "find_spec", lambda name: None if name == "array_record" else name)
    with pytest.raises(
        SystemExit, match=r"^error: experiments need array_record, which is not installed: pip install "
    ):
        accelerator.check(accelerator.parse([]))
    assert accelerator.check(accelerator.parse(["--experiments"])) == []


def test_the_command_itself_starts_without_jax(tmp_path):
    """Only its processes hold the device."""
    code = "import sys; from experiments.benchmarks import accelerator as a; a.plan(p := a.parse(sys.argv[1:]), a.check(p))"
    code += "; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *OPTIONS, "--output", str(tmp_path)], cwd=ROOT, check=True)
    rows = _rows.Rows(tmp_path / "rows.jsonl").read()
    assert {row["error"] for row in rows} == {"not measured"}
    assert {row["kind"] for row in rows} == {"rate", "convolution", "scan", "sweep", "training", "command"}

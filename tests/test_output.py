"""What cannot be printed never matters: training goes on, with the same results, and nothing waits for ever."""

import errno
import os
import subprocess
import sys
import threading
import warnings

import jax.numpy as jnp
import pytest
import tiny
from conftest import ROOT
from disturbed import AT_ONCE, CONFIG, assert_same

from bnjax import data, models, probes, sweep, train
from bnjax._host import memory, output, progress
from experiments import __main__ as command_line
from experiments._config import change

pytestmark = pytest.mark.slow

FAILURES = [
    BrokenPipeError(errno.EPIPE, "gone"),
    OSError(errno.ENOSPC, "full"),
    ValueError("I/O operation on closed file"),
]


class Broken:
    """A terminal that cannot be written, from some write on."""

    encoding = "utf-8"

    def __init__(self, error, first=0):
        self.error, self.left = error, first

    def write(self, text):
        """Fail."""
        self.left -= 1
        if self.left < 0:
            raise self.error
        return len(text)

    def flush(self):
        """Fail."""
        self.write("")

    def isatty(self):
        """Let bars appear."""
        return True


@pytest.fixture(params=FAILURES, ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")))
def broken(request, monkeypatch):
    """Standard output and standard error that cannot be written; bars appear at once."""
    for module in ("bnjax._host.progress", "experiments._training.train"):
        monkeypatch.setattr(f"{module}._QUIET_SECONDS", 0.0)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Broken(request.param))


def in_time(work):
    """Do some work in a thread of its own, and fail if it does not come back."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(60)
    assert found, "it waits for ever, or has failed"
    return found[0]


@pytest.mark.parametrize("first", [0, 3, 40])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_training_goes_on_without_output(name, first, undisturbed, tmp_path, monkeypatch):
    """Side by side, with bars, tests and checkpoints: the same bits, and exit status 0."""
    monkeypatch.setattr("experiments._training.train._QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys, name, Broken(FAILURES[0], first))
    arguments = ("--schedule.num-steps", "60", "--seeds", "0", "1")
    assert in_time(lambda: tiny.call(tmp_path, *AT_ONCE, *arguments)) == 0
    assert_same(tmp_path, undisturbed(*arguments), change(CONFIG, seeds=(0, 1)))


def test_errors_have_their_status_without_output(broken, tmp_path):
    """What is wrong cannot be told, but is 2 still."""
    assert tiny.call(tmp_path, "--nonsense") == 2
    assert tiny.call(tmp_path, "--norm.layers", "7") == 2


def test_the_library_goes_on_without_output(broken, tmp_path):
    """A scan and a grid, whose bars share a lock between their threads; warnings of what does not fit; checkpoints."""
    scan = in_time(lambda: probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3)))
    assert scan.loss.shape == scan.step_sizes.shape

    def make_trainer(learning_rate):
        model = models.make_model(models.MLPConfig(hidden=(8,)))
        return train.Trainer(model, train.make_optimizer("sgd", learning_rate), batch_size=16)

    options = {"num_steps": 4, "chunk_size": 2, "save_seconds": 0.0, "folder": tmp_path / "grid"}
    runs = sweep.grid(learning_rate=(0.1,), seed=(0, 1))
    found = in_time(
        lambda: sweep.train_grid(make_trainer, runs, data.load("digits"), way=sweep.Way("threads"), **options)
    )
    assert found.loss.shape == (2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: sys.stderr.write(str(message))
        assert memory.halved(4, RuntimeError("RESOURCE_EXHAUSTED"), "point") == 2
    assert list(progress.track(range(3), "numbers")) == [0, 1, 2]


def test_a_process_without_standard_files(tmp_path):
    """What it was started without is opened: else the next file would have that number, and what is printed to it."""
    code = (
        "from bnjax._host.output import occupy_standard_files, say, unfailing_output\n"
        "import os, sys\n"
        "occupy_standard_files()\n"
        f"with open({str(tmp_path / 'log')!r}, 'w') as log, unfailing_output():\n"
        "    say('nothing'); say('nothing', sys.stderr); os.write(2, b'nothing')\n"
        "    log.write(str(log.fileno() > 2))\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code], cwd=ROOT, check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "log").read_text() == "True"


def run(redirection, *arguments):
    """Run the command with its output sent elsewhere by a shell; return its exit status, and what came of it."""
    command = [sys.executable, "-m", "experiments", *map(str, arguments)]
    line = f'set -o pipefail; "$@" {redirection}'
    done = subprocess.run(["bash", "-c", line, "bash", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_report_whose_name_cannot_be_printed(tmp_path, monkeypatch, capsys):
    """It is written all the same; a list, which is nothing else, says that it cannot be."""
    page = tmp_path / "report.html"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Broken(FAILURES[1]))
        command_line.main(["report", "--figures", str(tmp_path), "--output", str(page)])
        with pytest.raises(SystemExit) as stop:
            command_line.main(["--results", str(tmp_path)])
    assert page.read_text().startswith("<!")
    assert (stop.value.code, capsys.readouterr().err) == (2, "error: standard output cannot be written: full.\n")


@pytest.mark.thorough
def test_a_list_on_a_full_disk():
    """One line, and no complaint of Python's when it ends."""
    status, _, errors = run(">/dev/full")
    assert (status, errors) == (2, "error: standard output cannot be written: No space left on device.\n")


@pytest.mark.thorough
@pytest.mark.parametrize("redirection", ["2>&1 | head -1", "2>/dev/full", ">/dev/full 2>&1", ">&- 2>&-"])
def test_the_command_goes_on_without_output(redirection, tmp_path):
    """As people redirect it."""
    status, _, errors = run(redirection, "quickstart", "--preset", "smoke", "--results", tmp_path)
    assert (status, errors) == (0, "")
    assert len(list(tmp_path.glob("quickstart-*/quickstart-*.png"))) == 1


def test_streams_are_as_they_were(monkeypatch):
    """A context gives back the streams that it has wrapped, unless they were replaced; what is left of them goes nowhere."""
    full = open("/dev/full", "w")  # noqa: SIM115  # closed below
    monkeypatch.setattr(sys, "stderr", full)
    before, other = sys.stdout, output.Unfailing(None)
    with output.unfailing_output():
        print("lost", file=sys.stderr)
        assert sys.stderr.name == "/dev/full"
        with output.unfailing_output():
            assert isinstance(sys.stderr._stream, type(full))
        sys.stdout = other
    assert (sys.stdout, sys.stderr) == (other, full)
    monkeypatch.setattr(sys, "stdout", before)
    assert os.path.samestat(os.fstat(full.fileno()), os.stat(os.devnull))
    full.close()


@pytest.mark.parametrize("tell", [print, warnings.warn, lambda line: sys.stderr.write(line)])
def test_lines_for_a_user_do_not_matter(tell, broken, monkeypatch):
    """Whatever function prints them; another error of it comes through."""
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: sys.stderr.write(str(message)))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        output.harmless(tell)("news")
    with pytest.raises(KeyError):
        output.harmless({}.__getitem__)("news")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, ö, µ·10⁻³\n\tand more\xa0%", None),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("lone \ud800 surrogate", r"lone \ud800 surrogate"),
        ("\u202eback to front\u2028", r"\u202eback to front\u2028"),
        ("over\rwritten\x00", r"over\rwritten\x00"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, escaped, capsys):
    """And what a file could not hold."""
    output.say(text)
    assert capsys.readouterr().out == f"{escaped or text}\n"
    output.printable(text).encode()
    assert output.one_line(ValueError(f"a\n {text}")).isprintable() or escaped is None

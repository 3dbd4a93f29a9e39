"""Which data files a report shows, and which of them decide claims."""

import json
import sys
from types import SimpleNamespace

import pytest
from reporting import make_data, run
from test_progress import Terminal

from bnjax._host import progress
from experiments import _report
from experiments._command import catalogue, cli


def landscape(figures, packed=None):
    """Load the entry of the landscape, and the verdicts of its claims by name."""
    (entry,) = [entry for entry in _report.load(figures, packed).entries if entry.name == "landscape"]
    return entry, {claim.name: judgement.verdict for claim, judgement in entry.judged}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes data of the landscape to a file of a name."""

    def write(stem, **fields):
        (tmp_path / f"{stem}.json").write_text(json.dumps(make_data(**fields)))

    return write


def test_a_damaged_file_leaves_the_others(write, tmp_path):
    """The next preset's data are shown, and decide."""
    write("landscape-cpu", scale=2)
    (tmp_path / "landscape-evening.json").write_text("{")
    entry, verdicts = landscape(tmp_path)
    assert entry.stem == "landscape-cpu"
    assert verdicts["landscape_predictiveness"] == "supported"


def test_a_terminal_sees_how_far_it_is(write, tmp_path, monkeypatch):
    """A bar counts experiments; it appears after two seconds, and is erased."""
    write("landscape-cpu", scale=2)
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    _report.load(tmp_path)
    assert f"/{len(catalogue.names())} [" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().startswith("\rexperiments:")


def test_data_of_packed_runs_come_before_those_of_a_file(write, tmp_path, monkeypatch):
    """What is shown decides."""
    write("landscape-cpu", scale=0.5)
    made = {("landscape", "cpu"): make_data(scale=2)}
    load = sys.modules["experiments._report.load"]  # the package has a function of that name
    monkeypatch.setattr(load, "_from_packed", lambda _packed, name, preset, _problems: made.get((name, preset)))
    monkeypatch.setattr(load, "draw_data", lambda *_: {})
    _, verdicts = landscape(tmp_path, tmp_path)
    assert verdicts["landscape_predictiveness"] == "supported"


def test_another_normaliser_decides_nothing(write, tmp_path):
    """What claims call batch norm is none; its data are shown, without words about batch norm."""
    config = make_data(scale=2)["config"]
    for kind, verdict in (("batch", "supported"), ("lp", "not run")):
        write("landscape-cpu", scale=2, config={**config, "vgg": {**config["vgg"], "norm": {"kind": kind}}})
        entry, verdicts = landscape(tmp_path)
        assert verdicts["landscape_predictiveness"] == verdict
        assert (entry.data is not None, bool(entry.findings)) == (True, kind == "batch")


def test_smoke_decides_nothing_whatever_its_name(write, tmp_path):
    """A changed field gives its file another name."""
    write("landscape-0123456789", scale=2, preset="smoke")
    entry, verdicts = landscape(tmp_path)
    assert entry.stem == "landscape-0123456789"
    assert {*verdicts.values()} == {"not run"}


def test_another_normaliser_is_named_beside_the_table(tmp_path, capsys, monkeypatch):
    """Whoever chooses it is told what BN stands for."""
    monkeypatch.setattr(cli, "_collect", lambda *_: {"arms": {}, "provenance": [], "seconds": 1.0})
    monkeypatch.setattr(cli, "_part", lambda *_: SimpleNamespace(summarise=lambda data: "the table"))
    monkeypatch.setattr(cli.pictures, "draw_data", lambda *_: {})
    options = ["--results", tmp_path / "results", "--figures", tmp_path]
    told = "Where the table and the figure say BN, it is another normaliser (norm: lp instead of batch)"
    for norm, is_told in ([], False), (["--vgg.norm", "lp"], True):
        status, output, errors = run(capsys, "landscape", "--preset", "smoke", *norm, *options)
        assert (status, errors) == (0, "")
        assert (told.replace("(norm", "(vgg.norm") in output) is is_told

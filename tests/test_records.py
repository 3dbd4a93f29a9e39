"""A run's folder."""

import json
import resource
import sys
from dataclasses import dataclass
from importlib import metadata

import pytest

from bnjax import runs


@dataclass(frozen=True)
class Config:
    """A configuration."""

    rate: float = 0.1
    layers: tuple = (1, 2)


@dataclass(frozen=True)
class LaterConfig(Config):
    """The same, after a field was added."""

    added: str = "default"


def test_folder_names_follow_what_is_not_default(tmp_path):
    """Equal configurations share a folder, others do not, and a new field with a default orphans no old run."""
    folder = runs.run_folder(tmp_path, "demo", Config(rate=0.2))
    assert folder.name.startswith("demo-")
    assert runs.read_json(folder / "config.json") == {"rate": 0.2, "layers": [1, 2]}
    assert runs.config_hash(Config(rate=0.2)) == runs.config_hash(LaterConfig(rate=0.2))
    hashes = {runs.config_hash(c) for c in (Config(), Config(0.2), Config(layers=(1,)), LaterConfig(added="x"))}
    assert len(hashes) == 4


@dataclass(frozen=True)
class Outer:
    """A configuration with another one in it."""

    inner: Config
    depth: int = 1


def test_configurations_within_configurations(tmp_path):
    """What they change counts, a new field with a default does not, and a default that has changed is named by its path."""
    assert runs.config_hash(Outer(Config(0.2))) == runs.config_hash(Outer(LaterConfig(0.2)))
    assert len({runs.config_hash(Outer(Config(rate))) for rate in (0.1, 0.2)}) == 2
    folder = runs.run_folder(tmp_path, "demo", Outer(Config()))
    assert runs.run_folder(tmp_path, "demo", Outer(LaterConfig())) == folder
    runs.write_json(folder / "config.json", {"inner": {"rate": 0.3}})
    with pytest.raises(
        ValueError, match=r"holds runs with inner\.rate 0\.3, this one has 0\.1: a default has changed since"
    ):
        runs.run_folder(tmp_path, "demo", Outer(Config()))


def test_json_has_no_nan(tmp_path):
    """What is not finite becomes null, at any depth."""
    path = tmp_path / "x.json"
    runs.write_json(path, {"a": [1.5, float("nan")], "b": (float("inf"),)})
    assert runs.read_json(path) == {"a": [1.5, None], "b": [None]}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_log_continues_where_its_checkpoint_was(tmp_path):
    """Lines after the pinned length are cut, those before it stay."""
    path = tmp_path / "metrics.jsonl"
    log = runs.MetricsLog(path)
    log.append(step=1)
    pin = log.sync()
    log.append(step=2, loss=float("nan"))
    log.close()
    assert runs.read_metrics(path) == [{"step": 1}, {"step": 2, "loss": None}]
    log = runs.MetricsLog(path, pin)
    log.append(step=3)
    log.close()
    assert runs.read_metrics(path) == [{"step": 1}, {"step": 3}]
    with pytest.raises(ValueError, match=r"holds \d+ bytes, fewer than the 1000 of its checkpoint"):
        runs.MetricsLog(path, runs.Pin(1000))


def test_a_log_that_cannot_be_written(tmp_path):
    """The file is named, its lines are kept, and once there is space they are all there, each once."""
    path, limits = tmp_path / "metrics.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    log = runs.MetricsLog(path)
    for step in range(100):
        log.append(step=step)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))  # as a quota
    try:
        for _ in range(2):
            with pytest.raises(OSError, match=r"File too large: .*/metrics\.jsonl"):
                log.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == 600
    log.append(step=100)
    assert log.sync().length == path.stat().st_size
    log.close()
    assert runs.read_metrics(path) == [{"step": step} for step in range(101)]


@pytest.mark.parametrize("content", ["", "[1", "\\xff", "[]", '"x"', "[" * 100_000, json.dumps({"rate": "\x1b[2J\n"})])
def test_a_configuration_that_is_none(content, tmp_path):
    """Whatever a folder from elsewhere holds in place of a configuration is told in one line of plain characters."""
    path = runs.run_folder(tmp_path, "demo", Config()) / "config.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="demo-") as error:
        runs.run_folder(tmp_path, "demo", Config())
    assert str(error.value).isprintable()
    assert path.read_text() == content


def take_lock(folder):
    """Take a folder's lock, and give it back."""
    with runs.lock(folder):
        pass


@pytest.mark.parametrize(
    ("name", "write"), [("lock", take_lock), ("log", lambda folder: runs.MetricsLog(folder / "log"))]
)
def test_links_are_not_followed(name, write, tmp_path):
    """A folder from elsewhere cannot have another file overwritten."""
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / name).symlink_to(other)
    with pytest.raises(OSError, match=f"symbolic links.*{name}"):
        write(tmp_path)
    assert other.read_text() == "precious"


@pytest.mark.parametrize("name", ["../demo", "/demo", "a/b"])
def test_names_stay_in_the_folder_of_results(name, tmp_path):
    """A name of an experiment is no path."""
    with pytest.raises(ValueError, match="experiment must be a name, not a path"):
        runs.run_folder(tmp_path / "results", name, Config())
    assert not list(tmp_path.iterdir())


def test_provenance_names_no_path(monkeypatch):
    """Versions, device and commit are there; the command is what a person would type, without where folders lie."""
    arguments = [
        "--figures",
        "/home/me/figures",
        "--data-dir=/home/me/data",
        "--results",
        "here/results",
        "--width",
        "1/8",
    ]
    monkeypatch.setattr("sys.argv", [sys.argv[0], *arguments])
    origin = runs.provenance()
    assert origin["command"].endswith(" --figures figures --data-dir=data --results here/results --width 1/8")
    assert set(origin) == {"commit", "command", "python", "versions", "device", "cpu_cores", "date"}
    assert not origin["command"].startswith("/")


def test_provenance_of_what_is_not_installed(monkeypatch):
    """A package that is only on the path, as bnjax is in a checkout, has an unknown version; the others have theirs."""
    version = metadata.version

    def missing(name):
        if name in ("bnjax", "optax"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", missing)
    versions = runs.provenance()["versions"]
    assert versions["bnjax"] == versions["optax"] == "unknown"
    assert versions["jax"] == version("jax")

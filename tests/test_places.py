"""It works in places that nobody here has seen: no home, no flock, no fcntl, other locales, masks and backends."""

import errno
import fcntl
import importlib
import os
import shutil
import stat
import subprocess
import sys

import jax.numpy as jnp
import pytest
from conftest import ROOT

from bnjax import probes
from bnjax._host.files import cache_dir
from bnjax._host.output import say
from bnjax.runs import is_locked, lock, write_json
from experiments._command import catalogue
from experiments._evidence.read import read_data

pytestmark = pytest.mark.slow


def run(*command, env=None, **options):
    """Run Python in a process of its own, with this project in its path."""
    env = {**(os.environ if env is None else env)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, **options)


NOBODY = """
import pwd
def missing(uid): raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = missing
"""
HOMELESS = {
    "list": (["-m", "experiments"], {}),
    "help": (["-m", "experiments", "landscape", "--help"], {}),
    "cache given": (["-m", "experiments"], {"BNJAX_CACHE_DIR": "cache"}),
    "data": (["-c", "from bnjax import data; print(data.load('digits').train.images.shape)"], {}),
    "data that are missing": (
        [
            "-c",
            "from bnjax import data\ntry: data.load('mnist')\nexcept Exception as e: assert 'TFDS_DATA_DIR' in str(e)",
        ],
        {},
    ),
}


@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("name", HOMELESS)
def test_without_a_home(name, tmp_path):
    """A user id that has no name, and no HOME, as in a container, is no error."""
    (tmp_path / "sitecustomize.py").write_text(NOBODY)
    hidden = ("HOME", "XDG_CACHE_HOME", "BNJAX_CACHE_DIR", "TFDS_DATA_DIR")
    bare = {key: value for key, value in os.environ.items() if key not in hidden} | {"PYTHONPATH": str(tmp_path)}
    command, more = HOMELESS[name]
    done = run(*command, env=bare | more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_cache_is_left_out_where_there_is_no_place_for_it(monkeypatch):
    """Unless it is given."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for variable in ("XDG_CACHE_HOME", "BNJAX_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    assert cache_dir() is None
    monkeypatch.setenv("BNJAX_CACHE_DIR", "somewhere")
    assert str(cache_dir()) == "somewhere"


def test_the_cache_may_be_given_from_home(monkeypatch):
    """As a shell would not write it out in a quoted value, or a file of settings."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("BNJAX_CACHE_DIR", "~/cache")
    assert str(cache_dir()) == "/home/somebody/cache"


@pytest.mark.thorough
@pytest.mark.sampled("thorough")
@pytest.mark.parametrize("backend", ["module://of_another_environment", "TkAgg"])
def test_the_backend_of_a_notebook_is_not_needed(backend, tmp_path):
    """A command that gets MPLBACKEND from a notebook draws all the same."""
    probes.scan_line(lambda p: jnp.sum(p**4), jnp.ones(3)).save(tmp_path / "line.npz")
    env = {key: value for key, value in os.environ.items() if key != "DISPLAY"} | {"MPLBACKEND": backend}
    done = run("-m", "experiments", "draw", "line.npz", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "line.png").unlink()
    assert run("-m", "bnjax.draw", "line.npz", env=env, cwd=tmp_path).returncode == 0
    assert (tmp_path / "line.png").exists()


SETTINGS = """
font.size: 40
axes.facecolor: red
savefig.dpi: 17
savefig.bbox: tight
lines.linestyle: --
axes.prop_cycle: cycler('color', ['k'])
"""


@pytest.mark.thorough
def test_a_matplotlibrc_changes_no_picture(tmp_path):
    """Fonts, colours and resolution are ours, to the byte."""
    probes.scan_line(lambda p: jnp.sum(p**4), jnp.ones(3)).save(tmp_path / "line.npz")
    pictures = []
    for settings in ("", SETTINGS):
        (tmp_path / "matplotlibrc").write_text(settings)
        done = run("-m", "bnjax.draw", "line.npz", env={**os.environ, "MATPLOTLIBRC": str(tmp_path)}, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        pictures.append((tmp_path / "line.png").read_bytes())
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(code, tmp_path, monkeypatch, capsys):
    """Work goes on, and one line says once that nothing guards the folder."""

    def flock(file, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with lock(tmp_path):
            assert not is_locked(tmp_path)
    said = capsys.readouterr().err
    assert said == f"Nothing keeps a second process from {tmp_path}: its file system has no locks.\n"


def test_other_errors_of_a_lock_are_errors(tmp_path, monkeypatch):
    """As a broken disk is."""

    def flock(file, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), lock(tmp_path):
        pass


WINDOWS = """
import importlib, os, sys
from pathlib import Path
sys.modules["fcntl"] = None
os.__dict__.pop("O_NOFOLLOW", None)
names = "norms linen nnx probes objective adapters train data convert models theory runs sweep draw".split()
for name in names: importlib.import_module(f"bnjax.{name}")
from bnjax.runs import lock
with lock(Path(sys.argv[1])): print("locked")
"""


def test_without_fcntl(tmp_path):
    """As on Windows, everything can be imported; where no lock is there at all, one line says so."""
    done = run("-c", WINDOWS, str(tmp_path))
    assert done.stdout == "locked\n", done.stderr
    assert done.stderr.count("its file system has no locks") == 1


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o007], ids=oct)
def test_files_follow_the_umask(mask, tmp_path):
    """They have the permissions that `open` gives, and one that is replaced keeps its own."""
    scan, old = probes.scan_line(lambda p: jnp.sum(p**2), jnp.ones(3)), os.umask(mask)
    try:
        scan.save(tmp_path / "scan.npz")
        write_json(tmp_path / "data.json", {"a": 1})
        files = tmp_path / "scan.npz", tmp_path / "data.json"
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o666 & ~mask] * 2
        files[1].chmod(0o600)
        write_json(files[1], {"a": 2})
        assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    finally:
        os.umask(old)


@pytest.mark.thorough
def test_files_are_opened_as_utf8(tmp_path):
    """Whatever the locale: Python warns of every file that is opened without an encoding, and of none of ours."""
    readme = shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    command = ["-m", "experiments", "report", "--figures", str(ROOT / "figures"), "--readme", str(readme)]
    done = run("-X", "warn_default_encoding", *command, cwd=tmp_path)
    folders = [f"{ROOT}{os.sep}{name}{os.sep}" for name in ("bnjax", "experiments")]  # libraries may lie below ROOT too
    warnings = [line for line in done.stderr.splitlines() if "EncodingWarning" in line]
    ours = [line for line in warnings if any(folder in line for folder in folders)]
    assert done.returncode == 0, done.stderr
    assert ours == []
    assert "â" not in (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
@pytest.mark.parametrize("name", ["landscape", "covariate_shift"])
def test_a_terminal_that_lacks_a_character(name, encoding, monkeypatch, tmp_path):
    """What is printed at the end of an experiment loses that character, and nothing else."""
    table = importlib.import_module(f"experiments.{name}.table")
    assert name in catalogue.names()
    text = table.summarise(read_data(ROOT / "figures" / f"{name}-cpu.json"))
    with open(tmp_path / "terminal", "w", encoding=encoding) as terminal:
        say(text, terminal)
    printed = (tmp_path / "terminal").read_text(encoding=encoding)
    assert printed == f"{text.encode(encoding, 'replace').decode(encoding)}\n"
    assert len(printed) == len(text) + 1

"""A run's folder: its configuration, provenance, metrics and results, each written whole or not at all.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import contextlib
import datetime
import fcntl
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from bnjax.cores import count_cores
from bnjax.files import write_whole
from bnjax.processes import is_first, largest


def config_hash(config: Any) -> str:
    """Hash what a configuration (a dataclass) says other than its class's defaults, as 10 hex digits.

    Fields that are added later with a default leave the hash, and so the folder of older runs, as it was; so they do in
    dataclasses that are fields.
    """
    return hashlib.sha256(json.dumps(_changed(config), sort_keys=True).encode()).hexdigest()[:10]


def run_folder(root: str | os.PathLike, experiment: str, config: Any) -> Path:
    """Return `<root>/<experiment>-<hash of the configuration>`, made if it is not there, with `config.json` in it.

    Raises:
        ValueError: if the folder holds runs of another configuration: a default has changed since; or if the name is
            a path.
    """
    if Path(experiment).name != experiment:
        raise ValueError(f"experiment must be a name, not a path, got {experiment!r}.")
    folder = Path(root) / f"{experiment}-{config_hash(config)}"
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / "config.json", json.loads(json.dumps(asdict(config)))
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a configuration. Move that folder away.")
    for name, old, new in _conflicts(found, wanted):
        raise ValueError(
            f"{folder} holds runs with {name} {old!r}, this one has {new!r}: a default has changed since. "
            "Move that folder away."
        )
    write_json(path, wanted)
    return folder


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep a folder to this process, and to those it is joined with, for as long as the context lasts or the process lives.

    Raises:
        ValueError: if another process has it.
    """
    with contextlib.ExitStack() as stack:
        is_taken = False
        if is_first():
            file = stack.enter_context(open(folder / "lock", "ab", opener=_open_itself))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                is_taken = True
        if any(largest(is_taken)):
            raise ValueError(f"Another process is at work in {folder}.")
        yield


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one move; numbers that are not finite become null."""
    text = json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"
    if is_first():
        write_whole(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: naming the file, if it is none.
    """
    return _parse(path.read_text, path)


class MetricsLog:
    """A file of JSON lines that a checkpoint can pin: its length is saved with the state, and restored with it.

    Lines are written when the log is synced; where that fails, as on a full disk, they are kept for the next time.

    Args:
        path: of the file, made if it is not there.
        length: bytes to keep of what is there; the rest was written after the checkpoint, and comes again.
    """

    def __init__(self, path: Path, *, length: int = 0):
        size = path.stat().st_size if path.exists() else 0
        if size < length:
            raise ValueError(f"{path} holds {size} bytes, fewer than the {length} of its checkpoint.")
        self._path, self._length, self._lines = path, length, bytearray()
        self._file = _open_log(path)
        self._file.truncate(length)

    def append(self, **record: Any) -> None:
        """Add one line; numbers that are not finite become null."""
        self._lines += json.dumps(_finite(record), allow_nan=False).encode() + b"\n"

    def sync(self) -> int:
        """Put every line on disk and return the file's length in bytes.

        Raises:
            OSError: naming the file, if it cannot be written; the lines are kept.
        """
        try:
            self._file.truncate(self._length)  # without the part that an earlier attempt has left
            written = 0
            while written < len(self._lines):
                written += self._file.write(self._lines[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._length += written
        self._lines.clear()
        return self._length

    def close(self) -> None:
        """Write what can be written, and close the file."""
        with contextlib.suppress(OSError):
            self.sync()
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics log; null stays None.

    Raises:
        ValueError: naming the file, if a line is no JSON.
    """
    return [_parse(lambda line=line: line, path) for line in path.read_bytes().splitlines()]


def provenance() -> dict[str, Any]:
    """Describe where results come from: commit, command, versions, hardware, date."""
    import jax  # here alone: what only reads records answers at once

    devices = jax.devices()
    return {
        "commit": _git_commit(),
        "command": " ".join([_program(), *map(_without_folder, sys.argv[1:])]),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("bnjax", "jax", "jaxlib", "flax", "optax")},
        "device": f"{len(devices)} x {devices[0].device_kind}" if devices[0].platform != "cpu" else "CPU",
        "cpu_cores": count_cores(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _parse(read: Callable[[], str | bytes], path: Path) -> Any:
    """Parse what is read of a file."""
    try:
        return json.loads(read())
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(f"{path} is not JSON ({error.msg})", error.doc, error.pos) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def _open_log(path: Path) -> IO[bytes]:
    """Open a file for as long as a run lasts; a process that does not write gets one that nobody sees."""
    if not is_first():
        return tempfile.TemporaryFile("ab", buffering=0)
    return open(path, "ab", buffering=0, opener=_open_itself)


def _open_itself(path: str, flags: int) -> int:
    """Open a file of a run's folder, which may come from elsewhere: not one that a link there leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _changed(config: Any) -> dict[str, Any]:
    """List what a dataclass says other than its class's defaults, and so of the dataclasses in its fields."""
    values = {field: getattr(config, field.name) for field in fields(config)}
    return {
        field.name: _changed(value) if is_dataclass(value) else value
        for field, value in values.items()
        if field.default is MISSING or value != field.default
    }


def _conflicts(found: Any, wanted: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """List the names that two configurations have both, at any depth, with different values, and these."""
    for name in (name for name in wanted if name in found):
        old, new = found[name], wanted[name]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _conflicts(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new


def _program() -> str:
    """Name the running program as a person would start it, without a path."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name


def _without_folder(argument: str) -> str:
    """Write an absolute path as its last part: where it lies on this machine belongs to nobody who reads the results."""
    name, sign, value = argument.rpartition("=")
    return f"{name}{sign}{Path(value).name}" if Path(value).is_absolute() else argument


def _git_commit() -> str:
    """Return the commit this code stands at, with a + where files differ from it; unknown outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # else the checkout around us is somebody else's
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _finite(value: Any) -> Any:
    """Replace every number that is not finite by None, which JSON can say."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

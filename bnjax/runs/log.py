"""The log of a run: JSON lines, whose length a checkpoint pins.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple

from bnjax._host.files import open_itself
from bnjax._host.processes import is_first
from bnjax.runs.json_files import finite, parse


class LostLogError(ValueError):
    """The file of a log was removed while it was written; the message is one line."""


class Pin(NamedTuple):
    r"""The extent of a log: its length in bytes and their SHA-256, which is None if it was not recorded.

    Example:
        >>> import hashlib
        >>> from bnjax import runs
        >>> print(runs.Pin(4, hashlib.sha256(b"{}\n{").hexdigest()).length, runs.Pin())
        4 Pin(length=0, sha256=None)
    """

    length: int = 0
    sha256: str | None = None


_START = Pin()


class MetricsLog:
    """A file of JSON lines that a checkpoint can pin: its length and digest are saved with the state, and restored with it.

    Lines are written when the log is synced; if that fails, as on a full disk, they are kept for the next sync.

    Args:
        path: of the file, created if it does not exist.
        pin: the part of the file to keep; the rest was written after the checkpoint, and will be written again.

    Raises:
        ValueError: if the file does not hold that part.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> log = runs.MetricsLog(path)
        >>> log.append(step=0, loss=2.5)
        >>> pin = log.sync()
        >>> log.append(step=1, loss=2.0)
        >>> log.close()
        >>> print(len(runs.read_metrics(path)), runs.read_metrics(path, pin))
        2 [{'step': 0, 'loss': 2.5}]
    """

    def __init__(self, path: str | os.PathLike, pin: Pin = _START):
        path = Path(path)
        kept = read_pinned(path, pin) if is_first() and pin.length else b""
        self._path, self._length, self._lines = path, pin.length, bytearray()
        self._hasher = hashlib.sha256(kept)
        self._file = _open_log(path)
        self._file.truncate(pin.length)

    def append(self, **record: Any) -> None:
        """Add one line; numbers that are not finite become null, and arrays lists.

        Raises:
            ValueError: if an entry is no JSON data.
        """
        self._lines += json.dumps(finite(record), allow_nan=False).encode() + b"\n"

    def sync(self) -> Pin:
        """Write every line to disk and return the extent of the file.

        Raises:
            OSError: if the file cannot be written; it names the file, and the lines are kept.
            LostLogError: if the file is no longer at its path.
        """
        if is_first() and not _is_at(self._file, self._path):
            raise LostLogError(
                f"{self._path} was removed while it was written; remove its folder to train from the start."
            )
        try:
            self._file.truncate(self._length)  # without the remains of an earlier attempt
            written = 0
            while written < len(self._lines):
                written += self._file.write(self._lines[written:])
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._length += written
        self._hasher.update(self._lines)
        self._lines.clear()
        return Pin(self._length, self._hasher.hexdigest())

    def close(self) -> None:
        """Write what can be written, and close the file."""
        with contextlib.suppress(OSError, LostLogError):
            self.sync()
        self._file.close()


def read_metrics(path: str | os.PathLike, pin: Pin | None = None) -> list[dict[str, Any]]:
    r"""Read the lines of a metrics log, or those that a pin holds; null stays None.

    Raises:
        ValueError: if a line is not JSON, or the file does not match the pin; it names the file.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> _ = path.write_text('{"step": 0, "loss": 2.5}\n{"step": 1, "loss": null}\n')
        >>> print(runs.read_metrics(path))
        [{'step': 0, 'loss': 2.5}, {'step': 1, 'loss': None}]
    """
    path = Path(path)
    return parse_lines(read_pinned(path, pin) if pin else path.read_bytes(), path)


def read_pinned(path: str | os.PathLike, pin: Pin) -> bytes:
    r"""Read the pinned part of a log.

    Raises:
        ValueError: if the file is shorter, or has another digest; it names the file.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> _ = path.write_text('{"step": 0}\n{"step": 1}\n')
        >>> print(runs.read_pinned(path, runs.Pin(12)))
        b'{"step": 0}\n'
    """
    path = Path(path)
    found = path.read_bytes() if path.exists() else b""
    if len(found) < pin.length:
        raise ValueError(f"{path} holds {len(found)} bytes, fewer than the {pin.length} of its checkpoint.")
    found = found[: pin.length]
    if pin.sha256 not in (None, hashlib.sha256(found).hexdigest()):
        raise ValueError(f"{path} is damaged: its digest does not match.")
    return found


def parse_lines(lines: bytes, path: str | os.PathLike) -> list[dict[str, Any]]:
    r"""Parse the lines of the log at a path.

    Example:
        >>> import pathlib
        >>> from bnjax import runs
        >>> print(runs.parse_lines(b'{"step": 0}\n{"step": 1}\n', pathlib.Path("metrics.jsonl")))
        [{'step': 0}, {'step': 1}]
    """
    return [parse(lambda line=line: line, Path(path)) for line in lines.splitlines()]


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _open_log(path: Path) -> IO[bytes]:
    """Open the file of a log; processes that do not write get a temporary file."""
    if not is_first():
        return tempfile.TemporaryFile("ab", buffering=0)
    return open(path, "ab", buffering=0, opener=open_itself)

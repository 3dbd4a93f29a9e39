"""The log of a run: JSON lines, whose length a checkpoint pins.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from bnjax._host.files import open_itself
from bnjax._host.processes import is_first
from bnjax.runs.json_files import finite, parse


class MetricsLog:
    """A file of JSON lines that a checkpoint can pin: its length is saved with the state, and restored with it.

    Lines are written when the log is synced; where that fails, as on a full disk, they are kept for the next time.

    Args:
        path: of the file, made if it is not there.
        length: bytes of the file to keep; the rest was written after the checkpoint, and comes again.
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
        self._lines += json.dumps(finite(record), allow_nan=False).encode() + b"\n"

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
    return [parse(lambda line=line: line, path) for line in path.read_bytes().splitlines()]


def _open_log(path: Path) -> IO[bytes]:
    """Open a file for as long as a run lasts; a process that does not write gets one that nobody sees."""
    if not is_first():
        return tempfile.TemporaryFile("ab", buffering=0)
    return open(path, "ab", buffering=0, opener=open_itself)

"""A finished run in one small file: what it was, its log and their digests; no weights.

The first line is JSON, the rest is the log, compressed. Nothing in it is code, and nothing is unpacked beyond the size that
the first line declares, nor beyond a limit.
"""

import hashlib
import json
import lzma
import os
from pathlib import Path
from typing import Any, NamedTuple

from bnjax._host.files import write_whole
from bnjax.runs.json_files import finite

_FORMAT = "bnjax run 1"
_MAX_HEAD, _MAX_LOG = 2**22, 2**30  # bytes
_MEMORY = 2**27  # bytes that unpacking may take besides the log


class Packed(NamedTuple):
    """The content of a file: the run's description, as JSON, and its log."""

    about: dict[str, Any]
    log: bytes


def pack(path: str | os.PathLike, about: dict[str, Any], log: bytes) -> None:
    r"""Write a finished run in one move; equal runs give equal files.

    Args:
        path: of the file; an existing one is replaced.
        about: JSON data; numbers that are not finite become null.
        log: the lines of its log.

    Raises:
        ValueError: if the log or the description is too long to be read again, or that is no JSON data.
        OSError: if the file cannot be written; it names the file.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "demo.run"
        >>> pack(path, {"seed": 0}, b'{"kind": "train"}\n')
        >>> read_packed(path)
        Packed(about={'seed': 0}, log=b'{"kind": "train"}\n')
    """
    if len(log) > _MAX_LOG:
        raise ValueError(f"log must be at most {_MAX_LOG} bytes, got {len(log)}.")
    head = {"format": _FORMAT, "about": finite(about), "log_bytes": len(log)}
    first = json.dumps(head | {"sha256": _digest(head, log)}, sort_keys=True, allow_nan=False).encode()
    if len(first) >= _MAX_HEAD:
        raise ValueError(f"about must take less than {_MAX_HEAD} bytes as JSON, got {len(first)}.")
    write_whole(Path(path), lambda file: file.write(first + b"\n" + lzma.compress(log, preset=6)))


def read_packed(path: str | os.PathLike) -> Packed:
    """Read a packed run.

    Raises:
        ValueError: if the file is damaged or not a packed run; it names the file.
        OSError: if it cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "demo.run"
        >>> runs.pack(path, {"seed": 0}, b"{}")
        >>> print(runs.read_packed(path).log)
        b'{}'
    """
    path = Path(path)
    with path.open("rb") as file:
        head, packed = _read_head(file.readline(_MAX_HEAD), path), file.read()
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    try:
        # NOTE: one byte more than declared, to detect a longer log without unpacking it.
        log = unpacker.decompress(packed, head["log_bytes"] + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    expected = head.pop("sha256")
    if not unpacker.eof or unpacker.unused_data or expected != _digest(head, log):
        raise ValueError(f"{path} is damaged: its digest does not match.")
    return Packed(head["about"], log)


def read_about(path: str | os.PathLike) -> dict[str, Any]:
    """Read the description of a packed run without its log, whose digest is not compared.

    Raises:
        ValueError: if the file is not a packed run; it names the file.
        OSError: if it cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "demo.run"
        >>> runs.pack(path, {"seed": 0}, b"{}")
        >>> print(runs.read_about(path))
        {'seed': 0}
    """
    path = Path(path)
    with path.open("rb") as file:
        return _read_head(file.readline(_MAX_HEAD), path)["about"]


def _read_head(line: bytes, path: Path) -> dict[str, Any]:
    """Parse the first line, and raise if the declared size is too large."""
    kinds = {"format": str, "about": dict, "log_bytes": int, "sha256": str}
    try:
        head = json.loads(line)
        is_one = {*head} == {*kinds} and all(isinstance(head[name], kind) for name, kind in kinds.items())
    except (ValueError, TypeError, RecursionError):
        head, is_one = {}, False
    if not is_one or head["format"] != _FORMAT:
        raise ValueError(f"{path} is no packed run.")
    if not 0 <= head["log_bytes"] <= _MAX_LOG:
        raise ValueError(f"{path} declares a log of {head['log_bytes']} bytes; at most {_MAX_LOG} are read.")
    return head


def _digest(head: dict[str, Any], log: bytes) -> str:
    """Compute the SHA-256 of everything else in the file."""
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode() + b"\n" + log).hexdigest()

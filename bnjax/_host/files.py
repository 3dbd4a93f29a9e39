"""Files that are written whole or not at all, and where those lie that can be made again."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its place, and move it there once it is on disk; on failure nothing is left.

    Args:
        path: where the file belongs; one that is there is replaced.
        write: gets the open binary file.

    Raises:
        OSError: naming `path`, where it cannot be written, as on a full disk.
    """
    try:
        _write_whole(path, write)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its place, and move it there."""
    # NOTE: a process that is killed leaves this file; nothing that looks for files of a kind takes it for one.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", suffix=".part", delete=False) as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def check_writable(folder: Path) -> None:
    """Make a folder if it is not there.

    Raises:
        OSError: naming it, unless files can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def cache_dir() -> Path:
    """Return where decoded images and compiled programs are kept: BNJAX_CACHE_DIR, else bnjax in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnjax"
    return Path(os.environ.get("BNJAX_CACHE_DIR") or default)


def open_itself(path: str, flags: int) -> int:
    """Open a file of a run's folder, which may come from elsewhere: not one that a link there leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)

"""Write files atomically, locate the cache folder, and interpret errors of the operating system."""

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

# Reasons why an intact file may be unreadable for now: error codes of the system, and words of tensorstore and JAX.
_PASSING = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ESTALE}
_PASSING |= {errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN}
_PASSING_WORDS = ("RESOURCE_EXHAUSTED", "PERMISSION_DENIED")
_FEW_FILES = 64  # fewer than a few checkpoints have


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file and move it to `path` once it is on disk; on failure nothing is left.

    Args:
        path: destination; an existing file is replaced.
        write: called with the open binary file.

    Raises:
        OSError: if the file cannot be written, as on a full disk; it names `path`.
    """
    try:
        _write_whole(path, write)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a temporary file in the folder of `path`, and move it to `path`."""
    # NOTE: a killed process leaves this file behind; no search for files by type matches its name.
    part = path.parent / f".{path.name}-{secrets.token_hex(4)}.part"
    # NOTE: a replaced file keeps its permissions; a new one gets `open`'s defaults, which follow the user's umask.
    with open(part, "xb") as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            file.close()
            part.unlink()
            raise
    try:
        with contextlib.suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(part, path)
    except BaseException:
        part.unlink()
        raise


def check_writable(folder: Path) -> None:
    """Make a folder if it does not exist, and check that files can be written there.

    Raises:
        OSError: if they cannot; it names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def cache_dir() -> Path | None:
    """Return the cache of decoded images and compiled programs: BNJAX_CACHE_DIR, else bnjax in the user's cache.

    None if the user has no home folder, as in a container whose user id has no name.
    """
    if folder := os.environ.get("BNJAX_CACHE_DIR"):
        return Path(os.path.expanduser(folder))
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches) / "bnjax" if os.path.isabs(caches) else None


def open_itself(path: str, flags: int) -> int:
    """Open a file without following a symbolic link, as a run's folder may come from elsewhere."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag


def system_error(error: BaseException | None) -> int | None:
    """Return the errno of an exception or of one of its causes; None if there is none.

    Args:
        error: an OSError, or another exception whose message contains the number, such as tensorstore's.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        code = re.search(r"os_error_code=\D?(\d+)", str(error))  # among other notes, in any order
        if code:
            return int(code[1])
        error = error.__cause__
    return None


def is_passing(error: BaseException) -> bool:
    """Return whether reading a file failed for a temporary reason, such as lack of memory: the file may be intact."""
    if isinstance(error, MemoryError) or system_error(error) in _PASSING:
        return True
    return any(word in str(error) for word in _PASSING_WORDS)


def remedy(error: BaseException, folder: Path) -> str:
    """Suggest a remedy for a failed write into a folder: free space or remove files; empty if neither helps."""
    number = system_error(error)
    if number == errno.EDQUOT:
        return "make space, or remove files, until the quota has room"
    if number != errno.ENOSPC:
        return ""
    try:
        disk = os.statvfs(folder)
    except (OSError, AttributeError):  # Windows has no such call
        return "make space"
    # NOTE: some file systems do not count files, and report 0.
    has_inodes = not disk.f_files or disk.f_favail >= _FEW_FILES
    return "make space" if has_inodes else f"remove files: the disk has inodes for {disk.f_favail} more, not for enough"

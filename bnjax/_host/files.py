"""Files that are written whole or not at all, where those lie that can be made again, and what the system's errors mean."""

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

# What keeps a file from being read that may be whole, as the system says it, and as tensorstore and JAX do.
_PASSING = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ESTALE}
_PASSING |= {errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN}
_PASSING_WORDS = ("RESOURCE_EXHAUSTED", "PERMISSION_DENIED")
_FEW_FILES = 64  # fewer than a few checkpoints have


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
    part = path.parent / f".{path.name}-{secrets.token_hex(4)}.part"
    # NOTE: with the permissions that `open` gives, as the user's umask wants them, or those that the file had.
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
    """Make a folder if it is not there.

    Raises:
        OSError: naming it, unless files can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def cache_dir() -> Path | None:
    """Return where decoded images and compiled programs are kept: BNJAX_CACHE_DIR, else bnjax in the user's cache folder.

    None is nowhere: the user has no folder, as in a container whose user id has no name.
    """
    if folder := os.environ.get("BNJAX_CACHE_DIR"):
        return Path(folder)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches) / "bnjax" if os.path.isabs(caches) else None


def open_itself(path: str, flags: int) -> int:
    """Open a file of a run's folder, which may come from elsewhere: not one that a link there leads to."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag


def system_error(error: BaseException | None) -> int | None:
    """Return the number of the system's error that an error, or its cause, tells of; None if there is none.

    Args:
        error: an OSError, or one of another type, such as tensorstore's, which have the number in their words.
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
    """Return whether a file could not be read for a reason that may pass, as want of memory: then it may be whole."""
    if isinstance(error, MemoryError) or system_error(error) in _PASSING:
        return True
    return any(word in str(error) for word in _PASSING_WORDS)


def remedy(error: BaseException, folder: Path) -> str:
    """Return what helps where a file could not be written into a folder: space, or fewer files; empty if neither does."""
    number = system_error(error)
    if number == errno.EDQUOT:
        return "make space, or remove files, until the quota has room"
    if number != errno.ENOSPC:
        return ""
    try:
        disk = os.statvfs(folder)
    except (OSError, AttributeError):  # Windows has no such call
        return "make space"
    # NOTE: some file systems do not count files, and say 0.
    has_inodes = not disk.f_files or disk.f_favail >= _FEW_FILES
    return "make space" if has_inodes else f"remove files: the disk has inodes for {disk.f_favail} more, not for enough"

"""The folder of a run: named after its configuration, and kept to one process at a time.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from bnjax._host.files import open_itself
from bnjax._host.output import say
from bnjax._host.processes import is_first, largest
from bnjax.runs.json_files import as_json, finite, read_json, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_unguarded: set[Path] = set()  # folders about which the warning was printed
STEP_PREFIX = "bnjax"  # identifies our folders of checkpoints


def config_hash(config: Any) -> str:
    """Hash the fields of a configuration (a dataclass) that differ from its class's defaults, as 10 hex digits.

    Fields that are added later with a default, also in nested dataclasses, do not change the hash, nor the folder of older
    runs.

    Example:
        >>> from dataclasses import dataclass
        >>> from bnjax import runs
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     seed: int = 0
        >>> print(runs.config_hash(Config()) == runs.config_hash(Config(seed=0)), len(runs.config_hash(Config(seed=1))))
        True 10
    """
    changed = _changed(config)
    try:
        text = json.dumps(changed, sort_keys=True)
    except TypeError:  # numbers of NumPy or JAX, or names that cannot be sorted
        text = json.dumps(as_json(changed, "config"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def config_dict(config: Any) -> dict[str, Any]:
    """Convert a configuration (a dataclass) and the dataclasses in its fields to dictionaries.

    A class that is one of several choices is named by its attribute `kind`, if it has one, which is added to its fields.

    Example:
        >>> from bnjax import models, runs
        >>> print(runs.config_dict(models.DeepLinearShape(depth=3)))
        {'depth': 3, 'width': 10, 'kernel_init': 'xavier_uniform', 'kernel_scale': 1.0}
    """
    named = {"kind": config.kind} if isinstance(getattr(config, "kind", None), str) else {}
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return named | {name: config_dict(value) if is_dataclass(value) else value for name, value in values.items()}


def folder_name(experiment: str, config: Any) -> str:
    """Return `<experiment>-<hash of the configuration>`.

    Raises:
        ValueError: if the name is a path.

    Example:
        >>> from bnjax import models, runs
        >>> runs.folder_name("demo", models.MLPShape()).startswith("demo-")
        True
    """
    if Path(experiment).name != experiment:
        raise ValueError(f"experiment must be a name, not a path, got {experiment!r}.")
    return f"{experiment}-{config_hash(config)}"


def run_folder(root: str | os.PathLike, experiment: str, config: Any) -> Path:
    """Return `<root>/<experiment>-<hash of the configuration>`, created if it does not exist, with a `config.json`.

    Raises:
        ValueError: if the folder holds runs of another configuration: a default has changed since; or if it is a link; or if
            the name is a path. The root may be a link, to a scratch disk for example.

    Example:
        >>> import tempfile
        >>> from bnjax import models, runs
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = runs.run_folder(root, "demo", models.DeepLinearShape(depth=3))
        ...     print(runs.read_json(folder / "config.json")["depth"])
        3
    """
    folder = Path(root) / folder_name(experiment, config)
    check_no_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_no_link(folder / "config.json")
    path, wanted = folder / "config.json", finite(config_dict(config))
    try:
        found = read_json(path) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{error}. Remove that file, which is then written again.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a configuration. Move that folder away.")
    for name, old, new in conflicts(found, wanted):
        raise ValueError(
            f"{folder} holds runs with {name} {old!r}, this one has {new!r}: a default has changed since. "
            "Move that folder away."
        )
    if found != wanted and _covers(found, wanted):
        write_json(path, wanted)
    return folder


def latest_step(checkpoints: str | os.PathLike) -> int | None:
    """Return the step of the newest checkpoint in a folder, whole or not; None if there is none.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> with tempfile.TemporaryDirectory() as root, runs.Checkpoints(root) as checkpoints:
        ...     checkpoints.save(100, {"w": jnp.zeros(2)})
        ...     print(runs.latest_step(pathlib.Path(root)))
        100
    """
    return max(list_steps(Path(checkpoints)), default=None)


def list_steps(checkpoints: Path) -> list[int]:
    """List the steps of the checkpoints in a folder that have our record, intact or not, in ascending order."""
    ours = [path for path in checkpoints.glob(f"{STEP_PREFIX}_*") if (path / "record").is_dir()]
    steps = [path.name.removeprefix(f"{STEP_PREFIX}_") for path in ours]
    return sorted(int(step) for step in steps if step.isdecimal() and step == str(int(step)))


def check_no_link(path: Path) -> None:
    """Raise a ValueError if a folder or file of a run is a symbolic link, whose target is not ours.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> with tempfile.TemporaryDirectory() as root:
        ...     link = pathlib.Path(root) / "link"
        ...     link.symlink_to(root)
        ...     try:
        ...         runs.check_no_link(link)
        ...     except ValueError as error:
        ...         print(str(error).removeprefix(root))
        /link is a link, which a folder of results must not hold. Move it away.
    """
    if path.is_symlink():
        raise ValueError(f"{path} is a link, which a folder of results must not hold. Move it away.")


class LockedError(ValueError):
    """Another process is using a folder; the message is one line."""


@contextlib.contextmanager
def lock(folder: str | os.PathLike, *, joined: bool = True) -> Iterator[None]:
    """Lock a folder for this process, and those it is joined with, as long as the context lasts or the process lives.

    Args:
        folder: an existing folder.
        joined: all processes that are joined with this one make this call together; False if only this one does.

    Raises:
        LockedError: if another process has it.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> with tempfile.TemporaryDirectory() as root, runs.lock(pathlib.Path(root)):
        ...     print(runs.is_locked(pathlib.Path(root)))
        True
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        if any(largest(is_first() and not _take(folder, stack))) if joined else not _take(folder, stack):
            raise LockedError(f"Another process is at work in {folder}.")
        yield


def is_locked(folder: str | os.PathLike) -> bool:
    """Return whether another process is using a folder, which need not exist.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> with tempfile.TemporaryDirectory() as root:
        ...     print(runs.is_locked(pathlib.Path(root)))
        False
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        return any(largest(is_first() and (folder / "lock").exists() and not _take(folder, stack)))


def _take(folder: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a folder for as long as the stack lasts; return False if another process has it."""
    file = stack.enter_context(open(folder / "lock", "ab", opener=open_itself))  # noqa: SIM115  # closed by the stack
    try:
        _lock_file(file)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        if folder not in _unguarded:
            _unguarded.add(folder)
            say(f"Nothing keeps a second process from {folder}: its file system has no locks.", sys.stderr)
    return True


def _lock_file(file: Any) -> None:
    """Lock an open file for as long as it is open, or raise an OSError at once."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
    else:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _changed(config: Any, default: Any = None) -> dict[str, Any]:
    """List the fields of a dataclass, and of the dataclasses in them, that differ from their class's defaults.

    A dataclass of another class than its field's default is also named by its `kind`.
    """
    named = {"kind": config.kind} if default and type(config) is not type(default) and hasattr(config, "kind") else {}
    values = {field: getattr(config, field.name) for field in fields(config)}
    values |= {field: float(value) for field, value in values.items() if field.type is float and isinstance(value, int)}
    return named | {
        field.name: _changed(value, field.default) if is_dataclass(value) else value
        for field, value in values.items()
        if field.default is MISSING or value != field.default
    }


def _covers(found: Any, wanted: Any) -> bool:
    """Return whether a configuration contains all entries of `found`, at any depth."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(name in wanted and _covers(value, wanted[name]) for name, value in found.items())
    return found == wanted


def conflicts(found: Any, wanted: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """List the names for which two configurations have different values, at any depth, with both values.

    >>> [*conflicts({"norm": {"kind": "batch"}, "rate": 1}, {"norm": {"kind": "none"}, "seed": 0})]
    [('norm.kind', 'batch', 'none')]
    """
    for name in (name for name in wanted if name in found):
        old, new = found[name], wanted[name]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from conflicts(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new

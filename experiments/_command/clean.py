"""The disk usage of results, and removal of old checkpoints: `python -m experiments clean`."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """A folder of results.

    Attributes:
        folder: of an experiment, or of the runs of one net.
        size: of all its files, in bytes.
        removable: size in bytes of the checkpoints of finished runs, from which longer runs would continue.
        num_finished: number of its runs that are finished and still have checkpoints.
    """

    folder: Path
    size: int
    removable: int
    num_finished: int


def usage(results: Path) -> list[Usage]:
    """List the folders in a folder of results, the largest first; links are not followed."""
    found = []
    for folder in (folder for folder in results.iterdir() if folder.is_dir() and not folder.is_symlink()):
        finished = list(_finished(folder))
        found.append(Usage(folder, _size(folder), sum(map(_size, finished)), len(finished)))
    return sorted(found, key=lambda usage: -usage.size)


def remove(results: Path) -> tuple[int, list[str]]:
    """Remove the checkpoints of finished runs, never a log; skip runs that another process has locked.

    Returns:
        The number of bytes freed, and one line for each run that was skipped.
    """
    from bnjax.runs import lock

    freed, left = 0, []
    for folder in (usage.folder for usage in usage(results)):
        for checkpoints in _finished(folder):
            try:
                with lock(checkpoints.parent):
                    size = _size(checkpoints)
                    shutil.rmtree(checkpoints)
                    freed += size
            except (ValueError, OSError) as error:
                left.append(str(error))
    return freed, left


def table(found: list[Usage]) -> str:
    """Format a row for each folder and one for the total."""
    total = Usage(Path("all"), sum(row.size for row in found), sum(row.removable for row in found), 0)
    rows = [("folder", "on disk", "checkpoints of finished runs")]
    rows += [(row.folder.name, megabytes(row.size), megabytes(row.removable)) for row in [*found, total]]
    width = max(len(name) for name, *_ in rows) + 2
    return "\n".join(f"{name:{width}}{size:>12}{removable:>32}" for name, size, removable in rows)


def megabytes(size: int) -> str:
    """Write a size."""
    return f"{size / 1e6:,.1f} MB"


def _finished(folder: Path) -> Iterator[Path]:
    """List the checkpoint folders of the finished runs in a folder; skip links, and folders that are not runs."""
    for run in folder.glob("*seed*"):  # runs of experiments only: results of a grid are read from its checkpoints
        checkpoints = run / "checkpoints"
        parts = (run, checkpoints, run / "finished.json", run / "metrics.jsonl")
        if all(part.exists() and not part.is_symlink() for part in parts) and not _goes_on(run):
            yield checkpoints


def _goes_on(run: Path) -> bool:
    """Return whether a finished run is being extended, so that its checkpoints are needed again."""
    from bnjax.runs import latest_step
    from bnjax.sweep.run import is_finished

    return not is_finished(run / "finished.json", latest_step(run / "checkpoints") or 0)


def _size(folder: Path) -> int:
    """Return the total size of all files below a folder; skip files that vanish meanwhile."""
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.lstat().st_size if not file.is_dir() or file.is_symlink() else 0
    return size

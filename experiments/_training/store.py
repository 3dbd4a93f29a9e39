"""Finished runs in a folder of results, and replacements of runs."""

import contextlib
import itertools
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bnjax.runs import Pin, check_no_link, lock, parse_lines, read_json, read_pinned
from experiments._config.probes import Probe
from experiments._training.asked import Asked, from_json, lacking
from experiments._training.errors import unreadable

_AGAIN, _REPLACED = ".again", ".replaced"  # suffixes of the name of a run's folder


class Found(NamedTuple):
    """A finished run.

    Attributes:
        place: its folder or file.
        lines: lines of its log.
        num_steps: number of its steps.
        diverged_at: the step whose loss was not finite, or None.
        seconds: training time.
        provenance: of every command that trained it.
        asked: requests for it.
    """

    place: Path
    lines: list[dict[str, Any]]
    num_steps: int
    diverged_at: int | None
    seconds: float
    provenance: list[dict[str, Any]]
    asked: frozenset[Asked]

    def lacks(self, asked: Asked) -> list[str]:
        """List the requested measurements that it lacks, up to its last step."""
        end = self.num_steps if self.diverged_at is None else self.diverged_at
        return lacking(self.lines, asked.measured(), end)

    def is_long_enough(self, asked: Asked) -> bool:
        """Return whether it has taken the requested number of steps, or has diverged."""
        return self.diverged_at is not None or self.num_steps >= asked.num_steps

    def covers(self, asked: Asked) -> bool:
        """Return whether it fulfils a request."""
        return self.is_long_enough(asked) and not self.lacks(asked)


def find_finished(folder: Path, choices: Mapping[str, type[Probe]]) -> Found | None:
    """Read the finished run in a folder; None if there is none.

    Args:
        folder: folder of the run.
        choices: known probes by kind; requests for other probes are skipped.

    Raises:
        ConfigError: if the folder holds something else.
    """
    if not (folder / "finished.json").exists():
        return None
    try:
        record = read_json(folder / "finished.json")
        for name in ("finished.json", "metrics.jsonl", "asked.json"):
            check_no_link(folder / name)
        log = folder / "metrics.jsonl"
        pinned = read_pinned(log, Pin(**record["log"])) if "log" in record else log.read_bytes()
        return as_found(folder, parse_lines(pinned, log), record, all_asked(read_asked(folder), choices))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise unreadable(folder, error) from error


def read_asked(folder: Path) -> list[dict[str, Any]]:
    """Read the requests for the run in a folder, as parsed JSON; none if the file is missing or damaged."""
    try:
        found = read_json(folder / "asked.json")["asked"]
        return [record for record in found if isinstance(record, dict)]
    except (OSError, LookupError, TypeError, ValueError):
        return []  # the log shows the measurements


def all_asked(records: Iterable[dict[str, Any]], choices: Mapping[str, type[Probe]]) -> frozenset[Asked]:
    """Restore the requests for a run from JSON; skip requests that name unknown probes."""
    found = set()
    for record in records:
        with contextlib.suppress(ValueError):
            found.add(from_json(record, choices))
    return frozenset(found)


def name_of(folder: Path) -> str:
    """Return the name of the run in a folder, wherever that lies: `<kind>-<hash>/seed<n>`."""
    return "/".join(folder.parts[-2:])


def settle(folder: Path) -> None:
    """Replace a run by the one that was trained again, if that is finished.

    Of several processes, only the first calls this. If a call is interrupted, the next one completes it.

    Raises:
        ValueError: if another process uses the folder of the old run, or one of the folders is a link.
    """
    again, replaced = again_of(folder), folder.with_name(f"{folder.name}{_REPLACED}")
    for path in (again, replaced):
        check_no_link(path)
    if (again / "finished.json").exists():
        if folder.exists():
            with lock(folder, joined=False):
                _remove(replaced)
                folder.rename(replaced)
        again.rename(folder)
    _remove(replaced)


def _remove(folder: Path) -> None:
    """Remove a run that was replaced; files that are not part of a run are kept, in a folder of their own."""
    for name in ("metrics.jsonl", "finished.json", "asked.json", "lock"):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / "checkpoints").glob("*"):
        if "bnjax_" in path.name and (path / "record").is_dir():
            shutil.rmtree(path, ignore_errors=True)
    for path in (folder / "checkpoints", folder):
        with contextlib.suppress(OSError):
            path.rmdir()
    if folder.exists():
        names = (folder.with_name(f"{folder.stem}.others{f'-{i}' if i else ''}") for i in itertools.count())
        folder.rename(next(name for name in names if not name.exists()))


def again_of(folder: Path) -> Path:
    """Return the folder in which the replacement of a run is trained."""
    return folder.with_name(f"{folder.name}{_AGAIN}")


def is_final(folder: Path) -> bool:
    """Return whether a folder is a run's final one, and not one of a replacement or of a replaced run."""
    return not folder.suffix


def as_found(place: Path, lines: list[dict[str, Any]], record: Any, asked: frozenset[Asked]) -> Found:
    """Make a finished run from the lines of its log and its record.

    Raises:
        LookupError, TypeError, ValueError: if they are not from a finished run.
    """
    taken = [line["step"] + len(line["loss"]) for line in lines if line["kind"] == "train"]
    diverged = [int(line["step"]) for line in lines if line["kind"] == "diverged"]
    if record.get("num_steps", max(taken, default=0)) != max(taken, default=0):
        raise ValueError(f"its record says {record['num_steps']} steps, its log has {max(taken, default=0)}")
    provenance = [dict(origin) for origin in record["provenance"]]
    return Found(
        place, lines, max(taken, default=0), min(diverged, default=None), float(record["seconds"]), provenance, asked
    )

"""Runs that cannot be saved, as on a full disk: they continue, and report it once.

The command ends with an error if the last save of any run has failed.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bnjax._host.files import remedy
from bnjax.runs import CheckpointError


class SaveError(CheckpointError):
    """The training of a run could not be saved; the message is one line."""


class Saves:
    """Remembers which runs could not be saved.

    Args:
        report: called with one line when the first save has failed, and when saves succeed again.
    """

    def __init__(self, report: Callable[[str], object]):
        self._report = report
        self._lock = threading.Lock()
        self._problems: dict[Path, tuple[str, str]] = {}

    @contextlib.contextmanager
    def attempt(self, folder: Path) -> Iterator[None]:
        """Save a run in its folder; a failure is recorded and reported, and training goes on."""
        try:
            yield
        except (OSError, CheckpointError) as error:
            problem = f"{error.strerror or error}: {error.filename}." if isinstance(error, OSError) else str(error)
            self._note(folder, (problem, remedy(error, folder)))
        else:
            self._note(folder, None)

    def failed(self, folder: Path) -> bool:
        """Return whether a run's last save has failed."""
        return folder in self._problems

    def check(self) -> None:
        """Raise SaveError if the last save of any run has failed."""
        if self._problems:
            folder, (problem, way_out) = next(iter(self._problems.items()))
            more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            then = f"{way_out[0].upper()}{way_out[1:]}; the" if way_out else "The"
            raise SaveError(
                f"{folder}{more} is not saved to the end. {problem} {then} same command continues from what is saved."
            )

    def _note(self, folder: Path, problem: tuple[str, str] | None) -> None:
        """Record the outcome of a save; report the first failure, and when all runs can be saved again."""
        with self._lock:
            before = bool(self._problems)
            if problem is None:
                self._problems.pop(folder, None)
            else:
                self._problems[folder] = problem
            if problem and not before:
                what, way_out = problem
                then = (
                    f"{way_out}, or what comes now is lost"
                    if way_out
                    else "what comes now is lost, unless a later save succeeds"
                )
                self._report(f"Warning: {what} Training goes on; {then}.")
            elif before and not self._problems:
                self._report("Saved again: nothing is lost.")

"""A progress bar for long work; failures to write it are ignored.

NOTE: tqdm writes within a lock that all its bars share. An error there leaves it locked, and other threads wait forever.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from bnjax._host.output import unfailing

Item = TypeVar("Item")
_QUIET_SECONDS = 2.0


def track(items: Iterable[Item], description: str, *, show: bool = True) -> Iterator[Item]:
    """Pass items on; on a terminal or in a notebook, show a bar on stderr where that takes more than two seconds.

    Args:
        items: to work on, one after another; their number is shown if it is known.
        description: what the work is called.
        show: False never shows a bar.

    Returns:
        The items.
    """
    return iter(_bar(items, description, show=show))


@contextlib.contextmanager
def progress_bar(
    description: str, *, total: int, done: int = 0, show: bool = True
) -> Iterator[Callable[[int], object]]:
    """Show a bar, as `track` does, that the caller advances.

    Args:
        description: the units of work, in the plural; the bar shows their number and rate.
        total: number of units.
        done: number of units that were done before.
        show: False never shows a bar.

    Yields:
        A function that advances the bar by a number of units.
    """
    with _bar(None, description, show=show, total=total, initial=done, unit=description.removesuffix("s")) as bar:
        yield bar.update


def _bar(items: Any, description: str, *, show: bool, **options: Any) -> tqdm:
    """Make a bar that appears after two seconds if a person is watching, and leaves no trace."""
    file = unfailing(sys.stderr)
    options |= {"file": file, "disable": not (show and file.is_watched()), "delay": _QUIET_SECONDS}
    return tqdm(items, description, leave=False, dynamic_ncols=True, **options)

"""A progress bar for what may take long; that it cannot be written never matters.

NOTE: tqdm writes within a lock that all its bars share. An error there leaves it locked, and other threads wait for ever.
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
    """Show a bar, as `track` does, that is moved by hand.

    Args:
        description: what the work is made of, in the plural: the bar counts them, and how many there are per second.
        total: how much there is.
        done: how much of it was done before.
        show: False never shows a bar.

    Yields:
        A function that moves the bar on by a number.
    """
    with _bar(None, description, show=show, total=total, initial=done, unit=description.removesuffix("s")) as bar:
        yield bar.update


def _bar(items: Any, description: str, *, show: bool, **options: Any) -> tqdm:
    """Make a bar that appears where a person looks on after a while, and leaves no trace."""
    file = unfailing(sys.stderr)
    options |= {"file": file, "disable": not (show and file.is_watched()), "delay": _QUIET_SECONDS}
    return tqdm(items, description, leave=False, dynamic_ncols=True, **options)

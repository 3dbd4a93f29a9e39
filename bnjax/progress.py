"""A progress bar for what may take long."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_QUIET_SECONDS = 2.0


def track(items: Iterable[Item], description: str, *, show: bool = True) -> Iterator[Item]:
    """Pass items on; on a terminal, show a bar on stderr where that takes more than two seconds.

    Args:
        items: what is worked on, one after another; their number is shown where it is known.
        description: what the work is called.
        show: False never shows a bar.

    Returns:
        The items.
    """
    hide = not (show and sys.stderr.isatty())
    return iter(tqdm(items, description, delay=_QUIET_SECONDS, disable=hide, leave=False, dynamic_ncols=True))

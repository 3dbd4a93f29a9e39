"""Ctrl-C, SIGTERM and SIGHUP: finish the current chunk first."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_ANSWER = b"\nStopping once the steps and measurements at work are done and saved. A second Ctrl-C ends at once.\n"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818  # not an error
    """Runs were asked to stop, and have saved their states.

    Attributes:
        signal_number: of the signal that asked for it; 0 if it was not a signal.
        saved: the folders of the runs that have a checkpoint, of this call or an earlier one.
    """

    def __init__(self, signal_number: int, saved: Sequence[Path] = ()):
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number, self.saved = signal_number, tuple(saved)

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.where()}"

    def where(self) -> str:
        """Describe where the runs were saved."""
        if not self.saved:
            return "nothing was saved yet"
        first, *others = self.saved
        return f"what was saved is in {first}{f' and {len(others)} more' * bool(others)}"


class StopRequest:
    """Remembers the first signal; the second one ends the process at once, whatever its threads are doing.

    A signal that is ignored when the context is entered, as after `nohup` or in a script's background, stays ignored. After
    the first signal SIGHUP is ignored as well: a terminal that closes sends several.

    Attributes:
        asked: whether runs are to stop.
        signal_number: of the signal that asked for it; 0 if it was not a signal.
    """

    def __init__(self) -> None:
        self.asked = False
        self.signal_number = 0
        self._previous: dict[signal.Signals, Any] = {}

    def ask(self) -> None:
        """Ask runs to stop."""
        self.asked = True

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # other threads cannot handle signals
            heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._remember) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # NOTE: None is a handler that was not installed from Python, and cannot be installed again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        self.ask()
        for each in self._previous:
            signal.signal(each, signal.SIG_IGN if each is signal.SIGHUP else signal.SIG_DFL)
        if number == signal.SIGINT:
            # NOTE: not by print, which may be at work in the code that the signal interrupts.
            with contextlib.suppress(Exception):  # standard error may be closed, or no file
                os.write(sys.stderr.fileno(), _ANSWER)

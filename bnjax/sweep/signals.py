"""Ctrl-C and SIGTERM: finish the chunk at hand first."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818  # not an error
    """A run was asked to stop, and has saved its state."""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number


class StopRequest:
    """Remembers the first signal; the second one ends the process at once, whatever its threads are doing.

    Attributes:
        asked: whether runs are to stop.
        signal_number: of the signal that asked for it; 0 where it was something else.
    """

    def __init__(self) -> None:
        self.asked = False
        self.signal_number = 0
        self._previous: dict[int, object] = {}

    def ask(self) -> None:
        """Ask runs to stop."""
        self.asked = True

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            self._previous = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        self.ask()
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

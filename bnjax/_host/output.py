"""Printing that never stops the program when it fails, as on a full disk or a closed pipe."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any


class Unfailing:
    """A text stream whose writes never fail; text that cannot be written is dropped. It wraps another stream.

    Args:
        stream: such as `sys.stderr`; None if the process was started without it.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(Exception):  # of many types: closed, full, gone, absent
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # a terminal that lacks a superscript gets a question mark for it
                encoding = self._stream.encoding
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(Exception):
            self._stream.flush()

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        with contextlib.suppress(Exception):
            return self._stream.isatty()
        return False

    def is_watched(self) -> bool:
        """Return whether a person sees lines as they are rewritten, on a terminal or in a notebook."""
        return self.isatty() or type(self._stream).__module__.split(".")[0] == "ipykernel"

    def close_quietly(self) -> None:
        """Flush; if that fails, discard the rest, since Python would complain about it at exit."""
        with contextlib.suppress(Exception):
            try:
                self._stream.flush()
            except Exception:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)


def unfailing(stream: Any) -> Unfailing:
    """Wrap a stream, unless it is wrapped already."""
    return stream if isinstance(stream, Unfailing) else Unfailing(stream)


@contextlib.contextmanager
def unfailing_output() -> Iterator[None]:
    """Suppress failures of everything that is printed within the context, by any code."""
    before = sys.stdout, sys.stderr
    ours = unfailing(sys.stdout), unfailing(sys.stderr)
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        for name, stream, old in zip(("stdout", "stderr"), ours, before, strict=True):
            if stream is not old:  # else an outer context's
                stream.close_quietly()
            if getattr(sys, name) is stream:
                setattr(sys, name, old)


def occupy_standard_files() -> None:
    """Open closed standard streams (`2>&-`), as the next file would get their number and the text printed to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def say(text: object, stream: Any = None) -> None:
    """Print a text and flush; failures are ignored.

    Args:
        text: printed as `printable` writes it.
        stream: default is standard output.
    """
    target = unfailing(sys.stdout if stream is None else stream)
    target.write(f"{printable(str(text))}\n")
    target.flush()


def warn(message: str, *, stacklevel: int = 1) -> None:
    """Warn as `warnings.warn` does, even if standard error is closed.

    Args:
        message: one line.
        stacklevel: 1 is the caller's line.
    """
    with contextlib.suppress(OSError, ValueError):
        warnings.warn(message, stacklevel=stacklevel + 1)


def harmless(tell: Callable[[str], object]) -> Callable[[str], None]:
    """Wrap a function that prints a line, such as a user's, so that failures to print are ignored."""

    def told(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            tell(line)

    return told


def printable(text: str) -> str:
    r"""Escape characters that a terminal would obey or a file cannot hold: control, bidirectional, lone surrogates.

    Line breaks and tabs are kept.

    Args:
        text: of any origin.

    Returns:
        The text, with a backslash escape for each such character, such as `\x1b`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\xa0" else c.encode("unicode_escape").decode() for c in text)


def one_line(error: BaseException | str) -> str:
    """Write an error or a text on one line, escaped as by `printable`."""
    return printable(" ".join(str(error).split()))

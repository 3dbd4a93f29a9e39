"""Printing, whose failure, as on a full disk or a closed pipe, never stops the program."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any


class Unfailing:
    """A text stream whose writes never fail; text that cannot be written is dropped. It wraps another stream.

    Args:
        stream: as `sys.stderr`; None where the process was started without one.
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
        """Return whether a person sees each line as it is rewritten: on a terminal, or in a notebook, which is none."""
        return self.isatty() or type(self._stream).__module__.split(".")[0] == "ipykernel"

    def close_quietly(self) -> None:
        """Flush; if that fails, discard the rest, of which Python would complain at exit."""
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
    """Let nothing fail that is printed within the context, whoever prints it."""
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
    """Open what a process was started without (`2>&-`): the next file would get its number, and what is printed to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def say(text: object, stream: Any = None) -> None:
    """Print a text and flush; what comes of it never matters.

    Args:
        text: printed as `printable` writes it.
        stream: default is standard output.
    """
    target = unfailing(sys.stdout if stream is None else stream)
    target.write(f"{printable(str(text))}\n")
    target.flush()


def warn(message: str, *, stacklevel: int = 1) -> None:
    """Warn, as `warnings.warn` does, also where standard error is closed.

    Args:
        message: one line.
        stacklevel: 1 is the caller's line.
    """
    with contextlib.suppress(OSError, ValueError):
        warnings.warn(message, stacklevel=stacklevel + 1)


def harmless(tell: Callable[[str], object]) -> Callable[[str], None]:
    """Wrap a function that prints a line, as a user's may, such that it never matters if the line cannot be printed."""

    def told(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            tell(line)

    return told


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or a file cannot hold: control characters, marks of direction, lone surrogates.

    Line breaks and tabs stay.

    Args:
        text: of any origin.

    Returns:
        The text, with a backslash escape for each such character, such as `\x1b`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\xa0" else c.encode("unicode_escape").decode() for c in text)


def one_line(error: BaseException | str) -> str:
    """Write an error, or another text, on one line, as `printable` does."""
    return printable(" ".join(str(error).split()))

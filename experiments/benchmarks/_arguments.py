"""Numbers on the command lines of benchmarks; imports nothing heavy."""

import argparse
from collections.abc import Callable
from typing import Any


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make the type of a command line's numbers that must be above 0."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
        return value

    convert.__name__ = kind.__name__  # in the message for what is no number
    return convert

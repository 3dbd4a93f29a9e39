"""Why an argument is refused, in one line: what its value must be, or which flag was perhaps meant."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import takewhile
from types import NoneType
from typing import Any, Literal, get_args, get_origin

_ONE = {int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}
_MANY = {int: "whole numbers", float: "numbers"}


def explain(box: str, arguments: Sequence[str], *parsed: Any) -> str:
    """Put what tyro says of refused arguments into one line.

    Args:
        box: the message in its box, which tyro draws in ASCII where it must.
        arguments: the arguments.
        parsed: the dataclasses to whose fields the arguments belong.
    """
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]  # the first line is the box's title
    text = " ".join("\n" if set(line) <= set("─-╰╯") else line for line in lines)
    first = next(paragraph.strip() for paragraph in text.split("\n") if paragraph.strip())
    known = dict(flag for each in parsed for flag in _flags(each))
    if first.startswith("Unrecognized options"):
        return first + _hints(first, known)
    misread = re.match(r"(?:Error parsing |Missing value for argument ')(--[\w.-]+)", first)
    words = misread and _words(known.get(misread[1]))
    if misread and words:
        return f"{_name(misread[1])} must be {words}, got {_values(misread[1], arguments)}."
    choice = re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", first)
    if choice:
        return f"{_name(choice[2])} must be one of {choice[3]}, got {choice[1]!r}."
    # An error in a nested field names that field alone; the flag has the names of both.
    return re.sub(r"^Error parsing (?:config|options)\.?([\w.]*): ", lambda m: m[1] and f"{m[1]}.", first)


def _flags(config: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """List the flag and the type of every field, nested ones included."""
    for field in fields(config):
        value, flag = getattr(config, field.name), f"{prefix}{field.name.replace('_', '-')}"
        yield from _flags(value, f"{flag}.") if is_dataclass(value) else [(flag, field.type)]


def _hints(message: str, known: dict[str, Any]) -> str:
    """Name what was perhaps meant: flags that end as an unknown one does, else the one most like it."""
    hints: list[str] = []
    for unknown in re.findall(r"--[\w.-]+", message.replace("_", "-")):
        same = [flag for flag in known if flag.endswith(unknown.replace("--", ".", 1))]
        if meant := same or difflib.get_close_matches(unknown, known, n=1, cutoff=0.7):
            hints.append(" or ".join(meant))
    return f" (perhaps {', '.join(hints)})" if hints else ""


def _words(kind: Any) -> str:
    """Return what a value of a type is in words; empty if tyro's own are better."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        return _MANY.get(get_args(kind)[0], "")
    parts = [_words(part) for part in get_args(kind)]
    return " or ".join(parts) if parts and all(parts) else _ONE.get(kind, "")


def _name(flag: str) -> str:
    """Return a flag's field as other messages name it."""
    return flag.removeprefix("--").replace("-", "_")


def _values(flag: str, arguments: Sequence[str]) -> str:
    """Return what follows a flag among the arguments, up to the next flag."""
    flags = [argument.partition("=")[0].replace("_", "-") for argument in arguments]
    place = len(flags) - flags[::-1].index(flag)  # of the first value
    inline = arguments[place - 1].partition("=")[2]
    values = takewhile(lambda argument: not argument.startswith("--"), arguments[place:])
    return inline or " ".join(values) or "nothing"

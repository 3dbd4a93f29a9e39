"""JSON files, written whole or not at all; numbers that are not finite are null.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bnjax._host.files import write_whole
from bnjax._host.processes import is_first


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write JSON in one move; numbers that are not finite become null, names of entries strings, arrays lists.

    Raises:
        ValueError: if an entry is no JSON data.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "demo.json"
        >>> runs.write_json(path, {"loss": float("nan"), "steps": [1, 2]})
        >>> print(path.read_text(), end="")
        {
         "loss": null,
         "steps": [1, 2]
        }
    """
    text = _written(finite(value)) + "\n"
    if is_first():
        write_whole(Path(path), lambda file: file.write(text.encode()))


def _written(value: Any, indent: str = "") -> str:
    """Write a dictionary, and a list that holds one, with an item a line; anything else on one line."""
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(name)}: {_written(item, indent + ' ')}" for name, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = [_written(item, f"{indent} ") for item in value]
    else:
        return json.dumps(value, allow_nan=False)
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{indent} " + f",\n{indent} ".join(items) + f"\n{indent}{last}"


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON.

    Raises:
        ValueError: if the file is not JSON; it names the file.

    Example:
        >>> import pathlib, tempfile
        >>> from bnjax import runs
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "demo.json"
        >>> runs.write_json(path, {"loss": float("nan")})
        >>> print(runs.read_json(path))
        {'loss': None}
    """
    return parse(Path(path).read_text, Path(path))


def parse(read: Callable[[], str | bytes], path: Path) -> Any:
    """Parse the text of a file."""
    try:
        return json.loads(read())
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(f"{path} is not JSON ({error.msg})", error.doc, error.pos) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def finite(value: Any) -> Any:
    """Convert to JSON data as `as_json` does, and replace every non-finite number by None, which JSON can represent."""
    return _without_nan(as_json(value))


def as_json(value: Any, name: str = "value") -> Any:
    """Convert to what JSON gives back: names are strings, tuples lists, and arrays numbers and lists of them.

    Args:
        value: dictionaries and lists of strings, numbers and arrays.
        name: of the value, for errors.

    Raises:
        ValueError: if there is something else, or two names of a dictionary are one string; it names the entry.
    """
    try:
        return _converted(value)
    except _NoJSONError:
        from bnjax._host.kinds import described

        where, found = next(_no_json(value, name))
        rule = "must be a string, a number, or a list or dictionary of them"
        if isinstance(found, Mapping):
            rule, found = "must have strings or numbers as names, which differ as strings", [*found]
        raise ValueError(f"{where} {rule}, got {described(found)}.") from None


class _NoJSONError(Exception):
    """A value is no JSON data."""


def _converted(value: Any) -> Any:
    """Convert to JSON data."""
    if isinstance(value, str):
        return str(value)  # NumPy's too
    is_array = hasattr(value, "dtype") and hasattr(value, "tolist")
    if value is None or (isinstance(value, int | float) and not is_array):
        return value
    if isinstance(value, Mapping):
        items = {_as_name(key): _converted(item) for key, item in value.items()}
        if len(items) == len(value):
            return items
    elif isinstance(value, list | tuple):
        return [_converted(item) for item in value]
    elif is_array:
        from bnjax._host.kinds import kind_of  # and with it jax, which a command line that only reads does without

        array: Any = value
        if kind_of(array.dtype) in ("b", "i", "f"):
            return array.tolist()
    raise _NoJSONError


def _no_json(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """List the entries that are no JSON data, by where they are; the innermost first."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield from _no_json(item, f"{name}[{key!r}]")
    try:
        _converted(value)
    except _NoJSONError:
        yield name, value


def _as_name(key: Any) -> str:
    """Write the name of an entry as JSON does."""
    if isinstance(key, str):
        return key
    key = key.item() if hasattr(key, "item") else key
    if key is None or isinstance(key, int | float):
        return next(iter(json.loads(json.dumps({key: None}))))
    raise _NoJSONError


def _without_nan(value: Any) -> Any:
    """Replace every non-finite number of JSON data by None."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

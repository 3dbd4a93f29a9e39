"""JSON files, written whole or not at all; numbers that are not finite are null.

Of several processes that `jax.distributed` has joined, all call the same functions, and the first one writes.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnjax._host.files import write_whole
from bnjax._host.processes import is_first


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one move; numbers that are not finite become null.

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
        write_whole(path, lambda file: file.write(text.encode()))


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


def read_json(path: Path) -> Any:
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
    return parse(path.read_text, path)


def parse(read: Callable[[], str | bytes], path: Path) -> Any:
    """Parse the text of a file."""
    try:
        return json.loads(read())
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(f"{path} is not JSON ({error.msg})", error.doc, error.pos) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error


def finite(value: Any) -> Any:
    """Replace every non-finite number by None, which JSON can represent."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

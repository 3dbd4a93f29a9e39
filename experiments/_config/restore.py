"""Restoring configurations from JSON."""

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from experiments._config.norms import Norm
from experiments._config.probes import CHOICES, Probes


def restored(kind: type, value: Any) -> Any:
    """Restore a configuration from the output of `config_dict`, with lists for tuples.

    Args:
        kind: its class, or the base class of several choices.
        value: the value read from JSON.

    Raises:
        ValueError: if the value is no configuration of that class.
    """
    try:
        return _made(kind, value)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no configuration of {kind.__name__} ({type(error).__name__}: {error}).") from error


def _made(kind: Any, value: Any) -> Any:
    if kind is Probes:
        return Probes.of(*(_made(CHOICES[name], settings) for name, settings in value.items())) if value else Probes()
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return _as_tuple(value)
    if issubclass(kind, Norm):
        kind = Norm.choices()[value["kind"]]
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}
    return kind(**{name: _made(hints[name], each) for name, each in value.items() if name in known})


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value

"""Errors of a configuration, in one line."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bnjax import sweep
from bnjax._host.files import is_passing
from bnjax.runs import LockedError


class ConfigError(Exception):
    """A configuration that cannot be run; the message is one line."""


class BusyError(ConfigError):
    """A configuration that cannot be run now, because another process uses a folder; the message is one line."""


def unreadable(place: Path, error: Exception) -> ConfigError:
    """Return the error for a finished run that cannot be read."""
    problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if is_passing(error):
        return ConfigError(f"The finished run {place} cannot be read now ({problem}).")
    if place.is_dir():
        return ConfigError(
            f"The finished run in {place} cannot be read ({problem}). Move that folder away to train it again."
        )
    return ConfigError(f"The packed run {place} cannot be read ({problem}). Remove it to train it again.")


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Turn errors in a run's configuration or its folder into ConfigErrors."""
    try:
        yield
    except (LockedError, sweep.BusyError) as error:
        raise BusyError(str(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error

"""What is wrong with a configuration, in one line."""

import contextlib
from collections.abc import Iterator


class ConfigError(Exception):
    """A configuration that cannot be run; the message is one line."""


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Turn what can be wrong with a run's configuration or its folder into ConfigErrors."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from error

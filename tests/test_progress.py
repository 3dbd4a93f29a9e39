"""A scan that takes a while shows how far it is, to a person who looks on, and leaves nothing behind."""

import io
import re
import sys

import jax.numpy as jnp
import pytest

from bnjax import probes
from bnjax._host import progress


class Terminal(io.StringIO):
    """What keeps all that is written on it."""

    def isatty(self):
        """Say that it is one."""
        return True


class Notebook(io.StringIO):
    """The standard error of a notebook, which is no terminal."""


Notebook.__module__ = "ipykernel.iostream"


def scan(**options):
    """Scan four points, one after another, so that a bar moves four times."""
    return probes.scan_line(
        lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=jnp.arange(1.0, 5), batching="loop", **options
    )


def written_on(stream, monkeypatch, quiet=0.0, **options):
    """Return what a scan writes on a stream, where bars appear after some seconds."""
    monkeypatch.setattr(progress, "_QUIET_SECONDS", quiet)
    monkeypatch.setattr(sys, "stderr", stream)
    scan(**options)
    return stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal, Notebook])
def test_a_bar_counts_points_and_points_per_second(stream, monkeypatch):
    """The start is one of them; the bar is erased at the end."""
    said = written_on(stream(), monkeypatch)
    assert re.search(r"points: +\d+%.*\d/5 \[.*(point/s|s/point)\]", said), said
    assert re.search(r"\r +\r$", said)


def test_short_scans_pipes_and_those_who_want_none_see_no_bar(monkeypatch):
    """A bar appears after two seconds, and never in a file."""
    assert progress._QUIET_SECONDS == 2
    assert written_on(Terminal(), monkeypatch, quiet=1000.0) == ""
    assert written_on(io.StringIO(), monkeypatch) == ""
    assert written_on(Terminal(), monkeypatch, show_progress=False) == ""

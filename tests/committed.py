"""The experiments whose data are committed, and those that have not been run yet."""

from conftest import ROOT

from experiments._command import catalogue
from experiments._evidence.read import read_data


def path(name):
    """Return where the data of an experiment's preset cpu are."""
    return ROOT / "figures" / f"{name}-cpu.json"


def read(name):
    """Read them."""
    return read_data(path(name))


RUN = [name for name in catalogue.names() if path(name).exists()]
WAITING = [name for name in catalogue.names() if name not in RUN]

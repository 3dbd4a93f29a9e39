"""Where results come from: commit, command, versions, hardware, date."""

import datetime
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from bnjax._host.cores import count_cores


def provenance() -> dict[str, Any]:
    """Describe where results come from: commit, command, versions, hardware, date.

    The version of a package that is on the path without being installed is "unknown", and so is the commit outside a checkout.

    Example:
        >>> from bnjax import runs
        >>> print(*runs.provenance())
        commit command python versions device cpu_cores date
    """
    import jax  # imported here only, so that code that only reads records starts fast

    devices = jax.devices()
    return {
        "commit": _git_commit(),
        "command": " ".join([_program(), *map(_without_folder, sys.argv[1:])]),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("bnjax", "jax", "jaxlib", "flax", "optax")},
        "device": f"{len(devices)} x {devices[0].device_kind}" if devices[0].platform != "cpu" else "CPU",
        "cpu_cores": count_cores(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _version(package: str) -> str:
    """Return the version of an installed package; unknown if it is not installed, as in a mere checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _program() -> str:
    """Name the running program as a person would start it, without a path."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name


def _without_folder(argument: str) -> str:
    """Shorten an absolute path to its last part, since its place on this machine is not for readers of the results."""
    name, sign, value = argument.rpartition("=")
    return f"{name}{sign}{Path(value).name}" if Path(value).is_absolute() else argument


def _git_commit() -> str:
    """Return the commit of this code, with a + if files differ from it; unknown outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # else the checkout around us is another project's
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

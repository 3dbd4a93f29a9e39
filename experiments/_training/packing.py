"""Finished runs packed into files: `python -m experiments pack` writes them, and `--packed` counts them as done."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bnjax._host.files import check_writable, is_passing
from bnjax.runs import Pin, config_dict, conflicts, pack, parse_lines, read_about, read_json, read_packed, read_pinned
from experiments._config.probes import Probe
from experiments._config.runs import Facts
from experiments._training.errors import unreadable
from experiments._training.nets import Net
from experiments._training.store import Found, all_asked, as_found, is_final, name_of

SUFFIX = ".run"


def pack_all(results: Path, target: Path, report: Callable[[str], object]) -> int:
    """Pack every finished run in a folder of results, unless a packed copy has as much or more.

    Args:
        results: folder of the runs.
        target: folder of the files, made if missing.
        report: called with one line for each file that is written, and for each run that is left out, with the reason.

    Returns:
        The number of files written.

    Raises:
        OSError: naming the file, if one cannot be written.
    """
    check_writable(target)
    written = 0
    for record in sorted(results.glob("*/*/finished.json")):
        folder = record.parent
        if folder.is_symlink() or folder.parent.is_symlink() or not is_final(folder):
            continue
        path = target / f"{name_of(folder).replace('/', '-')}{SUFFIX}"
        try:
            about, log = _read_folder(folder)
            is_new = _is_new(path, about, log)
        except (OSError, ValueError, LookupError, TypeError) as error:
            report(f"Left: {folder} is no finished run of an experiment ({' '.join(str(error).split())}).")
            continue
        if is_new:
            pack(path, about, log)
            written += 1
            report(f"Packed: {path} ({path.stat().st_size / 1e3:,.0f} kB)")
        elif is_new is None:
            report(f"Left: {folder}: {path} has what this one has not.")
    return written


def find_packed(nets: Iterable[Net], folder: Path, report: Callable[[str], object]) -> dict[Path, Found]:
    """Find the packed runs of some nets, by the folders of the nets.

    Args:
        nets: nets, listed with or without their data.
        folder: folder of packed runs.
        report: called with one line for each file that cannot be used.

    Raises:
        ValueError: if nets were listed without data, and a net has runs with different data; or if there is no such folder.
        ConfigError: if a file cannot be read for a reason that may pass.
    """
    if not folder.is_dir():
        raise ValueError(f"packed must be a folder of packed runs, there is no {folder}.")
    known: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            about = read_about(path)
            for name in (about["run"], f"{about['net']}/seed{about['seed']}"):
                if about["run"] in known.setdefault(name, {}):
                    report(f"{path} is a copy of {known[name][about['run']].name}, which is taken.")
                known[name].setdefault(about["run"], path)
        except (OSError, ValueError, LookupError, TypeError) as error:
            _check_damage(path, error)
            report(_damage(path, error))
    found: dict[Path, Found] = {}
    for net in nets:
        paths = [*known.get(name_of(net.folder), {}).values()]
        if len(paths) > 1:
            raise ValueError(
                f"{paths[0]} and {paths[1].name} are runs of the same net, with different data or weights. Move one away."
            )
        if paths and net.folder not in found:
            try:
                _check_identity(paths[0], net)
                found[net.folder] = unpack(paths[0], net.task.choices)
            except (OSError, ValueError) as error:
                _check_damage(paths[0], error)
                report(_damage(paths[0], error))
    return found


def _check_identity(path: Path, net: Net) -> None:
    """Raise a ValueError if a packed run belongs to another net because a default has changed since."""
    wanted = json.loads(json.dumps(config_dict(net.config.identity())))
    for fact in (field.name for field in fields(Facts)):
        del wanted[fact]  # part of the run's name, if it is known here
    for name, old, new in conflicts(read_about(path)["identity"], wanted):
        raise ValueError(f"{path} is a run with {name} {old!r}, this one has {new!r}: a default has changed since.")


def unpack(path: Path, choices: Mapping[str, type[Probe]]) -> Found:
    """Read a packed run.

    Raises:
        ValueError: naming the file, if it is damaged.
        OSError: if it cannot be read.
    """
    packed = read_packed(path)
    try:
        about, lines = packed.about, parse_lines(packed.log, path)
        return as_found(path, lines, about["record"], all_asked(about["asked"], choices))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no packed run of an experiment ({type(error).__name__}: {error}).") from error


def _read_folder(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Read a finished run in the form in which it is packed."""
    asked, record = read_json(folder / "asked.json"), read_json(folder / "finished.json")
    log = read_pinned(folder / "metrics.jsonl", Pin(**record["log"]))
    identity = read_json(folder.parent / "config.json")
    return {"run": name_of(folder), "identity": identity, **asked, "record": record}, log


def _is_new(path: Path, about: dict[str, Any], log: bytes) -> bool | None:
    """Return whether a run has more than its packed copy, or there is none; None if the copy has something it lacks."""
    try:
        packed = read_packed(path)
    except (FileNotFoundError, ValueError):
        return True  # a damaged one is replaced
    measured, before = ({(x["kind"], x["step"]) for x in parse_lines(lines, path)} for lines in (log, packed.log))
    steps, steps_before = (int(said["record"]["num_steps"]) for said in (about, packed.about))
    ours, theirs = ({x for x in some if x[0] != "train"} for some in (measured, before))
    if theirs <= ours and steps_before <= steps:
        return theirs < ours or steps_before < steps
    return None


def _check_damage(path: Path, error: Exception) -> None:
    """Raise a ConfigError if a file could not be read for a temporary reason: it may be intact."""
    if is_passing(error):
        raise unreadable(path, error) from error


def _damage(path: Path, error: Exception) -> str:
    """Return one line that says why a file cannot be used."""
    text = " ".join(str(error).split())
    return text if str(path) in text else f"{path} is no packed run of an experiment ({type(error).__name__}: {text})."

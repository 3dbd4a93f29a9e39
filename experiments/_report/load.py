"""The contents of the report: each experiment with its data, its pictures and its judged claims."""

import contextlib
import json
import math
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bnjax._host.output import one_line
from bnjax._host.progress import track
from bnjax.runs.json_files import finite
from experiments._command import catalogue, costs, packing
from experiments._command.pictures import Picture, draw_data, name_of, parts_of
from experiments._evidence.claim import Claim
from experiments._evidence.read import read_data
from experiments._evidence.source import ORIGINS, Origin
from experiments._evidence.verdict import Judgement, judge, judge_best
from experiments._report.known import is_exploratory

_PNG = b"\x89PNG\r\n\x1a\n"


class Entry(NamedTuple):
    """An experiment.

    Attributes:
        name: name of its module.
        stem: stem of the names of its data file and its picture.
        data: data of its figure; None if it has not been run.
        pictures: its figures, PNGs, by part, which is empty for the first one; none if they cannot be shown. The figures of
            its other presets follow, by preset and part.
        findings: the results in words; empty if unknown.
        scaled_down: fields in which it differs from the published setting, in words; None if no preset has that setting.
        judged: its claims with their verdicts.
    """

    name: str
    stem: str
    data: dict[str, Any] | None
    pictures: dict[str, Picture]
    findings: str
    scaled_down: list[str] | None
    judged: tuple[tuple[Claim, Judgement], ...]

    def picture_name(self, part: str) -> str:
        """Return the file name of a picture, without its suffix."""
        is_own = not part or part[0].isdigit()
        return "-".join(filter(None, (self.stem if is_own else self.name, part)))


class Report(NamedTuple):
    """All experiments, in order, and problems with reading them, one line each."""

    entries: list[Entry]
    problems: list[str]


def load(figures: Path, packed: Path | None = None) -> Report:
    """Read a folder of data files; an unreadable file becomes a problem, and its experiment counts as not run.

    Args:
        figures: folder of data files and pictures.
        packed: folder of packed runs; if it has all runs of a preset, that preset's data and picture are made from them.
    """
    problems: list[str] = []
    if not figures.is_dir() and packed is None:
        problems.append(f"There is no folder {figures}.")
    for file in sorted(figures.glob("*.json")):
        if not any(file.stem == name or file.stem.startswith(f"{name}-") for name in catalogue.names()):
            problems.append(f"{file.name}: there is no experiment of that name.")
        elif file.stem in catalogue.names():
            problems.append(f"{file.name}: data are named after their preset. Rename it, as in {file.stem}-cpu.json.")
    names = track(catalogue.names(), "experiments")  # with packed runs, whose pictures are drawn, this takes minutes
    return Report([_load_entry(figures, packed, name, problems) for name in names], problems)


def by_origin(entries: list[Entry]) -> dict[Origin, Counter]:
    """Count the verdicts of the claims of each kind of source."""
    counts: dict[Origin, Counter] = {origin: Counter() for origin in ORIGINS}
    for claim, judgement in (judged for entry in entries for judged in entry.judged):
        counts[claim.origin][judgement.verdict] += 1
    return counts


def showable(report: Report, show: Callable[[Entry], object]) -> Report:
    """Count an experiment that cannot be shown as not run, and add a problem; the others are unaffected.

    Args:
        report: its list of problems grows.
        show: writes an entry, or raises.
    """
    entries = []
    for entry in report.entries:
        try:
            show(entry)
        except Exception as error:  # a damaged data file raises errors of many types
            report.problems.append(f"{entry.stem}.json cannot be shown ({type(error).__name__}: {one_line(error)}).")
            judged = tuple((claim, judge(claim, None)) for claim, _ in entry.judged)
            entry = Entry(entry.name, entry.stem, None, {}, "", None, judged)
        entries.append(entry)
    return Report(entries, report.problems)


def picture_words(part: str) -> str:
    """Describe one picture of several: its preset, if that is not the experiment's main one, and its part."""
    preset, _, words = part.partition("-")
    words = words.lstrip("0123456789-").replace("_", " ")
    return words if preset.isdigit() or not part else ", ".join(filter(None, (f"preset {preset}", words)))


def png_size(picture: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG; None if the bytes are no PNG, or an incomplete one."""
    place, size = len(_PNG), None
    while picture.startswith(_PNG) and place + 12 <= len(picture):
        length, kind = struct.unpack(">I4s", picture[place : place + 8])
        end = place + 8 + length
        if picture[end : end + 4] != struct.pack(">I", zlib.crc32(picture[place + 4 : end])):
            return None
        if (kind == b"IHDR") != (size is None):  # the first part, and no other
            return None
        if kind == b"IHDR":
            size = struct.unpack(">II", picture[place + 8 : place + 16])
        if kind == b"IEND":
            return size
        place = end + 4
    return None


def seeds(data: dict[str, Any]) -> str:
    """Format the number of seeds, for each net if the configuration has several nets and the numbers differ."""
    # Nets that an experiment may leave out have a group of their own.
    left_out = {f"{group}.seeds" for group in catalogue.module(data["experiment"]).KEEP if not data.get(group)}
    counts = {
        name.removesuffix("seeds").rstrip("."): len(values)
        for name, values in costs.flatten(data["config"]).items()
        if name.split(".")[-1] == "seeds" and isinstance(values, list) and name not in left_out
    }
    if len(set(counts.values())) == 1:
        return str(next(iter(counts.values())))
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none named"


def _presets(name: str) -> list[str]:
    """List an experiment's presets by the priority of their data: the published setting first, then long runs."""
    lead = ("paper", "overnight", "evening", "cpu_long")
    last = {**{preset: place - len(lead) for place, preset in enumerate(lead)}, "smoke": 1}
    return sorted(catalogue.module(name).PRESETS, key=lambda preset: last.get(preset, 0))


def _from_packed(packed: Path, name: str, preset: str, problems: list[str]) -> dict[str, Any] | None:
    """Make a preset's data from packed runs; None if some are missing."""

    def report(line: str) -> None:
        if line not in problems:  # once, not for every experiment that might need it
            problems.append(line)

    try:
        return json.loads(json.dumps(finite(packing.data_of(name, preset, packed, report))))
    except packing.MissingRunsError:
        pass
    except ValueError as error:
        report(one_line(error))
    return None


def _load_entry(figures: Path, packed: Path | None, name: str, problems: list[str]) -> Entry:
    """Read an experiment's data and picture, and judge its claims."""
    found = _read_all(figures, name, problems)
    data, pictures, stem = None, {}, f"{name}-{_presets(name)[0]}"
    for preset in _presets(name):
        data = _from_packed(packed, name, preset, problems) if packed else None
        pictures = draw_data(catalogue.module(name), data) if data else {}
        data = data or found.get(f"{name}-{preset}")
        if data is not None:
            stem = f"{name}-{preset}"
            break
    else:  # the data of settings that are not a preset's
        stem, data = next(iter(found.items()), (stem, None))
    file = figures / f"{stem}.json"
    if data is not None and not pictures:
        pictures = _pictures(file, problems)
    if data:
        pictures |= _pictures_beside(figures, name, file.stem, problems)
    try:
        scaled_down = _scaled_down(name, data)
    except Exception as error:  # a damaged file raises errors of many types
        problems.append(f"{file.name} cannot be read: its config is none ({type(error).__name__}: {one_line(error)}).")
        data, pictures, scaled_down = None, {}, None
    shown = {} if data is None else {file.stem: data}
    # The shown data come first, and replace those of a file of the same name.
    files = {**shown, **found, **shown} if shown else {}
    files = {stem: each for stem, each in files.items() if _may_decide(name, each)}
    judged = tuple((claim, _judge(name, claim, files)) for claim in catalogue.claims_of(name))
    findings = _findings(name, file.name, data, problems)
    return Entry(name, file.stem, data, pictures, findings, scaled_down, judged)


def _pictures(file: Path, problems: list[str]) -> dict[str, Picture]:
    """Read the pictures of a data file by part; a picture that is missing or not a PNG becomes a problem.

    Pictures for narrow screens may be missing.
    """
    pictures = {}
    for part in ("", *parts_of(file)):
        wide, narrow = name_of(file, part), name_of(file, part, narrow=True)
        picture = Picture(_read_png(wide), _read_png(narrow))
        if picture.wide:
            pictures[part] = picture
        else:
            problems.append(f"{wide.name}, the picture of {file.name}, is not there or is not a PNG.")
        if narrow.exists() and not picture.narrow:
            problems.append(f"{narrow.parent.name}/{narrow.name}, a picture of {file.name}, is not a PNG.")
    return pictures


def _pictures_beside(figures: Path, name: str, stem: str, problems: list[str]) -> dict[str, Picture]:
    """Read the pictures of an experiment's other presets, by preset and part."""
    presets = [preset for preset in _presets(name) if preset != "smoke" and f"{name}-{preset}" != stem]
    return {
        "-".join(filter(None, (preset, part))): picture
        for preset in presets
        if (file := figures / f"{name}-{preset}.json").exists()
        for part, picture in _pictures(file, problems).items()
    }


def _read_png(file: Path) -> bytes:
    """Read a picture; return empty bytes if it is missing or not a PNG."""
    with contextlib.suppress(OSError, MemoryError):
        picture = file.read_bytes() if file.is_file() else b""
        return picture if png_size(picture) else b""
    return b""


def _read_all(figures: Path, name: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Read all data of an experiment, by the stems of their files; a file that cannot be read becomes a problem."""
    found = {}
    for file in sorted(figures.glob(f"{name}-*.json")):
        try:
            found[file.stem] = _check(read_data(file) if file.is_file() else None, name)
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            problems.append(f"{file.name} cannot be read: {one_line(error)}")
    return found


def _may_decide(name: str, data: dict[str, Any]) -> bool:
    """Return whether data may decide claims: not those of preset smoke, nor those of other normalisers in BN's place."""
    with contextlib.suppress(Exception):  # a damaged file raises errors of many types; its claims say so
        return data["preset"] != "smoke" and not costs.other_normalisers(name, data)
    return True


def _judge(name: str, claim: Claim, files: dict[str, dict[str, Any]]) -> Judgement:
    """Judge a claim by the data that decide it, and determine whether its author could have known them."""
    if not files:
        return judge(claim, None)
    chosen, judgement = judge_best(claim, files)
    try:
        is_known = is_exploratory(name, claim, files[chosen], judgement)
    except Exception:  # a damaged file raises errors of many types; its runs count as not seen
        is_known = False
    return judgement._replace(is_exploratory=is_known)


def _check(data: Any, name: str) -> dict[str, Any]:
    """Return the data if they have the fields of every experiment's data; else raise a ValueError."""
    kinds = {"experiment": str, "preset": str, "config": dict, "provenance": list, "seconds": int | float}
    if not isinstance(data, dict):
        raise ValueError("it holds no JSON object.")
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            raise ValueError(f"{key!r} is missing or of the wrong kind.")
    if data["experiment"] != name:
        raise ValueError(f"it is the data of {data['experiment']!r}.")
    if not data["provenance"] or not all(isinstance(origin, dict) for origin in data["provenance"]):
        raise ValueError("its provenance is empty or of the wrong kind.")
    try:
        is_finite = math.isfinite(data["seconds"])
    except OverflowError:  # an integer too large for a float
        is_finite = False
    if not is_finite:
        raise ValueError("its time is not finite.")
    return data


def _findings(name: str, file: str, data: dict[str, Any] | None, problems: list[str]) -> str:
    """Return the experiment's own words on its findings; empty if it has none."""
    find = getattr(catalogue.part(name, "table"), "findings", None)
    if data is not None and find is not None and not costs.other_normalisers(name, data):
        try:
            return str(find(data))
        except Exception as error:  # a damaged file raises errors of many types
            problems.append(f"{file}: its findings cannot be computed ({type(error).__name__}: {one_line(error)}).")
    return ""


def _scaled_down(name: str, data: dict[str, Any] | None) -> list[str] | None:
    """Describe the fields in which the configuration differs from the published setting; None if unknown."""
    published = catalogue.module(name).PRESETS.get("paper")
    if data is None or published is None:
        return None
    changes = costs.changes(data["config"], published)
    return [f"{field} {_words(ours)} instead of {_words(theirs)}" for field, ours, theirs in changes]


def _words(value: Any) -> str:
    """Format a field's value."""
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)

"""The page: one HTML file that needs nothing else."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from bnjax._host.output import printable
from experiments._command import catalogue, costs
from experiments._evidence.format import capital, plural
from experiments._evidence.verdict import VERDICTS
from experiments._report import headlines, scoreboard, table
from experiments._report.forest import ratios
from experiments._report.load import Entry, Report, by_origin, picture_words, png_size, seeds, showable
from experiments._report.words import WHOSE

_FOLDER = Path(__file__).parent / "templates"


def render(report: Report) -> str:
    """Write the page; all text from data or claims is escaped, and only the page's own script can run.

    An experiment that cannot be shown counts as not run, and is added to the report's problems.
    """
    # Imported here, since the command line must also work without Jinja2.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    report = showable(report, _show)
    entries = report.entries
    options: dict[str, Any] = {
        "autoescape": True,
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    environment = Environment(loader=FileSystemLoader(_FOLDER), **options)
    environment.filters["typeset"] = table.typeset
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    rows, ticks = ratios(entries)
    main = next((entry for entry in entries if entry.name == headlines.MAIN), None)
    page = environment.get_template("page.html").render(
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        problems=report.problems,
        answer=headlines.answer(entries),
        picture=_picture(main, "") if main and "" in main.pictures else None,
        headlines=[table.row(*pair) for pair in headlines.judged(entries).values()],
        ratios=rows,
        ticks=ticks,
        tally=table.tally(entries),
        verdicts=VERDICTS,
        origins=_by_origin(entries),
        experiments=[_experiment(entry) for entry in entries],
        scoreboard=[_explanation(row) for row in scoreboard.rows(entries)],
        groups=[table.group(entry) for entry in entries if entry.judged],
        choices=table.choices(entries),
        worth=table.worth(entries),
        confidence=table.confidence(),
        foot=_foot(entries),
    )
    return printable(page)


def _show(entry: Entry) -> None:
    """Make every view of an experiment, so that errors in any of them appear."""
    _experiment(entry)
    table.group(entry)
    _foot([entry])
    ratios([entry])
    scoreboard.rows([entry])


def _hash(text: str) -> str:
    """Compute the hash by which the page's security policy identifies a script or style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _by_origin(entries: list[Entry]) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Count the claims of each kind of source, in total and by verdict."""
    return [
        (WHOSE[origin], counts.total(), [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]])
        for origin, counts in by_origin(entries).items()
    ]


def _explanation(row: scoreboard.Row) -> dict[str, Any]:
    """Return the view of a row of the scoreboard."""
    sides = [
        {
            "name": side,
            "number": len(judged),
            "split": scoreboard.split(judged),
            "num_exploratory": scoreboard.num_exploratory(judged),
            "strongest": [table.row(*pair) for pair in scoreboard.strongest(row, side)],
        }
        for side, judged in row.sides.items()
    ]
    return {
        "name": capital(row.hypothesis),
        "explanation": row.explanation,
        "verdict": scoreboard.verdict(row),
        "sides": sides,
        "unknown": scoreboard.unknown(row),
        "num_neither": row.num_neither,
    }


def _experiment(entry: Entry) -> dict[str, Any]:
    """Return the view of an experiment."""
    claims = [table.row(claim, judgement) for claim, judgement in entry.judged]
    is_main = entry.name == headlines.MAIN
    return {
        "name": entry.name,
        "heading": catalogue.heading(entry.name),
        "subject": catalogue.title(entry.name),
        "findings": entry.findings,
        "claim": catalogue.remark(entry.name, "Claim"),
        "is_run": entry.data is not None,
        "is_above": is_main and "" in entry.pictures,  # its first picture is at the top of the page
        "is_missing": entry.data is not None and "" not in entry.pictures,
        "pictures": [_picture(entry, part) for part in entry.pictures if part or not is_main],
        "decided": [claim for claim in claims if claim["is_decided"]],
        "open": [claim for claim in claims if not claim["is_decided"]],
        "commands": _commands_of(entry) if entry.data else [],
        "facts": _facts(entry) if entry.data else {},
        "scaled_down": entry.scaled_down,
    }


def _picture(entry: Entry, part: str) -> dict[str, Any]:
    """Return the view of a picture, with its version for narrow screens if there is one."""
    picture, words = entry.pictures[part], picture_words(part)
    return {
        "wide": _image(picture.wide),
        "narrow": _image(picture.narrow) if picture.narrow else None,
        "alt": ": ".join(filter(None, ["Figure", catalogue.title(entry.name).rstrip("."), words])),
    }


def _image(picture: bytes) -> dict[str, Any]:
    """Return the address and the size of a PNG."""
    width, height = png_size(picture) or (0, 0)
    address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return {"address": address, "width": width, "height": height}


def _commands_of(entry: Entry) -> list[str]:
    """List the commands that made an experiment's data."""
    data = entry.data or {}
    return _commands(entry.name, data["preset"], str(data["provenance"][-1].get("command", "unknown")))


def _facts(entry: Entry) -> dict[str, Any]:
    """List preset, seeds, time, hardware and provenance."""
    data = entry.data or {}
    origin = data["provenance"][-1]
    versions = origin.get("versions")
    listed = [f"{name} {number}" for name, number in versions.items()] if isinstance(versions, dict) else []
    facts = {
        "Preset": data["preset"],
        "Seeds": seeds(data),
        "Time": costs.duration(data["seconds"]),
        "Hardware": f"{origin.get('device', 'unknown')}, {_cores(origin.get('cpu_cores'))}",
        "Commit": f"{origin.get('commit', 'unknown')}, {origin.get('date', 'date unknown')}",
        "Versions": ", ".join([f"Python {origin.get('python', 'unknown')}", *listed]),
    }
    if len(data["provenance"]) > 1:
        facts["Commit"] += f" (begun elsewhere, {len(data['provenance'])} origins in all)"
    return facts


def _cores(count: Any) -> str:
    """Write how many cores were used; records of other programs need not say so."""
    return plural(count, "core") if isinstance(count, int) else "unknown cores"


def _commands(name: str, preset: str, recorded: str) -> list[str]:
    """List the recorded command if a reader has it, and before it the experiment's own command if another one ran it."""
    program = "python -m experiments"
    if recorded.startswith(f"{program} {name}"):
        return [recorded]
    return [f"{program} {name} --preset {preset}", *([recorded] if recorded.startswith(f"{program} ") else [])]


def _foot(entries: list[Entry]) -> str:
    """Write the dates of the results."""
    origins = [origin for entry in entries if entry.data for origin in entry.data["provenance"]]
    dates = sorted(str(origin["date"]) for origin in origins if "date" in origin)
    return (
        f"Results from {dates[0]} to {dates[-1]}"
        if dates and dates[0] != dates[-1]
        else f"Results of {dates[0]}"
        if dates
        else ""
    )

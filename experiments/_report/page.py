"""The page: one HTML file that needs nothing else."""

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template

from bnjax._host.output import printable
from experiments._command import catalogue, costs
from experiments._evidence.format import plural
from experiments._evidence.verdict import VERDICTS
from experiments._report.load import Entry, Report, by_origin, png_size, seeds, showable
from experiments._report.table import claim_table, tally, typeset
from experiments._report.words import WHOSE

_FOLDER = Path(__file__).parent


def render(report: Report) -> str:
    """Write the page; whatever comes from data or claims is escaped, and no script but the page's own can run.

    An experiment that cannot be shown counts as not run, and is added to the report's problems.
    """
    report = showable(report, lambda entry: (_experiment(entry), claim_table([entry]), _foot([entry])))
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = Template((_FOLDER / "page.html").read_text(encoding="utf-8")).substitute(
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        summary=_summary(report.entries),
        problems="".join(f"<li>{escape(problem)}</li>" for problem in report.problems),
        contents="".join(
            f'<li><a href="#{entry.name}">{catalogue.heading(entry.name)}</a></li>' for entry in report.entries
        ),
        claims=claim_table(report.entries),
        experiments="\n".join(_experiment(entry) for entry in report.entries),
        foot=_foot(report.entries),
    )
    return printable(page)


def _hash(text: str) -> str:
    """Compute what the page's policy knows a script or style by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _summary(entries: list[Entry]) -> str:
    """Write how many claims have which verdict."""
    counts = tally(entries)
    parts = [f'<b class="{verdict.replace(" ", "-")}">{counts[verdict]} {verdict}</b>' for verdict in VERDICTS]
    listed = ", ".join(part for part, verdict in zip(parts, VERDICTS, strict=True) if counts[verdict])
    num_run = sum(entry.data is not None for entry in entries)
    return (
        f"{plural(counts.total(), 'claim')} about batch normalisation: {listed}. {_by_origin(entries)}"
        f"{num_run} of {plural(len(entries), 'experiment')} have been run."
    )


def _by_origin(entries: list[Entry]) -> str:
    """Write who claims it: of each kind of source how many claims have which verdict."""
    parts = []
    for origin, counts in by_origin(entries).items():
        listed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
        parts.append(f"{counts.total()} of {WHOSE[origin]} ({listed})")
    return f"{'; '.join(parts)}. "


def _experiment(entry: Entry) -> str:
    """Write an experiment's section."""
    body = (
        _results(entry)
        if entry.data
        else f'<p class="none">Not run yet: {_code(f"python -m experiments {entry.name}")}</p>'
    )
    name = catalogue.heading(entry.name)
    return (
        f'<article id="{entry.name}" aria-labelledby="{entry.name}-name"><header><h2 id="{entry.name}-name">{name}</h2>'
        f'<p class="subject">{escape(catalogue.title(entry.name))}</p></header>\n'
        f"{_findings(entry)}\n{body}</article>"
    )


def _findings(entry: Entry) -> str:
    """Write what was found; where that is not known, what is claimed."""
    if entry.findings:
        return f'<p class="findings">{typeset(entry.findings)}</p>'
    return f'<p class="findings"><span class="caveat">The claim:</span> {typeset(catalogue.remark(entry.name, "Claim"))}</p>'


def _results(entry: Entry) -> str:
    """Write figure and facts."""
    return f"{_figure(entry)}\n{_facts(entry)}"


def _figure(entry: Entry) -> str:
    """Show the picture, as a button that enlarges it."""
    if entry.picture is None:
        return '<p class="none">The picture is not there.</p>'
    width, height = png_size(entry.picture) or (0, 0)
    source = f"data:image/png;base64,{base64.b64encode(entry.picture).decode()}"
    alt = f"Figure: {escape(catalogue.title(entry.name))}"
    return (
        '<figure><button type="button" class="enlarge" title="Enlarge">'
        f'<img src="{source}" alt="{alt}" width="{width}" height="{height}"></button></figure>'
    )


def _facts(entry: Entry) -> str:
    """List how the numbers came about: command, time, hardware, provenance, and what was scaled down."""
    data = entry.data or {}
    origin = data["provenance"][-1]
    versions = origin.get("versions")
    listed = [f"{name} {number}" for name, number in versions.items()] if isinstance(versions, dict) else []
    facts = {
        "Command": _commands(entry.name, data["preset"], str(origin.get("command", "unknown"))),
        "Preset": escape(data["preset"]),
        "Seeds": escape(seeds(data)),
        "Time": costs.duration(data["seconds"]),
        "Hardware": escape(f"{origin.get('device', 'unknown')}, {origin.get('cpu_cores', 'unknown')} cores"),
        "Commit": escape(f"{origin.get('commit', 'unknown')}, {origin.get('date', 'date unknown')}"),
        "Versions": escape(", ".join([f"Python {origin.get('python', 'unknown')}", *listed])),
        "Scaled down or changed": _scaled_down(entry),
    }
    if len(data["provenance"]) > 1:
        facts["Commit"] += f" (begun elsewhere, {len(data['provenance'])} origins in all)"
    rows = "".join(f"<div><dt>{name}</dt><dd>{fact}</dd></div>" for name, fact in facts.items())
    return f'<dl class="origin">{rows}</dl>'


def _scaled_down(entry: Entry) -> str:
    """List the fields in which a preset differs from the published setting."""
    if entry.scaled_down is None:
        return "there is no preset with a published setting"
    changes = "".join(f"<li>{escape(change)}</li>" for change in entry.scaled_down)
    return f"<ul>{changes}</ul>" if changes else "nothing: this is the published setting"


def _commands(name: str, preset: str, recorded: str) -> str:
    """Write the command that was recorded, and before it the experiment's own if another one ran it."""
    own = f"python -m experiments {name}"
    if recorded.startswith(own):
        return _code(recorded)
    return f"{_code(f'{own} --preset {preset}')}, run by {_code(recorded)}"


def _code(text: str) -> str:
    """Write a shell command."""
    return f"<code>{escape(text)}</code>"


def _foot(entries: list[Entry]) -> str:
    """Write when and from which commits the results come."""
    origins = [origin for entry in entries if entry.data for origin in entry.data["provenance"]]
    dates = sorted(str(origin["date"]) for origin in origins if "date" in origin)
    when = (
        f"Results from {dates[0]} to {dates[-1]}"
        if dates and dates[0] != dates[-1]
        else f"Results of {dates[0]}"
        if dates
        else ""
    )
    return escape(when)

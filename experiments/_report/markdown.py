"""Findings and claim tables in Markdown, and their place in the README."""

import math
from pathlib import Path

from bnjax._host.files import write_whole
from bnjax._host.output import printable
from experiments._evidence.claim import Claim
from experiments._evidence.format import plural
from experiments._evidence.verdict import VERDICTS, Judgement
from experiments._report import words
from experiments._report.load import Entry, Report, by_origin, showable

BEGIN, END = "<!-- claims: written by `report --readme`, from figures/ -->\n", "<!-- end of claims -->\n"


def claim_table(report: Report) -> str:
    """Write, for each experiment that has been run, what was found, and a folded table with a row per claim.

    A caveat follows what it is a caveat of. An experiment that cannot be written is added to the report's problems.
    """
    shown = Report([entry for entry in report.entries if entry.data and entry.judged], report.problems)
    entries = [entry for entry in showable(shown, _experiment).entries if entry.data]
    return printable("\n".join([_by_origin(entries), *map(_experiment, entries)]))


def _by_origin(entries: list[Entry]) -> str:
    """Write how many claims of each kind of source have which verdict."""
    counts = by_origin(entries)
    rows = [(words.WHOSE[origin], *(number[verdict] for verdict in VERDICTS)) for origin, number in counts.items()]
    lines = [("claims of", *VERDICTS), ("---",) * (1 + len(VERDICTS)), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _experiment(entry: Entry) -> str:
    """Write an experiment's paragraph and table."""
    verdicts = [judgement.verdict for _, judgement in entry.judged]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    return (
        f"**[{entry.name.replace('_', ' ')}](figures/{entry.stem}.png)** {_text(entry.findings)}\n\n"
        f"<details><summary>{plural(len(verdicts), 'claim')}: {counts}</summary>\n\n"
        "| claim | published | holds | here, median and interval | verdict |\n|---|---|---|---|---|\n"
        + "".join(f"{_row(claim, judgement)}\n" for claim, judgement in entry.judged)
        + "\n</details>\n"
    )


def _row(claim: Claim, judgement: Judgement) -> str:
    """Write a claim's row."""
    interval = words.interval(claim, judgement)
    details = [f"({interval})" * bool(interval), words.count(claim, judgement), words.diverged(judgement)]
    here = ", ".join(filter(None, [f"{words.value(claim, judgement)} {details[0]}".strip(), *details[1:]]))
    here = "-" if math.isnan(judgement.median) else here
    statement = f"{'↳ ' * bool(claim.caveat_of)}{words.statement(claim, judgement)} ({words.source(claim)})"
    more = words.verdict(claim, judgement)
    verdict = f"**{judgement.verdict}**" + (f": {more}" if more else "")
    return "| " + " | ".join(map(_text, (statement, words.published(claim), words.holds(claim), here, verdict))) + " |"


def replace_table(readme: Path, table: str) -> None:
    """Put findings and tables between the two markers of a file.

    Raises:
        ValueError: if the markers are not there, once each and in this order.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise ValueError(
            f"{readme} must hold the lines {BEGIN.strip()!r} and {END.strip()!r} once each, in this order."
        )
    write_whole(readme, lambda file: file.write(f"{before}{begin}\n{table}\n{end}{after}".encode()))


def _text(text: str) -> str:
    """Take out of a text what would end a cell or begin a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")

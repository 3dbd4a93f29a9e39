"""The claim table in Markdown, and its place in the README."""

from pathlib import Path

from bnjax.files import write_whole
from experiments._report import words
from experiments._report.load import Report

BEGIN, END = "<!-- claims: written by `report --readme`, from figures/ -->\n", "<!-- end of claims -->\n"


def claim_table(report: Report) -> str:
    """Write a row per claim whose experiment has been run; a caveat follows what it is a caveat of."""
    rows = ["| claim | published | here, median and range | verdict |", "|---|---|---|---|"]
    for entry in report.entries:
        for claim, judgement in entry.judged if entry.data else ():
            interval = words.interval(claim, judgement)
            details = [f"({interval})" * bool(interval), words.count(claim, judgement), words.diverged(judgement)]
            here = ", ".join(filter(None, [f"{words.value(claim, judgement)} {details[0]}".strip(), *details[1:]]))
            statement = f"{'↳ ' * bool(claim.caveat_of)}{claim.statement} ({claim.source})"
            verdict = f"**{judgement.verdict}**" + (f": {judgement.reason}" if judgement.reason else "")
            rows.append("| " + " | ".join(map(_cell, (statement, claim.published, here, verdict))) + " |")
    return "\n".join(rows) + "\n"


def replace_table(readme: Path, table: str) -> None:
    """Put the table between the two markers of a file.

    Raises:
        ValueError: if the markers are not there, once each and in this order.
    """
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise ValueError(
            f"{readme} must hold the lines {BEGIN.strip()!r} and {END.strip()!r} once each, in this order."
        )
    write_whole(readme, lambda file: file.write(f"{before}{begin}\n{table}\n{end}{after}".encode()))


def _cell(text: str) -> str:
    """Take out of a text what would end a cell or begin a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")

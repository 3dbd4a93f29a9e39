"""Headlines, scoreboard, findings and claim tables in Markdown, and their places in README files."""

import math
from pathlib import Path

from bnjax._host.files import write_whole
from bnjax._host.output import printable
from experiments._evidence.claim import Claim, Side
from experiments._evidence.format import capital, plural
from experiments._evidence.verdict import VERDICTS, Judgement
from experiments._report import headlines, scoreboard, words
from experiments._report.load import Entry, Report, by_origin, picture_words, showable

BEGIN, END = "<!-- claims: written by `report --readme`, from figures/ -->\n", "<!-- end of claims -->\n"
BEGIN_HEADLINES = "<!-- headlines: written by `report --readme`, from figures/ -->\n"
END_HEADLINES = "<!-- end of headlines -->\n"
BEGIN_SCOREBOARD = "<!-- scoreboard: written by `report --readme`, from figures/ -->\n"
END_SCOREBOARD = "<!-- end of scoreboard -->\n"


def claim_table(report: Report) -> str:
    """Write links, and for each experiment that has been run its findings and a folded table with a row per claim.

    A caveat follows its claim. An experiment that cannot be written is added to the report's problems.
    """
    shown = Report([entry for entry in report.entries if entry.data and entry.judged], report.problems)
    entries = [entry for entry in showable(shown, _experiment).entries if entry.data]
    contents = " · ".join(f"[{_heading(entry)}](#{_heading(entry).replace(' ', '-')})" for entry in entries)
    return printable("\n".join([_by_origin(entries), f"{contents}\n", *map(_experiment, entries)]))


def headline_table(report: Report) -> str:
    """Write the answer with its scale, and a row per headline claim."""
    answer, pairs = headlines.answer(report.entries), [*headlines.judged(report.entries).values()]
    sizes = {other.setup.size for _, judgement in pairs for other in judgement.beside}
    size = sizes.pop() if len(sizes) == 1 else ""
    rows = "".join(f"{_headline(claim, judgement, size)}\n" for claim, judgement in pairs)
    head = f"| claim | published | here | {size or 'beside it'}, not judged | verdict |\n|---|---|---|---|---|\n"
    text = (answer.outcome, answer.but, answer.scale)
    return printable(f"{' '.join(filter(None, text))}\n\n{head}{rows}")


def scoreboard_table(report: Report) -> str:
    """Write a row per explanation of batch norm's effect, and the strongest claims on either side of each."""
    rows = scoreboard.rows(report.entries)
    cells = [
        (
            f"**{capital(row.hypothesis)}.** {row.explanation}",
            *(_side(row, side) for side in scoreboard.SIDES),
            scoreboard.verdict(row),
        )
        for row in rows
    ]
    lines = [("explanation", *scoreboard.SIDES, "in words"), ("---",) * 4, *(tuple(map(_text, line)) for line in cells)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return printable(
        f"{table}\n<details><summary>The strongest claims</summary>\n\n{''.join(map(_strongest, rows))}</details>\n"
    )


def _side(row: scoreboard.Row, side: Side) -> str:
    """Write how many claims speak for a side, and the kinds of their sources."""
    judged = row.sides[side]
    return f"{len(judged)}: {scoreboard.split(judged)}" if judged else "none"


def _strongest(row: scoreboard.Row) -> str:
    """Write a list of the strongest claims on either side of an explanation; empty if there are none."""
    lines = [
        f"- {side}: {_text(words.statement(claim, judgement))} {words.with_unit(claim, judgement.median)}, "
        f"**{words.outcome(claim, judgement)}**: {_why(claim, judgement)}\n"
        for side in scoreboard.SIDES
        for claim, judgement in scoreboard.strongest(row, side)
    ]
    return f"{capital(row.hypothesis)}:\n\n{''.join(lines)}\n" if lines else ""


def _why(claim: Claim, judgement: Judgement) -> str:
    """Write the confidence of a verdict, and the results of runs that are too few for one."""
    return "; ".join(filter(None, [words.verdict(claim, judgement), *words.not_judged(claim, judgement)]))


def _headline(claim: Claim, judgement: Judgement, size: str) -> str:
    """Write a headline claim's row."""
    here, beside = words.with_unit(claim, judgement.median), words.beside(claim, judgement, size)
    verdict = f"{words.outcome(claim, judgement)}{', exploratory' * judgement.is_exploratory}"
    return "| " + " | ".join(map(_text, (claim.statement, claim.published, here, beside, verdict))) + " |"


def _by_origin(entries: list[Entry]) -> str:
    """Write a table of the numbers of claims by kind of source and verdict."""
    counts = by_origin(entries)
    rows = [(words.WHOSE[origin], *(number[verdict] for verdict in VERDICTS)) for origin, number in counts.items()]
    lines = [("claims of", *VERDICTS), ("---",) * (1 + len(VERDICTS)), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _heading(entry: Entry) -> str:
    return entry.name.replace("_", " ")


def _experiment(entry: Entry) -> str:
    """Write an experiment's paragraph and table."""
    verdicts = [judgement.verdict for _, judgement in entry.judged]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    links = [f"[{picture_words(part)}]({entry.picture_name(part)}.png)" for part in entry.pictures if part]
    more = f"Further pictures: {', '.join(links)}.\n\n" if links else ""
    return (
        f"### {_heading(entry)}\n\n[Picture]({entry.stem}.png). {_text(entry.findings)}\n\n{more}"
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
    more = _why(claim, judgement)
    verdict = f"**{words.outcome(claim, judgement)}**" + (f": {more}" if more else "")
    return "| " + " | ".join(map(_text, (statement, words.published(claim), words.holds(claim), here, verdict))) + " |"


def replace_tables(readme: Path, report: Report) -> None:
    """Put headlines, scoreboard, findings and tables between those of their markers that a file has.

    Raises:
        ValueError: if the file has none of the markers, or not both of a pair, once each and in this order.
    """
    text = readme.read_text(encoding="utf-8")
    pairs = (
        (BEGIN, END, claim_table),
        (BEGIN_HEADLINES, END_HEADLINES, headline_table),
        (BEGIN_SCOREBOARD, END_SCOREBOARD, scoreboard_table),
    )
    present = [pair for pair in pairs if pair[0] in text or pair[1] in text]
    for begin, end, write in present or pairs[:1]:
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end or begin in after or end in before + after:
            raise ValueError(
                f"{readme} must hold the lines {begin.strip()!r} and {end.strip()!r} once each, in this order."
            )
        text = f"{before}{begin}\n{write(report)}\n{end}{after}"
    write_whole(readme, lambda file: file.write(text.encode()))


def _text(text: str) -> str:
    """Escape characters of a text that would end a cell or begin a tag, and join its lines."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")

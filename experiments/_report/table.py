"""The claim table of the page."""

import math
import re
from collections import Counter
from html import escape

from experiments._command import catalogue
from experiments._evidence.claim import Claim
from experiments._evidence.verdict import CONFIDENCE, MIN_VALUES, VERDICTS, Judgement, coverage, interval
from experiments._report import words
from experiments._report.load import Entry
from experiments._report.strip import strip

_SIGNS = {"supported": "✓", "contradicted": "✕", "inconclusive": "?", "not run": "–"}  # noqa: RUF001


def claim_table(entries: list[Entry]) -> str:
    """Write the filter and the table, one group of rows per experiment."""
    groups = "".join(_group(entry) for entry in entries if entry.judged)
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Claim", "Published", "Measured here", "Verdict"))
    return f"{_filter(entries)}\n<table>\n<thead><tr>{heads}</tr></thead>\n{groups}</table>\n{_method(entries)}"


def tally(entries: list[Entry]) -> Counter:
    """Count the claims of each verdict."""
    return Counter(judgement.verdict for entry in entries for _, judgement in entry.judged)


def typeset(text: str) -> str:
    """Write a minus sign before numbers and a dash for what is not there, keep percents together, and escape."""
    if text == "-":
        return "–"  # noqa: RUF001
    return re.sub(r"(?<!\w)-(?=[\d.∞])", "−", escape(text)).replace(" %", "&nbsp;%")  # noqa: RUF001


def _filter(entries: list[Entry]) -> str:
    """Write a choice of verdicts, which the style sheet acts on."""
    counts = tally(entries)
    choices = [("all", "All", counts.total())]
    choices += [(_slug(verdict), verdict.capitalize(), counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    items = "".join(
        f'<label class="{slug}"><input type="radio" name="verdict" id="show-{slug}"{" checked" * (slug == "all")}>'
        f"<span>{label} <b>{count}</b></span></label>"
        for slug, label, count in choices
    )
    return f'<fieldset class="filter"><legend>Show claims that are</legend>{items}</fieldset>'


def _group(entry: Entry) -> str:
    """Write the claims of an experiment."""
    link = f'<a href="#{entry.name}">{catalogue.heading(entry.name)}</a>'
    head = f'<tr class="group"><th colspan="4" scope="rowgroup">{link}</th></tr>'
    rows = "".join(_row(claim, judgement) for claim, judgement in entry.judged)
    return f"<tbody>{head}\n{rows}</tbody>\n"


def _row(claim: Claim, judgement: Judgement) -> str:
    """Write a claim; what comes from claim files is escaped like what comes from data."""
    kind = _slug(judgement.verdict)
    caveat = '<span class="caveat">Caveat</span> ' if claim.caveat_of else ""
    return (
        f'<tr class="claim {kind}{" is-caveat" * bool(claim.caveat_of)}" id="claim-{claim.name}">'
        f'<td class="what"><p class="statement">{caveat}{escape(words.statement(claim, judgement))}</p>'
        f'<p class="source">{escape(words.source(claim))}</p>'
        f'<p class="statistic">{escape(words.statistic(claim))}. Holds {typeset(words.holds(claim))}.</p></td>'
        f'<td data-label="Published"><p>{typeset(words.published(claim))}</p></td>'
        f'<td data-label="Measured here">{_measured(claim, judgement)}</td>'
        f'<td data-label="Verdict" class="judged"><span class="verdict"><i aria-hidden="true">{_SIGNS[judgement.verdict]}</i> '
        f"{judgement.verdict}</span>{_small(words.verdict(claim, judgement))}</td></tr>\n"
    )


def _measured(claim: Claim, judgement: Judgement) -> str:
    """Write median, interval, number of values and runs that diverged, and draw the values."""
    if judgement.verdict == "not run":
        return '<p class="none">–</p>'  # noqa: RUF001
    unit = f" <small>{escape(claim.statistic.format.unit)}</small>" if not math.isnan(judgement.median) else ""
    number = f'<p class="value">{typeset(claim.statistic.format.number(judgement.median))}{unit}</p>'
    facts = filter(None, (words.interval(claim, judgement), words.count(claim, judgement), words.diverged(judgement)))
    return number + strip(claim, judgement) + "".join(map(_small, facts))


def _small(text: str) -> str:
    """Write a remark."""
    return f'<p class="small">{typeset(text)}</p>' if text else ""


def _method(entries: list[Entry]) -> str:
    """Write how verdicts come about, and what the intervals are worth."""
    numbers = sorted({len(judgement.values) for entry in entries for _, judgement in entry.judged} - {0, 1})
    worth = ", ".join(_worth(number) for number in numbers or [MIN_VALUES])
    return (
        '<details class="method"><summary>How a verdict comes about</summary>'
        "<p>Each claim is a statistic and the range of it in which the claim holds, the shaded band. The statistic is computed "
        "once per seed, or per draw of a random problem, the dots; nets are compared seed by seed. A claim is <b>supported</b> "
        "if the whole interval of values lies in the range, <b>contradicted</b> if all of it lies outside, and else "
        "<b>inconclusive</b>; so it is with "
        f"fewer than {MIN_VALUES} values, and where a value cannot be measured in the steps that were run. Of a claim that "
        "something can be, one value in the range is enough. A run that diverged counts, as infinite or as a guess, whichever "
        "the statistic calls for; of what a run had not come to at its end a bound is known, marked &gt; or &lt;.</p>"
        "<p>Shown are the median and the interval, the line through the dots: from the smallest to the largest value or, where "
        f"there are nine or more, without as many at either end as still leaves {100 * CONFIDENCE:.0f}&nbsp;%. That is the "
        f"probability with which it encloses the true median if values are independent: {worth}. "
        "Nothing on this page is typed by hand but the claims and their published values: it is made from the data files.</p>"
        "</details>"
    )


def _worth(number: int) -> str:
    """Write with what probability the interval of so many values encloses the median."""
    num_left_out = (number - len(interval([0.0] * number))) // 2
    return f"{100 * coverage(number, num_left_out):.3g}&nbsp;% with {number}"


def _slug(verdict: str) -> str:
    """Name a verdict for the style sheet."""
    return verdict.replace(" ", "-")

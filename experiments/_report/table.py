"""Claims as shown on the page: text and pictures, without tags except in small SVGs."""

import math
import re
from collections import Counter
from html import escape
from typing import Any

from markupsafe import Markup

from experiments._command import catalogue
from experiments._evidence.claim import Claim
from experiments._evidence.verdict import CONFIDENCE, MIN_VALUES, VERDICTS, Judgement, coverage, interval
from experiments._report import words
from experiments._report.load import Entry
from experiments._report.strip import strip

_SIGNS = {"supported": "✓", "contradicted": "✕", "inconclusive": "?", "not run": "–"}  # noqa: RUF001


def tally(entries: list[Entry]) -> Counter:
    """Count the claims by verdict."""
    return Counter(judgement.verdict for entry in entries for _, judgement in entry.judged)


def typeset(text: str) -> Markup:
    """Typeset minus signs before numbers and a dash for a missing value, keep percents together, and escape."""
    if text == "-":
        return Markup("–")  # noqa: RUF001
    minus = re.sub(r"(?<!\w)-(?=[\d.∞])", "−", escape(text))  # noqa: RUF001
    return Markup(minus.replace(" %", "&nbsp;%"))


def choices(entries: list[Entry]) -> list[dict[str, Any]]:
    """List the verdicts by which the table can be filtered, with their numbers of claims."""
    counts = tally(entries)
    everything = [{"slug": "all", "label": "All", "count": counts.total()}]
    return everything + [
        {"slug": slug(verdict), "label": verdict.capitalize(), "count": counts[verdict]}
        for verdict in VERDICTS
        if counts[verdict]
    ]


def group(entry: Entry) -> dict[str, Any]:
    """Return the claims of an experiment, with its name."""
    claims = [row(claim, judgement) for claim, judgement in entry.judged]
    return {"name": entry.name, "heading": catalogue.heading(entry.name), "claims": claims}


def row(claim: Claim, judgement: Judgement) -> dict[str, Any]:
    """Return the view of a claim."""
    form, is_known = claim.statistic.format, not math.isnan(judgement.median)
    facts = filter(None, (words.interval(claim, judgement), words.count(claim, judgement), words.diverged(judgement)))
    return {
        "name": claim.name,
        "parent": claim.caveat_of or "",
        "kind": slug(judgement.verdict),
        "sign": _SIGNS[judgement.verdict],
        "verdict": words.outcome(claim, judgement),
        "why": words.verdict(claim, judgement),
        "not_judged": words.not_judged(claim, judgement),
        "beside": words.beside(claim, judgement),
        "statement": words.statement(claim, judgement),
        "short": claim.statement,
        "setup": judgement.setup.words if judgement.setup else "",
        "source": words.source(claim),
        "statistic": words.statistic(claim),
        "holds": words.holds(claim),
        "published": words.published(claim),
        "published_short": claim.published,
        "is_run": judgement.verdict != "not run",
        "is_decided": judgement.verdict in ("supported", "contradicted"),
        "number": form.number(judgement.median),
        "unit": form.unit if is_known else "",
        "rounded": words.rounded(claim, judgement.median),
        "facts": list(facts) if judgement.verdict != "not run" else [],
        "strip": Markup(strip(claim, judgement)) if judgement.verdict != "not run" else "",
    }


def worth(entries: list[Entry]) -> str:
    """Write the probability that the intervals enclose the median, by the number of values."""
    numbers = sorted({len(judgement.values) for entry in entries for _, judgement in entry.judged} - {0, 1})
    return ", ".join(_worth(number) for number in numbers or [MIN_VALUES])


def _worth(number: int) -> str:
    num_left_out = (number - len(interval([0.0] * number))) // 2
    return f"{100 * coverage(number, num_left_out):.3g} % with {number}"


def confidence() -> str:
    """Write the confidence of intervals that leave values out."""
    return f"{100 * CONFIDENCE:.0f} %"


def slug(verdict: str) -> str:
    """Name a verdict for the style sheet."""
    return verdict.replace(" ", "-")

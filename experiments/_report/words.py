"""Claims and their values in words, for the page and for the README."""

import math

from experiments._evidence.claim import Claim
from experiments._evidence.format import plural
from experiments._evidence.verdict import Judgement


def value(claim: Claim, judgement: Judgement) -> str:
    """Write the median with its unit."""
    return claim.statistic.format.written(judgement.median)


def interval(claim: Claim, judgement: Judgement) -> str:
    """Write the ends of the interval; nothing where there are not two values."""
    if sum(not math.isnan(x) for x in judgement.values) < 2:
        return ""
    return f"{claim.statistic.format.number(judgement.low)} to {claim.statistic.format.number(judgement.high)}"


def holds(claim: Claim) -> str:
    """Write in which range the claim holds, in its unit, except for ratios."""
    low, high = (_edge(claim, edge) for edge in claim.holds)
    unit = (
        f" {claim.statistic.format.unit}" if claim.statistic.format.unit and not claim.statistic.format.is_ratio else ""
    )
    if math.isinf(claim.holds[0]) or (claim.statistic.format.is_ratio and claim.holds[0] == 0):
        text = f"below {high}{unit}"
    else:
        text = f"above {low}{unit}" if math.isinf(claim.holds[1]) else f"from {low} to {high}{unit}"
    return text.removesuffix("s") if text.endswith(" 1 points") else text


def _edge(claim: Claim, edge: float) -> str:
    """Write an end of a range, which is no measurement: whole, and without zeros at its end."""
    scaled = claim.statistic.format.factor * edge
    digits = 4 if abs(scaled) < 1e4 else 6
    text = f"{scaled:,.{digits}g}" if 1e-3 <= abs(scaled) < 1e6 else claim.statistic.format.number(edge).lstrip("+")
    return text.rstrip("0").rstrip(".") if "." in text and "·" not in text else text


def statistic(claim: Claim) -> str:
    """Write what is measured, and why."""
    return f"{claim.statistic.words}{f' ({claim.remark})' * bool(claim.remark)}"


def count(claim: Claim, judgement: Judgement) -> str:
    """Write how many seeds, or draws, there are."""
    return plural(len(judgement.values), claim.statistic.per)


def diverged(judgement: Judgement) -> str:
    """Write how many runs diverged, if any did."""
    return f"{judgement.num_diverged} of {plural(judgement.num_runs, 'run')} diverged" if judgement.num_diverged else ""

"""Claims and their values in words, for the page and for the README."""

import math

from experiments._claims.claim import Claim, Judgement


def value(claim: Claim, judgement: Judgement) -> str:
    """Write the median with its unit."""
    return f"{claim.format.number(judgement.median)} {claim.format.unit}".strip()


def interval(claim: Claim, judgement: Judgement) -> str:
    """Write the ends of the interval; nothing where there are not two values."""
    if sum(not math.isnan(x) for x in judgement.values) < 2:
        return ""
    return f"{claim.format.number(judgement.low)} to {claim.format.number(judgement.high)}"


def holds(claim: Claim) -> str:
    """Say in which range the claim holds, in its unit, but for ratios."""
    low, high = (_edge(claim, edge) for edge in claim.supported)
    unit = f" {claim.format.unit}" if claim.format.unit and not claim.format.is_ratio else ""
    if math.isinf(claim.supported[0]) or (claim.format.is_ratio and claim.supported[0] == 0):
        text = f"below {high}{unit}"
    else:
        text = f"above {low}{unit}" if math.isinf(claim.supported[1]) else f"from {low} to {high}{unit}"
    return text.removesuffix("s") if text.endswith(" 1 points") else text


def _edge(claim: Claim, edge: float) -> str:
    """Write an end of a range, which is no measurement: whole, and without zeros at its end."""
    scaled = claim.format.factor * edge
    digits = 4 if abs(scaled) < 1e4 else 6
    text = f"{scaled:,.{digits}g}" if 1e-3 <= abs(scaled) < 1e6 else claim.format.number(edge).lstrip("+")
    return text.rstrip("0").rstrip(".") if "." in text and "·" not in text else text


def count(claim: Claim, judgement: Judgement) -> str:
    """Say how many seeds, or draws, there are."""
    return plural(len(judgement.values), claim.per)


def diverged(judgement: Judgement) -> str:
    """Say how many runs diverged, if any did."""
    return f"{judgement.num_diverged} of {plural(judgement.num_runs, 'run')} diverged" if judgement.num_diverged else ""


def plural(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}" + "s" * (number != 1)

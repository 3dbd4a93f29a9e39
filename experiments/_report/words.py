"""Claims and their values in words, for the page and for the README."""

import math

from experiments._evidence.claim import Claim
from experiments._evidence.format import plural
from experiments._evidence.readings import OF_SET_UP
from experiments._evidence.source import Origin, Source
from experiments._evidence.verdict import Judgement, coverage, num_left_out

# The owners of claims, by the origin of their source.
WHOSE: dict[Origin, str] = {
    "paper": "papers",
    "article or repository": "articles and repositories",
    "replication": "replications",
    "ours": "controls and comparisons of our own",
}


def statement(claim: Claim, judgement: Judgement) -> str:
    """Write the claim, after the set-up in which it was measured."""
    measured_on = judgement.setup.words if judgement.setup else ""
    return f"{measured_on}: {claim.statement}" if measured_on else claim.statement


def source(claim: Claim) -> str:
    """Write the source, and how the set-up here differs from the source's."""
    who = f"{'ours: ' * (claim.origin == 'ours')}{claim.source}"
    return f"{who}; {claim.differs}" if claim.differs else who


def published(claim: Claim) -> str:
    """Write the published value, and the set-up of its source."""
    of = claim.source.setup if isinstance(claim.source, Source) else ""
    return f"{claim.published} ({of})" if of and claim.published != "-" else claim.published


def outcome(claim: Claim, judgement: Judgement) -> str:
    """Write the verdict; for a caveat, whether it holds."""
    holds = {"supported": "caveat holds", "contradicted": "caveat does not hold"}
    return holds.get(judgement.verdict, judgement.verdict) if claim.caveat_of else judgement.verdict


def verdict(claim: Claim, judgement: Judgement) -> str:
    """Write why a verdict is inconclusive, or its confidence by the sign of its values alone, and whether its set-up fits."""
    number = len(judgement.values)
    parts = [judgement.reason]
    if judgement.verdict in ("supported", "contradicted") and not claim.exists:
        parts.append(
            f"{100 * coverage(number, num_left_out(number)):.3g} % confidence from {plural(number, claim.statistic.per)}"
        )
    if judgement.verdict == "supported" and claim.in_doubt in OF_SET_UP:
        parts.append(f"but {claim.in_doubt}")
    parts += ["exploratory"] * judgement.is_exploratory
    return "; ".join(filter(None, parts))


def value(claim: Claim, judgement: Judgement) -> str:
    """Write the median with its unit."""
    return claim.statistic.format.written(judgement.median)


def rounded(claim: Claim, median: float) -> str:
    """Write the median with two significant digits, which three seeds justify; mark a bound."""
    return claim.statistic.format.rounded(median)


def not_judged(claim: Claim, judgement: Judgement) -> list[str]:
    """Write the medians of runs that are too few for a verdict, each with its set-up."""
    return [f"not judged, {other.setup.words}: {with_unit(claim, other.median)}" for other in judgement.beside]


def beside(claim: Claim, judgement: Judgement, size: str = "") -> str:
    """Write the medians beside a headline, with two digits, and with width, steps and seeds unless these are `size`."""
    others = [(other.setup.size, with_unit(claim, other.median)) for other in judgement.beside]
    return "; ".join(median if of == size else f"{of}: {median}" for of, median in others) or "-"


def with_unit(claim: Claim, median: float) -> str:
    """Write a median with two significant digits and its unit."""
    return f"{rounded(claim, median)} {claim.statistic.format.unit}".rstrip()


def interval(claim: Claim, judgement: Judgement) -> str:
    """Write the ends of the interval; empty if there are fewer than two values."""
    if sum(not math.isnan(x) for x in judgement.values) < 2:
        return ""
    return f"{claim.statistic.format.number(judgement.low)} to {claim.statistic.format.number(judgement.high)}"


def holds(claim: Claim) -> str:
    """Write the range in which the claim holds, with its unit, except for ratios."""
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
    """Write an end of a range, which is no measurement, in full and without trailing zeros."""
    scaled = claim.statistic.format.factor * edge
    digits = 4 if abs(scaled) < 1e4 else 6
    text = f"{scaled:,.{digits}g}" if 1e-3 <= abs(scaled) < 1e6 else claim.statistic.format.number(edge).lstrip("+")
    return text.rstrip("0").rstrip(".") if "." in text and "·" not in text else text


def statistic(claim: Claim) -> str:
    """Describe the statistic, with its remark."""
    return f"{claim.statistic.words}{f' ({claim.remark})' * bool(claim.remark)}"


def count(claim: Claim, judgement: Judgement) -> str:
    """Write the number of seeds, or draws."""
    return plural(len(judgement.values), claim.statistic.per)


def diverged(judgement: Judgement) -> str:
    """Write the number of diverged runs, if any."""
    return f"{judgement.num_diverged} of {plural(judgement.num_runs, 'run')} diverged" if judgement.num_diverged else ""

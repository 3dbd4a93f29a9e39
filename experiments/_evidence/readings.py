"""Claims on the deep linear network, whose published curves no reading of their source reproduces, and their other readings."""

from dataclasses import replace

from experiments._evidence.claim import Claim
from experiments._evidence.statistic import Criterion

# Why the deep linear networks here need not be the source's, so that what they do is told with their claims.
UNFITTING = "the published curve lies outside all draws of this set-up"
UNFITTING_EARLY = "the published early explosion lies outside all draws of this set-up"
UNFITTING_NORMALISED = "the published curve with batch norm lies outside all draws of this set-up"
OF_SET_UP = (UNFITTING, UNFITTING_EARLY, UNFITTING_NORMALISED)


def read_otherwise(claim: Claim, criterion: Criterion, reading: str, *, compares: bool = True) -> Claim:
    """Make a claim on the deep linear network for the nets of another reading of its source, for neither side.

    Args:
        claim: the same claim about the usual reading.
        criterion: the statistic of the other nets, and the range.
        reading: in words, after "with the".
        compares: whether it is about nets with batch norm, whose published curve lies outside all draws of this reading too.
    """
    statement = claim.statement.removeprefix("At learning rate 1e-6, ")
    return replace(
        claim,
        statement=f"With the {reading}, {statement[0].lower()}{statement[1:]}",
        criterion=criterion,
        caveat_of=None,
        remark="the other reading of the source, in which the published curve of the plain net lies among the draws",
        since="2026-11-30",
        speaks="neither",
        in_doubt=UNFITTING_NORMALISED if compares else "",
    )

"""The scoreboard: which explanations of batch norm's effect the judged claims speak for, and which against."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from experiments._evidence.claim import HYPOTHESES, Claim, Hypothesis, Side
from experiments._evidence.format import plural
from experiments._evidence.source import Origin
from experiments._evidence.verdict import Judgement
from experiments._report.load import Entry

EXPLANATIONS: dict[Hypothesis, str] = {
    "covariate shift": "Batch norm helps because it reduces internal covariate shift: a layer's inputs, and with them its "
    "gradient, change less when the layers before it are updated.",
    "distributions": "Batch norm helps because it keeps the distributions of activations stable during training.",
    "interdependence": "Batch norm helps because the updates of different layers interact less.",
    "smoothness": "Batch norm helps because it makes the loss landscape smoother: the loss and its gradient vary less along "
    "the gradient.",
    "learning rates": "Batch norm helps because it permits larger learning rates.",
    "regularisation": "Batch norm helps because the noise of its mini-batch statistics regularises.",
}
SIDES: tuple[Side, Side] = ("for", "against")
# How the counts of a side are split.
FROM: dict[str, tuple[Origin, ...]] = {
    "from papers and articles": ("paper", "article or repository"),
    "from replications": ("replication",),
    "of our own": ("ours",),
}
_NUM_STRONGEST = 3

Judged = tuple[Claim, Judgement]


class Row(NamedTuple):
    """An explanation, and the claims that test it.

    Attributes:
        hypothesis: the explanation.
        sides: the decided claims for it and the decided claims against it, the strongest first.
        num_neither: number of claims that count for neither side, with any outcome or with the actual one.
        num_unknown: numbers of claims that could count but that the data do not decide, by reason.
    """

    hypothesis: Hypothesis
    sides: dict[Side, list[Judged]]
    num_neither: int
    num_unknown: Counter

    @property
    def explanation(self) -> str:
        """The hypothesis in one sentence."""
        return EXPLANATIONS[self.hypothesis]


def rows(entries: Sequence[Entry]) -> list[Row]:
    """Group the claims by the explanation that they test, and by the side for which they speak."""
    pairs = [pair for entry in entries for pair in entry.judged]
    decided = {claim.name for claim, judgement in pairs if judgement.verdict in ("supported", "contradicted")}
    return [
        _row(name, [pair for pair in pairs if pair[0].hypothesis == name], decided)
        for name in HYPOTHESES
        if name != "none"
    ]


def side(claim: Claim, judgement: Judgement) -> Side | None:
    """Return the side of its hypothesis for which a judged claim counts; None if undecided, or if it is neutral.

    A claim that holds only thanks to a tolerance counts for neither: "at least half as much", with a median of 0.8 times.
    """
    if judgement.verdict == "supported" and not _needs_tolerance(claim, judgement):
        return claim.side(holds=True)
    return claim.side(holds=False) if judgement.verdict == "contradicted" else None


def strength(claim: Claim, judgement: Judgement) -> tuple[bool, int, float]:
    """Return a claim's sort key: not exploratory, then the number of values, then the distance from the range's end.

    The distance is measured from the interval of values to the nearest end of the claim's range, in units of the interval's
    width. It is dimensionless, so that claims about different quantities can be compared; ratios enter as logarithms. Values
    without any spread come from a grid, or are bounds: they have no width to compare with, and come last.
    """
    ends = [_place(claim, end) for end in claim.holds]
    low, high = (_place(claim, end) for end in (judgement.low, judgement.high))
    gaps = [max(low - end, end - high) for end in ends if math.isfinite(end)]
    width = high - low
    distance = min(gaps, default=math.inf) / width if width > 0 else -math.inf
    return not judgement.is_exploratory, len(judgement.values), -math.inf if math.isnan(distance) else distance


def strongest(row: Row, side: Side) -> list[Judged]:
    """List the few strongest claims for a side."""
    return row.sides[side][:_NUM_STRONGEST]


def split(judged: Sequence[Judged]) -> str:
    """Write the kinds of the claims' sources, and how many of the claims are exploratory."""
    counts = {words: sum(claim.origin in origins for claim, _ in judged) for words, origins in FROM.items()}
    words = ", ".join(f"{count} {whose}" for whose, count in counts.items() if count)
    exploratory = num_exploratory(judged)
    return f"{words}; {exploratory or 'none'} exploratory" if words else ""


def num_exploratory(judged: Sequence[Judged]) -> int:
    """Count the claims whose range or statistic was fixed when their runs were known."""
    return sum(judgement.is_exploratory for _, judgement in judged)


def unknown(row: Row) -> str:
    """Write how many claims are undecided, and why."""
    total = row.num_unknown.total()
    reasons = ", ".join(f"{count} {reason}" for reason, count in row.num_unknown.items())
    return f"{total} ({reasons})" if total else "none"


def verdict(row: Row) -> str:
    """Write how many claims speak for each side, how many of them are not exploratory, and how many are undecided."""
    num_decided, num_open = sum(map(len, row.sides.values())), row.num_unknown.total()
    if not num_decided + num_open + row.num_neither:
        return "No claim tests it yet."
    sentences = [f"Of {plural(num_decided, 'decided claim')}, {_counts(row)}."] if num_decided else []
    sentences += [] if num_decided else ["No decided claim speaks for it or against it."]
    dropped = sum(map(num_exploratory, row.sides.values()))
    if dropped:
        sentences.append(_without_exploratory(row, dropped, num_decided - dropped))
    if num_open:
        more = f"{num_open}{' more' if num_decided else ''}"
        sentences.append(f"{more} {'is' if num_open == 1 else 'are'} undecided.")
    return " ".join(sentences)


def _row(hypothesis: Hypothesis, pairs: list[Judged], decided: set[str]) -> Row:
    """Sort the claims of a hypothesis; one that repeats a claim that is `decided` counts for neither side."""
    repeated = {claim.name: claim.repeats for claim, _ in pairs}

    def is_counted(name: str) -> bool:
        """Return whether none of the claims that a claim repeats, and that these repeat, is decided."""
        earlier = repeated.get(name)
        return earlier is None or (earlier not in decided and is_counted(earlier))

    counting = [pair for pair in pairs if is_counted(pair[0].name)]
    sides: dict[Side, list[Judged]] = {
        own: sorted((pair for pair in counting if side(*pair) == own), key=lambda pair: strength(*pair), reverse=True)
        for own in SIDES
    }
    could = [pair for pair in counting if pair[0].side(holds=True) and pair[1].verdict in ("inconclusive", "not run")]
    num_neither = len(pairs) - len(could) - sum(map(len, sides.values()))
    return Row(hypothesis, sides, num_neither, Counter(_reason(judgement) for _, judgement in could))


def _reason(judgement: Judgement) -> str:
    """Return the kind of reason for which a claim is undecided."""
    if judgement.verdict == "not run":
        return "not run yet"
    return "need longer or other runs" if judgement.reason.startswith("needs ") else "inconclusive"


def _place(claim: Claim, value: float) -> float:
    """Return a value's place on the axis on which distances are compared: ratios by their logarithms."""
    if not claim.statistic.format.is_ratio:
        return float(value)
    return math.log(value) if value > 0 else -math.inf


def _needs_tolerance(claim: Claim, judgement: Judgement) -> bool:
    """Return whether a one-sided range extends beyond "no difference", and some values lie in that extension."""
    middle, (low, high) = claim.statistic.format.no_difference, claim.holds
    if middle is None:
        return False
    is_above, is_below = math.isinf(high), math.isinf(low) or (claim.statistic.format.is_ratio and low == 0)
    return any(
        (is_above and low < value < middle) or (is_below and middle < value < high) for value in judgement.values
    )


def _without_exploratory(row: Row, dropped: int, num_left: int) -> str:
    """Write how many claims are exploratory, and for which side the others speak."""
    if not num_left:
        return "All of them are exploratory." if dropped > 1 else "It is exploratory."
    left = {own: [pair for pair in pairs if not pair[1].is_exploratory] for own, pairs in row.sides.items()}
    rest = _counts(row._replace(sides=left), with_origin=False)
    others = f"of the other {num_left}, {rest}" if num_left > 1 else f"the other{rest.removeprefix('1')}"
    return f"{dropped} of them {'is' if dropped == 1 else 'are'} exploratory; {others}."


def _counts(row: Row, with_origin: bool = True) -> str:
    """Write how many claims speak for either side, the larger number first."""
    first, second = sorted(SIDES, key=lambda own: -len(row.sides[own]))
    numbers = {own: len(row.sides[own]) for own in SIDES}
    origin = {own: _published(row.sides[own]) * with_origin for own in SIDES}
    every = "both" if numbers[first] == 2 else f"{'all ' * (numbers[first] > 1)}{numbers[first]}"
    number = str(numbers[first]) if numbers[second] else every
    verb = "speaks" if numbers[first] == 1 else "speak"
    rest = f" and {numbers[second]} {second} it{origin[second]}" if numbers[second] else ""
    return f"{number} {verb} {first} it{origin[first]}{rest}"


def _published(judged: Sequence[Judged]) -> str:
    """Write how many claims are from papers and articles."""
    number = sum(claim.origin in FROM["from papers and articles"] for claim, _ in judged)
    return f" ({number} from papers and articles)" if number else ""

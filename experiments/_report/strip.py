"""A small picture of a claim: the range in which it holds, and where the values lie."""

import math

from experiments._evidence.claim import Claim
from experiments._evidence.verdict import Judgement
from experiments._report import words

_WIDTH, _HEIGHT, _MARGIN = 168, 20, 10


def strip(claim: Claim, judgement: Judgement) -> str:
    """Draw the supported range as a band and each value as a dot, as SVG; return an empty string without values.

    Ratios are drawn on a logarithmic axis. Infinite values are triangles at the end of the axis.
    """
    values = [_place(claim, value) for value in judgement.values if not math.isnan(value)]
    if not values:
        return ""
    edges = [_place(claim, edge) for edge in claim.holds]
    known = [place for place in (*values, *edges) if math.isfinite(place)]
    low, high = _domain(known)
    low_edge, high_edge = (_x(edge, low, high) for edge in edges)
    middle, band = _HEIGHT / 2, f'x="{low_edge:.1f}" width="{high_edge - low_edge:.1f}"'
    first, last = (_x(_place(claim, end), low, high) for end in (judgement.low, judgement.high))
    lines = [x for x, edge in zip((low_edge, high_edge), edges, strict=True) if math.isfinite(edge)]
    return "".join(
        [
            f'<svg class="strip" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_describe(claim, judgement)}">',
            f'<path class="axis" d="M0 {middle}H{_WIDTH}"/>',
            f'<rect class="range" {band} y="3" height="{_HEIGHT - 6}"/>',
            *(f'<path class="edge" d="M{x:.1f} 1V{_HEIGHT - 1}"/>' for x in lines),
            f'<path class="span" d="M{first:.1f} {middle}H{last:.1f}"/>',
            *(_mark(value, _x(value, low, high)) for value in values),
            "</svg>",
        ]
    )


def _place(claim: Claim, value: float) -> float:
    """Return a value's place on the axis."""
    if not claim.statistic.format.is_ratio or math.isinf(value):
        return value
    return math.log(value) if value > 0 else -math.inf


def _domain(places: list[float]) -> tuple[float, float]:
    """Choose the ends of the axis, with a margin of a third of the range on either side."""
    low, high = (min(places), max(places)) if places else (0.0, 0.0)
    room = (high - low) / 3 or abs(high) / 3 or 1.0
    return low - room, high + room


def _x(place: float, low: float, high: float) -> float:
    """Convert a place on the axis to pixels; infinity is at the ends of the picture, as is an open end of the range."""
    if math.isinf(place):
        return 0.0 if place < 0 else float(_WIDTH)
    return _MARGIN + (_WIDTH - 2 * _MARGIN) * (place - low) / (high - low)


def _mark(place: float, x: float) -> str:
    """Draw a value."""
    middle = _HEIGHT / 2
    if math.isfinite(place):
        return f'<circle cx="{x:.1f}" cy="{middle}" r="4"/>'
    inwards = -8 if place > 0 else 8
    return f'<path class="beyond" d="M{x:.1f} {middle}l{inwards} -5v10z"/>'


def _describe(claim: Claim, judgement: Judgement) -> str:
    """Describe the picture; `words` adds only numbers and units of the claim file."""
    values = ", ".join(claim.statistic.format.number(value) for value in sorted(judgement.values))
    return f"Values {values}; the claim holds {words.holds(claim)}"

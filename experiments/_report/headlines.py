"""The headlines: the answer in three sentences, its scale, and the claims that decide it."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from experiments._command import catalogue
from experiments._evidence.claim import Claim
from experiments._evidence.format import two_digits
from experiments._evidence.verdict import Judgement, coverage, is_inside, num_left_out
from experiments._report.load import Entry

# In the order of the question: does it help, does it smooth, and is it covariate shift?
CLAIMS = (
    "curves_speed",
    "curves_test",
    "landscape_loss_range",
    "landscape_predictiveness",
    "landscape_smoothness",
    "landscape_rough_start",
    "lp_norms_beat_plain",
    "noisy_above_plain",
    "shift_not_less",
    "headline_training",
)
# Claims about the beginning of a window, which replace the claim about the whole window if runs do not cover it.
_PARTS = {
    "landscape_loss_range": "landscape_loss_range_start",
    "landscape_predictiveness": "landscape_predictiveness_start",
    "landscape_smoothness": "landscape_smoothness_start",
    "noisy_above_plain": "noisy_above_plain_part",
}
_SMOOTHER = ("landscape_loss_range", "landscape_predictiveness")
_PER_DISTANCE = "landscape_smoothness"
# Words for the other claims in the answer, whose nets may be smaller.
_ELSEWHERE = {"noisy_above_plain": "noise", "headline_training": "drift", "lp_norms_beat_plain": "other norms"}
MAIN = "landscape"  # the experiment of the first picture

Judged = Mapping[str, tuple[Claim, Judgement]]


class Answer(NamedTuple):
    """The text of the first screen: the claims of the papers, the outcome, its limits, and results beside it."""

    claimed: str
    outcome: str
    but: str
    scale: str
    beside: str


def judged(entries: list[Entry]) -> Judged:
    """Return the available headline claims, in order, each under the name of the claim about the whole window."""
    by_name = _all_judged(entries)

    def decided(name: str) -> str:
        part = _PARTS.get(name, name)
        return part if part in by_name and math.isnan(_value(by_name, name)) else name

    return {name: by_name[decided(name)] for name in CLAIMS if decided(name) in by_name}


def _all_judged(entries: list[Entry]) -> Judged:
    """Return all claims by name."""
    return {claim.name: (claim, judgement) for entry in entries for claim, judgement in entry.judged}


def answer(entries: list[Entry]) -> Answer:
    """Write the answer; omit parts that the data do not decide."""
    claimed = (
        'Ioffe & Szegedy (2015) introduced batch norm to reduce "internal covariate shift"; Santurkar et al. (2018) claim that '
        "it works because it makes the loss landscape smoother and gradients more predictive."
    )
    by_name = judged(entries)
    return Answer(
        claimed,
        _outcome(by_name),
        _but({**_all_judged(entries), **by_name}),
        _scale(entries, by_name),
        _beside(entries, by_name),
    )


def _outcome(by_name: Judged) -> str:
    """Write the outcome."""
    values = [_value(by_name, name) for name in _SMOOTHER]
    if any(math.isnan(value) for value in values):
        return "We have no runs yet that decide it."
    verdicts = {by_name[name][1].verdict for name in _SMOOTHER}
    agree = (
        "Our runs agree, early in training"
        if verdicts == {"supported"}
        else "Our runs disagree"
        if "contradicted" in verdicts
        else "Our runs do not decide it"
    )
    text = (
        f"{agree}: along the gradient, without batch norm, the loss varies {two_digits(values[0])} times as much and the "
        f"gradient changes {two_digits(values[1])} times as much"
    )
    if _is_supported(by_name, "noisy_above_plain"):
        lead = two_digits(100 * _value(by_name, "noisy_above_plain"))
        text += (
            "; and with batch norm and noise that moves the means and variances of activations, training accuracy is still "
            f"{lead} points higher than without either"
        )
    return f"{text}."


def _but(by_name: Judged) -> str:
    """Write which results point the other way; empty if none does."""
    parts = []
    if _is_supported(by_name, "landscape_rough_start_smoothness"):
        start = two_digits(_value(by_name, "landscape_rough_start_smoothness"))
        parts.append(f"at initialisation the gradient changes {start} times as much per distance with batch norm")
    if "noisy_late" in by_name and by_name["noisy_late"][1].verdict == "contradicted":
        parts.append(f"noise costs BN {two_digits(-100 * _value(by_name, 'noisy_late'))} points late in training")
    return f"Some results point the other way: {', and '.join(parts)}." if parts else ""


def _scale(entries: list[Entry], by_name: Judged) -> str:
    """Write how small the scale of the evidence is."""
    main = next((entry for entry in entries if entry.name == MAIN and entry.data), None)
    judgement = by_name[_SMOOTHER[0]][1] if _SMOOTHER[0] in by_name else None
    if main is None or main.data is None or judgement is None or judgement.setup is None:
        return "Nothing has been measured yet."
    number = len(judgement.values)
    text = f"This is weak evidence: {judgement.setup.words}."
    setups = {name: by_name[name][1].setup for name in _ELSEWHERE if name in by_name}
    narrower = [name for name, setup in setups.items() if setup and setup.width < judgement.setup.width]
    if narrower:
        *others, last = (_ELSEWHERE[name] for name in narrower)
        text += f" Results on {', '.join(others)}{' and ' * bool(others)}{last} come from narrower nets."
    if number:
        chance = f"{100 - 100 * coverage(number, num_left_out(number)):.3g}"
        text += f" By chance alone, {number} seeds would agree {chance} % of the time."
    if main.scaled_down:
        paper = catalogue.module(MAIN).PRESETS["paper"].vgg
        steps, size = paper.schedule.num_steps, paper.optimizer.batch_size
        text += f" This is not the published setting (13 or more layers, full width, {steps:,} steps, batch {size})"
        text += ", and the windows of early steps were chosen after the runs were seen" * judgement.is_exploratory + "."
    return text


def _beside(entries: list[Entry], by_name: Judged) -> str:
    """Write the landscape results of runs with too few seeds to decide, and with how many claims they disagree."""
    names = (*_SMOOTHER, _PER_DISTANCE)
    found = [by_name[name][1].beside[0] for name in names if name in by_name and by_name[name][1].beside]
    if len(found) < len(names) or len({other.setup.words for other in found}) > 1:
        return ""
    loss, gradient, per_distance = (two_digits(other.median) for other in found)
    decided = [
        (claim, judgement)
        for entry in entries
        for claim, judgement in entry.judged
        if judgement.beside and judgement.verdict in ("supported", "contradicted")
    ]
    otherwise = sum(
        is_inside(judgement.beside[0].median, claim.holds) != (judgement.verdict == "supported")
        for claim, judgement in decided
    )
    width, _, length = found[0].setup.size.partition(", ")
    return (
        f"Runs at {width} ({length}) are too few for a verdict. In them, along the gradient, without batch norm, the loss "
        f"varies {loss} times and the gradient changes {gradient} times as much, but per unit distance it changes "
        f"{per_distance} times as much. They disagree with {otherwise} of the {len(decided)} decided claims that they measure."
    )


def _is_supported(by_name: Judged, name: str) -> bool:
    return name in by_name and by_name[name][1].verdict == "supported"


def _value(by_name: Judged, name: str) -> float:
    """Return the median of a claim; NaN if there is none."""
    return by_name[name][1].median if name in by_name else math.nan

"""Claims about the loss landscape along the gradient, of a VGG, of a deep linear network and of runs at several rates."""

import math
from dataclasses import replace
from typing import Any

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim, claims
from experiments._evidence.source import SANTURKAR, ours
from experiments.landscape.claims_of_batches import CLAIMS_OF_BATCHES
from experiments.landscape.claims_of_edges import CLAIMS_OF_EDGES
from experiments.landscape.claims_of_others import CLAIMS_OF_LINEAR_NETS, CLAIMS_OF_RATES
from experiments.landscape.measures import (
    CHANGE,
    COVERED,
    EARLY,
    FALL,
    PLATEAU,
    RANGE,
    SMOOTHNESS,
    START,
    in_edges,
    larger,
    rougher,
    saturation,
)

_SEC = SANTURKAR.at("Sec. 3.2, Fig. 4")
_FIG_4A, _FIG_4B, _FIG_4C = (SANTURKAR.at(f"Fig. 4{panel}, read off") for panel in "abc")
_TEXT = SANTURKAR.at("Sec. 3.1, text")
_LIPSCHITZ = "the source says that the loss is more Lipschitz; the norm is taken at the weights that training visits"
_AS_LONG = "the steps of a scan are as long as those along the net's own gradient, which is longer with batch norm"
_LATE, _LATER = "2026-11-22", "2026-11-29"


def _falling(last: int, published: str, **more: Any) -> Claim:
    """Claim that the effective smoothness falls from the smallest step of a scan to the next, over steps up to `last`."""
    return Claim(
        f"In the median over steps 0 to {last:,}, with batch norm, the gradient changes more than 1.41 times as much per unit "
        "distance at the smallest step of the scan as at twice that step.",
        SANTURKAR.at("Fig. 11a, read off"),
        replace(FALL.median(0, last).each("batch_norm"), format=rougher(RANGE).format).above(math.sqrt(2)),
        published,
        caveat_of="landscape_smoothness",
        remark="the ratio is 2 if the gradient does not change beyond the smallest step, and 1 if it changes in proportion to "
        "the distance, as at the edge of stability; 1.41 is halfway on a logarithmic axis",
        speaks="neither",
        **more,
    )


CLAIMS = claims(
    "smoothness",
    "2026-11-21",
    landscape_loss_range=Claim(
        "Over steps 80 to 3,500, the loss varies less along the gradient with batch norm than in the plain net.",
        _SEC,
        rougher(RANGE).above(1),
        "1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times",
        speaks="for, else against",
    ),
    landscape_loss_range_start=Claim(
        "Over steps 80 to 1,000, the loss varies less along the gradient with batch norm than in the plain net.",
        _SEC,
        rougher(q.LOSS_RANGE.median(*START)).above(1),
        "1.5 / 0.66, or 2.3 times",
        repeats="landscape_loss_range",
        since=_LATER,
        speaks="for, else against",
    ),
    landscape_loss_range_twofold=Claim(
        "Over steps 1,000 to 5,000, the loss varies more than twice as much along the gradient in the plain net as with "
        "batch norm.",
        _FIG_4A,
        rougher(q.LOSS_RANGE.median(1000, 5000)).above(2),
        "2.2 / 0.40, 3.0 / 0.38, 2.1 / 0.05, or 5.5 times and more",
        repeats="landscape_loss_range",
        speaks="for",
    ),
    landscape_loss_range_twofold_part=Claim(
        "Over steps 1,000 to 1,500, the loss varies more than twice as much along the gradient in the plain net as with "
        "batch norm.",
        _FIG_4A,
        rougher(q.LOSS_RANGE.median(1000, 1500)).above(2),
        "2.2 / 0.40, or 5.5 times, over steps 1,000 to 2,500",
        repeats="landscape_loss_range_twofold",
        since=_LATER,
        speaks="for",
    ),
    landscape_loss_range_late=Claim(
        "From step 9,000 on, the loss varies less than 1.5 times as much along the gradient in the plain net as with batch "
        "norm.",
        _FIG_4A,
        rougher(q.LOSS_RANGE.median(first=9000)).between(0, 1.5),
        "0.15 / 0.11 and 0.07 / 0.12, or 1.4 and 0.6 times",
        caveat_of="landscape_loss_range",
        remark="a net that fits all training images has a flat loss, so that this speaks for neither side; at an eighth of the "
        "width the plain net has 86 % of them right",
        speaks="neither",
    ),
    landscape_predictiveness=Claim(
        "Over steps 80 to 3,500, the gradient changes less along its own direction with batch norm than in the plain net.",
        _SEC,
        rougher(CHANGE).above(1),
        "53 / 29 to 104 / 27, or 1.8 to 3.9 times",
        speaks="for, else against",
    ),
    landscape_predictiveness_start=Claim(
        "Over steps 80 to 1,000, the gradient changes less along its own direction with batch norm than in the plain net.",
        _FIG_4B,
        rougher(q.GRADIENT_CHANGE.median(*START)).above(1),
        "53 / 29, or 1.8 times",
        repeats="landscape_predictiveness",
        since=_LATER,
        speaks="for, else against",
    ),
    landscape_predictiveness_hundredfold=Claim(
        "Over steps 80 to 3,500, the largest change of the gradient along its own direction is more than ten times as large "
        "in the plain net as with batch norm.",
        SANTURKAR.at("Sec. 3.2, text; their Fig. 4b shows less for the VGG"),
        rougher(q.GRADIENT_CHANGE.largest(*EARLY)).above(10),
        "255 / 38, or 6.7 times",
        since=_LATER,
        remark="the source says close to two orders of magnitude; ten times is half of that on a logarithmic axis",
        speaks="for",
    ),
    landscape_predictiveness_hundredfold_part=Claim(
        "Over steps 80 to 1,000, the largest change of the gradient along its own direction is more than ten times as large "
        "in the plain net as with batch norm.",
        SANTURKAR.at("Sec. 3.2, text; their Fig. 4b shows less for the VGG"),
        rougher(q.GRADIENT_CHANGE.largest(*START)).above(10),
        "110 / 38, or 2.9 times",
        repeats="landscape_predictiveness_hundredfold",
        since=_LATER,
        remark="the source says close to two orders of magnitude; ten times is half of that on a logarithmic axis",
        speaks="for",
    ),
    landscape_rough_start=Claim(
        "At initialisation, the gradient changes more along its own direction with batch norm than in the plain net.",
        SANTURKAR.at("Fig. 4b, read off at step 0"),
        larger(q.GRADIENT_CHANGE.median(last=0)).above(1),
        "145 / 2.4, or 60 times",
        caveat_of="landscape_predictiveness",
        remark="with batch norm the gradient is about a hundred times as long there, and so is the step along it, so that this "
        "counts for neither side",
        speaks="neither",
    ),
    landscape_rough_start_smoothness=Claim(
        "At initialisation, the gradient changes more per unit distance along its own direction with batch norm than in the "
        "plain net.",
        ours("a control: whether the longer steps with batch norm explain the larger change"),
        larger(q.SMOOTHNESS.median(last=0)).above(1),
        caveat_of="landscape_rough_start",
        since="2026-12-01",
        speaks="against, else for",
    ),
    landscape_shorter_gradient=Claim(
        "Over steps 80 to 3,500, the norm of the gradient of the loss is smaller with batch norm than in the plain net.",
        _TEXT,
        rougher(q.GRADIENT_NORM.median(*EARLY)).above(1),
        remark=_LIPSCHITZ,
        speaks="for, else against",
    ),
    landscape_shorter_gradient_part=Claim(
        "Over steps 80 to 1,500, the norm of the gradient of the loss is smaller with batch norm than in the plain net.",
        _TEXT,
        rougher(q.GRADIENT_NORM.median(*COVERED)).above(1),
        remark=_LIPSCHITZ,
        repeats="landscape_shorter_gradient",
        since=_LATER,
        speaks="for, else against",
    ),
    landscape_smoothness=Claim(
        "Over steps 80 to 3,500, the gradient changes less per unit distance along its own direction with batch norm than in "
        "the plain net.",
        _SEC,
        rougher(SMOOTHNESS).above(1),
        "22 / 16.8 to 21 / 19.9, or 1.3 to 1.06 times",
        remark="at preset evening, the largest change per distance of a scan lies at its smallest step in 150 of 150 scans "
        "with batch norm and in 128 of 150 without, so that the values depend on the smallest step in both nets",
        speaks="for, else against",
    ),
    landscape_smoothness_start=Claim(
        "Over steps 80 to 1,000, the gradient changes less per unit distance along its own direction with batch norm than in "
        "the plain net.",
        _FIG_4C,
        rougher(q.SMOOTHNESS.median(*START)).above(1),
        "22 / 16.8, or 1.3 times",
        repeats="landscape_smoothness",
        since=_LATER,
        speaks="for, else against",
    ),
    landscape_smoothness_late=Claim(
        "From step 9,000 on, the effective smoothness of the plain net is within 10 % of that with batch norm.",
        SANTURKAR.at("Fig. 4c, read off from step 9,000 on"),
        rougher(q.SMOOTHNESS.median(first=9000)).between(0.9, 1.1),
        "20 / 20, or 1.0 times",
        caveat_of="landscape_smoothness",
        since=_LATE,
        remark="the published values both lie at 1 / smallest step of the scan, which the grid sets, so that this speaks for "
        "neither side",
        speaks="neither",
    ),
    landscape_smoothness_plateau=Claim(
        "From step 1,000 on, the effective smoothness with batch norm is within 10 % of 2 / learning rate, which is also 1 / "
        "smallest step of the scan.",
        _FIG_4C,
        in_edges(q.SMOOTHNESS.median(first=PLATEAU).each("batch_norm"), "vgg").between(0.9, 1.1),
        "19.4 at steps 1,000 to 2,500, then 19.9 to 20.0, at a learning rate of 0.1, or 0.97 to 1.00 times",
        caveat_of="landscape_smoothness",
        speaks="neither",
    ),
    landscape_smoothness_saturates=Claim(
        "With batch norm, halving the smallest step of the scan raises the plateau of the effective smoothness by more than "
        "a factor of 1.41.",
        ours("a control of Santurkar et al. 2018, Fig. 4c, whose 20 is both 2 / learning rate and 1 / smallest step"),
        saturation().above(math.sqrt(2)),
        caveat_of="landscape_smoothness",
        since=_LATE,
        remark="the plateau doubles if the smallest step sets it, and stays if the learning rate does; 1.41 is halfway on a "
        "logarithmic axis",
        speaks="neither",
    ),
    landscape_smoothness_falls=_falling(
        15_000,
        "a change of 11.6 at the smallest step and of 11.7 at twice that step, or 1.98 times; without batch norm 1.71 times",
        since=_LATE,
    ),
    landscape_smoothness_falls_part=_falling(
        5000,
        "1.98 times, over steps 0 to 15,000; without batch norm 1.71 times",
        since="2026-11-30",
        repeats="landscape_smoothness_falls",
    ),
    landscape_random_direction=Claim(
        "Over steps 80 to 3,500, the loss varies less along a random direction with batch norm than in the plain net.",
        SANTURKAR.at("Sec. 3.2, text, without a figure"),
        rougher(q.along_random(q.LOSS_RANGE).median(*EARLY)).above(1),
        remark=f"{_AS_LONG}, 1.1 to 1.2 times at preset evening, so that a larger range with it says nothing",
        speaks="for",
    ),
    **{
        f"landscape_random_direction_{name}": Claim(
            f"Over steps 80 to 1,500, {what} along a random direction with batch norm than in the plain net.",
            SANTURKAR.at("Sec. 3.2, text, without a figure"),
            rougher(q.along_random(quantity).median(*COVERED)).above(1),
            remark=f"{_AS_LONG}, 1.3 to 1.6 times at preset evening",
            since=_LATER,
            repeats="landscape_random_direction" if name == "loss" else None,
            # Larger changes over longer steps say nothing.
            speaks="for, else against" if name == "smoothness" else "for",
        )
        for name, what, quantity in (
            ("loss", "the loss varies less", q.LOSS_RANGE),
            ("gradient", "the gradient changes less", q.GRADIENT_CHANGE),
            ("smoothness", "the gradient changes less per unit distance", q.SMOOTHNESS),
        )
    },
    **CLAIMS_OF_EDGES,
    **CLAIMS_OF_BATCHES,
    **CLAIMS_OF_LINEAR_NETS,
    **CLAIMS_OF_RATES,
)

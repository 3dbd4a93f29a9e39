"""Claims about the loss landscape along the gradient while a VGG trains."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims import landscape_rates
from experiments._claims.claim import TIMES, Claim, Format
from experiments._claims.deep_linear import landscape as deep_linear
from experiments._claims.measures import (
    RunMeasure,
    each,
    edge_of_stability,
    in_edges,
    loss_range,
    median_of,
    pairs,
    ratio,
    where_trained,
)
from experiments._numbers import curves

_ARMS = ("plain", "batch_norm")
_SWAPPED = ("batch_norm", "plain")
_VGG: dict[str, Any] = {"format": TIMES, "arms": ("arms/plain", "arms/batch_norm")}
_EARLY = {"first": 80, "last": 3500}
_LATE = {"first": 9000}

_late_smoothness = median_of("landscape", curves.effective_smoothness, final_share=0.25)


def _successive(name: str) -> RunMeasure:
    """Take the median of what was found about the gradients of layer 5 in successive steps."""
    return median_of("successive_gradients", curves.of_layer("layer_5", name), **_EARLY)


def _of_loss(value: Callable[[dict], np.ndarray]) -> RunMeasure:
    """Take the median of something that is computed from the training losses."""
    return median_of("train", value, **_EARLY)


def _saturation(data: dict) -> list[float]:
    """Divide where the smoothness ends with the smallest step halved by where it does with that step, if that is a plateau.

    A plateau is within 10 % of 2 / learning rate; NaN of a run that has not come to one.
    """
    edge = edge_of_stability(data["config"]["vgg"])
    ends = [
        (_late_smoothness(run), _late_smoothness(partner))
        for run, partner in pairs(data["arms"]["batch_norm"], data["short"]["batch_norm"])
    ]
    return [short / usual if abs(usual / edge - 1) < 0.1 else math.nan for usual, short in ends]


def _fall(probe: dict) -> np.ndarray:
    """Divide the smoothness at the smallest step by that at the next one."""
    smoothness = curves.array(probe["smoothness"])
    return smoothness[:, 0] / smoothness[:, 1]


def _starts(data: dict) -> list[float]:
    """Take the smallest loss of the plain net's first scan; NaN where the penalty was left out of it."""
    first = each("plain", median_of("landscape", curves.lowest_loss, last=0))(data)
    return first if data["config"]["vgg"]["probe_penalty"] else [math.nan] * len(first)


CLAIMS = (
    Claim(
        name="landscape_loss_range",
        statement="Along the gradient, the loss varies less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4a",
        statistic="largest - smallest loss of a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times",
        measure=ratio(*_ARMS, median_of("landscape", loss_range, **_EARLY)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_loss_range_twofold",
        statement="In steps 1,000 to 5,000 it varies at least twice as much without batch norm.",
        source="Santurkar et al. 2018, Fig. 4a, read off",
        statistic="largest - smallest loss of a scan, median over these steps: plain / BN; shorter runs do not count",
        published="2.2 / 0.40, 3.0 / 0.38, 2.1 / 0.05, or 5.5 times and more",
        measure=ratio(*_ARMS, where_trained(5000, median_of("landscape", loss_range, first=1000, last=5000))),
        supported=(2, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_loss_range_late",
        statement="From step 9,000 on the loss no longer varies more without batch norm: what is learnt is flat.",
        source="Santurkar et al. 2018, Fig. 4a, read off",
        statistic="largest - smallest loss of a scan, median over the scans from step 9,000 on: plain / BN",
        published="0.15 / 0.11 and 0.07 / 0.12, or 1.4 and 0.6 times",
        measure=ratio(*_ARMS, median_of("landscape", loss_range, **_LATE)),
        supported=(0, 1.5),
        **_VGG,
        caveat_of="landscape_loss_range",
    ),
    Claim(
        name="landscape_predictiveness",
        statement="Along the gradient, the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4b",
        statistic="largest l2 change of the gradient in a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="53 / 29 to 104 / 27, or 1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("landscape", curves.farthest_gradient, **_EARLY)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_predictiveness_hundredfold",
        statement="Early in training, it is close to two orders of magnitude that the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, text; their Fig. 4b shows less for the VGG",
        statistic="the same; at least half of two orders of magnitude on a logarithmic axis, 10 times, is asked for",
        published="1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("landscape", curves.farthest_gradient, **_EARLY)),
        supported=(10, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_rough_start",
        statement="At initialisation it is the net with batch norm whose gradient changes more.",
        source="Santurkar et al. 2018, Fig. 4b, read off at step 0",
        statistic="largest l2 change of the gradient in the scan at step 0: BN / plain",
        published="125 to 145 against 1.2 to 2.4, or 52 times and more",
        measure=ratio(*_SWAPPED, median_of("landscape", curves.farthest_gradient, last=0)),
        supported=(1, math.inf),
        **_VGG,
        caveat_of="landscape_predictiveness",
    ),
    Claim(
        name="landscape_shorter_gradient",
        statement="With batch norm the loss is more Lipschitz along the training: its gradient is shorter.",
        source="Santurkar et al. 2018, Sec. 3.1, text",
        statistic="l2 norm of the gradient by all parameters, median over steps 80 to 3,500: plain / BN",
        published="-",
        measure=ratio(*_ARMS, median_of("landscape", "gradient_norm", **_EARLY)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_smoothness",
        statement="Along the gradient, the gradient changes less per distance with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4c",
        statistic="effective smoothness, the largest change per distance, median over steps 80 to 3,500: plain / BN",
        published="22 / 16.8 to 21 / 19.9, or 1.3 to 1.06 times",
        measure=ratio(*_ARMS, median_of("landscape", curves.effective_smoothness, **_EARLY)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_smoothness_late",
        statement="Late in training, the effective smoothness of both nets is the same: it says nothing about batch norm.",
        source="Santurkar et al. 2018, Fig. 4c, read off from step 9,000 on",
        statistic="effective smoothness, median over the scans from step 9,000 on: plain / BN; within 10 % of 1",
        published="20 / 20, or 1 time",
        measure=ratio(*_ARMS, median_of("landscape", curves.effective_smoothness, **_LATE)),
        supported=(0.9, 1.1),
        **_VGG,
        caveat_of="landscape_smoothness",
    ),
    Claim(
        name="landscape_smoothness_plateau",
        statement="From step 1,000 on it is 2 / learning rate with batch norm, which is also 1 / smallest step of the scan.",
        source="Santurkar et al. 2018, Fig. 4c, read off",
        statistic="effective smoothness, median from step 1,000 on, in units of 2 / learning rate; within 10 % of 1",
        published="19.4 at steps 1,000 to 2,500, then 19.9 to 20.0, at a learning rate of 0.1, or 0.97 to 1.00 times",
        measure=in_edges("batch_norm", median_of("landscape", curves.effective_smoothness, first=1000)),
        supported=(0.9, 1.1),
        format=TIMES,
        arms=("arms/batch_norm",),
        caveat_of="landscape_smoothness",
    ),
    Claim(
        name="landscape_smoothness_saturates",
        statement="The plateau of a VGG with batch norm is set by the smallest step of the scan.",
        source="Santurkar et al. 2018, Fig. 4c and 11a: 20 is 2 / learning rate, the edge of stability, and 1 / smallest step",
        statistic="effective smoothness, median over the last quarter of the scans: smallest step halved / as it was; "
        "it doubles if that step sets it, and stays at the edge of stability; halfway on a logarithmic axis is 1.41; runs "
        "without a plateau at 2 / learning rate do not count",
        published="-",
        measure=_saturation,
        supported=(math.sqrt(2), math.inf),
        format=TIMES,
        arms=("arms/batch_norm", "short/batch_norm"),
        caveat_of="landscape_smoothness",
    ),
    Claim(
        name="landscape_smoothness_falls",
        statement="Beyond the smallest step the gradient changes no further: at twice that step, change per distance halves.",
        source="Santurkar et al. 2018, Fig. 11a, read off",
        statistic="smoothness at the smallest step / at the next, twice as long, median over all scans of 15,000 steps, BN; "
        "1 at the edge of stability, 2 where it halves, and 1.41 halfway on a logarithmic axis",
        published="11.6 / 11.7 of the change itself, or 1.98 times; without BN 1.71 times",
        measure=each("batch_norm", where_trained(15_000, median_of("landscape", _fall))),
        supported=(math.sqrt(2), math.inf),
        format=TIMES,
        arms=("arms/batch_norm",),
        caveat_of="landscape_smoothness",
    ),
    Claim(
        name="landscape_random_direction",
        statement="Along a random direction as well, the loss varies less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, text, without a figure",
        statistic="largest - smallest loss along a random direction as long as the gradient, median over steps 80 to 3,500: "
        "plain / BN",
        published="-",
        measure=ratio(*_ARMS, median_of("random_direction", loss_range, **_EARLY)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_successive_sum",
        statement="With batch norm the sum of the gradients of successive batches is longer, which was called more predictive.",
        source="F. Mameli, article and repository Test_batch_norm_paper, gradient notebook",
        statistic="l2 norm of the sum of two successive gradients of layer 5, median over steps 80 to 3,500: BN / plain",
        published="3.3 / 0.65 at step 1,000, or 5.1 times",
        measure=ratio(*_SWAPPED, _successive("step_sum")),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="landscape_successive_relative",
        statement="That sum is longer because the gradients are: in units of their own lengths it is shorter with batch norm.",
        source="the same definition, normalised",
        statistic="norm of the sum / sum of the norms, of two successive gradients of layer 5, median over steps 80 to 3,500: "
        "BN / plain",
        published="-",
        measure=ratio(*_SWAPPED, _successive("relative_sum")),
        supported=(0, 1),
        **_VGG,
        caveat_of="landscape_successive_sum",
    ),
    Claim(
        name="landscape_successive_distance",
        statement="By the distance of the same two gradients, the smaller the more predictive, batch norm predicts worse.",
        source="the definition of Santurkar et al. 2018, on the same gradients",
        statistic="l2 norm of the difference of two successive gradients of layer 5, median over steps 80 to 3,500: BN / plain",
        published="-",
        measure=ratio(*_SWAPPED, _successive("step_distance")),
        supported=(1, math.inf),
        **_VGG,
        caveat_of="landscape_successive_sum",
    ),
    Claim(
        name="landscape_loss_change",
        statement="With batch norm the loss plus its last change is lower, which was called a smoother landscape.",
        source="F. Mameli, article and repository Test_batch_norm_paper, gradient notebook",
        statistic="L + |L - L before|, of successive batches, median over steps 80 to 3,500: BN / plain",
        published="1.34 / 2.25 at step 1,000, 0.87 / 1.74 at 3,000, or 0.60 and 0.50 times",
        measure=ratio(*_SWAPPED, _of_loss(curves.loss_and_change)),
        supported=(0, 1),
        **_VGG,
    ),
    Claim(
        name="landscape_loss_change_relative",
        statement="That is the loss, not its change: in units of the loss, it changes more with batch norm.",
        source="the same, apart; F. Mameli's variance of the losses",
        statistic="|L - L before| / L, median over steps 80 to 3,500: BN / plain",
        published="variance of the losses 0.160 / 0.080, or 2.0 times",
        measure=ratio(*_SWAPPED, _of_loss(curves.relative_change)),
        supported=(1, math.inf),
        **_VGG,
        caveat_of="landscape_loss_change",
    ),
    Claim(
        name="landscape_penalty",
        statement="The published loss contains an L2 penalty of 0.0005, of which the text says nothing.",
        source="Santurkar et al. 2018, Fig. 4a, read off at step 0, where the loss of a guess is 2.30",
        statistic="smallest loss + penalty of the plain net's scan at step 0; within 10 % of the published",
        published="4.27 nats",
        measure=_starts,
        supported=(3.84, 4.70),
        format=Format("z.2f", "nats"),
        arms=("arms/plain",),
    ),
    *deep_linear.CLAIMS,
    *landscape_rates.CLAIMS,
)

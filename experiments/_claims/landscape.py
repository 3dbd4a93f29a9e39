"""Claims about the loss landscape along the gradient while a VGG trains."""

import math
from collections.abc import Callable

import numpy as np

from experiments._claims.claim import TIMES, Claim
from experiments._claims.measures import divide, each, loss_range, median_of, pairs, ratio
from experiments._curves import array, effective_smoothness, farthest_gradient

_ARMS = ("plain", "batch_norm")
_COUNTED = ("arms/plain", "arms/batch_norm")
_EARLY = {"first": 80, "last": 3500}
_LATE = {"first": 9000}

_late_smoothness = median_of("landscape", effective_smoothness, final_share=0.25)


def _of_layer_5(name: str) -> Callable[[dict], np.ndarray]:
    """Take what was found about the gradients of layer 5 at each step."""
    return lambda curves: array(curves["layers"]["layer_5"][name])


CLAIMS = (
    Claim(
        name="landscape_loss_range",
        statement="Along the gradient, the loss varies less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4a",
        statistic="largest - smallest loss of a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times",
        measure=ratio(*_ARMS, median_of("landscape", loss_range, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_loss_range_late",
        statement="From step 9,000 on the loss no longer varies more without batch norm: what is learnt is flat.",
        source="Santurkar et al. 2018, Fig. 4a, read off",
        statistic="largest - smallest loss of a scan, median over the scans from step 9,000 on: plain / BN",
        published="0.15 / 0.11 and 0.07 / 0.12, or 1.4 and 0.6 times",
        measure=ratio(*_ARMS, median_of("landscape", loss_range, **_LATE)),
        supported=(0, 1.5),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="landscape_loss_range",
    ),
    Claim(
        name="landscape_predictiveness",
        statement="Along the gradient, the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4b",
        statistic="largest l2 change of the gradient in a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="53 / 29 to 104 / 27, or 1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("landscape", farthest_gradient, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_predictiveness_hundredfold",
        statement="Early in training, it is close to two orders of magnitude that the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, text; their Fig. 4b shows less for the VGG",
        statistic="the same; at least half of two orders of magnitude on a logarithmic axis, 10 times, is asked for",
        published="1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("landscape", farthest_gradient, **_EARLY)),
        supported=(10, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_rough_start",
        statement="At initialisation it is the net with batch norm whose gradient changes more.",
        source="Santurkar et al. 2018, Fig. 4b, read off at step 0",
        statistic="largest l2 change of the gradient in the scan at step 0: BN / plain",
        published="125 to 145 against 1.2 to 2.4, or 52 times and more",
        measure=ratio("batch_norm", "plain", median_of("landscape", farthest_gradient, last=0)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="landscape_predictiveness",
    ),
    Claim(
        name="landscape_smoothness",
        statement="Along the gradient, the gradient changes less per distance with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4c",
        statistic="effective smoothness, the largest change per distance, median over steps 80 to 3,500: plain / BN",
        published="22 / 16.8 to 21 / 19.9, or 1.3 to 1.06 times",
        measure=ratio(*_ARMS, median_of("landscape", effective_smoothness, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_smoothness_late",
        statement="Late in training, the effective smoothness of both nets is the same: it says nothing about batch norm.",
        source="Santurkar et al. 2018, Fig. 4c, read off from step 9,000 on",
        statistic="effective smoothness, median over the last quarter of the scans: plain / BN; within 10 % of 1",
        published="20 / 20, or 1 time",
        measure=ratio(*_ARMS, median_of("landscape", effective_smoothness, final_share=0.25)),
        supported=(0.9, 1.1),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="landscape_smoothness",
    ),
    Claim(
        name="landscape_smoothness_saturates",
        statement="Where the effective smoothness of a VGG with batch norm ends is set by the smallest step of the scan.",
        source="Santurkar et al. 2018, Fig. 4c and 11a: 20 is 2 / learning rate, the edge of stability, and 1 / smallest step",
        statistic="effective smoothness, median over the last quarter of the scans: smallest step halved / as it was; "
        "it doubles if that step sets it, and stays at the edge of stability; halfway on a logarithmic axis is 1.41",
        published="-",
        measure=lambda data: [
            divide(_late_smoothness(run), _late_smoothness(partner))
            for run, partner in pairs(data["short"]["batch_norm"], data["arms"]["batch_norm"])
        ],
        supported=(math.sqrt(2), math.inf),
        format=TIMES,
        arms=("arms/batch_norm", "short/batch_norm"),
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
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_successive_sum",
        statement="With batch norm the sum of the gradients of successive batches is longer, which was called more predictive.",
        source="F. Mameli, article and repository Test_batch_norm_paper, gradient notebook",
        statistic="l2 norm of the sum of two successive gradients of layer 5, median over steps 80 to 3,500: BN / plain",
        published="3.3 / 0.65 at step 1,000, or 5.1 times",
        measure=ratio("batch_norm", "plain", median_of("successive_gradients", _of_layer_5("step_sum"), **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_COUNTED,
    ),
    Claim(
        name="landscape_successive_relative",
        statement="That sum is longer because the gradients are: in units of their own lengths it is shorter with batch norm.",
        source="the same definition, normalised",
        statistic="norm of the sum / sum of the norms, of two successive gradients of layer 5, median over steps 80 to 3,500: "
        "BN / plain",
        published="-",
        measure=ratio("batch_norm", "plain", median_of("successive_gradients", _of_layer_5("relative_sum"), **_EARLY)),
        supported=(0, 1),
        format=TIMES,
        arms=_COUNTED,
        caveat_of="landscape_successive_sum",
    ),
    Claim(
        name="landscape_deep_linear",
        statement="Early in training, the gradient of a deep linear network changes a hundred times less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1 and Fig. 10",
        statistic="largest l2 change of the gradient in a scan, median over the scans at steps 150 to 700: plain / BN",
        published="-",
        measure=ratio(*_ARMS, median_of("landscape", farthest_gradient, first=150, last=700), group="deep_linear"),
        supported=(100, math.inf),
        format=TIMES,
        arms=("deep_linear",),
        per="draw",
    ),
    Claim(
        name="landscape_deep_linear_edge",
        statement="From step 1,000 on, the effective smoothness of a deep linear network with batch norm is 2 / learning rate.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="effective smoothness, median from step 1,000 on, in units of 2 / learning rate; within 10 % of 1",
        published="1.8e6 to 2.1e6 at a learning rate of 1e-6, or 0.9 to 1.05 times",
        measure=lambda data: [
            smoothness * data["config"]["deep_linear"]["learning_rate"] / 2
            for smoothness in each(
                "batch_norm", median_of("landscape", effective_smoothness, first=1000), group="deep_linear"
            )(data)
        ],
        supported=(0.9, 1.1),
        format=TIMES,
        arms=("deep_linear/batch_norm",),
        per="draw",
        caveat_of="landscape_deep_linear",
    ),
)

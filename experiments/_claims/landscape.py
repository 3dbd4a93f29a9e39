"""Claims about the loss landscape along the gradient while a VGG trains."""

import math

from experiments._claims.claim import TIMES, Claim
from experiments._claims.measures import loss_range, median_of, ratio
from experiments._curves import effective_smoothness, farthest_gradient

_ARMS = ("plain", "batch_norm")
_EARLY = {"first": 80, "last": 3500}
_LATE = {"first": 9000}

CLAIMS = (
    Claim(
        name="landscape_loss_range",
        statement="Along the gradient, the loss varies less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4a",
        statistic="largest - smallest loss of a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times",
        measure=ratio(*_ARMS, median_of("probe", loss_range, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_ARMS,
    ),
    Claim(
        name="landscape_loss_range_late",
        statement="From step 9,000 on the loss no longer varies more without batch norm: what is learnt is flat.",
        source="Santurkar et al. 2018, Fig. 4a, read off",
        statistic="largest - smallest loss of a scan, median over the scans from step 9,000 on: plain / BN",
        published="0.15 / 0.11 and 0.07 / 0.12, or 1.4 and 0.6 times",
        measure=ratio(*_ARMS, median_of("probe", loss_range, **_LATE)),
        supported=(0, 1.5),
        format=TIMES,
        arms=_ARMS,
        caveat_of="landscape_loss_range",
    ),
    Claim(
        name="landscape_predictiveness",
        statement="Along the gradient, the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4b",
        statistic="largest l2 change of the gradient in a scan, median over the scans at steps 80 to 3,500: plain / BN",
        published="53 / 29 to 104 / 27, or 1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("probe", farthest_gradient, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_ARMS,
    ),
    Claim(
        name="landscape_predictiveness_hundredfold",
        statement="Early in training, it is close to two orders of magnitude that the gradient changes less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, text; their Fig. 4b shows less for the VGG",
        statistic="the same; at least half of two orders of magnitude on a logarithmic axis, 10 times, is asked for",
        published="1.8 to 3.9 times",
        measure=ratio(*_ARMS, median_of("probe", farthest_gradient, **_EARLY)),
        supported=(10, math.inf),
        format=TIMES,
        arms=_ARMS,
    ),
    Claim(
        name="landscape_rough_start",
        statement="At initialisation it is the net with batch norm whose gradient changes more.",
        source="Santurkar et al. 2018, Fig. 4b, read off at step 0",
        statistic="largest l2 change of the gradient in the scan at step 0: BN / plain",
        published="125 to 145 against 1.2 to 2.4, or 52 times and more",
        measure=ratio("batch_norm", "plain", median_of("probe", farthest_gradient, last=0)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_ARMS,
        caveat_of="landscape_predictiveness",
    ),
    Claim(
        name="landscape_smoothness",
        statement="Along the gradient, the gradient changes less per distance with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1, Fig. 4c",
        statistic="effective smoothness, the largest change per distance, median over steps 80 to 3,500: plain / BN",
        published="22 / 16.8 to 21 / 19.9, or 1.3 to 1.06 times",
        measure=ratio(*_ARMS, median_of("probe", effective_smoothness, **_EARLY)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_ARMS,
    ),
    Claim(
        name="landscape_smoothness_late",
        statement="From step 9,000 on, the effective smoothness of both nets is the same, 2 / learning rate.",
        source="Santurkar et al. 2018, Fig. 4c, read off",
        statistic="effective smoothness, median over the scans from step 9,000 on: plain / BN; within 10 % of 1",
        published="20 / 20, or 1 time",
        measure=ratio(*_ARMS, median_of("probe", effective_smoothness, **_LATE)),
        supported=(0.9, 1.1),
        format=TIMES,
        arms=_ARMS,
        caveat_of="landscape_smoothness",
    ),
)

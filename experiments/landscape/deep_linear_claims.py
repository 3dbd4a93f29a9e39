"""Claims about the landscape of the deep linear network along the gradient."""

import math
from typing import Any

from experiments._claims.claim import TIMES, Claim
from experiments._claims.measures import in_edges, median_of, ratio
from experiments._numbers import curves

_ARMS = ("plain", "batch_norm")
_DEEP_LINEAR: dict[str, Any] = {"format": TIMES, "per": "draw"}

CLAIMS = (
    Claim(
        name="landscape_deep_linear",
        statement="Early in training, the gradient of a deep linear network changes a hundred times less with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.1 and Fig. 10",
        statistic="largest l2 change of the gradient in a scan, median over the scans at steps 150 to 700: plain / BN",
        published="1.9e16 / 3e6 or less at the start, or 6e9 times",
        measure=ratio(
            *_ARMS, median_of("landscape", curves.farthest_gradient, first=150, last=700), group="deep_linear"
        ),
        supported=(100, math.inf),
        **_DEEP_LINEAR,
        arms=("deep_linear",),
    ),
    Claim(
        name="landscape_deep_linear_loss",
        statement="Early in training, the loss of that network explodes along the gradient without batch norm, not with it.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="largest loss of a scan, median over the scans at steps 150 to 700: plain / BN",
        published="2.7e10 / 1e5 or less, or 270,000 times and more",
        measure=ratio(*_ARMS, median_of("landscape", curves.highest_loss, first=150, last=700), group="deep_linear"),
        supported=(100, math.inf),
        **_DEEP_LINEAR,
        arms=("deep_linear",),
    ),
    Claim(
        name="landscape_deep_linear_smoothness",
        statement="Early in training, that network is smoother with batch norm.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="effective smoothness, median over the scans at steps 150 to 700: plain / BN",
        published="1.4e11 / 2.1e6 or less, or 67,000 times and more",
        measure=ratio(
            *_ARMS, median_of("landscape", curves.effective_smoothness, first=150, last=700), group="deep_linear"
        ),
        supported=(1, math.inf),
        **_DEEP_LINEAR,
        arms=("deep_linear",),
    ),
    Claim(
        name="landscape_deep_linear_end",
        statement="At the end it is not smoother with batch norm.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="effective smoothness, median of the last 20th of scans: plain / BN; at most 10 % more",
        published="2.0e6 / 2.0e6, or 1 time",
        measure=ratio(
            *_ARMS, median_of("landscape", curves.effective_smoothness, final_share=0.05), group="deep_linear"
        ),
        supported=(0, 1.1),
        **_DEEP_LINEAR,
        arms=("deep_linear",),
        caveat_of="landscape_deep_linear_smoothness",
    ),
    Claim(
        name="landscape_deep_linear_end_plain",
        statement="Without batch norm, too, it ends at 2 / learning rate.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="effective smoothness, plain, median of the last 20th of scans, in units of 2 / learning rate; 10 % around 1",
        published="2.0e6 at a learning rate of 1e-6, or 1 time",
        measure=in_edges(
            "plain",
            median_of("landscape", curves.effective_smoothness, final_share=0.05),
            "deep_linear",
            "deep_linear",
        ),
        supported=(0.9, 1.1),
        **_DEEP_LINEAR,
        arms=("deep_linear/plain",),
        caveat_of="landscape_deep_linear_smoothness",
    ),
    Claim(
        name="landscape_deep_linear_edge",
        statement="From step 1,000 on, the effective smoothness of a deep linear network with batch norm is 2 / learning rate.",
        source="Santurkar et al. 2018, Fig. 10, read off",
        statistic="effective smoothness, median from step 1,000 on, in units of 2 / learning rate; within 10 % of 1",
        published="1.8e6 to 2.1e6 at a learning rate of 1e-6, or 0.9 to 1.05 times",
        measure=in_edges(
            "batch_norm", median_of("landscape", curves.effective_smoothness, first=1000), "deep_linear", "deep_linear"
        ),
        supported=(0.9, 1.1),
        **_DEEP_LINEAR,
        arms=("deep_linear/batch_norm",),
        caveat_of="landscape_deep_linear_smoothness",
    ),
)

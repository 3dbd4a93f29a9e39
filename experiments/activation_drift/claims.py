"""Claims about how stable the distributions of layer inputs are while a VGG trains."""

import math
from typing import Any

import numpy as np

from experiments._claims.claim import TIMES, Claim
from experiments._numbers.drift import over_layers

_BOTH = {"arms": ("arms/plain", "arms/batch_norm"), "format": TIMES}


def _times(statistic: Any, *moved: Any) -> Any:
    """Measure how many times as far layer inputs move without batch norm."""
    return over_layers("plain", "batch_norm", statistic, *moved)


CLAIMS = (
    Claim(
        name="drift_hardly_differs",
        statement="Batch norm changes the stability of layer inputs little: their distributions move about as far without it.",
        source="Santurkar et al. 2018, Sec. 2.1, Fig. 1c, by eye",
        statistic=(
            "distance W1 from the first distribution in units of the pooled standard deviation, which is what an eye sees, "
            "median over units and steps: plain / BN, the middle one of the layers; less than a factor of two is asked for"
        ),
        published="-",
        measure=_times(np.median, "wasserstein", "cumulative", True),
        supported=(0.5, 2),
        **_BOTH,
    ),
    Claim(
        name="drift_stabilised",
        statement="Batch norm makes the distributions of layer inputs more stable, in every layer.",
        source="Ioffe & Szegedy 2015, Sec. 4.1, Fig. 1b and c, by eye, on MNIST",
        statistic="the same distance: plain / BN, the smallest of the layers",
        published="-",
        measure=_times(np.min, "wasserstein", "cumulative", True),
        supported=(1, math.inf),
        **_BOTH,
    ),
    Claim(
        name="drift_mean",
        statement="In absolute units, the means of layer inputs are steadier with batch norm, in every layer.",
        source="Santurkar et al. 2018, Fig. 8a, read off; their text does not say so",
        statistic=(
            "change of a unit's mean between measurements, median over units and steps: plain / BN, the smallest of the layers"
        ),
        published="0.032 / 0.002, 0.065 / 0.000 and 0.014 / 0.000, or 16 to more than 100 times",
        measure=_times(np.min, "mean", "successive", False),
        supported=(1, math.inf),
        caveat_of="drift_hardly_differs",
        **_BOTH,
    ),
    Claim(
        name="drift_variance",
        statement="In absolute units, the variances of layer inputs are steadier with batch norm, in every layer.",
        source="Santurkar et al. 2018, Fig. 8a, read off; their text does not say so",
        statistic=(
            "change of a unit's variance between measurements, median over units and steps: plain / BN, the smallest of the "
            "layers"
        ),
        published="0.015 / 0.004, 0.021 / 0.001 and 0.007 / 0.001, or 3.8 to 21 times",
        measure=_times(np.min, "variance", "successive", False),
        supported=(1, math.inf),
        caveat_of="drift_hardly_differs",
        **_BOTH,
    ),
    Claim(
        name="drift_mean_relative",
        statement="The means are steadier with batch norm also in units of each unit's own standard deviation, in every layer.",
        source="not in the paper: absolute shifts depend on how large activations are",
        statistic=(
            "change of a unit's mean between measurements over its standard deviation, median over units and steps: "
            "plain / BN, the smallest of the layers"
        ),
        published="-",
        measure=_times(np.min, "mean", "successive", True),
        supported=(1, math.inf),
        caveat_of="drift_hardly_differs",
        **_BOTH,
    ),
    Claim(
        name="drift_variance_relative",
        statement="The variances are steadier with batch norm also as a share of what they are, in every layer.",
        source="not in the paper: absolute shifts depend on how large activations are",
        statistic=(
            "change of a unit's variance between measurements over that variance, median over units and steps: plain / BN, "
            "the smallest of the layers"
        ),
        published="-",
        measure=_times(np.min, "variance", "successive", True),
        supported=(1, math.inf),
        caveat_of="drift_hardly_differs",
        **_BOTH,
    ),
)

"""What claims about internal covariate shift measure, and in which runs."""

import math
from typing import Any

from experiments._claims.claim import Format
from experiments._claims.measures import DataMeasure, RunMeasure, median_of, ratio
from experiments._numbers.curves import of_layer

SANTURKAR = "Santurkar et al. 2018"
COSINE = Format("+z.2f")


def nets(setting: str, group: str = "arms") -> tuple[str, str]:
    """Name what is counted of a setting: with batch norm, and without."""
    return f"{group}/batch_norm_{setting}", f"{group}/plain_{setting}"


def shift(layer: int, name: str = "difference", **steps: Any) -> RunMeasure:
    """Take the median of what was measured of a layer over some steps; a cosine that is not there is not known."""
    missing = {"if_diverged": math.nan} if name == "cosine" else {}
    return median_of("shift", of_layer(f"layer_{layer}", name), **steps, **missing)


def times(setting: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Divide with batch norm by without."""
    return ratio(f"batch_norm_{setting}", f"plain_{setting}", measure, group)

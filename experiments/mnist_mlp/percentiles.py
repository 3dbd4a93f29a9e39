"""Percentiles 15, 50 and 85 of the last hidden layer's pre-activations, on test images, and how steady they are."""

import math
from dataclasses import replace

import numpy as np

from experiments._evidence.format import PERCENT, Format
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Recorded, Run, array, recorded
from experiments._evidence.value import Missing

ACCURACY = replace(TEST_ACCURACY, format=PERCENT._replace(spec="z.2f"))  # nets here differ by tenths of a point
_STATISTICS = {
    "range": "largest - smallest median",
    "variation": "sum of absolute changes, per 1,000 steps, of the median",
    "roughness": "standard deviation, around its moving average over 1,000 steps, of the median",
    "spread": "half the distance of the 15th and 85th percentiles",
    "relative_range": "(largest - smallest median) / (half the distance of the 15th and 85th percentiles)",
}
_PARTS = {"of_units": ("a unit's pre-activation", ", median over units"), "of_layer": ("all pre-activations", "")}
_WAYS = {"running": "normalised by running averages", "batch": "normalised in batches"}


def steadiness(name: str, way: str = "batch", part: str = "of_units") -> Measure:
    """Return a measure of how steady the percentiles are; infinity for a run that diverged.

    Args:
        name: range, variation, roughness, spread or relative_range.
        way: how they are normalised, running or batch; without a normaliser both are the same.
        part: of_units for the median over units of each unit's own percentiles, of_layer for those of all units together.
    """

    def of(run: Run) -> float:
        if run["diverged_at"] is not None:
            return math.inf
        numbers = _normalised(recorded(run, "percentiles"), way).get(part, {})
        if name not in numbers:
            return Missing(f"not recorded: {_STATISTICS[name]}")
        value = float(array(numbers[name]))
        return Missing("too few measurements from step 500 on") if math.isnan(value) else value

    of_what, over = _PARTS[part]
    return Measure(of, f"{_STATISTICS[name]} of {of_what}, last hidden layer, from step 500 on, {_WAYS[way]}{over}")


def levels(record: Recorded, part: str, way: str = "running") -> np.ndarray:
    """Return the three percentiles of the typical unit or of the layer at each step, (steps, 3)."""
    return array(_normalised(record, way).get(part, []))


SPREAD = Quantity(
    "percentiles",
    lambda record: np.ptp(levels(record, "layer"), axis=1) / 2,
    "half the distance of the layer's 15th and 85th percentiles",
    Format(unit="units"),
)
# Not at step 0, where running statistics have seen no batch.
FIRST_SPREAD, SPREAD_RANGE = SPREAD.first(after=0), SPREAD.range(first=1)
# Of a typical unit, from the first measurement after step 0 to the last ones.
UNIT_SPREAD = Quantity(
    "percentiles",
    lambda record: np.ptp(levels(record, "unit", "batch"), axis=1) / 2,
    "half the distance of a unit's 15th and 85th percentiles, normalised in batches",
    Format(unit="units"),
)
WIDENING = replace(
    UNIT_SPREAD.late(0.1) / UNIT_SPREAD.first(after=0), words=f"{UNIT_SPREAD.words}, at the end / at the start"
)


def _normalised(record: Recorded, way: str) -> Recorded:
    return record.get(way) or record.get("running", {})

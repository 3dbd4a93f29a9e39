"""Quantities that compare normalisers: the landscape, covariate shift and drift of each net, and its performance.

The first measurement, at initialisation, is left out: nothing has moved yet.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from experiments._evidence.correlation import OfData, correlation
from experiments._evidence.drift import Moment, deepest_drift, followed, typical
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    LOSS_RANGE,
    SHIFT,
    SMOOTHNESS,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
)
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, Recorded, array
from experiments._evidence.statistic import Statistic
from experiments.which_norm import NETS

TEST = TEST_ACCURACY.at_end()
EARLY_LEVEL, LATE_LEVEL = 0.4, 0.8
STEPS = TRAIN_ACCURACY.steps_to(EARLY_LEVEL)
LATE_STEPS = TRAIN_ACCURACY.steps_to(LATE_LEVEL, within=4000)
BAND = LOSS_RANGE.median(first=1)


def _mean_shift(record: Recorded) -> np.ndarray:
    """Average the relative shifts of all layers that are measured."""
    return np.mean([array(layer["relative_difference"]) for layer in record["layers"].values()], axis=0)


_RELATIVE_SHIFT = Quantity("shift", _mean_shift, f"covariate shift {SHIFT['relative_difference']}, mean of layers")


class Compared(NamedTuple):
    """A quantity by which normalisers are compared.

    Attributes:
        of: returns its measure for some data.
        words: its description.
        part: names the layers, if they depend on the data.
    """

    of: OfData
    words: str
    part: Callable[[Data], str] | None = None


def _measured(measure: Measure) -> Compared:
    return Compared(lambda _: measure, measure.words)


def _drift(moment: Moment, kind: str = "drift") -> Compared:
    """Compare the typical drift of units in the deepest layer followed, in units of their spread."""
    where = "after the activation, " * (kind != "drift")
    words = f"{typical('', moment, relative=True).words} ({where}deepest layer that is followed)"
    of = partial(deepest_drift, moment=moment, relative=True, kind=kind)
    return Compared(of, words, None if where else followed)


# Keyed by name in tables; less of each is said to be better.
COMPARED = {
    "loss range": _measured(BAND),
    "gradient change": _measured(GRADIENT_CHANGE.median(first=1)),
    "smoothness": _measured(SMOOTHNESS.median(first=1)),
    "relative shift": _measured(_RELATIVE_SHIFT.median(first=1)),
    "drift": _drift("wasserstein"),
    "of means": _drift("mean"),
    "of variances": _drift("variance"),
    "after ReLU": _drift("wasserstein", "drift_after_activation"),
}


def ranked(name: str, performance: Measure, nets: Sequence[str] = NETS) -> Statistic:
    """Return the rank correlation over nets between a quantity, by its name in `COMPARED`, and a performance."""
    compared = COMPARED[name]
    return correlation(compared.of, compared.words, performance, nets, compared.part)

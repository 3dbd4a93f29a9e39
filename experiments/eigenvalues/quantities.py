"""What is measured of the largest eigenvalues of the Hessian; the first measurement is of the nets as they were drawn."""

import math

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Recorded, Run, array, recorded

NUM = 10  # eigenvalues that are measured, as many as classes
FIRST = 1  # step from which training counts as started
_FROZEN = "with the running statistics kept, "


def _quantity(words: str, form: Format, name: str, frozen: bool, reduce) -> Quantity:
    """Reduce what was measured at each step, of the batch's statistics or of kept ones, to a number."""
    kind = f"{'frozen_' * frozen}{name}"

    def value(record: Recorded) -> np.ndarray:
        return reduce(array(record.get(kind, np.full((len(record["step"]), NUM), np.nan))))

    return Quantity("eigenvalues", value, f"{words}{', ' * frozen}{_FROZEN * frozen}".rstrip(", "), form, math.nan)


def largest(frozen: bool = False) -> Quantity:
    """Return the largest eigenvalue."""
    return _quantity(
        "largest of ten eigenvalues of the Hessian", Format(), "eigenvalues", frozen, lambda rows: rows[:, 0]
    )


def isolation(frozen: bool = False) -> Quantity:
    """Return how many times as large the largest eigenvalue is as the tenth."""
    words = "largest eigenvalue of the Hessian / the tenth"
    return _quantity(words, TIMES, "eigenvalues", frozen, lambda rows: rows[:, 0] / rows[:, NUM - 1])


def share(frozen: bool = False) -> Quantity:
    """Return the gradient's share in the space of the ten eigenvectors."""
    words = "share of the gradient's squared norm along the ten first eigenvectors"
    return _quantity(words, PERCENT, "shares", frozen, lambda rows: rows.sum(axis=1))


def last(run: Run, name: str) -> np.ndarray:
    """Return what was measured last of each eigenvalue, (eigenvalues,); empty where nothing was."""
    values = recorded(run, "eigenvalues").get(name, [])
    return array(values[-1]) if values else np.array([])

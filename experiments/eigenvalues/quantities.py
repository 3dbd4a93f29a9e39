"""Quantities of the Hessian's largest eigenvalues; the first measurement is at initialisation."""

import math

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Recorded, Run, array, recorded

NUM = 10  # eigenvalues measured, as many as classes
FIRST = 1  # step from which training counts as started
_FROZEN = "with the running statistics kept, "


def _quantity(words: str, form: Format, name: str, frozen: bool, reduce) -> Quantity:
    """Reduce each step's measurements, with batch statistics or with frozen ones, to a number."""
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
    """Return the ratio of the largest eigenvalue to the tenth."""
    words = "largest eigenvalue of the Hessian / the tenth"
    return _quantity(words, TIMES, "eigenvalues", frozen, lambda rows: rows[:, 0] / rows[:, NUM - 1])


def share(frozen: bool = False) -> Quantity:
    """Return the share of the gradient's squared norm in the span of the ten eigenvectors."""
    words = "share of the gradient's squared norm along the ten first eigenvectors"
    return _quantity(words, PERCENT, "shares", frozen, lambda rows: rows.sum(axis=1))


def last(run: Run, name: str) -> np.ndarray:
    """Return the last measurement for each eigenvalue, (eigenvalues,); empty if there is none."""
    values = recorded(run, "eigenvalues").get(name, [])
    return array(values[-1]) if values else np.array([])

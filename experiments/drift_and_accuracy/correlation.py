"""Rank correlations of drift and accuracy over nets, seed by seed."""

from functools import partial

from experiments._evidence.correlation import correlation
from experiments._evidence.drift import Moment, deepest_drift, followed, typical
from experiments._evidence.quantity import Measure
from experiments._evidence.statistic import Statistic
from experiments.drift_and_accuracy import NETS


def with_accuracy(accuracy: Measure, moment: Moment = "wasserstein") -> Statistic:
    """Return the rank correlation of the drift with an accuracy over all nets; infinite drift ranks highest."""
    words = f"{typical('', moment).words} (deepest layer that is followed)"
    return correlation(partial(deepest_drift, moment=moment), words, accuracy, NETS, followed)

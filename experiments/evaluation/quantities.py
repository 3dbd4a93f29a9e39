"""Quantities of the evaluation probe, by the shift of the images and the statistics used to normalise."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from experiments._config.probes import CORRUPTIONS
from experiments._evidence.format import PERCENT, POINTS, TIMES, Format
from experiments._evidence.quantities import CHANCE
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Recorded, array
from experiments._evidence.value import median

SHIFTS = {
    "clean": "test images",
    "contrast": "test images of low contrast",
    "noise_0.1": "test images with noise of 0.1",
    "noise_0.2": "test images with noise of 0.2",
    "brightness": "brighter test images",
    "grey": "grey test images",
    "blur": "blurred test images",
    "held_out": "held-out classes",
}
MODES = {"running": "running", "batch": "the batch's own", "recalibrated": "recalibrated", "adapted": "adapted"}


@cache
def accuracy(shift: str, mode: str) -> Quantity:
    """Return the accuracy on shifted images with one kind of statistics."""
    words = f"accuracy on {SHIFTS[shift]} with {MODES[mode]} statistics"
    return Quantity("evaluation", f"{shift}_{mode}_accuracy", words, PERCENT, CHANCE)


def by_layer(name: str, shift: str) -> Callable[[Recorded], np.ndarray]:
    """Return a function that reads a number for each step and layer from a record, (steps, layers)."""
    return lambda record: array(record.get(f"{shift}_{name}", []))


@cache
def distance(shift: str) -> Quantity:
    """Return the root-mean-square distance of the images' means from the running means, averaged over layers."""
    of = by_layer("distance", shift)
    words = f"distance of the means of {SHIFTS[shift]} from the running ones, mean over layers"
    return Quantity("evaluation", lambda record: _over_layers(of(record), np.mean), words, Format(unit="std"))


@cache
def growth(shift: str) -> Quantity:
    """Return the ratio of largest pre-activations, shifted over training images, in the layer where it is largest."""
    of, usual = by_layer("largest", shift), by_layer("largest", "train")

    def value(record: Recorded) -> np.ndarray:
        return _over_layers(of(record) / usual(record) if of(record).size else of(record), np.max)

    words = f"largest |pre-activation| for {SHIFTS[shift]} / for training images, largest of all layers"
    return Quantity("evaluation", value, words, TIMES)


@cache
def not_finite(shift: str) -> Quantity:
    """Return the share of non-finite pre-activations, in the layer where it is largest."""
    of = by_layer("not_finite", shift)
    words = f"share of pre-activations for {SHIFTS[shift]} that are not finite, largest of all layers"
    return Quantity("evaluation", lambda record: _over_layers(of(record), np.max), words, PERCENT)


@cache
def changed(mode: str) -> Quantity:
    """Return the largest change of an image's logits when the rest of its batch is replaced."""
    words = f"largest change of an image's logits by the rest of its batch, {MODES[mode]} statistics"
    return Quantity("evaluation", f"change_{mode}", words, Format(unit="nats"))


def _over_layers(values: np.ndarray, reduce: Any) -> np.ndarray:
    return reduce(values, axis=1) if values.ndim == 2 else np.array([])


def _gains(record: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies with running statistics, and the gains from adapted ones, (steps, corruptions) each."""
    names = [name for name in CORRUPTIONS if f"{name}_running_accuracy" in record]
    running, adapted = (
        array([record[f"{name}_{mode}_accuracy"] for name in names]).T for mode in ("running", "adapted")
    )
    return running, adapted - running


def _gain(choose: Callable[[np.ndarray, np.ndarray], float], words: str) -> Quantity:
    """Return the gain in accuracy from adapted statistics, for one corruption or over all."""

    def value(record: Recorded) -> np.ndarray:
        running, gains = _gains(record)
        return np.array([choose(*rows) for rows in zip(running, gains, strict=True)])

    return Quantity("evaluation", value, f"accuracy with adapted - with running statistics, {words}", POINTS, np.nan)


MEDIAN_GAIN = _gain(lambda _running, gains: median(gains.tolist()), "median over the corruptions")
MEAN_GAIN = _gain(lambda _running, gains: float(np.mean(gains)), "mean over the corruptions")
WORST_GAIN = _gain(lambda running, gains: float(gains[np.argmin(running)]), "corruption with the lowest accuracy")


@cache
def gain(shift: str, mode: str, other: str = "running") -> Quantity:
    """Return the gain in accuracy from one kind of statistics over another."""

    def value(record: Recorded) -> np.ndarray:
        names = [f"{shift}_{each}_accuracy" for each in (mode, other)]
        if not {*names} <= {*record}:
            return np.array([])
        return array(record[names[0]]) - array(record[names[1]])

    words = f"accuracy on {SHIFTS[shift]} with {MODES[mode]} - with {MODES[other]} statistics"
    return Quantity("evaluation", value, words, POINTS, np.nan)

"""Quantities of the weights at which shuffled SGD ends: their distance from gradient descent's, and excess error.

All distances are in units of the length of gradient descent's weights. Results for a fixed shuffle are medians over several.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from experiments._evidence.format import PERCENT, TIMES
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data, Run, array, recorded
from experiments._evidence.statistic import Statistic
from experiments._evidence.value import Missing

FIXED, AGAIN, BETWEEN = (
    "distance of the optimum of one shuffle from that of gradient descent",
    "distance of the optimum of new shuffles from that of gradient descent",
    "distance of the optima of one shuffle and of new ones",
)
RISK_FIXED, RISK_AGAIN = (
    "squared error at the optimum of one shuffle, above that of gradient descent",
    "squared error at the optimum of new shuffles, above that of gradient descent",
)
_NAMES = {FIXED: "fixed", AGAIN: "again", BETWEEN: "between", RISK_FIXED: "risk_fixed", RISK_AGAIN: "risk_again"}


def by_size(words: str) -> Callable[[Run], np.ndarray]:
    """Return a function that reads a quantity of a run at each batch size."""
    return lambda run: array(recorded(run, "sizes").get(_NAMES[words], []))


def batch_sizes(data: Data) -> list[int]:
    """List the batch sizes at which the optima were found; empty if nothing was measured."""
    runs = data["arms"].get("batch_norm", [])
    return [*recorded(runs[0], "sizes").get("batch_size", [])] if runs else []


def at_size(words: str, size: int) -> Measure:
    """Measure at one batch size."""
    return Measure(lambda run: _at(run, words, lambda sizes: size), f"{words}, batch {size}", PERCENT)


def smallest(words: str) -> Measure:
    """Measure at the smallest batch size."""
    return Measure(lambda run: _at(run, words, min), f"{words}, smallest batch", PERCENT)


def change(words: str) -> Measure:
    """Measure the factor by which a quantity changes from the smallest batch to the largest."""

    def of(run: Run) -> float:
        ends = [_at(run, words, choose) for choose in (min, max)]
        missing = [end for end in ends if isinstance(end, Missing)]
        return missing[0] if missing else ends[1] / ends[0]

    return Measure(of, f"{words}, largest batch / smallest", TIMES)


def end(name: str, over: str = "") -> Measure:
    """Measure a distance of SGD's final weights, absolute or relative to that of the two optima."""
    words = {
        "fixed_to_fixed": "distance of SGD with one shuffle from the optimum of that shuffle",
        "again_to_again": "distance of SGD with new shuffles from the optimum of new shuffles",
        "fixed_to_again": "distance of SGD with one shuffle from SGD with new ones",
    }[name]

    def of(run: Run) -> float:
        ends = recorded(run, "ends")
        if name not in ends or (over and not ends[over] > 0):
            return Missing(f"not measured: {words}")
        return float(ends[name] / ends[over]) if over else float(ends[name])

    unit = " / distance of both optima" if over else ""
    return Measure(of, f"{words}{unit}", TIMES if over else PERCENT)


def each(measure: Measure, net: str) -> Statistic:
    """Measure every draw of a net; the set-up describes the toy problem."""
    return replace(measure.each(net), part=_part)


def _at(run: Run, words: str, choose: Callable[[list[int]], int]) -> float:
    sizes = recorded(run, "sizes").get("batch_size", [])
    size = choose(sizes) if sizes else 0
    if size not in sizes:
        return Missing(f"not measured: {words}")
    return float(by_size(words)(run)[sizes.index(size)])


def _part(data: Data) -> str:
    config = data["config"]
    sizes, examples = config["batch_sizes"], f"{config['num_examples']} examples of {config['num_features']} features"
    return f"Linear regression, {examples}, batches of {min(sizes)} to {max(sizes)}, float64"

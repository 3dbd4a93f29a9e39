"""Steps until a net reaches the plain net's best test accuracy, and its own accuracy."""

import math
from dataclasses import replace

import numpy as np

from experiments._evidence.format import STEPS
from experiments._evidence.quantities import CHANCE, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Data, Run, num_steps, settings
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.table import middle
from experiments._evidence.value import AtLeast, Missing
from experiments._nets import NETS
from experiments.inception import RECIPES, recipe

BASE = recipe("x1")
BEST = TEST_ACCURACY.highest()
LAST = TEST_ACCURACY.at_end()
TRAINED = TRAIN_ACCURACY.at_end(50)  # batches
# Test accuracy below which a net with ten classes counts as guessing: 1.5 times chance.
GUESSING = 0.15
_STEPS = "steps to the plain net's best test accuracy at rate x1"


def by_rate(data: Data) -> dict[float, Arms]:
    """Sort the plain nets of the grid by learning rate, ascending."""
    return dict(sorted((float(rate), nets) for rate, nets in settings(data["grid"]).items()))


def best_rate(data: Data) -> float:
    """Return the learning rate of the grid with the plain net's best final test accuracy; NaN if none is known."""
    tests = {rate: middle(nets["plain"], LAST) for rate, nets in by_rate(data).items()}
    known = {rate: value for rate, value in tests.items() if not math.isnan(value)}
    return max(known, key=lambda rate: known[rate], default=math.nan)


def is_best(data: Data) -> bool:
    """Return whether rate x1 is the best of the grid."""
    return math.isclose(data["config"]["optimizer"]["learning_rate"], best_rate(data))


def steps_to_plain(data: Data) -> Measure:
    """Return the steps until a test accuracy reaches the plain net's best one, at rate x1 and from the same seed.

    Accuracy is interpolated linearly between tests, from chance at step 0. If a run never reaches the target, the result is
    `AtLeast` its number of steps, or infinity if it diverged.
    """
    targets = BEST.each("plain", BASE).of(data)

    def of(run: Run) -> float:
        target = targets.get(run["seed"], Missing("the plain net has no run of that seed"))
        if math.isnan(target):
            return target
        if target < GUESSING:
            return Missing("the plain net does not learn")
        tested, values = TEST_ACCURACY.curve(run)
        steps, accuracies = np.append(0, tested), np.append(CHANCE, values)
        reached = np.flatnonzero(accuracies >= target)
        if not reached.size:
            return math.inf if run["diverged_at"] is not None else AtLeast(num_steps(run))
        ends = [reached[0] - 1, reached[0]]
        return float(np.interp(target, accuracies[ends], steps[ends]))

    return Measure(of, _STEPS, STEPS)


def steps(net: str, name: str) -> Statistic:
    """Count the steps of a net trained with a recipe until it reaches the plain net's best test accuracy."""
    at = recipe(name)

    def of(data: Data) -> BySeed:
        return steps_to_plain(data).each(net, at).of(data)

    arms = tuple(dict.fromkeys((f"arms/{BASE.arm('plain')}", f"arms/{at.arm(net)}")))
    return trained(Statistic(of, _STEPS, at.name(NETS[net].short), arms, STEPS), BASE.arm("plain"), at.arm(net))


def accuracy(measure: Measure, net: str, name: str) -> Statistic:
    """Measure a test accuracy of a net trained with a recipe."""
    at = recipe(name)
    return trained(measure.each(net, at), at.arm(net))


def trained(statistic: Statistic, *arms: str) -> Statistic:
    """Make a statistic unavailable if nets are missing, as in preset cpu, or rate x1 is not the best of the grid."""

    def of(data: Data) -> BySeed:
        ran = data.get("arms", {})
        for arm in arms:
            if arm not in ran:
                raise NotInDataError(f"needs {_words(arm)}, as preset paper has, ran {len(ran)} other nets")
        if not is_best(data):
            rate, best = data["config"]["optimizer"]["learning_rate"], best_rate(data)
            raise NotInDataError(f"needs rate x1 to be the best of the grid, {best:g}, ran {rate:g}")
        return statistic.of(data)

    return replace(statistic, of=of)


def _words(arm: str) -> str:
    """Describe a net, given the name of its arm."""
    net = "plain" if arm.startswith("plain_") else "batch_norm"
    return f"the net {NETS[net].label} ({RECIPES[arm.removeprefix(f'{net}_')].words})"

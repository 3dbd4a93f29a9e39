"""Quantities that compare nets at equal training loss: the gap between test and training, and flatness."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from experiments._evidence.correlation import correlation
from experiments._evidence.format import PERCENT, POINTS, Format
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, Data, Recorded, Run, array
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import Missing
from experiments._nets import learning_rate

LEVELS = (0.5, 0.1, 0.01)
MAIN = 0.1  # the level of the first picture and of most claims
LEAST = 4  # nets needed for a rank correlation
_KIND = "flatness"
_BATCHES = "statistics of batches"

TRAIN_LOSS = Quantity(_KIND, "train_loss", f"loss on training images, {_BATCHES}", Format(unit="nats"))


def _gap(images: str) -> Callable[[Recorded], np.ndarray]:
    return lambda record: array(record["train_accuracy"]) - array(record[f"{images}_accuracy"])


GAP = Quantity(_KIND, _gap("batch"), f"gap between test and training error with {_BATCHES}", POINTS, np.nan)
LOSS_GAP = Quantity(
    _KIND,
    lambda record: array(record["batch_loss"]) - array(record["train_loss"]),
    f"gap between test and training loss with {_BATCHES}",
    Format("+z.3g", "nats"),
    np.nan,
)
POPULATION = Quantity(_KIND, "population_accuracy", "test accuracy with statistics of the population", PERCENT, np.nan)
_CURVED = Format(unit="per squared parameter")
EIGENVALUE = Quantity(_KIND, "eigenvalue", "largest eigenvalue of the Hessian", _CURVED)
TRACE = Quantity(_KIND, "trace", "trace of the Hessian", _CURVED)
_MOVED = "each layer's weights moved by the same share of their length"
ASCENT = Quantity(_KIND, "ascent", f"rise of the loss along the gradient, {_MOVED}", Format(unit="nats"))
RANDOM = Quantity(_KIND, "random", f"rise of the loss in random directions, {_MOVED}", Format(unit="nats"))

Name = Literal["eigenvalue", "trace", "ascent", "random", "rate"]
# Keyed by name in tables; larger is sharper.
SHARPNESS: Mapping[Name, Quantity] = {"eigenvalue": EIGENVALUE, "trace": TRACE, "ascent": ASCENT, "random": RANDOM}
RATE = Measure(lambda run: run.get("learning_rate", np.nan), "learning rate", Format("g"))


def levels(data: Mapping[str, Any]) -> list[float]:
    """List the training losses at which nets were measured, largest first."""
    return sorted(data["config"]["probes"]["flatness"]["levels"], reverse=True)


def at(quantity: Quantity, level: float) -> Measure:
    """Return a quantity at the first measurement with a training loss of at most `level`; missing if there is none."""

    def of(run: Run) -> float:
        losses, values = (each.curve(run)[1] for each in (TRAIN_LOSS, quantity))
        reached = np.flatnonzero(losses <= level)
        if not reached.size:
            return Missing(f"needs a loss of {level:g} on training images, not reached")
        value = float(values[reached[0]])
        return Missing(f"needs a measurement at a loss of {level:g} on training images") if np.isnan(value) else value

    return Measure(of, f"{quantity.words}, where the loss on training images first is {level:g}", quantity.format)


def measure(name: Name, level: float) -> Measure:
    """Return a measure by its name: a sharpness at a training loss, or the learning rate."""
    return RATE if name == "rate" else at(SHARPNESS[name], level)


def family(arm: str) -> str:
    """Return the normaliser in an arm's name: plain, batch_norm or ghost."""
    return arm.rpartition("_")[0]


def rate_of(arm: str, config: Mapping[str, Any]) -> float:
    """Return the learning rate in an arm's name; nets with ghost batches have the optimiser's."""
    return config["optimizer"]["learning_rate"] if family(arm) == "ghost" else float(arm.rpartition("_")[2])


def with_rates(data: Mapping[str, Any]) -> dict[str, Any]:
    """Add its learning rate to each run."""
    arms = {
        arm: [{**run, "learning_rate": rate_of(arm, data["config"])} for run in runs]
        for arm, runs in data["arms"].items()
    }
    return {**data, "arms": arms}


def by_family(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Group the runs by normaliser, over all learning rates and ghost sizes, and add their learning rates."""
    found: dict[str, list[Any]] = {}
    for arm, runs in with_rates(data)["arms"].items():
        found.setdefault(family(arm), []).extend(runs)
    return found


def of_nets(arms: Arms, *families: str) -> list[str]:
    """List the arms of the given families, or all arms if none is given."""
    return [arm for arm in arms if not families or family(arm) in families]


def ranked(name: Name, other: Quantity, level: float, *families: str) -> Statistic:
    """Return the rank correlation between a measure and another quantity, both at a training loss.

    Args:
        name: of the measure, see `measure`.
        other: the quantity, usually the gap.
        level: the training loss.
        families: of the nets that are ranked; all if none is given.
    """
    first, second = measure(name, level), at(other, level)
    who = "over all nets" if not families else "over nets with BN" + ", not in ghosts" * ("ghost" not in families)

    def arms(data: Data) -> list[str]:
        return [f"arms/{arm}" for arm in of_nets(data["arms"], *families)]

    def of(data: Data) -> BySeed:
        nets = of_nets(data["arms"], *families)
        if len(nets) < LEAST:
            raise NotInDataError(f"needs {LEAST} nets, has {len(nets)}")
        return correlation(lambda _: first, first.words, second, nets).of(with_rates(data))

    made = correlation(lambda _: first, first.words, second, ())
    return replace(made, of=of, who=who, arms=(arms,))


def of_ghosts(quantity: Quantity, level: float, of: Callable[[Sequence[float], float], float], who: str) -> Statistic:
    """Apply a function, per seed, to a quantity of the nets with ghost batches and of the net with whole batches."""
    taken = at(quantity, level)

    def names(data: Data) -> list[str]:
        own = learning_rate(data["config"]["optimizer"]["learning_rate"])
        return [*of_nets(data["arms"], "ghost"), own.arm("batch_norm")]

    def values(data: Data) -> BySeed:
        arms = names(data)
        missing = [arm for arm in arms if arm not in data["arms"]]
        if missing or len(arms) < 2:
            raise NotInDataError("needs nets in ghosts, and one with batch norm over the whole batch")
        columns = [{run["seed"]: taken.of(run) for run in data["arms"][arm]} for arm in arms]
        shared = [seed for seed in columns[-1] if all(seed in column for column in columns)]
        return {seed: of([column[seed] for column in columns[:-1]], columns[-1][seed]) for seed in shared}

    counted = (lambda data: [f"arms/{arm}" for arm in names(data)],)
    return Statistic(values, taken.words, who, counted, taken.format, taken.until)

"""Quantities over learning rates, initial weights and the line search: ranges, best accuracies, and step sizes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments._evidence.format import PERCENT, TIMES, Format
from experiments._evidence.quantities import TRAIN_LOSS
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data, Run, array, recorded
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join, largest, smallest
from experiments._evidence.value import AtLeast, AtMost, Missing, divide, median
from experiments._nets import NETS, learning_rate
from experiments.sensitivity import PUBLISHED_POINTS, STARTS, Start, start, step_sizes

# The training loss below which a net counts as trained, by number of steps: 1.5 after five epochs; after 300 steps, 0.3 below
# the loss of guessing, ln 10, since reaching 1.5 takes longer.
TRAINED: Mapping[int, float] = {1950: 1.5, 300: 2.0}
EXPLODED = 1e3  # relative loss, as Bjorck et al. 2018 define divergence
# The largest step size of the published line search; the next one is 1.37 times as long.
_PUBLISHED = 1.1 * step_sizes(PUBLISHED_POINTS)[-1]
_DECADES = Format("z.2g", "decades")
_AVERAGED = 50  # steps over which the training loss is averaged


def loss_at(step: int) -> Measure:
    """Return the training loss that decides whether a net counts as trained."""
    return TRAIN_LOSS.at(step, _AVERAGED)


def rates_of(data: Data, field: str = "learning_rates") -> list[float]:
    """List the learning rates of SGD that the nets have, ascending."""
    return sorted(data["config"][field])


def decades(net: str, measure: Measure, level: float) -> Statistic:
    """Return the decades between the smallest and the largest learning rate with which a net trains.

    The result is `AtLeast` if the net also trains with the smallest or the largest learning rate tried.

    Args:
        net: its name.
        measure: a training loss.
        level: below which the net counts as trained.
    """

    def of(rates: Sequence[float], losses: Sequence[float]) -> float:
        trained = _trained(rates, losses, level)
        if not trained:
            return _none(net, level)
        is_cut = trained[0] == rates[0] or trained[-1] == rates[-1]
        return (AtLeast if is_cut else float)(math.log10(trained[-1] / trained[0]))

    what = f"decades between the smallest and the largest learning rate {_leading(measure, level)}"
    return _by_rate(net, measure, of, what, _DECADES)


def largest_rate(net: str, measure: Measure, level: float) -> Statistic:
    """Return the largest learning rate with which a net trains; `AtLeast` if it is the largest tried."""

    def of(rates: Sequence[float], losses: Sequence[float]) -> float:
        trained = _trained(rates, losses, level)
        return (AtLeast if trained[-1] == rates[-1] else float)(trained[-1]) if trained else _none(net, level)

    return _by_rate(net, measure, of, f"largest learning rate {_leading(measure, level)}", Format())


def best(net: str, accuracy: Measure, field: str = "learning_rates") -> Statistic:
    """Return the highest test accuracy of a net over the learning rates in a field of the configuration."""
    what = f"highest {accuracy.words} at any learning rate"
    return _by_rate(net, accuracy, lambda _, values: max(values), what, PERCENT, field)


def gain_at_smallest_rate(loss: Measure, accuracy: Measure, level: float) -> Statistic:
    """Return the gain in test accuracy from batch norm at the smallest learning rate at which the plain net trains."""

    def of(data: Data) -> BySeed:
        rates = rates_of(data)
        losses = [loss.each("plain", learning_rate(rate)).of(data) for rate in rates]
        gains = [accuracy.minus("batch_norm", "plain", learning_rate(rate)).of(data) for rate in rates]
        found = {}
        for seed in losses[0]:
            known = [by_seed.get(seed, math.nan) for by_seed in losses]
            missing = next((value for value in known if math.isnan(value)), None)
            places = [i for i, value in enumerate(known) if value < level]
            nothing = _none("plain", level) if missing is None else missing
            found[seed] = gains[places[0]].get(seed, math.nan) if places and missing is None else nothing
        return found

    words = f"{accuracy.words}, at the plain net's smallest learning rate {_leading(loss, level)}"
    nets = ("batch_norm", "plain")
    return Statistic(of, words, "BN - plain", (_listed(*nets),), accuracy.format.of_difference, accuracy.until)


def share_of_last(accuracy: Measure) -> Statistic:
    """Return the gain from one batch norm, after the last hidden layer, as a share of the gain from one after each.

    A gain is a net's test accuracy minus the plain net's, each at its best of the learning rates that all three nets have.
    """

    def share(last: float, batch_norm: float, plain: float) -> float:
        whole = batch_norm - plain
        return divide(last - plain, whole) if whole > 0 else Missing("batch norm gains no test accuracy")

    nets = ("batch_norm_last", "batch_norm", "plain")
    joined = join([best(net, accuracy, "last_rates") for net in nets], share, form=PERCENT)
    what = f"gain in {accuracy.words} over the plain net, each at its best learning rate"
    return Statistic(joined.of, what, "last BN / BN", joined.arms, PERCENT, accuracy.until)


def spread_over(starts: Sequence[Start], net: str, accuracy: Measure) -> Statistic:
    """Return the largest minus the smallest test accuracy of a net over some initial weights."""
    each = [accuracy.each(net, start(name), "starts") for name in starts]
    found = largest(*each) - smallest(*each)
    names = [STARTS[name].label for name in starts]
    what = f"largest - smallest {accuracy.words}, from {names[0]} to {names[-1]}"
    return Statistic(found.of, what, NETS[net].short, found.arms, found.format, accuracy.until)


_SIZE = Format(unit="unit²/nat")  # times a gradient, it is a step of the weights


def relative_losses(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the step sizes of the line search, and L(w - eta g) / L(w), (minibatches, points); infinity if not finite."""
    scans = recorded(run, "landscape")
    if not scans.get("step"):
        return np.array([]), np.empty((0, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = array(scans["loss"]) / array(scans["start_loss"])[:, None]
    return array(scans["step_sizes"])[0], np.where(np.isfinite(ratios), ratios, np.inf)


def _of_line(of: Callable[[np.ndarray, np.ndarray], float], words: str, form: Format = Format()) -> Measure:  # noqa: B008
    """Measure a number from the step sizes and relative losses of the line search."""

    def measured(run: Run) -> float:
        sizes, ratios = relative_losses(run)
        return of(sizes, ratios) if sizes.size else Missing("no line search was recorded")

    return Measure(measured, words, form, until=6)


def _largest_that_gains(sizes: np.ndarray, ratios: np.ndarray) -> float:
    gains = sizes[(ratios < 1).all(axis=0)]
    if not gains.size:
        return AtMost(sizes[0])
    return (AtLeast if gains[-1] == sizes[-1] else float)(gains[-1])


def _smallest_that_explodes(sizes: np.ndarray, ratios: np.ndarray) -> float:
    explodes = sizes[(ratios > EXPLODED).all(axis=0)]
    return float(explodes[0]) if explodes.size else AtLeast(sizes[-1])


GAINING = _of_line(_largest_that_gains, "largest step size that lowers the loss of minibatches 1, 4 and 7", _SIZE)
EXPLODING = _of_line(
    _smallest_that_explodes, "smallest step size that multiplies the loss of minibatches 1, 4 and 7 by 1,000", _SIZE
)
LOWEST = _of_line(
    lambda sizes, ratios: median(sizes[ratios.argmin(axis=1)].tolist()),
    "step size with the smallest loss, median of minibatches 1, 4 and 7",
    _SIZE,
)
LARGEST_PUBLISHED = _of_line(
    lambda sizes, ratios: float(ratios[:, sizes < _PUBLISHED].max()),
    "largest L(w - eta g) / L(w) for step sizes eta from 1e-5 to 0.1, of minibatches 1, 4 and 7",
    TIMES,
)


def gains_where_plain_explodes() -> Statistic:
    """Divide the largest step size that lowers batch norm's loss by the smallest at which the plain net's explodes."""
    found = GAINING.each("batch_norm", group="line") / EXPLODING.each("plain", group="line")
    return Statistic(found.of, found.what, "", found.arms, TIMES, found.until)


def _trained(rates: Sequence[float], losses: Sequence[float], level: float) -> list[float]:
    return [rate for rate, loss in zip(rates, losses, strict=True) if loss < level]


def _leading(loss: Measure, level: float) -> str:
    return f"that leads to less than {level:g} ({loss.words})"


def _none(net: str, level: float) -> Missing:
    return Missing(f"{NETS[net].label}, no learning rate leads to a training loss below {level:g}")


def _by_rate(net: str, measure: Measure, of: Any, what: str, form: Format, field: str = "learning_rates") -> Statistic:
    """Reduce the values at all learning rates to one number per seed."""

    def of_data(data: Data) -> BySeed:
        rates = rates_of(data, field)
        each = [measure.each(net, learning_rate(rate)) for rate in rates]
        return join(each, lambda *values: of(rates, values)).of(data)

    return Statistic(of_data, what, NETS[net].short, (_listed(net, field=field),), form, measure.until)


def _listed(*nets: str, field: str = "learning_rates") -> Callable[[Data], list[str]]:
    """List the arms of some nets at all learning rates."""

    def arms(data: Data) -> list[str]:
        if field not in data.get("config", {}):
            raise NotInDataError("these data have no learning rates")
        return [f"arms/{learning_rate(rate).arm(net)}" for net in nets for rate in data["config"][field]]

    return arms

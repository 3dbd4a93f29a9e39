"""Claims about batch norm as a regulariser: the size of its batch, the landscape, and dropout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import PERCENT, POINTS, TIMES, Format, listing
from experiments._evidence.quantities import (
    CHANCE,
    RECALIBRATED_ACCURACY,
    SMOOTHNESS,
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_ACCURACY,
)
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, Run, array
from experiments._evidence.source import CAFFENET, DIMITRIOU, GARBIN, IOFFE, MAMELI, WU_JOHNSON, ours
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic
from experiments._evidence.value import Missing, combine, divide, smallest_of, subtract
from experiments._nets import NETS
from experiments.regularisation import NETS as BOTH
from experiments.regularisation import by_dropout, by_size, dropping

_BATCH, _POPULATION = "statistics of batches", "statistics of the population"
_UNEQUAL = (
    "the nets do not fit the training images equally well, so the claim counts for neither side; only a comparison at equal "
    "training loss would decide"
)
_MAMELI_DIFFERS = (
    "here batch norm follows every layer, inputs are standardised, there is no dropout and the learning rate is 0.1"
)
_INCEPTION = "in the source Inception on ImageNet"
_FITTED = 0.9  # training accuracy without dropout from which dropout has overfitting to prevent


def _error(name: str, words: str) -> Quantity:
    """Return the error on some images, normalised in one of the ways."""
    value = f"{name}_accuracy"
    return Quantity("generalisation", lambda record: 1 - array(record[value]), words, PERCENT, 1 - CHANCE)


TRAIN_ERROR = _error("train", f"training error, {_BATCH}")
BATCH_ERROR = _error("batch", f"test error, {_BATCH}")
POPULATION_ERROR = _error("population", f"test error, {_POPULATION}")
SEEN_LOSS = Quantity("generalisation", "train_loss", f"loss on training images, {_BATCH}", Format(unit="nats"))
GAP = Quantity(
    "generalisation",
    lambda record: array(record["train_accuracy"]) - array(record["batch_accuracy"]),
    f"test - training error, both with {_BATCH}",
    POINTS,
    np.nan,
)
INCONSISTENCY = Quantity(
    "generalisation",
    lambda record: array(record["batch_accuracy"]) - array(record["population_accuracy"]),
    f"test error with {_POPULATION} - with {_BATCH}",
    POINTS,
    np.nan,
)


def gap_at(level: float) -> Measure:
    """Return the gap where the loss on training images first reaches a level, interpolated in its logarithm."""

    def of(run: Run) -> float:
        losses, gaps = (quantity.curve(run)[1] for quantity in (SEEN_LOSS, GAP))
        reached = np.flatnonzero(losses <= level)
        if not reached.size:
            return Missing(f"needs a loss of {level:g} on training images, not reached")
        last = int(reached[0])
        if last == 0:
            return float(gaps[0])
        high, low = np.log(losses[last - 1 : last + 1])
        share = (high - np.log(level)) / (high - low)
        return float((1 - share) * gaps[last - 1] + share * gaps[last])

    return Measure(of, f"{GAP.words}, where the loss on training images is {level:g}", POINTS)


def _of_sizes(measure: Measure, of: Callable[..., float], who: str, form: Format, least: int = 2) -> Statistic:
    """Apply a function, per seed, to a measure of batch norm at each size of its batch, in ascending order."""

    def values(data: Data) -> BySeed:
        columns = [{run["seed"]: measure.of(run) for run in runs} for runs in by_size(data).values()]
        if len(columns) < least:
            raise NotInDataError(f"needs batches of {least} sizes, has {len(columns)}")
        shared = [seed for seed in columns[0] if all(seed in column for column in columns)]
        return {seed: combine(of, *(column[seed] for column in columns)) for seed in shared}

    return Statistic(values, measure.words, who, (_sized,), form, measure.until, _sizes)


def _sized(data: Data) -> list[str]:
    """List the arms with batch norm and without dropout."""
    return [f"arms/{arm}" for arm in data["arms"] if arm.startswith(("ghost_", "batch_norm"))]


def _sizes(data: Data) -> str:
    """Name the sizes of the parts of a batch."""
    return f"ghosts of {listing(map(str, [*by_size(data)][:-1]))}"


def _last_less_first(*values: float) -> float:
    return subtract(values[-1], values[0])


def _least_rise(*values: float) -> float:
    return combine(smallest_of, *map(subtract, values[1:], values[:-1]))


def _inner_lead(*errors: float) -> float:
    """Return how far the smallest error at intermediate sizes lies below the smaller one at both ends."""
    return subtract(min(errors[0], errors[-1]), min(errors[1:-1]))


_WHOLE = partial(_of_sizes, of=_last_less_first, who="BN, whole batch - smallest ghosts", form=POINTS)
_EACH = partial(
    _of_sizes, of=_least_rise, who="BN, smallest difference between a size and the next smaller", form=POINTS
)


def _smallest_ratio(*values: float) -> float:
    """Return the smallest ratio of a value with ghost batches to the value with the whole batch."""
    return combine(smallest_of, *(divide(value, values[-1]) for value in values[:-1]))


def _of_dropout(
    of: Callable[[Sequence[float], Sequence[float]], float], net: str, what: str, form: Format
) -> Statistic:
    """Apply a function, per seed, to the dropout shares, ascending from 0, and a net's test accuracies."""
    measure = TEST_ACCURACY.at_end()

    def values(data: Data) -> BySeed:
        columns = by_dropout(data)
        runs = {share: {run["seed"]: run for run in arms[net]} for share, arms in columns.items()}
        shared = [seed for seed in runs[0.0] if all(seed in column for column in runs.values())]
        found: BySeed = {}
        for seed in shared:
            accuracies = [measure.of(column[seed]) for column in runs.values()]
            fitted = TRAIN_ACCURACY.at_end(50).of(runs[0.0][seed])
            has_fitted = fitted >= _FITTED
            reason = f"needs a training accuracy of {100 * _FITTED:g} % without dropout, not reached"
            found[seed] = combine(lambda *a: of([*runs], a), *accuracies) if has_fitted else Missing(reason)
        return found

    arms = (f"arms/{net}", lambda data: [f"dropout/{arm}" for arm in data["dropout"] if arm.startswith(f"{net}_")])
    return Statistic(values, what, NETS[net].short, arms, form, measure.until)


def _best_share(shares: Sequence[float], accuracies: Sequence[float]) -> float:
    return shares[int(np.argmax(accuracies))]


def _gain(_shares: Sequence[float], accuracies: Sequence[float]) -> float:
    return max(accuracies[1:]) - accuracies[0]


_BEST = {
    net: _of_dropout(_best_share, net, "share dropped with which test accuracy is highest", PERCENT) for net in BOTH
}
_GAIN = {net: _of_dropout(_gain, net, "gain in test accuracy by the best dropout", POINTS) for net in BOTH}


def _half(net: str) -> Statistic:
    """Return the change in test accuracy from dropout of one half."""
    share, measure = dropping(0.5), TEST_ACCURACY.at_end()
    words = f"{NETS[net].short}, {share.words} - none"
    return replace(measure.each(net, share, "dropout") - measure.each(net), who=words)


_SIZE = WU_JOHNSON.at("Sec. 4")
_DROPOUT, _TABLE = replace(IOFFE.at("Sec. 3.4"), setup=""), CAFFENET.at("table of batch norm and dropout")
_FAIR = "each net has its own best dropout rate, since a comparison at one rate favours one of the nets"

CLAIMS = claims(
    "regularisation",
    "2026-11-29",
    ghost_gap=Claim(
        "At the end of training, the gap between test and training error, both with batch statistics, is larger with batch "
        "norm over the whole batch than over the smallest ghost batches.",
        _SIZE,
        _WHOLE(GAP.at_end()).above(0),
        "15.9 and 10.4 points with batches of 256 and 4, or +5.5 points; 16.4 and 9.5 with 1,024 and 2",
        remark=_UNEQUAL,
        speaks="neither",
    ),
    ghost_gap_each=Claim(
        "At the end of training, the gap between test and training error, both with batch statistics, is smaller with each "
        "smaller size of batch norm's ghost batches.",
        _SIZE,
        _EACH(GAP.at_end()).above(0),
        "15.9, 15.0, 12.7 and 10.4 points with batches of 256, 64, 16 and 4, or +0.9 points or more",
        remark=_UNEQUAL,
        speaks="neither",
    ),
    ghost_gap_half=Claim(
        "Where the training loss first falls to 0.5, the gap between test and training error, both with batch statistics, is "
        "larger with batch norm over the whole batch than over the smallest ghost batches.",
        ours("a control: whether the gap is smaller because the net has learnt less"),
        _WHOLE(gap_at(0.5)).above(0),
        caveat_of="ghost_gap",
        speaks="for, else against",
    ),
    ghost_gap_tenth=Claim(
        "Where the training loss first falls to 0.1, the gap between test and training error, both with batch statistics, is "
        "larger with batch norm over the whole batch than over the smallest ghost batches.",
        ours("a control: whether the gap is smaller because the net has learnt less"),
        _WHOLE(gap_at(0.1)).above(0),
        caveat_of="ghost_gap",
        speaks="for, else against",
    ),
    ghost_train=Claim(
        "At the end of training, the training error with batch statistics is lower with batch norm over the whole batch than "
        "over the smallest ghost batches.",
        _SIZE,
        _WHOLE(TRAIN_ERROR.at_end()).below(0),
        "8.8 % and 15.1 % with batches of 256 and 4, or -6.3 points",
        speaks="neither",
    ),
    ghost_best=Claim(
        "At the end of training, the test error with population statistics is lowest with batch norm over ghost batches of an "
        "intermediate size.",
        _SIZE,
        _of_sizes(
            POPULATION_ERROR.at_end(),
            _inner_lead,
            "BN, the lower of the two extreme sizes - the lowest of those between",
            POINTS,
            least=3,
        ).above(0),
        "23.2 % with batches of 64, the lowest, and 23.6 % with 256, or +0.4 points; 23.5 % with 16, 26.4 % with 4 and 32.5 % "
        "with 2",
        remark=_UNEQUAL,
        speaks="neither",
    ),
    ghost_inconsistent=Claim(
        "At the end of training, population statistics in place of batch statistics cost more test accuracy with batch norm "
        "over the smallest ghost batches than over the whole batch.",
        _SIZE,
        _WHOLE(INCONSISTENCY.at_end()).below(0),
        "-1.1 and +0.9 points with batches of 256 and 4, or -2.0 points; +6.5 with 2",
        speaks="neither",
    ),
    ghost_rough=Claim(
        "In the median over the training, the gradient changes more per unit distance along itself with batch norm over ghost "
        "batches of every size than over the whole batch.",
        DIMITRIOU.at("abstract"),
        _of_sizes(
            SMOOTHNESS.median(), _smallest_ratio, "BN, ghosts / whole batch, the smallest of all sizes", TIMES
        ).above(1),
        "a less smooth landscape",
        remark="a landscape that is less smooth would speak against smoothness if the nets with ghost batches trained as well",
        hypothesis="smoothness",
        speaks="neither",
    ),
    ghost_generalises=Claim(
        "At the end of training, the test accuracy with population statistics is at most half a point lower with batch norm "
        "over ghost batches of the best size than over the whole batch.",
        DIMITRIOU.at("abstract"),
        _of_sizes(
            RECALIBRATED_ACCURACY.at_end(),
            lambda *values: subtract(max(values[:-1]), values[-1]),
            "BN, best ghosts - whole batch",
            POINTS,
        ).above(-0.005),
        "at least as good",
        remark=_UNEQUAL,
        speaks="neither",
    ),
    dropout_less=Claim(
        "The dropout rate with the highest test accuracy is smaller with batch norm than in the plain net.",
        _DROPOUT,
        replace(_BEST["batch_norm"] - _BEST["plain"], who="BN - plain").below(0),
        "with batch norm, dropout can be removed or reduced",
        remark=_FAIR,
        differs=_INCEPTION,
        speaks="for, else against",
    ),
    dropout_optimum=Claim(
        "The dropout rate with the highest test accuracy is smaller with batch norm than in the plain net, by less than 15 "
        "points.",
        _TABLE,
        replace(_BEST["batch_norm"] - _BEST["plain"], who="BN - plain").between(-0.15, 0),
        "best at 20 % with batch norm and at 30 % without, or -10 points",
        caveat_of="dropout_less",
        remark=_FAIR,
        speaks="neither",
    ),
    dropout_removed=Claim(
        "With batch norm, dropout at the best of several rates raises the test accuracy by less than half a point.",
        replace(IOFFE.at("Sec. 4.2.1"), setup=""),
        _GAIN["batch_norm"].below(0.005),
        "removing dropout does not increase overfitting",
        remark="the best of several rates is chosen on the test images",
        differs=_INCEPTION,
        speaks="for",
    ),
    dropout_gains=Claim(
        "With batch norm, dropout at the best of several rates raises the test accuracy by more than half a point.",
        _TABLE,
        _GAIN["batch_norm"].above(0.005),
        "52.7 % with 20 % dropout and 51.3 % without, or +1.4 points",
        caveat_of="dropout_removed",
        remark="the best of several rates is chosen on the test images, and the plain net may gain as much, so that this "
        "speaks for neither side",
        speaks="neither",
    ),
    dropout_costs=Claim(
        "With batch norm, a dropout rate of 0.5 lowers the test accuracy by 2.5 to 4.1 points.",
        GARBIN,
        _half("batch_norm").between(-0.041, -0.025),
        "-2.5 to -4.1 points; the dropout rate is not known to us",
        speaks="neither",
    ),
    regularised_loss=Claim(
        "At the end of training, the test loss can be higher with batch norm than without.",
        MAMELI,
        TEST_LOSS.at_end().minus("batch_norm", "plain").above(0),
        "1.405 and 0.864, or +0.541 nats",
        exists=True,
        remark=f"a net that is more certain of its wrong answers has a higher loss; {_UNEQUAL}",
        differs=_MAMELI_DIFFERS,
        speaks="neither",
    ),
    regularised_accuracy=Claim(
        "At the end of training, the test accuracy is higher with batch norm than without.",
        MAMELI,
        TEST_ACCURACY.at_end().minus("batch_norm", "plain").above(0),
        "79.2 % and 72.5 %, or +6.7 points",
        remark=_UNEQUAL,
        differs=_MAMELI_DIFFERS,
        speaks="neither",
    ),
)

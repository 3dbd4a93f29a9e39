"""Claims about how fast and how well a VGG learns with batch norm, with a single one, and without."""

import math
from dataclasses import replace

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import STEPS, TIMES
from experiments._evidence.quantities import (
    CHANCE,
    RECALIBRATED_ACCURACY,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
)
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data
from experiments._evidence.source import ALEXEYGB, BJORCK, MAMELI, SANTURKAR, Source, ours
from experiments._evidence.statistic import Criterion, NotInDataError, Range, Statistic, join, smallest
from experiments._nets import Setting, learning_rate

_FIG_1, _FIG_1A, _FIG_3A = (SANTURKAR.at(f"Fig. {number}") for number in ("1", "1a", "3a"))
_BEST_RATES = replace(BJORCK, setup=f"computed from Santurkar et al. 2018, Fig. 1a and 3a: {SANTURKAR.setup}")
_SLOW, _USUAL, _FAST = map(learning_rate, (0.01, 0.1, 0.5))
_NETS = ("batch_norm", "plain")
_LATER, _RATES, _REGULAR = "2026-11-29", "learning rates", "regularisation"

_EARLY, _PART = TRAIN_ACCURACY.median(800, 1200), TRAIN_ACCURACY.median(800, 1000)
_STEPS = TRAIN_ACCURACY.steps_to(0.5)
_LAST, _TEST = TRAIN_ACCURACY.at_end(50), TEST_ACCURACY.at_end()


def _rates(data: Data) -> list[float]:
    """List the learning rates tried, which must be several for one to be the best."""
    rates = data["config"]["learning_rates"]
    if len(rates) < 2:
        raise NotInDataError(f"needs several learning rates, ran {rates[0]:g} alone")
    return rates


def _at_best_rate(net: str) -> Statistic:
    """Measure the steps to 50 % at a net's best learning rate."""

    def of(data: Data) -> dict[int, float]:
        rates = [_STEPS.each(net, learning_rate(rate)) for rate in _rates(data)]
        return smallest(*rates).of(data)

    who = _STEPS.each(net).who
    return Statistic(of, f"{_STEPS.words}, at each net's best learning rate", who, ("arms",), STEPS)


def _ratio_of_rates(measure: Measure) -> Statistic:
    """Divide the learning rate at which batch norm's accuracy is highest by that at which the plain net's is."""

    def of(data: Data) -> dict[int, float]:
        rates = _rates(data)

        def ratio(*accuracies: float) -> float:
            batch_norm, plain = accuracies[: len(rates)], accuracies[len(rates) :]
            return rates[batch_norm.index(max(batch_norm))] / rates[plain.index(max(plain))]

        return join([measure.each(net, learning_rate(rate)) for net in _NETS for rate in rates], ratio).of(data)

    what = f"learning rate with the highest {measure.words}"
    return Statistic(of, what, "BN / plain", ("arms",), TIMES, measure.until)


def _at_full_width(statistic: Statistic) -> Statistic:
    """Judge a number that depends on the width at full width only."""
    return statistic.where("model.width", 1, "full width")


def _accepted(net: str, step: int, holds: Range, published: str, rate: float = 0.1) -> Claim:
    """Claim that the test accuracy at a step is in the range accepted for replications; only full width decides it."""
    words = {"plain": "without batch norm", "batch_norm": "with batch norm"}
    statistic = _at_full_width(TEST_ACCURACY.at(step).each(net, learning_rate(rate)))
    low, high = (f"{100 * end:g} %" for end in holds)
    where = f"above {low}" if math.isinf(holds[1]) else f"between {low} and {high}"
    statement = f"After {step:,} steps at learning rate {rate:g}, the test accuracy {words[net]} is {where}."
    return Claim(statement, _FIG_1, Criterion(statistic, holds), published)


def _over(measure: Measure, rate: str, setting: Setting, published: str, source: Source, steps: str) -> Claim:
    """Claim that the training accuracy is higher with batch norm over some steps."""
    statement = (
        f"At learning rate {rate}, over steps {steps}, training accuracy is higher with batch norm than without."
    )
    return Claim(statement, source, measure.minus(*_NETS, setting).above(0), published)


_ADAM = ("optimizer.name", "adam", "Adam")
_AT_1000 = "over steps 800 to 1,200"
_GAINS = "60 points over steps 800 to 1,200 - 28 points over steps 500 to 1,500, or +32 points"
_TRIED = "at preset cpu, the rates tried are 0.01, 0.1 and 0.5"
_EQUAL = f"{_TRIED}; equal best rates, a ratio of 1, decide nothing"
_GUESSING = "the source reports the accuracy of chance; up to twice as much counts as chance"

CLAIMS = claims(
    "none",
    "2026-11-21",
    curves_speed=Claim(
        "At learning rate 0.1, the net with batch norm reaches a training accuracy of 50 % in fewer steps than the plain one.",
        _FIG_1A,
        _STEPS.over("plain", "batch_norm", _USUAL).above(1),
        "about 1,000 / fewer than 300, or more than 3 times",
    ),
    curves_speed_best_rates=Claim(
        "Each at the best of the learning rates tried, the net with batch norm reaches a training "
        "accuracy of 50 % in fewer steps than the plain one.",
        SANTURKAR.at("Fig. 1a and 3a"),
        (_at_best_rate("plain") / _at_best_rate("batch_norm")).above(1),
        "about 1,000 / fewer than 300, or more than 3 times",
        remark=_TRIED,
    ),
    curves_speed_tolerance=Claim(
        "Over steps 800 to 1,200, batch norm raises the training accuracy by more points at learning rate 0.5 than at 0.01.",
        _BEST_RATES,
        (_EARLY.minus(*_NETS, _FAST) - _EARLY.minus(*_NETS, _SLOW)).above(0),
        _GAINS,
        caveat_of="curves_speed",
        hypothesis=_RATES,
        speaks="for",
    ),
    curves_speed_tolerance_part=Claim(
        "Over steps 800 to 1,000, batch norm raises the training accuracy by more points at learning rate 0.5 than at 0.01.",
        _BEST_RATES,
        (_PART.minus(*_NETS, _FAST) - _PART.minus(*_NETS, _SLOW)).above(0),
        _GAINS,
        caveat_of="curves_speed",
        repeats="curves_speed_tolerance",
        since=_LATER,
        hypothesis=_RATES,
        speaks="for",
    ),
    curves_speed_tolerance_usual=Claim(
        "Over steps 800 to 1,200, batch norm raises the training accuracy by more points at learning rate 0.1 than at 0.01.",
        _BEST_RATES,
        (_EARLY.minus(*_NETS, _USUAL) - _EARLY.minus(*_NETS, _SLOW)).above(0),
        "30 points over steps 800 to 1,200 - 28 points over steps 500 to 1,500, or +2 points",
        since="2026-12-01",
        hypothesis=_RATES,
        speaks="for, else against",
    ),
    curves_speed_best_rate=Claim(
        "Over steps 800 to 1,200, the best learning rate for training accuracy, of those tried, is larger with batch norm "
        "than in the plain net.",
        _BEST_RATES,
        _ratio_of_rates(_EARLY).above(1),
        "both are best at 0.1, or 1.0 times",
        caveat_of="curves_speed",
        remark=_EQUAL,
        since=_LATER,
        hypothesis=_RATES,
        speaks="for, else against",
    ),
    curves_speed_best_rate_part=Claim(
        "Over steps 800 to 1,000, the best learning rate for training accuracy, of those tried, is larger with batch norm "
        "than in the plain net.",
        _BEST_RATES,
        _ratio_of_rates(_PART).above(1),
        f"both are best at 0.1, or 1.0 times, {_AT_1000}",
        caveat_of="curves_speed",
        remark=_EQUAL,
        repeats="curves_speed_best_rate",
        since=_LATER,
        hypothesis=_RATES,
        speaks="for, else against",
    ),
    curves_speed_late=Claim(
        "Over the last 1,000 of 15,000 steps at learning rate 0.1, the training accuracies with and without batch norm are "
        "within 2 points of each other.",
        _FIG_1A,
        TRAIN_ACCURACY.at(15_000, average=1000).minus(*_NETS, _USUAL).within(0.02),
        "98.8 % and 99.6 %, or -0.8 points",
        caveat_of="curves_speed",
        remark="the published nets fit nearly all training images; at an eighth of the width neither does, with 96 and 86 %",
    ),
    curves_steps_batch_norm=Claim(
        "At learning rate 0.1, the net with batch norm reaches a training accuracy of 80 % within 1,200 steps.",
        _FIG_1A,
        _at_full_width(TRAIN_ACCURACY.steps_to(0.8, within=1200).each("batch_norm", _USUAL)).between(0, 1200),
        "about 1,000",
        since="2026-11-30",
    ),
    curves_steps_plain=Claim(
        "At learning rate 0.1, the plain net reaches a training accuracy of 80 % after 2,000 to 4,000 steps.",
        _FIG_1A,
        _at_full_width(TRAIN_ACCURACY.steps_to(0.8, within=4000).each("plain", _USUAL)).between(2000, 4000),
        "3,000 to 5,000",
        since="2026-11-30",
        remark="this range covers only the first half of the published one",
    ),
    curves_start=replace(
        _over(TRAIN_ACCURACY.at(300), "0.1", _USUAL, "60.8 % and 27.0 %, or +34 points", _FIG_1A, "251 to 300"),
        since=_LATER,
    ),
    curves_early=replace(
        _over(_EARLY, "0.1", _USUAL, "81.4 % and 51.9 %, or +30 points", _FIG_1A, "800 to 1,200"),
        remark="range and statistic were fixed after the accuracy over the first 1,000 steps had been measured",
    ),
    curves_early_part=replace(
        _over(_PART, "0.1", _USUAL, f"81.4 % and 51.9 %, or +30 points, {_AT_1000}", _FIG_1A, "800 to 1,000"),
        since=_LATER,
    ),
    curves_early_low_rate=_over(
        TRAIN_ACCURACY.median(500, 1500), "0.01", _SLOW, "71 % and 43 %, or +28 points", _FIG_3A, "500 to 1,500"
    ),
    curves_early_low_rate_part=replace(
        _over(
            TRAIN_ACCURACY.median(500, 1000),
            "0.01",
            _SLOW,
            "71 % and 43 %, or +28 points, over steps 500 to 1,500",
            _FIG_3A,
            "500 to 1,000",
        ),
        since=_LATER,
    ),
    curves_high_rate=replace(
        _over(_EARLY, "0.5", _FAST, "67.8 % and 8.2 %, or +60 points", _FIG_1A, "800 to 1,200"),
        remark="what counts for larger learning rates is how the gain of batch norm depends on the rate",
        hypothesis=_RATES,
        speaks="neither",
    ),
    curves_high_rate_part=replace(
        _over(_PART, "0.5", _FAST, f"67.8 % and 8.2 %, or +60 points, {_AT_1000}", _FIG_1A, "800 to 1,000"),
        repeats="curves_high_rate",
        since=_LATER,
        hypothesis=_RATES,
        speaks="neither",
    ),
    curves_high_rate_plain=Claim(
        "At learning rate 0.5, the plain net ends at a training accuracy below 20 %, twice that of chance.",
        SANTURKAR.at("Fig. 1a and b"),
        _LAST.each("plain", _FAST).below(2 * CHANCE),
        "8 % to 10 % throughout",
        remark=_GUESSING,
        hypothesis=_RATES,
        speaks="for",
    ),
    curves_high_rate_batch_norm=_accepted("batch_norm", 15_000, (0.75, math.inf), "80.2 %", rate=0.5),
    curves_test=Claim(
        "At learning rate 0.1, the test accuracy at the end is higher with batch norm than without.",
        SANTURKAR.at("Fig. 1b"),
        _TEST.minus(*_NETS, _USUAL).above(0),
        "82.9 % and 80.0 % after 15,000 steps, or +3 points; 75.7 % and 51.1 % after 1,000, or +25 points",
        hypothesis=_REGULAR,
        speaks="neither",
    ),
    curves_test_recalibrated=Claim(
        "At learning rate 0.1, the test accuracy at the end is higher with batch norm, whose statistics are recomputed on "
        "training images, than without.",
        ours("whether the gain in test accuracy depends on how old the running statistics are"),
        (RECALIBRATED_ACCURACY.at_end().each("batch_norm", _USUAL) - _TEST.each("plain", _USUAL)).above(0),
        caveat_of="curves_test",
        since=_LATER,
        hypothesis=_REGULAR,
        speaks="neither",
    ),
    curves_test_low_rate=Claim(
        "After 15,000 steps at learning rate 0.01, the test accuracy with batch norm is at most 1 point higher than without.",
        BJORCK,
        TEST_ACCURACY.at(15_000).minus(*_NETS, _SLOW).below(0.01),
        "about 81 % and 82 % at learning rate 0.0001, or no gain",
        caveat_of="curves_test",
        remark="the source reports no gain; a gain of up to 1 point counts as none",
        hypothesis=_RATES,
        speaks="for, else against",
        differs="here a VGG, at a hundred times the learning rate, which stays constant, without momentum and augmentation",
    ),
    curves_test_gap=Claim(
        "At learning rate 0.1, batch norm raises the final test accuracy by at most 1 point more than the final training "
        "accuracy.",
        ours("Santurkar et al. 2018 show both curves and draw no such conclusion"),
        (_TEST - _LAST).minus(*_NETS, _USUAL).below(0.01),
        caveat_of="curves_test",
        remark="in Santurkar et al. 2018, Fig. 1, after 15,000 steps, test minus training accuracy is 82.9 - 98.8 % with batch "
        "norm and 80.0 - 99.6 % without, or +3.7 points; here the nets do not fit the training images equally well, so that it "
        "says nothing about regularisation",
        since="2026-11-22",
        hypothesis=_REGULAR,
        speaks="neither",
    ),
    curves_test_batch_norm=_accepted("batch_norm", 15_000, (0.81, 0.85), "82.9 %"),
    curves_test_plain=_accepted("plain", 15_000, (0.77, 0.82), "80.0 %"),
    curves_one=Claim(
        "At learning rate 0.01, the test accuracy at the end is higher with a single batch norm, after layer 4, than without.",
        MAMELI,
        _TEST.minus("batch_norm_4", "plain", _SLOW).above(0),
        "79.2 % and 72.5 %, or +6.7 points",
        differs="here, except with preset mameli, inputs are standardised and there is no dropout",
    ),
    curves_adam=Claim(
        "With Adam at learning rate 0.0005, the best test accuracy during training is higher with batch norm than without.",
        ALEXEYGB,
        TEST_ACCURACY.highest().minus(*_NETS, learning_rate(5e-4)).where(*_ADAM).above(0),
        "82.3 % and 79.2 % within 50 epochs, or +3.1 points",
    ),
    curves_adam_high_rate=Claim(
        "With Adam at learning rate 0.003, the plain net ends at a test accuracy below 20 %, twice that of chance.",
        ALEXEYGB,
        _TEST.each("plain", learning_rate(3e-3)).where(*_ADAM).below(2 * CHANCE),
        "10.0 % throughout 50 epochs, against at best 84.3 % with batch norm",
        remark=_GUESSING,
        hypothesis=_RATES,
        speaks="for",
    ),
)

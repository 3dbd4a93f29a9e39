"""Claims about how fast and how well a VGG learns with batch norm, with a single one, and without."""

import math
from typing import Any

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import STEPS
from experiments._evidence.quantities import CHANCE, TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Data, Run, num_steps
from experiments._evidence.statistic import Criterion, Range, Statistic, join, smallest
from experiments._evidence.value import AtLeast, Missing
from experiments._nets import learning_rate

_SANTURKAR = "Santurkar et al. 2018, Fig. 1"
_MAMELI = "Mameli, repository Test_batch_norm_paper, 30 epochs"
_ALX = "AlexeyGB, repository batch-norm-helps-optimization, Adam, 50 epochs"
_READ_OFF = "Bjorck et al. 2018; values read off Santurkar et al. 2018, Fig. 1a and 3a"
_SLOW, _USUAL, _FAST = map(learning_rate, (0.01, 0.1, 0.5))
_NETS = ("batch_norm", "plain")

_EARLY = TRAIN_ACCURACY.median(800, 1200)
_STEPS = TRAIN_ACCURACY.steps_to(0.5)
_LAST, _TEST = TRAIN_ACCURACY.at_end(50), TEST_ACCURACY.at_end()


def _at_best_rate(net: str) -> Statistic:
    """Measure the steps to 50 % at the learning rate that suits a net best."""

    def of(data: Data) -> dict[int, float]:
        rates = [_STEPS.each(net, learning_rate(rate)) for rate in data["config"]["learning_rates"]]
        return smallest(*rates).of(data)

    who = _STEPS.each(net).who
    return Statistic(of, f"{_STEPS.words}, at each net's best learning rate", who, ("arms",), STEPS)


def _tolerated(data: Data) -> dict[int, float]:
    """Subtract the accuracy with batch norm at the plain net's best learning rate from that at its own."""
    rates = [learning_rate(rate) for rate in data["config"]["learning_rates"]]

    def gain(*accuracies: float) -> float:
        batch_norm, plain = accuracies[: len(rates)], accuracies[len(rates) :]
        return max(batch_norm) - batch_norm[plain.index(max(plain))]

    return join([_EARLY.each(net, rate) for net in _NETS for rate in rates], gain).of(data)


def _steps_of_plateau(run: Run) -> float:
    """Count the steps until the loss first is more than 0.02 away from that of a guess, ln 10."""
    steps, losses = TRAIN_LOSS.curve(run)
    if not losses.size:
        return Missing(f"not recorded: {TRAIN_LOSS.words}")
    left = steps[~(np.abs(losses - math.log(10)) <= 0.02)]
    if left.size:
        return float(left[0] + run.get("train", {}).get("window", 1))
    diverged_at = run["diverged_at"]
    return AtLeast(num_steps(run)) if diverged_at is None else float(diverged_at)


def _accepted(net: str, step: int, holds: Range, published: str, rate: float = 0.1, head: str = "") -> Claim:
    """Claim that a net's test accuracy at a step lies where replications of it may."""
    words = {"plain": "without batch norm", "batch_norm": "with batch norm", "batch_norm_4": "with a single batch norm"}
    statistic = TEST_ACCURACY.at(step).each(net, learning_rate(rate))
    statistic = statistic.where("model.head", head, f"head {head}") if head else statistic
    statement = f"After {step:,} steps at learning rate {rate:g}, the test accuracy {words[net]} is that of the source."
    return Claim(statement, _MAMELI if head else _SANTURKAR, Criterion(statistic, holds), published)


_TOLERATED = "BN at its best learning rate - BN at the plain net's best one"
_PLATEAU = Measure(_steps_of_plateau, "steps until the training loss first is 0.02 away from ln 10", STEPS)
_MAMELI_HEAD, _ADAM = ("model.head", "mameli", "head mameli"), ("optimizer.name", "adam", "optimizer adam")
_MAMELI_RUN: dict[str, Any] = {"rate": 0.01, "head": "mameli"}
_TEN_EPOCHS, _THIRTY_EPOCHS = 10 * 390, 30 * 390

CLAIMS = claims(
    curves_speed=Claim(
        "With batch norm the net learns faster.",
        f"{_SANTURKAR}a",
        _STEPS.over("plain", "batch_norm", _USUAL).above(1),
        "about 1,000 / fewer than 300, or more than 3 times",
    ),
    curves_speed_best_rates=Claim(
        "With batch norm the net learns faster even if each net has the learning rate that suits it best.",
        "Santurkar et al. 2018, Fig. 1a and 3a",
        (_at_best_rate("plain") / _at_best_rate("batch_norm")).above(1),
        "about 1,000 / fewer than 300, or more than 3 times",
    ),
    curves_speed_tolerance=Claim(
        "Batch norm tolerates larger learning rates: its lead is greater at 0.5 than at 0.01.",
        _READ_OFF,
        (_EARLY.minus(*_NETS, _FAST) - _EARLY.minus(*_NETS, _SLOW)).above(0),
        "60 points - 28 points, or +32 points",
        caveat_of="curves_speed",
    ),
    curves_speed_best_rate=Claim(
        "Part of its lead is that the learning rate that suits it best is larger than the plain net's.",
        _READ_OFF,
        Statistic(_tolerated, _EARLY.words, _TOLERATED, ("arms",), _EARLY.format.of_difference).above(0.01),
        "both are best at 0.1, or 0 points",
        caveat_of="curves_speed",
    ),
    curves_speed_late=Claim(
        "In the end both nets fit the training images equally well.",
        f"{_SANTURKAR}a",
        TRAIN_ACCURACY.at(15_000, average=1000).minus(*_NETS, _USUAL).within(0.02),
        "98.8 % and 99.6 %, or -0.8 points",
        caveat_of="curves_speed",
    ),
    curves_steps_batch_norm=Claim(
        "With batch norm a training accuracy of 80 % takes no more than 1,200 steps.",
        f"{_SANTURKAR}a",
        TRAIN_ACCURACY.steps_to(0.8, within=1200).each("batch_norm", _USUAL).between(0, 1200),
        "about 1,000",
    ),
    curves_steps_plain=Claim(
        "Without it, 80 % takes 2,000 to 4,000 steps.",
        f"{_SANTURKAR}a",
        TRAIN_ACCURACY.steps_to(0.8, within=4000).each("plain", _USUAL).between(2000, 4000),
        "3,000 to 5,000",
    ),
    curves_early=Claim(
        "After as few steps as 1,000 the net is ahead with batch norm.",
        f"{_SANTURKAR}a",
        _EARLY.minus(*_NETS, _USUAL).above(0),
        "81.4 % and 51.9 %, or +30 points",
    ),
    curves_early_low_rate=Claim(
        "At a tenth of the learning rate it learns faster too.",
        "Santurkar et al. 2018, Fig. 3a",
        TRAIN_ACCURACY.median(500, 1500).minus(*_NETS, _SLOW).above(0),
        "71 % and 43 %, or +28 points",
    ),
    curves_high_rate=Claim(
        "With batch norm the net learns at a learning rate at which the plain one does not.",
        f"{_SANTURKAR}a",
        _EARLY.minus(*_NETS, _FAST).above(0),
        "67.8 % and 8.2 %, or +60 points",
    ),
    curves_high_rate_plain=Claim(
        "At learning rate 0.5 the plain net stays at guessing.",
        f"{_SANTURKAR}a and b",
        _LAST.each("plain", _FAST).below(2 * CHANCE),
        "8 % to 10 % throughout",
        remark="below twice the accuracy of a guess",
    ),
    curves_high_rate_batch_norm=_accepted("batch_norm", 15_000, (0.75, math.inf), "80.2 %", rate=0.5),
    curves_test=Claim(
        "After as many steps, the test accuracy is higher with batch norm.",
        f"{_SANTURKAR}b",
        _TEST.minus(*_NETS, _USUAL).above(0),
        "82.9 % and 80.0 %, or +3 points",
    ),
    curves_test_low_rate=Claim(
        "At an equal, small learning rate batch norm gains nothing: its gain is that it allows larger ones.",
        "Bjorck et al. 2018",
        TEST_ACCURACY.at(15_000).minus(*_NETS, _SLOW).below(0.01),
        "no gain, of a ResNet at learning rate 0.0001",
        caveat_of="curves_test",
    ),
    curves_test_low_rate_early=Claim(
        "Nor does it gain anything at that learning rate within the steps that were taken here.",
        "Bjorck et al. 2018, of the whole training",
        _TEST.minus(*_NETS, _SLOW).below(0.01),
        caveat_of="curves_test",
    ),
    curves_test_gap=Claim(
        "That is faster learning, no better generalisation: it is no further ahead in tests than in training.",
        "not in the paper, which shows both curves",
        (_TEST - _LAST).minus(*_NETS, _USUAL).below(0.01),
        "82.9 - 98.8 % and 80.0 - 99.6 %, or +3.7 points, once both nets have learnt the training images",
        caveat_of="curves_test",
    ),
    curves_test_batch_norm=_accepted("batch_norm", 15_000, (0.81, 0.85), "82.9 %"),
    curves_test_plain=_accepted("plain", 15_000, (0.77, 0.82), "80.0 %"),
    curves_one=Claim(
        "A single batch norm, after layer 4, is enough: after as many steps the test accuracy is higher.",
        _MAMELI,
        _TEST.minus("batch_norm_4", "plain", _SLOW).above(0),
        "79.2 % and 72.5 %, or +6.7 points; after 10 epochs 72.4 % and 44.5 %",
    ),
    curves_one_loss=Claim(
        "In the end the test loss is larger with it, although the accuracy is too.",
        _MAMELI,
        TEST_LOSS.at(_THIRTY_EPOCHS).minus("batch_norm_4", "plain", _SLOW).where(*_MAMELI_HEAD).above(0),
        "1.405 and 0.864, or +0.54",
        caveat_of="curves_one",
    ),
    curves_one_plateau=Claim(
        "Without it, nothing is learnt for the first 400 steps and more.",
        _MAMELI,
        _PLATEAU.each("plain", _SLOW).where(*_MAMELI_HEAD).above(400),
        "about 750 to 900",
    ),
    curves_one_10_epochs=_accepted("batch_norm_4", _TEN_EPOCHS, (0.6, 0.75), "72.4 %", **_MAMELI_RUN),
    curves_none_10_epochs=_accepted("plain", _TEN_EPOCHS, (0.35, 0.5), "44.5 %", **_MAMELI_RUN),
    curves_one_30_epochs=_accepted("batch_norm_4", _THIRTY_EPOCHS, (0.76, 0.81), "79.2 %", **_MAMELI_RUN),
    curves_none_30_epochs=_accepted("plain", _THIRTY_EPOCHS, (0.68, 0.75), "72.5 %", **_MAMELI_RUN),
    curves_adam=Claim(
        "With Adam, too, the test accuracy is higher with batch norm.",
        _ALX,
        TEST_ACCURACY.highest().minus(*_NETS, learning_rate(5e-4)).where(*_ADAM).above(0),
        "82.3 % and 79.2 %, or +3.1 points",
    ),
    curves_adam_high_rate=Claim(
        "With Adam at learning rate 0.003 the plain net stays at guessing.",
        _ALX,
        _TEST.each("plain", learning_rate(3e-3)).where(*_ADAM).below(2 * CHANCE),
        "10.0 %, against 84.3 % with BN",
        remark="below twice the accuracy of a guess",
    ),
)

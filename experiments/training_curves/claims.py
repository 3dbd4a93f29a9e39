"""Claims about how fast and how well a VGG learns with batch norm, with a single one, and without."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims.claim import PERCENT, POINTS, STEPS, TIMES, Claim
from experiments._claims.measures import (
    CHANCE,
    DataMeasure,
    Run,
    at_step,
    difference,
    divide,
    each,
    ends_of,
    final,
    highest,
    median_of,
    ratio,
    steps_to,
)

_SANTURKAR = "Santurkar et al. 2018, Fig. 1"
_MAMELI = "Mameli, repository Test_batch_norm_paper, 30 epochs"
_ALX = "AlexeyGB, repository batch-norm-helps-optimization, Adam, 50 epochs"


def _nets(*nets: str, rates: tuple[str, ...]) -> tuple[str, ...]:
    """Name the arms of some nets at some learning rates, as they are in the data."""
    return tuple(f"arms/{net}_{rate}" for net in nets for rate in rates)


def _early(rate: str, first: int = 800, last: int = 1200) -> DataMeasure:
    """Measure the lead in training accuracy, the median over the steps between two."""
    accuracy = median_of("train", "accuracy", first, last, if_diverged=CHANCE)
    return difference(f"batch_norm_{rate}", f"plain_{rate}", accuracy)


def _growth(data: dict[str, Any]) -> list[float]:
    """Measure how much larger the early lead is at learning rate 0.5 than at 0.01."""
    return [high - low for high, low in zip(_early("0.5")(data), _early("0.01")(data), strict=True)]


def _at_best_rates(data: dict[str, Any]) -> list[float]:
    """Divide the plain net's steps to 50 % by batch norm's, each at the best of the learning rates for its seed."""

    def best(net: str) -> list[float]:
        measured = [each(f"{net}_{rate:g}", steps_to(0.5))(data) for rate in data["config"]["learning_rates"]]
        return [min(values) for values in zip(*measured, strict=True)]

    return [divide(*pair) for pair in zip(best("plain"), best("batch_norm"), strict=True)]


def _tolerated(data: dict[str, Any]) -> list[float]:
    """Measure how much further batch norm is early on at the best of its learning rates than at the plain net's best one."""
    accuracy = median_of("train", "accuracy", 800, 1200, if_diverged=CHANCE)

    def by_rate(net: str) -> np.ndarray:
        return np.array([each(f"{net}_{rate:g}", accuracy)(data) for rate in data["config"]["learning_rates"]])

    plain, batch_norm = by_rate("plain"), by_rate("batch_norm")
    return (batch_norm.max(axis=0) - np.take_along_axis(batch_norm, plain.argmax(axis=0)[None], axis=0)[0]).tolist()


def _steps_of_plateau(run: Run) -> float:
    """Count the steps before the loss first is more than 0.02 away from that of a guess, ln 10."""
    ends, losses = ends_of(run, "train", "loss")
    left = ends[~(np.abs(losses - math.log(10)) <= 0.02)]
    return float(left[0]) if left.size else math.nan if run["diverged_at"] is None else float(run["diverged_at"])


def _only(measure: DataMeasure, **fields: Any) -> DataMeasure:
    """Measure nothing in data whose configuration has other fields than these."""
    return lambda data: (
        measure(data) if all(data["config"][name] == value for name, value in fields.items()) else [math.nan]
    )


def _accepted(net: str, step: int, low: float, high: float, published: str, **more: Any) -> Claim:
    """Claim that a net's test accuracy at a step lies where replications of it may, by a learning rate and a wrapper."""
    rate, source = more.pop("rate", "0.1"), more.pop("source", _SANTURKAR)
    wrap: Callable[[DataMeasure], DataMeasure] = more.pop("wrap", lambda measure: measure)
    words = {"plain": "without batch norm", "batch_norm": "with batch norm", "batch_norm_4": "with a single batch norm"}
    arm = f"{net}_{rate}"
    return Claim(
        statement=f"After {step:,} steps at learning rate {rate}, the test accuracy {words[net]} is that of the source.",
        source=source,
        statistic="accuracy on all test images, running statistics",
        published=published,
        measure=wrap(each(arm, at_step("test", step))),
        supported=(low, high),
        format=PERCENT,
        arms=(f"arms/{arm}",),
        **more,
    )


def _in_mameli(measure: DataMeasure) -> DataMeasure:
    """Measure only nets with the classifier of the seed repository."""
    return _only(measure, head="mameli")


_MAMELI_RUN: dict[str, Any] = {"rate": "0.01", "source": _MAMELI, "wrap": _in_mameli}

CLAIMS = (
    Claim(
        name="curves_speed",
        statement="With batch norm the net learns faster.",
        source=f"{_SANTURKAR}a",
        statistic="steps to a training accuracy of 50 %, median of 5 logs, at learning rate 0.1: plain / BN",
        published="about 1,000 / fewer than 300, or more than 3 times",
        measure=ratio("plain_0.1", "batch_norm_0.1", steps_to(0.5)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_nets("plain", "batch_norm", rates=("0.1",)),
    ),
    Claim(
        name="curves_speed_best_rates",
        statement="With batch norm the net learns faster even if each net has the learning rate that suits it best.",
        source="Santurkar et al. 2018, Fig. 1a and 3a",
        statistic="steps to a training accuracy of 50 %, the smallest of all learning rates: plain / BN",
        published="about 1,000 / fewer than 300, or more than 3 times",
        measure=_at_best_rates,
        supported=(1, math.inf),
        format=TIMES,
    ),
    Claim(
        name="curves_speed_tolerance",
        statement="Batch norm tolerates larger learning rates: its lead is greater at 0.5 than at 0.01.",
        source="Bjorck et al. 2018; values read off Santurkar et al. 2018, Fig. 1a and 3a",
        statistic="training accuracy, median over steps 800 to 1,200, BN - plain: at learning rate 0.5 - at 0.01",
        published="60 points - 28 points, or +32 points",
        measure=_growth,
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.01", "0.5")),
        caveat_of="curves_speed",
    ),
    Claim(
        name="curves_speed_best_rate",
        statement="Part of its lead is that the learning rate that suits it best is larger than the plain net's.",
        source="Bjorck et al. 2018; values read off Santurkar et al. 2018, Fig. 1a and 3a",
        statistic="training accuracy with BN, median over steps 800 to 1,200: at its best learning rate - at the plain net's; "
        "more than a point is asked for",
        published="both are best at 0.1, or 0 points",
        measure=_tolerated,
        supported=(0.01, math.inf),
        format=POINTS,
        caveat_of="curves_speed",
    ),
    Claim(
        name="curves_speed_late",
        statement="In the end both nets fit the training images equally well.",
        source=f"{_SANTURKAR}a",
        statistic="training accuracy, mean of steps 14,000 to 15,000 at learning rate 0.1: BN - plain; within 2 points of 0",
        published="98.8 % and 99.6 %, or -0.8 points",
        measure=difference("batch_norm_0.1", "plain_0.1", at_step("train", 15_000, num_steps=1000)),
        supported=(-0.02, 0.02),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.1",)),
        caveat_of="curves_speed",
    ),
    Claim(
        name="curves_steps_batch_norm",
        statement="With batch norm a training accuracy of 80 % takes no more than 1,200 steps.",
        source=f"{_SANTURKAR}a",
        statistic="steps to a training accuracy of 80 %, median of 5 logs, at learning rate 0.1",
        published="about 1,000",
        measure=each("batch_norm_0.1", steps_to(0.8, within=1200)),
        supported=(0, 1200),
        format=STEPS,
        arms=_nets("batch_norm", rates=("0.1",)),
    ),
    Claim(
        name="curves_steps_plain",
        statement="Without it, 80 % takes 2,000 to 4,000 steps.",
        source=f"{_SANTURKAR}a",
        statistic="steps to a training accuracy of 80 %, median of 5 logs, at learning rate 0.1",
        published="3,000 to 5,000",
        measure=each("plain_0.1", steps_to(0.8, within=4000)),
        supported=(2000, 4000),
        format=STEPS,
        arms=_nets("plain", rates=("0.1",)),
    ),
    Claim(
        name="curves_early",
        statement="After as few steps as 1,000 the net is ahead with batch norm.",
        source=f"{_SANTURKAR}a",
        statistic="training accuracy, median over steps 800 to 1,200 at learning rate 0.1: BN - plain",
        published="81.4 % and 51.9 %, or +30 points",
        measure=_early("0.1"),
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.1",)),
    ),
    Claim(
        name="curves_early_low_rate",
        statement="At a tenth of the learning rate it learns faster too.",
        source="Santurkar et al. 2018, Fig. 3a",
        statistic="training accuracy, median over steps 500 to 1,500 at learning rate 0.01: BN - plain",
        published="71 % and 43 %, or +28 points",
        measure=_early("0.01", 500, 1500),
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.01",)),
    ),
    Claim(
        name="curves_high_rate",
        statement="With batch norm the net learns at a learning rate at which the plain one does not.",
        source=f"{_SANTURKAR}a",
        statistic="training accuracy, median over steps 800 to 1,200 at learning rate 0.5: BN - plain",
        published="67.8 % and 8.2 %, or +60 points",
        measure=_early("0.5"),
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.5",)),
    ),
    Claim(
        name="curves_high_rate_plain",
        statement="At learning rate 0.5 the plain net stays at guessing.",
        source=f"{_SANTURKAR}a and b",
        statistic="training accuracy, mean of the last 50 steps; below twice that of a guess",
        published="8 % to 10 % throughout",
        measure=each("plain_0.5", final("train", num_steps=50)),
        supported=(-math.inf, 2 * CHANCE),
        format=PERCENT,
        arms=_nets("plain", rates=("0.5",)),
    ),
    _accepted("batch_norm", 15_000, 0.75, math.inf, "80.2 %", rate="0.5", name="curves_high_rate_batch_norm"),
    Claim(
        name="curves_test",
        statement="After as many steps, the test accuracy is higher with batch norm.",
        source=f"{_SANTURKAR}b",
        statistic="accuracy on all test images at the end, running statistics, learning rate 0.1: BN - plain",
        published="82.9 % and 80.0 %, or +3 points",
        measure=difference("batch_norm_0.1", "plain_0.1", final("test")),
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.1",)),
    ),
    Claim(
        name="curves_test_low_rate",
        statement="At an equal, small learning rate batch norm gains nothing: its gain is that it allows larger ones.",
        source="Bjorck et al. 2018",
        statistic="accuracy on all test images after 15,000 steps, learning rate 0.01: BN - plain; less than a point",
        published="no gain, of a ResNet at learning rate 0.0001",
        measure=difference("batch_norm_0.01", "plain_0.01", at_step("test", 15_000)),
        supported=(-math.inf, 0.01),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.01",)),
        caveat_of="curves_test",
    ),
    Claim(
        name="curves_test_low_rate_early",
        statement="Nor does it gain anything at that learning rate within the steps that were taken here.",
        source="Bjorck et al. 2018, of the whole training",
        statistic="accuracy on all test images at the end, learning rate 0.01: BN - plain; less than a point",
        published="-",
        measure=difference("batch_norm_0.01", "plain_0.01", final("test")),
        supported=(-math.inf, 0.01),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.01",)),
        caveat_of="curves_test",
    ),
    Claim(
        name="curves_test_gap",
        statement="That is faster learning, no better generalisation: it is no further ahead in tests than in training.",
        source="not in the paper, which shows both curves",
        statistic="test - training accuracy (last 50 batches) at the end, learning rate 0.1: BN - plain; at most a point",
        published="82.9 - 98.8 % and 80.0 - 99.6 %, or +3.7 points, once both nets have learnt the training images",
        measure=difference(
            "batch_norm_0.1", "plain_0.1", lambda run: final("test")(run) - final("train", num_steps=50)(run)
        ),
        supported=(-math.inf, 0.01),
        format=POINTS,
        arms=_nets("plain", "batch_norm", rates=("0.1",)),
        caveat_of="curves_test",
    ),
    _accepted("batch_norm", 15_000, 0.81, 0.85, "82.9 %", name="curves_test_batch_norm"),
    _accepted("plain", 15_000, 0.77, 0.82, "80.0 %", name="curves_test_plain"),
    Claim(
        name="curves_one",
        statement="A single batch norm, after layer 4, is enough: after as many steps the test accuracy is higher.",
        source=_MAMELI,
        statistic="accuracy on all test images at the end, running statistics, learning rate 0.01: one BN - plain",
        published="79.2 % and 72.5 %, or +6.7 points; after 10 epochs 72.4 % and 44.5 %",
        measure=difference("batch_norm_4_0.01", "plain_0.01", final("test")),
        supported=(0, math.inf),
        format=POINTS,
        arms=_nets("plain", "batch_norm_4", rates=("0.01",)),
    ),
    Claim(
        name="curves_one_loss",
        statement="In the end the test loss is larger with it, although the accuracy is too.",
        source=_MAMELI,
        statistic="cross-entropy on all test images after 30 epochs, in nats, learning rate 0.01: one BN - plain",
        published="1.405 and 0.864, or +0.54",
        measure=_in_mameli(
            difference("batch_norm_4_0.01", "plain_0.01", at_step("test", 30 * 390, "loss", if_diverged=math.inf))
        ),
        supported=(0, math.inf),
        arms=_nets("plain", "batch_norm_4", rates=("0.01",)),
        caveat_of="curves_one",
    ),
    Claim(
        name="curves_one_plateau",
        statement="Without it, nothing is learnt for the first 400 steps and more.",
        source=_MAMELI,
        statistic="steps before the training loss first is 0.02 away from ln 10, learning rate 0.01",
        published="about 750 to 900",
        measure=_in_mameli(each("plain_0.01", _steps_of_plateau)),
        supported=(400, math.inf),
        format=STEPS,
        arms=_nets("plain", rates=("0.01",)),
    ),
    _accepted("batch_norm_4", 10 * 390, 0.6, 0.75, "72.4 %", name="curves_one_10_epochs", **_MAMELI_RUN),
    _accepted("plain", 10 * 390, 0.35, 0.5, "44.5 %", name="curves_none_10_epochs", **_MAMELI_RUN),
    _accepted("batch_norm_4", 30 * 390, 0.76, 0.81, "79.2 %", name="curves_one_30_epochs", **_MAMELI_RUN),
    _accepted("plain", 30 * 390, 0.68, 0.75, "72.5 %", name="curves_none_30_epochs", **_MAMELI_RUN),
    Claim(
        name="curves_adam",
        statement="With Adam, too, the test accuracy is higher with batch norm.",
        source=_ALX,
        statistic="best accuracy on all test images, running statistics, learning rate 0.0005: BN - plain",
        published="82.3 % and 79.2 %, or +3.1 points",
        measure=_only(difference("batch_norm_0.0005", "plain_0.0005", highest("test")), optimizer="adam"),
        supported=(0, math.inf),
        format=POINTS,
    ),
    Claim(
        name="curves_adam_high_rate",
        statement="With Adam at learning rate 0.003 the plain net stays at guessing.",
        source=_ALX,
        statistic="accuracy on all test images at the end, running statistics; below twice that of a guess",
        published="10.0 %, against 84.3 % with BN",
        measure=_only(each("plain_0.003", final("test")), optimizer="adam"),
        supported=(-math.inf, 2 * CHANCE),
        format=PERCENT,
    ),
)

"""Claims about internal covariate shift: how the step of earlier layers changes a layer's gradient."""

import math
from collections.abc import Callable
from typing import Any

from experiments._claims.claim import POINTS, TIMES, Claim, Format
from experiments._claims.deep_linear import covariate_shift as deep_linear
from experiments._claims.measures import (
    DataMeasure,
    RunMeasure,
    difference,
    divide,
    final,
    median_of,
    nets,
    pairs,
    shift,
    times,
)
from experiments._numbers.curves import array, of_layer

_SAN, _ALX = "Santurkar et al. 2018", "replication AlexeyGB/batch-norm-helps-optimization, read off"
_MAM = "F. Mameli, repository Test_batch_norm_paper, read off"
_RELATIVE = "the definition, normalised"
_COSINE = Format("+z.2f")


def _dummy(name: str, **steps: Any) -> RunMeasure:
    """Take the median of what the seed repository measures."""
    return median_of("dummy_shift", name, **steps)


def _of_both(setting: str, measure: Callable[[dict], float], choose: Callable[..., float]) -> DataMeasure:
    """Measure both nets of a seed, and take one of the two numbers."""
    return lambda data: [
        choose(measure(run), measure(partner))
        for run, partner in pairs(*(data["arms"][arm.split("/")[1]] for arm in nets(setting)))
    ]


def _floor(run: dict) -> float:
    """Say how much of the seed repository's measure is there before any layer has moved."""
    return divide(_dummy("zero_step_difference")(run), _dummy("step_difference")(run))


def _turn(run: dict) -> float:
    """Divide the seed repository's cosine by that of the definition, both without their signs."""
    second = median_of("dummy_shift", lambda curves: abs(array(curves["step_cosine"])), if_diverged=math.nan)
    honest = median_of("shift", lambda curves: abs(of_layer("layer_5", "cosine")(curves)), if_diverged=math.nan)
    return divide(second(run), honest(run))


CLAIMS = (
    Claim(
        name="shift_not_less",
        statement="At learning rate 0.1, layer 5 of a VGG has as much covariate shift with batch norm as without, or more.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3; F. Mameli; J. Huber, Fig. 7",
        statistic="|G - G'|, Definition 2.1, SGD, median from step 50 on: BN / plain; as much is at least half",
        published="1.00 / 0.067 in steps 0 to 300, 0.88 / 0.50 around 1,000, 1.06 / 1.01 around 3,000, or 15, 1.8, 1.05 times",
        measure=times("sgd_0.1", shift(5, first=50)),
        supported=(0.5, math.inf),
        format=TIMES,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_not_less_relative",
        statement="In units of the layer's own gradient it has less.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, SGD, learning rate 0.1, median from step 50 on: BN / plain",
        published="-",
        measure=times("sgd_0.1", shift(5, "relative_difference", first=50)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("sgd_0.1"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_not_less_deeper",
        statement="In layer 10, at learning rate 0.1, both nets have about as much.",
        source=f"{_SAN}, Fig. 3a, whose axis has no numbers",
        statistic="|G - G'| of layer 10, SGD, median from step 50 on: BN / plain, from half to twice",
        published="both curves overlap",
        measure=times("sgd_0.1", shift(10, first=50)),
        supported=(0.5, 2),
        format=TIMES,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_and_yet_better",
        statement="And yet the net with batch norm trains better.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3",
        statistic="accuracy on the last 50 training batches, SGD, learning rate 0.1: BN - plain",
        published="81.4 - 51.9 % around step 1,000, or 29.5 points",
        measure=difference("batch_norm_sgd_0.1", "plain_sgd_0.1", final("train", num_steps=50)),
        supported=(0, math.inf),
        format=POINTS,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_later",
        statement="From step 2,000 on, both nets have about as much.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.1, median from step 2,000 on: BN / plain, from 0.5 to 3",
        published="1.06 / 1.01, 0.65 / 0.94, 0.88 / 0.70, 0.68 / 0.47, or 0.7 to 1.4 times",
        measure=times("sgd_0.1", shift(5, first=2000)),
        supported=(0.5, 3),
        format=TIMES,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_at_start",
        statement="At initialisation the net with batch norm has at least ten times as much.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5 at step 0, SGD, learning rate 0.1: BN / plain",
        published="14.7 / 0.067, the latter a median up to step 300, or 219 times",
        measure=times("sgd_0.1", shift(5, last=0)),
        supported=(10, math.inf),
        format=TIMES,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_slow_rate",
        statement="At learning rate 0.01, too, it is more with batch norm, early in training.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN / plain",
        published="4.1 / 0.11, 2.7 / 0.58 and 2.7 / 1.20, or 37, 4.7 and 2.3 times",
        measure=times("sgd_0.01", shift(5, first=50, last=3500)),
        supported=(1, math.inf),
        format=TIMES,
        arms=nets("sgd_0.01"),
    ),
    Claim(
        name="shift_slow_rate_relative",
        statement="So it is in units of the layer's own gradient.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN / plain",
        published="-",
        measure=times("sgd_0.01", shift(5, "relative_difference", first=50, last=3500)),
        supported=(1, math.inf),
        format=TIMES,
        arms=nets("sgd_0.01"),
    ),
    Claim(
        name="shift_slow_rate_later",
        statement="At learning rate 0.01, it is less with batch norm from step 4,500 on, when that net has learnt everything.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.01, median over steps 4,500 to 11,000: BN / plain",
        published="0.048 / 1.43 and 0.005 / 0.94, or 0.03 and 0.005 times",
        measure=times("sgd_0.01", shift(5, first=4500, last=11000)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("sgd_0.01"),
        caveat_of="shift_slow_rate",
    ),
    Claim(
        name="shift_adam",
        statement="With Adam the sign is the opposite: there is less covariate shift in layer 5 with batch norm.",
        source=_ALX,
        statistic="|G - G'| of layer 5, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="0.08 to 0.15 / 0.2 to 1.0, or 0.1 to 0.7 times",
        measure=times("adam_0.001", shift(5, first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_adam_dense",
        statement="So it is with Adam in layer 10, a dense one.",
        source=_ALX,
        statistic="|G - G'| of layer 10, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="0.02 to 0.06 / 0.06 to 0.15, or 0.1 to 1 times",
        measure=times("adam_0.001", shift(10, first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_adam_relative",
        statement="In units of the layer's own gradient there is less with Adam, too.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="-",
        measure=times("adam_0.001", shift(5, "relative_difference", first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_gradients_alike",
        statement="Batch norm reduces covariate shift: the step of earlier layers turns the gradient of layer 5 less.",
        source=f"Ioffe & Szegedy 2015, Sec. 2, in the words of {_SAN}, Sec. 2.2",
        statistic="cosine of G and G', SGD, learning rate 0.1, median from step 50 on: BN - plain",
        published="0.67 - 0.86 in steps 0 to 300, 0.75 - 0.76 around 1,000, or -0.19 and -0.01",
        measure=difference("batch_norm_sgd_0.1", "plain_sgd_0.1", shift(5, "cosine", first=50)),
        supported=(0, math.inf),
        format=_COSINE,
        arms=nets("sgd_0.1"),
    ),
    Claim(
        name="shift_gradients_alike_slow",
        statement="So it does at learning rate 0.01.",
        source=f"Ioffe & Szegedy 2015, Sec. 2, in the words of {_SAN}, Sec. 2.2",
        statistic="cosine of G and G' of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN - plain",
        published="0.57 - 0.98, 0.72 - 0.91 and 0.61 - 0.84, or -0.41, -0.19 and -0.23",
        measure=difference("batch_norm_sgd_0.01", "plain_sgd_0.01", shift(5, "cosine", first=50, last=3500)),
        supported=(0, math.inf),
        format=_COSINE,
        arms=nets("sgd_0.01"),
    ),
    Claim(
        name="shift_second_net",
        statement="Measured against a second net, as the seed repository does, covariate shift is higher with batch norm.",
        source=_MAM,
        statistic="distance of the gradients of layer 5 in both nets, SGD, rate 0.01, median up to step 7,000: BN / plain",
        published="3.7 / 1.0 at step 1,000, 4.2 / 1.9 at 3,000, or 3.7 and 2.2 times",
        measure=times("sgd_0.01", _dummy("step_difference", last=7000)),
        supported=(1, math.inf),
        format=TIMES,
        arms=nets("sgd_0.01"),
    ),
    Claim(
        name="shift_second_net_floor",
        statement="Most of that is no covariate shift: it is there when no layer has taken a step.",
        source="control: the same comparison without any step",
        statistic="the same distance, no step / the step, medians over all steps, the smaller of both nets",
        published="-",
        measure=_of_both("sgd_0.01", _floor, min),
        supported=(0.5, math.inf),
        format=TIMES,
        arms=nets("sgd_0.01"),
        caveat_of="shift_second_net",
    ),
    Claim(
        name="shift_second_net_cosine",
        statement="The gradients of net and second net are far less alike than G and G' are.",
        source=_MAM,
        statistic="median |cosine| of layer 5, second net / Definition 2.1, learning rate 0.01, the larger of both nets; far "
        "less is below half",
        published="0.02 to 0.21 / 0.57 to 0.98, or below 0.4 times",
        measure=_of_both("sgd_0.01", _turn, max),
        supported=(0, 0.5),
        format=TIMES,
        arms=nets("sgd_0.01"),
        caveat_of="shift_second_net",
    ),
    Claim(
        name="shift_second_net_later",
        statement="That measure, too, is lower with batch norm once its loss has collapsed.",
        source=_MAM,
        statistic="the same distance, median from step 9,000 on: BN / plain",
        published="1.6 / 3.8 at step 10,000, or 0.42 times",
        measure=times("sgd_0.01", _dummy("step_difference", first=9000)),
        supported=(0, 1),
        format=TIMES,
        arms=nets("sgd_0.01"),
        caveat_of="shift_second_net",
    ),
    *deep_linear.CLAIMS,
)

"""Claims about internal covariate shift: how the step of earlier layers changes a layer's gradient."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims.claim import POINTS, TIMES, Claim, Format
from experiments._claims.measures import (
    DataMeasure,
    RunMeasure,
    curve,
    difference,
    divide,
    each,
    final,
    median_of,
    pairs,
    ratio,
)
from experiments._numbers.curves import array, of_layer

_SAN, _ALX = "Santurkar et al. 2018", "replication AlexeyGB/batch-norm-helps-optimization, read off"
_MAM = "F. Mameli, repository Test_batch_norm_paper, read off"
_RELATIVE = "the definition, normalised"
_COSINE = Format("+z.2f")


def _nets(setting: str, group: str = "arms") -> tuple[str, str]:
    """Name what is counted of a setting: with batch norm, and without."""
    return f"{group}/batch_norm_{setting}", f"{group}/plain_{setting}"


def _shift(layer: int, name: str = "difference", **steps: Any) -> RunMeasure:
    """Take the median of what was measured of a layer over some steps; a cosine that is not there is not known."""
    missing = {"if_diverged": math.nan} if name == "cosine" else {}
    return median_of("shift", of_layer(f"layer_{layer}", name), **steps, **missing)


def _times(setting: str, measure: RunMeasure, group: str = "arms") -> DataMeasure:
    """Divide with batch norm by without."""
    return ratio(f"batch_norm_{setting}", f"plain_{setting}", measure, group)


def _dummy(name: str, **steps: Any) -> RunMeasure:
    """Take the median of what the seed repository measures."""
    return median_of("dummy_shift", name, **steps)


def _of_both(setting: str, measure: Callable[[dict], float], choose: Callable[..., float]) -> DataMeasure:
    """Measure both nets of a seed, and take one of the two numbers."""
    return lambda data: [
        choose(measure(run), measure(partner))
        for run, partner in pairs(*(data["arms"][arm.split("/")[1]] for arm in _nets(setting)))
    ]


def _floor(run: dict) -> float:
    """Say how much of the seed repository's measure is there before any layer has moved."""
    return divide(_dummy("zero_step_difference")(run), _dummy("step_difference")(run))


def _turn(run: dict) -> float:
    """Divide the seed repository's cosine by that of the definition, both without their signs."""
    second = median_of("dummy_shift", lambda curves: abs(array(curves["step_cosine"])), if_diverged=math.nan)
    honest = median_of("shift", lambda curves: abs(of_layer("layer_5", "cosine")(curves)), if_diverged=math.nan)
    return divide(second(run), honest(run))


def _mean_turn(run: dict) -> float:
    """Average the cosine of layer 17 from step 1,000 on."""
    steps, values = curve(run, "shift", of_layer("layer_17", "cosine"))
    return float(np.mean(values[steps >= 1000])) if (steps >= 1000).any() else math.nan


def _steady(run: dict) -> float:
    """Take the smaller one of the cosines of layers 9 and 17 from step 1,000 on."""
    return min(_shift(layer, "cosine", first=1000)(run) for layer in (9, 17))


CLAIMS = (
    Claim(
        name="shift_not_less",
        statement="At learning rate 0.1, layer 5 of a VGG has as much covariate shift with batch norm as without, or more.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3; F. Mameli; J. Huber, Fig. 7",
        statistic="|G - G'|, Definition 2.1, SGD, median from step 50 on: BN / plain; as much is at least half",
        published="1.00 / 0.067 in steps 0 to 300, 0.88 / 0.50 around 1,000, 1.06 / 1.01 around 3,000, or 15, 1.8, 1.05 times",
        measure=_times("sgd_0.1", _shift(5, first=50)),
        supported=(0.5, math.inf),
        format=TIMES,
        arms=_nets("sgd_0.1"),
    ),
    Claim(
        name="shift_not_less_relative",
        statement="In units of the layer's own gradient it has less.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, SGD, learning rate 0.1, median from step 50 on: BN / plain",
        published="-",
        measure=_times("sgd_0.1", _shift(5, "relative_difference", first=50)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("sgd_0.1"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_not_less_deeper",
        statement="In layer 10, at learning rate 0.1, both nets have about as much.",
        source=f"{_SAN}, Fig. 3a, whose axis has no numbers",
        statistic="|G - G'| of layer 10, SGD, median from step 50 on: BN / plain, from half to twice",
        published="both curves overlap",
        measure=_times("sgd_0.1", _shift(10, first=50)),
        supported=(0.5, 2),
        format=TIMES,
        arms=_nets("sgd_0.1"),
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
        arms=_nets("sgd_0.1"),
    ),
    Claim(
        name="shift_later",
        statement="From step 2,000 on, both nets have about as much.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.1, median from step 2,000 on: BN / plain, from 0.5 to 3",
        published="1.06 / 1.01, 0.65 / 0.94, 0.88 / 0.70, 0.68 / 0.47, or 0.7 to 1.4 times",
        measure=_times("sgd_0.1", _shift(5, first=2000)),
        supported=(0.5, 3),
        format=TIMES,
        arms=_nets("sgd_0.1"),
    ),
    Claim(
        name="shift_at_start",
        statement="At initialisation the net with batch norm has at least ten times as much.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5 at step 0, SGD, learning rate 0.1: BN / plain",
        published="14.7 / 0.067, the latter a median up to step 300, or 219 times",
        measure=_times("sgd_0.1", _shift(5, last=0)),
        supported=(10, math.inf),
        format=TIMES,
        arms=_nets("sgd_0.1"),
    ),
    Claim(
        name="shift_slow_rate",
        statement="At learning rate 0.01, too, it is more with batch norm, early in training.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN / plain",
        published="4.1 / 0.11, 2.7 / 0.58 and 2.7 / 1.20, or 37, 4.7 and 2.3 times",
        measure=_times("sgd_0.01", _shift(5, first=50, last=3500)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_nets("sgd_0.01"),
    ),
    Claim(
        name="shift_slow_rate_relative",
        statement="So it is in units of the layer's own gradient.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN / plain",
        published="-",
        measure=_times("sgd_0.01", _shift(5, "relative_difference", first=50, last=3500)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_nets("sgd_0.01"),
    ),
    Claim(
        name="shift_slow_rate_later",
        statement="At learning rate 0.01, it is less with batch norm from step 4,500 on, when that net has learnt everything.",
        source=f"{_SAN}, Fig. 3a, read off",
        statistic="|G - G'| of layer 5, SGD, learning rate 0.01, median over steps 4,500 to 11,000: BN / plain",
        published="0.048 / 1.43 and 0.005 / 0.94, or 0.03 and 0.005 times",
        measure=_times("sgd_0.01", _shift(5, first=4500, last=11000)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("sgd_0.01"),
        caveat_of="shift_slow_rate",
    ),
    Claim(
        name="shift_adam",
        statement="With Adam the sign is the opposite: there is less covariate shift in layer 5 with batch norm.",
        source=_ALX,
        statistic="|G - G'| of layer 5, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="0.08 to 0.15 / 0.2 to 1.0, or 0.1 to 0.7 times",
        measure=_times("adam_0.001", _shift(5, first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_adam_dense",
        statement="So it is with Adam in layer 10, a dense one.",
        source=_ALX,
        statistic="|G - G'| of layer 10, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="0.02 to 0.06 / 0.06 to 0.15, or 0.1 to 1 times",
        measure=_times("adam_0.001", _shift(10, first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_adam_relative",
        statement="In units of the layer's own gradient there is less with Adam, too.",
        source=_RELATIVE,
        statistic="|G - G'| / |G| of layer 5, Adam, learning rate 0.001, median from step 100 on: BN / plain",
        published="-",
        measure=_times("adam_0.001", _shift(5, "relative_difference", first=100)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("adam_0.001"),
        caveat_of="shift_not_less",
    ),
    Claim(
        name="shift_gradients_alike",
        statement="Batch norm reduces covariate shift: the step of earlier layers turns the gradient of layer 5 less.",
        source=f"Ioffe & Szegedy 2015, Sec. 2, in the words of {_SAN}, Sec. 2.2",
        statistic="cosine of G and G', SGD, learning rate 0.1, median from step 50 on: BN - plain",
        published="0.67 - 0.86 in steps 0 to 300, 0.75 - 0.76 around 1,000, or -0.19 and -0.01",
        measure=difference("batch_norm_sgd_0.1", "plain_sgd_0.1", _shift(5, "cosine", first=50)),
        supported=(0, math.inf),
        format=_COSINE,
        arms=_nets("sgd_0.1"),
    ),
    Claim(
        name="shift_gradients_alike_slow",
        statement="So it does at learning rate 0.01.",
        source=f"Ioffe & Szegedy 2015, Sec. 2, in the words of {_SAN}, Sec. 2.2",
        statistic="cosine of G and G' of layer 5, SGD, learning rate 0.01, median over steps 50 to 3,500: BN - plain",
        published="0.57 - 0.98, 0.72 - 0.91 and 0.61 - 0.84, or -0.41, -0.19 and -0.23",
        measure=difference("batch_norm_sgd_0.01", "plain_sgd_0.01", _shift(5, "cosine", first=50, last=3500)),
        supported=(0, math.inf),
        format=_COSINE,
        arms=_nets("sgd_0.01"),
    ),
    Claim(
        name="shift_second_net",
        statement="Measured against a second net, as the seed repository does, covariate shift is higher with batch norm.",
        source=_MAM,
        statistic="distance of the gradients of layer 5 in both nets, SGD, rate 0.01, median up to step 7,000: BN / plain",
        published="3.7 / 1.0 at step 1,000, 4.2 / 1.9 at 3,000, or 3.7 and 2.2 times",
        measure=_times("sgd_0.01", _dummy("step_difference", last=7000)),
        supported=(1, math.inf),
        format=TIMES,
        arms=_nets("sgd_0.01"),
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
        arms=_nets("sgd_0.01"),
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
        arms=_nets("sgd_0.01"),
        caveat_of="shift_second_net",
    ),
    Claim(
        name="shift_second_net_later",
        statement="That measure, too, is lower with batch norm once its loss has collapsed.",
        source=_MAM,
        statistic="the same distance, median from step 9,000 on: BN / plain",
        published="1.6 / 3.8 at step 10,000, or 0.42 times",
        measure=_times("sgd_0.01", _dummy("step_difference", first=9000)),
        supported=(0, 1),
        format=TIMES,
        arms=_nets("sgd_0.01"),
        caveat_of="shift_second_net",
    ),
    Claim(
        name="shift_deep_linear_plain",
        statement="A deep linear network without batch norm has almost no covariate shift, at learning rate 1e-7.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3b",
        statistic="cosine of G and G', the smaller one of layers 9 and 17, median from step 1,000 on; above 0.99",
        published="1.00 and 1.00",
        measure=each("plain_1e-07", _steady, "deep_linear"),
        supported=(0.99, math.inf),
        format=Format("z.4f"),
        arms=("deep_linear/plain_1e-07",),
        per="draw",
    ),
    Claim(
        name="shift_deep_linear_fast",
        statement="Only there: at learning rate 1e-6 the gradient of its layer 17 turns around at a step.",
        source=f"{_SAN}, Fig. 3b, read off",
        statistic="cosine of G and G' of layer 17, no BN, learning rate 1e-6, median from step 1,000 on; below 0",
        published="-0.89 to -0.98",
        measure=each("plain_1e-06", _shift(17, "cosine", first=1000), "deep_linear"),
        supported=(-math.inf, 0),
        format=_COSINE,
        arms=("deep_linear/plain_1e-06",),
        per="draw",
        caveat_of="shift_deep_linear_plain",
    ),
    Claim(
        name="shift_deep_linear",
        statement="With batch norm that network has much covariate shift at learning rate 1e-7.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3b",
        statistic="cosine of G and G' of layer 17, mean from step 1,000 on; below 0.9",
        published="-0.96, -0.33, 0.57, -0.05, the medians of four windows",
        measure=each("batch_norm_1e-07", _mean_turn, "deep_linear"),
        supported=(-math.inf, 0.9),
        format=_COSINE,
        arms=("deep_linear/batch_norm_1e-07",),
        per="draw",
    ),
    Claim(
        name="shift_deep_linear_more",
        statement="It is more than ten times as much as without batch norm, at learning rate 1e-7.",
        source=f"{_SAN}, Fig. 3b, read off",
        statistic="|G - G'| of layer 9, median from step 1,000 on: BN / plain",
        published="6870 / 4.0, 5990 / 0.92, 2200 / 1.5, 3050 / 1.2, or 1,500 times and more",
        measure=_times("1e-07", _shift(9, first=1000), "deep_linear"),
        supported=(10, math.inf),
        format=TIMES,
        arms=_nets("1e-07", "deep_linear"),
        per="draw",
    ),
    Claim(
        name="shift_deep_linear_fast_more",
        statement="At learning rate 1e-6, too, it has as much as without batch norm, or more.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3b",
        statistic="|G - G'| of layer 9, median over all steps: BN / plain; as much is at least half",
        published="11100 / 19400, 3570 / 7720, 2540 / 2270, 767 / 675, 617 / 2330, 535 / 93, or 0.26 to 5.8 times",
        measure=_times("1e-06", _shift(9), "deep_linear"),
        supported=(0.5, math.inf),
        format=TIMES,
        arms=_nets("1e-06", "deep_linear"),
        per="draw",
    ),
    Claim(
        name="shift_deep_linear_loss",
        statement="And yet the deep linear network trains better with batch norm, at learning rate 1e-6.",
        source=f"{_SAN}, Fig. 3b, read off",
        statistic="training loss, mean of the last 100 steps: plain / BN",
        published="1660 / 480, or 3.5 times",
        measure=ratio(
            "plain_1e-06",
            "batch_norm_1e-06",
            final("train", "loss", num_steps=100, if_diverged=math.inf),
            "deep_linear",
        ),
        supported=(1, math.inf),
        format=TIMES,
        arms=_nets("1e-06", "deep_linear"),
        per="draw",
    ),
)

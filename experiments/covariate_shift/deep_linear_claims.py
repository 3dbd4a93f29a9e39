"""Claims about internal covariate shift in the deep linear network."""

import math

import numpy as np

from experiments._claims.claim import TIMES, Claim, Format
from experiments._claims.measures import curve, each, final, nets, ratio, shift, times
from experiments._numbers.curves import of_layer

_SAN = "Santurkar et al. 2018"
_COSINE = Format("+z.2f")


def _mean_turn(run: dict) -> float:
    """Average the cosine of layer 17 from step 1,000 on."""
    steps, values = curve(run, "shift", of_layer("layer_17", "cosine"))
    return float(np.mean(values[steps >= 1000])) if (steps >= 1000).any() else math.nan


def _steady(run: dict) -> float:
    """Take the smaller one of the cosines of layers 9 and 17 from step 1,000 on."""
    return min(shift(layer, "cosine", first=1000)(run) for layer in (9, 17))


CLAIMS = (
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
        measure=each("plain_1e-06", shift(17, "cosine", first=1000), "deep_linear"),
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
        measure=times("1e-07", shift(9, first=1000), "deep_linear"),
        supported=(10, math.inf),
        format=TIMES,
        arms=nets("1e-07", "deep_linear"),
        per="draw",
    ),
    Claim(
        name="shift_deep_linear_fast_more",
        statement="At learning rate 1e-6, too, it has as much as without batch norm, or more.",
        source=f"{_SAN}, Sec. 2.2, Fig. 3b",
        statistic="|G - G'| of layer 9, median over all steps: BN / plain; as much is at least half",
        published="11100 / 19400, 3570 / 7720, 2540 / 2270, 767 / 675, 617 / 2330, 535 / 93, or 0.26 to 5.8 times",
        measure=times("1e-06", shift(9), "deep_linear"),
        supported=(0.5, math.inf),
        format=TIMES,
        arms=nets("1e-06", "deep_linear"),
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
        arms=nets("1e-06", "deep_linear"),
        per="draw",
    ),
)

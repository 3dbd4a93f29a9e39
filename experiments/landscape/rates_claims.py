"""Claims of two replications about the landscape, as they measure it: runs of one seed that differ in their learning rates."""

import math
from typing import Any

from experiments._claims.claim import TIMES, Claim
from experiments._claims.measures import DataMeasure, RunMeasure, divide, each, median_of, ratio
from experiments._numbers import rates

_SOURCE = (
    "AlexeyGB, repository batch-norm-helps-optimization, Adam; measured alike by Kevin-LD, repository VGG_BatchNorm"
)
_EARLY = {"first": 80, "last": 3500}
_RUNS: dict[str, Any] = {"format": TIMES, "arms": ("multirun",)}


def _of_bands(measure: DataMeasure) -> DataMeasure:
    """Measure bands over runs of several learning rates; there is nothing to measure in data without such runs."""
    return lambda data: measure({"arms": rates.bands(data)}) or [math.nan]


def _rougher(measure: RunMeasure) -> DataMeasure:
    """Measure how many times as much it is without batch norm."""
    return _of_bands(ratio("plain", "batch_norm", measure))


def _share_at_equal_progress(run: dict[str, Any]) -> float:
    """Divide the width of the band at equal learning rate x steps by that at equal steps."""
    return divide(*(median_of(kind, "width", **_EARLY)(run) for kind in ("same_progress", "same_step")))


def _larger_share(bands: dict[str, Any]) -> list[float]:
    """Take of each seed the net of whose band more is left at equal learning rate x steps; NaN where one is not known."""
    shares = zip(*(each(net, _share_at_equal_progress)(bands) for net in rates.NETS), strict=True)
    return [math.nan if any(map(math.isnan, pair)) else max(pair) for pair in shares]


CLAIMS = (
    Claim(
        name="landscape_rates_loss",
        statement="Of runs that differ in their learning rates alone, the losses lie closer together with batch norm.",
        source=_SOURCE,
        statistic="largest - smallest loss of a seed's runs at the same step, averaged over a 100th of the training, median "
        "over steps 80 to 3,500: plain / BN",
        published="0.5 to 1.0 / 0.2 to 0.35 at step 2,000, or 3.3 times; 0.03 to 0.35 / 0.01 to 0.03 at 8,000, or 16 times",
        measure=_rougher(median_of("same_step", "width", **_EARLY)),
        supported=(1, math.inf),
        **_RUNS,
    ),
    Claim(
        name="landscape_rates_progress",
        statement="Part of this band is no landscape, but how far each run has come: at equal learning rate x steps it is "
        "narrower, with batch norm and without.",
        source="of these definitions; Santurkar et al. 2018 vary the step from one and the same point",
        statistic="largest - smallest loss at equal learning rate x steps / at equal steps, medians over steps 80 to 3,500 "
        "of the smallest rate; of plain and BN the larger",
        published="-",
        measure=_of_bands(_larger_share),
        supported=(0, 1),
        **_RUNS,
        caveat_of="landscape_rates_loss",
    ),
    Claim(
        name="landscape_rates_predictiveness",
        statement="In such runs, the gradient of the last layer changes less from step to step with batch norm.",
        source=_SOURCE,
        statistic="l2 norm of the difference of successive gradients of the last layer's weights, largest of a seed's runs, "
        "median over steps 80 to 3,500: plain / BN",
        published="0.3 to 2.5 / 0.1 to 0.6, or 4.2 times at the upper edge, 3 times at the lower one",
        measure=_rougher(median_of("gradient", "high", **_EARLY)),
        supported=(1, math.inf),
        **_RUNS,
    ),
)

"""Claims about normalisers that divide by an lp norm of the batch, in a VGG and in the deep linear network."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._claims.claim import POINTS, TIMES, Claim
from experiments._claims.measures import CHANCE, DataMeasure, at_step, difference, final, loss_range, median_of, ratio
from experiments._numbers.curves import effective_smoothness, farthest_gradient
from experiments._numbers.drift import over_layers

NORMS = {"l1": "l1", "l2": "l2", "linf": "l-infinity"}
EARLY: dict[str, Any] = {"first": 80, "last": 1000}
_SCANS: dict[str, Any] = {"first": 80, "last": 3500}
_VGG: dict[str, Any] = {"arms": ("arms",), "format": TIMES}
_DEEP: dict[str, Any] = {"arms": ("deep_linear",), "format": TIMES, "per": "draw"}

early_accuracy = median_of("train", "accuracy", **EARLY, if_diverged=CHANCE)
final_loss = final("train", "loss", num_steps=100, if_diverged=math.inf)
_range = median_of("landscape", loss_range, **_SCANS)
_predictiveness = median_of("landscape", farthest_gradient, **_SCANS)
_smoothness = median_of("landscape", effective_smoothness)


def _of_all(statistic: Callable[..., Any], make: Callable[[str], DataMeasure]) -> DataMeasure:
    """Measure each of the three norms, and take a statistic of the three, seed by seed; NaN if one is."""
    return lambda data: [float(statistic(values)) for values in zip(*(make(norm)(data) for norm in NORMS), strict=True)]


def _accuracies(norm: str, words: str, published: tuple[str, str]) -> tuple[Claim, Claim]:
    """Make the claims about the accuracy of one norm beside batch norm's."""
    arms = {"arms": (f"arms/{norm}", "arms/batch_norm"), "format": POINTS}
    late = Claim(
        name=f"lp_norms_{norm}_accuracy",
        statement=f"With the {words} norm, training accuracy at step 5,000 is within 3 points of batch norm's.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 5a",
        statistic=f"training accuracy at step 5,000, mean of the 500 batches before it: {words} - BN",
        published=published[1],
        measure=difference(norm, "batch_norm", at_step("train", 5000, num_steps=500)),
        supported=(-0.03, 0.03),
        **arms,
    )
    early = Claim(
        name=f"lp_norms_{norm}_early_accuracy",
        statement=f"Early on the net with the {words} norm trains as fast as with batch norm: it is at most 3 points behind.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 5a",
        statistic=f"training accuracy, median over steps 80 to 1,000: {words} - BN",
        published=published[0],
        measure=difference(norm, "batch_norm", early_accuracy),
        supported=(-0.03, math.inf),
        **arms,
    )
    return late, early


CLAIMS = (
    *_accuracies("l1", NORMS["l1"], ("74 % - 70 %, or +4 points", "98.4 % - 98.4 %, or 0 points")),
    *_accuracies("l2", NORMS["l2"], ("72 % - 70 %, or +2 points", "97.1 % - 98.4 %, or -1.3 points")),
    *_accuracies("linf", NORMS["linf"], ("72 % - 70 %, or +2 points", "98.7 % - 98.4 %, or +0.3 points")),
    Claim(
        name="lp_norms_beat_plain",
        statement="With each of the three norms the VGG trains faster than without any.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 5a",
        statistic="training accuracy, median over steps 80 to 1,000: the lowest of the three - plain",
        published="72 % - 40 %, or +32 points",
        measure=_of_all(np.min, lambda norm: difference(norm, "plain", early_accuracy)),
        supported=(0, math.inf),
        arms=("arms",),
        format=POINTS,
    ),
    Claim(
        name="lp_norms_loss_range",
        statement="Along the gradient, the loss varies less with each of the three norms than without any.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 12, by eye",
        statistic="largest - smallest loss of a scan, median over steps 80 to 3,500: plain / the largest of the three",
        published="-",
        measure=_of_all(np.min, lambda norm: ratio("plain", norm, _range)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="lp_norms_predictiveness",
        statement="Along the gradient, the gradient changes less with each of the three norms than without any.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 12, read off",
        statistic="largest l2 change of the gradient in a scan, median over steps 80 to 3,500: plain / largest of the three",
        published="57 / 30 to 86 / 29, or 1.9 to 3.0 times",
        measure=_of_all(np.min, lambda norm: ratio("plain", norm, _predictiveness)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="lp_norms_as_smooth",
        statement="Along the gradient, the gradient changes as little with each of the three norms as with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 12, read off",
        statistic="the same: the largest of the three / BN; less than half as much again is asked for",
        published="30 / 26 to 29 / 28, or 1.2 to 1.0 times",
        measure=_of_all(np.max, lambda norm: ratio(norm, "batch_norm", _predictiveness)),
        supported=(0, 1.5),
        **_VGG,
    ),
    Claim(
        name="lp_norms_variance_uncontrolled",
        statement="The three norms do not control the second moment: it is less steady than with batch norm.",
        source="Santurkar et al. 2018, Sec. 3.3, text",
        statistic=(
            "change of a unit's variance between measurements over that variance, median over units and steps, in the deepest "
            "layer that is followed: the steadiest of the three / BN"
        ),
        published="-",
        measure=_of_all(np.min, lambda norm: over_layers(norm, "batch_norm", np.min, "variance", "successive", True)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="lp_norms_mean_controlled",
        statement="They do control the first moment, from which they take the mean: it is steadier than without any.",
        source="not in the paper: the mean of what they return is the trained bias, as it is with batch norm",
        statistic=(
            "change of a unit's mean between measurements over its standard deviation, median over units and steps, in that "
            "layer: plain / the least steady of the three"
        ),
        published="-",
        measure=_of_all(np.min, lambda norm: over_layers("plain", norm, np.min, "mean", "successive", True)),
        supported=(1, math.inf),
        caveat_of="lp_norms_variance_uncontrolled",
        **_VGG,
    ),
    Claim(
        name="lp_norms_shift",
        statement="With each of the three norms, distributions of layer inputs shift more than even without any.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 6, by eye",
        statistic=(
            "change of a unit's variance between measurements, median over units and steps, in the deepest layer that is "
            "followed: the steadiest of the three / plain"
        ),
        published="-",
        measure=_of_all(np.min, lambda norm: over_layers(norm, "plain", np.min, "variance", "successive", False)),
        supported=(1, math.inf),
        **_VGG,
    ),
    Claim(
        name="lp_norms_relative_shift",
        statement="In units of what they are spread over, they shift less than without any.",
        source="not in the paper: absolute shifts depend on how large activations are",
        statistic=(
            "distance W1 between measurements over the pooled standard deviation, median over units and steps, in the same "
            "layer: plain / the least steady of the three"
        ),
        published="-",
        measure=_of_all(np.min, lambda norm: over_layers("plain", norm, np.min, "wasserstein", "successive", True)),
        supported=(1, math.inf),
        caveat_of="lp_norms_shift",
        **_VGG,
    ),
    Claim(
        name="lp_norms_deep_linear",
        statement="In the deep linear network, each of the three norms ends at a smaller loss than none.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 5b",
        statistic="loss, mean of the last 100 steps: plain / the largest of the three, each draw of the linear map",
        published="1,660 / 986, or 1.7 times, in one draw",
        measure=_of_all(np.min, lambda norm: ratio("plain", norm, final_loss, group="deep_linear")),
        supported=(1, math.inf),
        **_DEEP,
    ),
    Claim(
        name="lp_norms_linf_no_better",
        statement="The l-infinity norm can be no better than none: in some draw it ends at a loss that is no smaller.",
        source="a run of ours in another draw, before this experiment",
        statistic="loss, mean of the last 100 steps: plain / l-infinity, each draw of the linear map",
        published="6,136 / 6,624, or 0.93 times, in one draw",
        measure=ratio("plain", "linf", final_loss, group="deep_linear"),
        supported=(0, 1),
        caveat_of="lp_norms_deep_linear",
        exists=True,
        **{**_DEEP, "arms": ("deep_linear/plain", "deep_linear/linf")},
    ),
    Claim(
        name="lp_norms_l1_best",
        statement="In the deep linear network, the l1 norm ends at a smaller loss than batch norm.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 5b",
        statistic="loss, mean of the last 100 steps: BN / l1, each draw of the linear map",
        published="479 / 97, or 4.9 times, in one draw",
        measure=ratio("batch_norm", "l1", final_loss, group="deep_linear"),
        supported=(1, math.inf),
        **{**_DEEP, "arms": ("deep_linear/l1", "deep_linear/batch_norm")},
    ),
    Claim(
        name="lp_norms_same_plateau",
        statement="That is a matter of the draw: batch norm and the l1 norm end on the same plateau, within 10 %.",
        source="a run of ours in another draw, before this experiment",
        statistic="the same",
        published="1,390 / 1,390, or 1 time, in one draw",
        measure=ratio("batch_norm", "l1", final_loss, group="deep_linear"),
        supported=(0.9, 1.1),
        caveat_of="lp_norms_l1_best",
        **{**_DEEP, "arms": ("deep_linear/l1", "deep_linear/batch_norm")},
    ),
    Claim(
        name="lp_norms_deep_linear_smoothness",
        statement="In the deep linear network, each of the three norms makes the gradient change less per distance than none.",
        source="Santurkar et al. 2018, Sec. 3.3, Fig. 13, read off",
        statistic="effective smoothness, median over all scans: plain / the largest of the three, each draw of the linear map",
        published="1.4e11 / 2e7 early, 2e6 / 2e6 at the end, or 7,000 to 1 times, in one draw",
        measure=_of_all(np.min, lambda norm: ratio("plain", norm, _smoothness, group="deep_linear")),
        supported=(1, math.inf),
        **_DEEP,
    ),
)

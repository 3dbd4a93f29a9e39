"""Claims about internal covariate shift in the deep linear network, by both readings of its source."""

from typing import Any

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import Format
from experiments._evidence.quantities import TRAIN_LOSS, shift
from experiments._evidence.quantity import Quantity
from experiments._evidence.readings import UNFITTING, UNFITTING_EARLY, read_otherwise
from experiments._evidence.source import SANTURKAR_LINEAR
from experiments._evidence.statistic import smallest
from experiments._nets import learning_rate
from experiments._presets import UNHALVED

AS_MUCH = "the source says as much or more; half is the tolerance"
SHIFT = "internal covariate shift, by Definition 2.1 of Santurkar et al. 2018,"
_FIG_3B, _READ_3B = SANTURKAR_LINEAR.at("Sec. 2.2, Fig. 3b"), SANTURKAR_LINEAR.at("Fig. 3b, read off")
_BOTH = "batch_norm", "plain"
_FAST, _SLOW = ((learning_rate(rate), "deep_linear") for rate in (1e-6, 1e-7))
_OTHERWISE: dict[str, Any] = {"group": "unhalved"}


def cosine(layer: int, digits: str = "+z.2f") -> Quantity:
    """Return the cosine of a layer's gradients before and after the layers before it take their step."""
    return shift(layer, "cosine", format=Format(digits))


_USUAL = claims(
    "covariate shift",
    "2026-11-21",
    shift_deep_linear_plain=Claim(
        "At learning rate 1e-7, from step 1,000 on, without batch norm, updating the preceding layers hardly turns the "
        "gradients of layers 9 and 17: the cosines are above 0.99.",
        _FIG_3B,
        smallest(*(cosine(layer, "z.4f").median(1000).each("plain", *_SLOW) for layer in (9, 17))).above(0.99),
        "1.00 and 1.00",
        speaks="neither",
    ),
    shift_deep_linear_fast=Claim(
        "At learning rate 1e-6, from step 1,000 on, without batch norm, updating the preceding layers turns the gradient of "
        "layer 17 by more than a right angle: the cosine is negative.",
        _READ_3B,
        cosine(17).median(1000).each("plain", *_FAST).below(0),
        "-0.89 to -0.98",
        caveat_of="shift_deep_linear_plain",
        in_doubt=UNFITTING_EARLY,
        speaks="neither",
    ),
    shift_deep_linear=Claim(
        "At learning rate 1e-7, from step 1,000 on, with batch norm, updating the preceding layers turns the gradient of "
        "layer 17: the mean cosine is below 0.9.",
        _FIG_3B,
        cosine(17).mean(1000).each("batch_norm", *_SLOW).below(0.9),
        "-0.96, -0.33, 0.57, -0.05, the medians of four windows",
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    shift_deep_linear_more=Claim(
        f"At learning rate 1e-7, from step 1,000 on, layer 9 has more than ten times as much {SHIFT} with batch norm as in "
        "the plain net.",
        _READ_3B,
        shift(9).median(1000).over(*_BOTH, *_SLOW).above(10),
        "6870 / 4.0, 5990 / 0.92, 2200 / 1.5, 3050 / 1.2 in successive windows, or 1,500 times and more",
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    shift_deep_linear_fast_more=Claim(
        f"At learning rate 1e-6, over the training, layer 9 has at least half as much {SHIFT} with batch norm as in the "
        "plain net.",
        _FIG_3B,
        shift(9).median().over(*_BOTH, *_FAST).above(0.5),
        "11100 / 19400, 3570 / 7720, 2540 / 2270, 767 / 675, 617 / 2330, 535 / 93 in successive windows, or 0.26 to 5.8 times",
        remark=AS_MUCH,
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    shift_deep_linear_loss=Claim(
        "At learning rate 1e-6, the net with batch norm ends at a smaller training loss than the plain one.",
        _READ_3B,
        TRAIN_LOSS.at_end(100).over("plain", "batch_norm", *_FAST).above(1),
        "1660 / 480, or 3.5 times",
        speaks="neither",
    ),
)
_BY_NAME = {claim.name: claim for claim in _USUAL}
OF_LINEAR_NETS = _USUAL + claims(
    shift_unhalved_plain=read_otherwise(
        _BY_NAME["shift_deep_linear_fast"],
        cosine(17).median(1000).each("plain", **_OTHERWISE).below(0),
        UNHALVED,
        compares=False,
    ),
    shift_unhalved_more=read_otherwise(
        _BY_NAME["shift_deep_linear_fast_more"],
        shift(9).median().over(*_BOTH, **_OTHERWISE).above(0.5),
        UNHALVED,
    ),
    shift_unhalved_loss=read_otherwise(
        _BY_NAME["shift_deep_linear_loss"],
        TRAIN_LOSS.at_end(100).over("plain", "batch_norm", **_OTHERWISE).above(1),
        UNHALVED,
        compares=False,
    ),
)

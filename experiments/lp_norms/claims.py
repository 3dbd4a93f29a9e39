"""Claims about normalisers that divide by an lp norm of the batch, in a VGG and in the deep linear network."""

from collections.abc import Callable
from dataclasses import replace

from experiments._evidence.claim import Claim, claims
from experiments._evidence.drift import over_layers
from experiments._evidence.format import Format
from experiments._evidence.quantities import GRADIENT_CHANGE, LOSS_RANGE, SMOOTHNESS, TRAIN_ACCURACY, TRAIN_LOSS
from experiments._evidence.statistic import Statistic, largest, smallest
from experiments._nets import NETS
from experiments.lp_norms import NORMS

EARLY_ACCURACY = TRAIN_ACCURACY.median(80, 1000)
FINAL_LOSS = replace(TRAIN_LOSS, format=Format("z,.0f")).at_end(100)
_PAPER, _OURS = "Santurkar et al. 2018, Sec. 3.3", "a run of ours in another draw, before this experiment"
_CHANGE = GRADIENT_CHANGE.median(80, 3500)
_BN_OVER_L1 = FINAL_LOSS.over("batch_norm", "l1", group="deep_linear")


def _drift(make: Callable[[str], Statistic], ratio: str) -> Statistic:
    """Take the smallest ratio of the three norms in the one layer whose drift the data keep."""
    return smallest(*map(make, NORMS), who=f"{ratio} over the three norms, in the deepest layer that is followed")


def _accuracies(norm: str, early: str, late: str) -> dict[str, Claim]:
    """Make the claims about the accuracy of one norm beside batch norm's, with the published values."""
    words = NETS[norm].short
    return {
        f"lp_norms_{norm}_accuracy": Claim(
            f"With the {words} norm, training accuracy at step 5,000 is within 3 points of batch norm's.",
            f"{_PAPER}, Fig. 5a",
            TRAIN_ACCURACY.at(5000, average=500).minus(norm, "batch_norm").within(0.03),
            late,
        ),
        f"lp_norms_{norm}_early_accuracy": Claim(
            f"Early on the net with the {words} norm trains as fast as with batch norm: it is at most 3 points behind.",
            f"{_PAPER}, Fig. 5a",
            EARLY_ACCURACY.minus(norm, "batch_norm").above(-0.03),
            early,
        ),
    }


CLAIMS = claims(
    **_accuracies("l1", "74 % - 70 %, or +4 points", "98.4 % - 98.4 %, or 0 points"),
    **_accuracies("l2", "72 % - 70 %, or +2 points", "97.1 % - 98.4 %, or -1.3 points"),
    **_accuracies("linf", "72 % - 70 %, or +2 points", "98.7 % - 98.4 %, or +0.3 points"),
    lp_norms_beat_plain=Claim(
        "With each of the three norms the VGG trains faster than without any.",
        f"{_PAPER}, Fig. 5a",
        smallest(*(EARLY_ACCURACY.minus(norm, "plain") for norm in NORMS)).above(0),
        "72 % - 40 %, or +32 points",
    ),
    lp_norms_loss_range=Claim(
        "Along the gradient, the loss varies less with each of the three norms than without any.",
        f"{_PAPER}, Fig. 12, by eye",
        smallest(*(LOSS_RANGE.median(80, 3500).over("plain", norm) for norm in NORMS)).above(1),
    ),
    lp_norms_predictiveness=Claim(
        "Along the gradient, the gradient changes less with each of the three norms than without any.",
        f"{_PAPER}, Fig. 12, read off",
        smallest(*(_CHANGE.over("plain", norm) for norm in NORMS)).above(1),
        "57 / 30 to 86 / 29, or 1.9 to 3.0 times",
    ),
    lp_norms_as_smooth=Claim(
        "Along the gradient, the gradient changes as little with each of the three norms as with batch norm.",
        f"{_PAPER}, Fig. 12, read off",
        largest(*(_CHANGE.over(norm, "batch_norm") for norm in NORMS)).between(0, 1.5),
        "30 / 26 to 29 / 28, or 1.2 to 1.0 times",
    ),
    lp_norms_variance_uncontrolled=Claim(
        "The three norms do not control the second moment: it is less steady than with batch norm.",
        f"{_PAPER}, text",
        _drift(lambda norm: over_layers(min, norm, "batch_norm", "variance", relative=True), "norm / BN").above(1),
    ),
    lp_norms_mean_controlled=Claim(
        "They do control the first moment, from which they take the mean: it is steadier than without any.",
        "not in the paper: the mean of what they return is the trained bias, as it is with batch norm",
        _drift(lambda norm: over_layers(min, "plain", norm, "mean", relative=True), "plain / norm").above(1),
        caveat_of="lp_norms_variance_uncontrolled",
    ),
    lp_norms_shift=Claim(
        "With each of the three norms, distributions of layer inputs shift more than even without any.",
        f"{_PAPER}, Fig. 6, by eye",
        _drift(lambda norm: over_layers(min, norm, "plain", "variance"), "norm / plain").above(1),
    ),
    lp_norms_relative_shift=Claim(
        "In units of what they are spread over, they shift less than without any.",
        "not in the paper: absolute shifts depend on how large activations are",
        _drift(lambda norm: over_layers(min, "plain", norm, "wasserstein", relative=True), "plain / norm").above(1),
        caveat_of="lp_norms_shift",
    ),
    lp_norms_deep_linear=Claim(
        "In the deep linear network, each of the three norms ends at a smaller loss than none.",
        f"{_PAPER}, Fig. 5b",
        smallest(*(FINAL_LOSS.over("plain", norm, group="deep_linear") for norm in NORMS)).above(1),
        "1,660 / 986, or 1.7 times, in one draw",
    ),
    lp_norms_linf_no_better=Claim(
        "The l-infinity norm can be no better than none: in some draw it ends at a loss that is no smaller.",
        _OURS,
        FINAL_LOSS.over("plain", "linf", group="deep_linear").between(0, 1),
        "6,136 / 6,624, or 0.93 times, in one draw",
        caveat_of="lp_norms_deep_linear",
        exists=True,
    ),
    lp_norms_l1_best=Claim(
        "In the deep linear network, the l1 norm ends at a smaller loss than batch norm.",
        f"{_PAPER}, Fig. 5b",
        _BN_OVER_L1.above(1),
        "479 / 97, or 4.9 times, in one draw",
    ),
    lp_norms_same_plateau=Claim(
        "That is a matter of the draw: batch norm and the l1 norm end on the same plateau, within 10 %.",
        _OURS,
        _BN_OVER_L1.within(0.1, 1),
        "1,390 / 1,390, or 1 time, in one draw",
        caveat_of="lp_norms_l1_best",
    ),
    lp_norms_deep_linear_smoothness=Claim(
        "In the deep linear network, each of the three norms makes the gradient change less per distance than none.",
        f"{_PAPER}, Fig. 13, read off",
        smallest(*(SMOOTHNESS.median().over("plain", norm, group="deep_linear") for norm in NORMS)).above(1),
        "1.4e11 / 2e7 early, 2e6 / 2e6 at the end, or 7,000 to 1 times, in one draw",
    ),
)

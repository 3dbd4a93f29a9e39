"""Claims about which of smoothness, covariate shift and drift goes with performance, over all normalisers."""

from typing import NamedTuple

from experiments._evidence.claim import Claim, Hypothesis, Speaks, claims
from experiments._evidence.source import IOFFE, IOFFE_RENORM, SANTURKAR, VERSUS, Source, ours
from experiments._evidence.statistic import smallest
from experiments.which_norm import NETS, NO_STATISTICS
from experiments.which_norm.quantities import BAND, EARLY_LEVEL, LATE_LEVEL, LATE_STEPS, STEPS, TEST, ranked

NORMALISERS = tuple(net for net in NETS if net not in NO_STATISTICS)
_NETS = "Over 13 nets, the plain one, one with dynamic tanh and one with each of 11 normalisers,"
_LAYERS = "internal covariate shift (Definition 2.1 of Santurkar et al. 2018, divided by the norm of the gradient)"
_STRONG = "a rank correlation beyond 0.5 counts as going together"
_WEAK = "a rank correlation above -0.5 counts as none"
_PLACE = "in the deepest layer followed, after the normaliser where there is one,"
_SET = (
    "; batch norm and similar normalisers set a unit's mean and variance there, whatever the weights before them do, so the "
    "claim counts for neither side"
)
_ONLY_REASONED = f"the source ranks no normalisers; {_STRONG}"
_CLOSER = "the source ranks no normalisers; the lower of the two rank correlations counts as the closer"
_ZHU = Source("Zhu et al. 2025", "paper", "arxiv.org/abs/2503.10622", "ResNet-50 and VGG-19 on ImageNet")


class _Explanation(NamedTuple):
    """A property that may go with performance.

    Attributes:
        less: having less of it, in words.
        source: the source that explains performance by it.
        hypothesis: the hypothesis that it stands for.
        name: its name in `COMPARED`.
        is_set: whether normalisers set it themselves, so that it speaks for neither side.
        in_doubt: why no correlation with it does not contradict that it explains performance.
    """

    less: str
    source: Source
    hypothesis: Hypothesis
    name: str
    is_set: bool = False
    in_doubt: str = ""

    def speaks(self, side: Speaks) -> Speaks:
        """Return the side that a claim on it supports: `side`, or neither if normalisers set it themselves."""
        return "neither" if self.is_set else side

    def remark(self, words: str) -> str:
        """Add to a claim's remark why it speaks for neither side, if so."""
        return words + _SET * self.is_set


_BAND = _Explanation(
    "a smaller range of the loss along the gradient",
    SANTURKAR.at("Sec. 3"),
    "smoothness",
    "loss range",
    in_doubt="the net with dynamic tanh, which stays at chance, has the smallest range; without it seeds disagree",
)
_SHIFT = _Explanation(f"less {_LAYERS}", IOFFE.at("Sec. 2"), "covariate shift", "relative shift")
_DRIFT = _Explanation(
    f"less drift of the distributions of pre-activations, {_PLACE}", IOFFE.at("Sec. 2"), "distributions", "drift", True
)


def _performing(name: str, of: _Explanation) -> dict[str, Claim]:
    """Claim that less of something goes with a higher test accuracy, and with fewer steps to a training accuracy."""
    made = {
        f"which_{name}": Claim(
            f"{_NETS} {of.less} goes with a higher test accuracy at the end.",
            of.source,
            ranked(of.name, TEST).below(-0.5),
            remark=of.remark(_ONLY_REASONED),
            hypothesis=of.hypothesis,
            speaks=of.speaks("for"),
            in_doubt=of.in_doubt,
        )
    }
    for part, level, steps in (("steps", EARLY_LEVEL, STEPS), ("late_steps", LATE_LEVEL, LATE_STEPS)):
        made[f"which_{name}_{part}"] = Claim(
            f"{_NETS} {of.less} goes with fewer steps to a training accuracy of {100 * level:g} %.",
            of.source,
            ranked(of.name, steps).above(0.5),
            remark=of.remark(_ONLY_REASONED),
            hypothesis=of.hypothesis,
            speaks=of.speaks("for"),
        )
    return made


def _other(of: _Explanation, less: str, name: str) -> Claim:
    """Claim that less of the same property, by another measure, goes with a higher test accuracy."""
    statement = f"{_NETS} {less} goes with a higher test accuracy at the end."
    return Claim(
        statement,
        of.source,
        ranked(name, TEST).below(-0.5),
        remark=of.remark(_ONLY_REASONED),
        hypothesis=of.hypothesis,
        speaks=of.speaks("for"),
    )


def _without(of: _Explanation, caveat_of: str, source: Source) -> Claim:
    """Claim that less of something does not go with a higher test accuracy."""
    return Claim(
        f"{_NETS} {of.less} does not go with a higher test accuracy at the end.",
        source,
        ranked(of.name, TEST).above(-0.5),
        remark=of.remark(_WEAK),
        caveat_of=caveat_of,
        hypothesis=of.hypothesis,
        speaks=of.speaks("against"),
    )


CLAIMS = claims(
    "smoothness",
    "2026-11-29",
    "for, else against",
    **_performing("smooth", _BAND),
    which_smooth_normalisers=Claim(
        "Over 11 normalisers alone, without the plain net and the one with dynamic tanh, a smaller range of the loss along the "
        "gradient does not go with a higher test accuracy at the end.",
        ours("a control: whether the nets without a normaliser alone make the correlation"),
        ranked(_BAND.name, TEST, NORMALISERS).above(-0.5),
        remark=_WEAK,
        caveat_of="which_smooth",
        speaks="against",
    ),
    which_predictive=_other(_BAND, "a smaller change of the gradient along itself", "gradient change"),
    which_effective=_other(_BAND, "a smaller change of the gradient per unit distance along itself", "smoothness"),
    **_performing("shift", _SHIFT),
    which_shift_none=_without(_SHIFT, "which_shift", VERSUS),
    **_performing("drift", _DRIFT),
    which_drift_none=_without(_DRIFT, "which_drift", VERSUS),
    which_drift_active=Claim(
        f"{_NETS} less drift of the distributions after the activation, in the deepest layer followed, does not go with a "
        "higher test accuracy at the end.",
        ours("a control: after the normaliser, scale and bias set a unit's first two moments"),
        ranked("after ReLU", TEST).above(-0.5),
        remark=f"{_WEAK}; after a ReLU, a normaliser's bias and scale set mean and variance, except for the shape of the "
        "distribution, so the claim counts for neither side",
        caveat_of="which_drift",
        hypothesis="distributions",
        speaks="neither",
    ),
    which_mean=_other(
        _DRIFT,
        f"less drift of the means of pre-activations, relative to each unit's standard deviation, {_PLACE}",
        "of means",
    ),
    which_variance=_other(
        _DRIFT, f"less drift of the variances of pre-activations, relative to their size, {_PLACE}", "of variances"
    ),
    which_smooth_or_shift=Claim(
        f"{_NETS} a smaller range of the loss along the gradient goes more closely with a higher test accuracy at the end "
        f"than does less {_LAYERS}.",
        SANTURKAR.at("Sec. 2.2 and 3"),
        (ranked(_SHIFT.name, TEST) - ranked(_BAND.name, TEST)).above(0),
        remark=f"{_CLOSER}; where neither goes with accuracy, their order says nothing, so that this counts for neither side",
        speaks="neither",
    ),
    which_smooth_or_drift=Claim(
        f"{_NETS} a smaller range of the loss along the gradient goes more closely with a higher test accuracy at the end "
        f"than does less drift of the distributions of pre-activations, {_PLACE.removesuffix(',')}.",
        SANTURKAR.at("Sec. 2.1 and 3"),
        (ranked(_DRIFT.name, TEST) - ranked(_BAND.name, TEST)).above(0),
        remark=_DRIFT.remark(_CLOSER),
        speaks="neither",
    ),
    which_faster=Claim(
        "With each of 11 normalisers, the net reaches a training accuracy of 40 % in fewer steps than the plain one.",
        ours("whether any normaliser does without the help that the others give"),
        smallest(*(STEPS.over("plain", net) for net in NORMALISERS)).above(1),
        hypothesis="none",
    ),
    which_smoother=Claim(
        "With each of 11 normalisers, the loss has a smaller range along the gradient than in the plain net, in the median "
        "over the training after step 0.",
        ours("whether the claim of Santurkar et al. 2018 on norms of the batch is one on all normalisers"),
        smallest(*(BAND.over("plain", net) for net in NORMALISERS)).above(1),
        speaks="neither",  # on other normalisers than batch norm
    ),
    which_renorm=Claim(
        "The nets with batch renorm and with batch norm end within 3 points of test accuracy of each other.",
        IOFFE_RENORM.at("Sec. 4.1"),
        TEST.minus("renorm", "batch_norm").within(0.03),
        "78.5 % and 78.3 %, or +0.2 points",
        hypothesis="none",
        differs="here with fixed bounds of the correction, from the first step on",
    ),
    which_tanh=Claim(
        "The net with dynamic tanh in the place of batch norm ends more than 1 point of test accuracy below the one with batch "
        "norm.",
        _ZHU,
        TEST.minus("dyt", "batch_norm").below(-0.01),
        hypothesis="none",
        remark="the source says that dynamic tanh cannot take the place of batch norm in such nets; at preset cpu, the net "
        "with it does not learn",
    ),
)

"""Claims about networks of random weights, before their first step."""

from dataclasses import replace

from experiments._evidence.claim import Claim, claims
from experiments._evidence.source import DANESHMAND, DANESHMAND_RANK, DE, KARAKIDA, NACHUM, SANTURKAR, ours
from experiments._evidence.statistic import Statistic, largest
from experiments._nets import UNNAMED, Setting
from experiments.initialisation import PUBLISHED_VGG, VGG_A
from experiments.initialisation.quantities import (
    BRANCH,
    DIRECTIONS,
    EIGENVALUE,
    FIRST_GAP,
    FIXED,
    GAP,
    LARGEST_BRANCH,
    LINEAR,
    MEAN_BRANCH,
    ODD,
    OTHERS,
    RANK,
    RELU,
    SETTLED_GAP,
    each,
    of_width,
    per_doubling,
    start,
)

_ROOT = "a square root is 1.41 times per doubling; 1.3 and 1.5 stand for the powers 0.4 and 0.6"
_LINEAR = "growth in proportion is 2 times per doubling; 1.7 and 2.3 stand for the powers 0.8 and 1.2"
_BOUNDED = "a constant eigenvalue grows by a factor of 1 per doubling; a power below 0.2, a factor of 1.15, counts as no growth"
_SOFT = "soft rank: (sum of the Gram matrix's eigenvalues)² / sum of their squares"
_GAP_IS = "orthogonality gap: Frobenius norm of G / trace(G) - I / n, with the Gram matrix G of n examples"
_ORDER = (
    "the source gives an order of magnitude; a factor of two either way is the tolerance; mean squares stand for variances, "
    "since the mean over random weights is 0"
)
_FISHER = "Fisher matrix of squared error; the batch is the whole sample, with as many examples as units per layer"
_FISHER_FIXED = "Fisher matrix of squared error; the batch is the whole sample, of the same size at every width"


def _deep(words: str, at: Setting, net: str = "batch_norm") -> Statistic:
    form = {"form": DIRECTIONS} if words == RANK else {}
    return each(of_width(words, min, **form), net, "representations", at)


def _rank(at: Setting) -> Statistic:
    return each(per_doubling(RANK), "batch_norm", "representations", at)


def _gap(net: str) -> Statistic:
    return each(per_doubling(GAP), net, "orthogonality")


def _widest(words: str) -> Statistic:
    return each(of_width(words, max), "rescaled", "orthogonality")


def _fisher(net: str, at: Setting = UNNAMED) -> Statistic:
    return each(per_doubling(EIGENVALUE), net, "fisher", at)


_RISING = "the theory is of wide nets, and the growth per doubling still rises with the width here"

# (E relu(x))² / E relu(x)² = 1 / pi, for normal x
_AFTER_RELU = (
    "after a ReLU even independent normal inputs have a cosine of 1 / pi, or 0.32, which alone keeps the soft rank below "
    "pi^2, about 10"
)
_GLOROT = (
    "Glorot weights have an expected squared length of the sum over layers of 2 m n / (m + n), from m features to n"
)

CLAIMS = claims(
    "none",
    "2026-11-29",
    init_rank_plain=Claim(
        "Without batch norm, at initialisation, the activations of all examples lie close to one line in the last layer of the "
        "narrowest deep net, linear or ReLU: their soft rank is below 1.1.",
        replace(DANESHMAND.at("Sec. 3.2, on the result of Daneshmand et al. 2020"), setup=""),
        largest(_deep(RANK, LINEAR, "plain"), _deep(RANK, RELU, "plain")).below(1.1),
        "representations converge to a rank-one matrix",
        remark=_SOFT,
    ),
    init_rank=Claim(
        "With batch norm, at initialisation, the soft rank of the last layer of deep linear nets grows at least as the square "
        "root of the width, with as many examples as units.",
        DANESHMAND_RANK,
        _rank(LINEAR).above(1.3),
        remark=f"{_SOFT}; {_ROOT}",
    ),
    init_rank_root=Claim(
        "With batch norm, at initialisation, the soft rank of the last layer of deep linear nets grows no faster than the "
        "square root of the width, with as many examples as units.",
        ours("whether the bound of Daneshmand et al. 2020 is the rank itself"),
        _rank(LINEAR).below(1.5),
        caveat_of="init_rank",
        remark=f"{_SOFT}; {_ROOT}",
    ),
    init_rank_relu=Claim(
        "With batch norm, at initialisation, the soft rank of the last layer of deep ReLU nets, after the ReLU, grows at least "
        "as the square root of the width, with as many examples as units.",
        DANESHMAND_RANK.at("abstract, which says so of experiments"),
        _rank(RELU).above(1.3),
        "rank robustness generalises to ReLU nets",
        in_doubt=_AFTER_RELU,
        remark=f"{_SOFT}; {_ROOT}",
    ),
    init_cluster=Claim(
        "With batch norm, at initialisation, all examples except an odd one point in one direction in the last layer of the "
        "narrowest deep ReLU net: their mean cosine is above 0.9.",
        NACHUM,
        _deep(OTHERS, RELU).above(0.9),
        "the batch converges to a single cluster, except for an odd data point",
        caveat_of="init_rank_relu",
        differs="its abstract names no width, batch or depth",
    ),
    init_odd=Claim(
        "With batch norm, at initialisation, the odd example is orthogonal to the others in the last layer of the narrowest "
        "deep ReLU net: its mean |cosine| is below 0.1.",
        NACHUM,
        _deep(ODD, RELU).below(0.1),
        "it breaks away in an orthogonal direction",
        caveat_of="init_rank_relu",
        differs="its abstract names no width, batch or depth",
    ),
    init_gap_depth=Claim(
        "With batch norm that does not centre, at initialisation, the orthogonality gap of the widest deep linear net, "
        "averaged over all layers after the 20th, is less than half that of the first layer.",
        replace(DANESHMAND.at("Fig. 2a"), setup=""),
        (_widest(SETTLED_GAP) / _widest(FIRST_GAP)).below(0.5),
        "its logarithm falls linearly over layers 1 to 20, then stays near a small number",
        remark=_GAP_IS,
    ),
    init_gap_width=Claim(
        "With batch norm that does not centre, at initialisation, the orthogonality gap of deep linear nets, averaged over all "
        "layers, falls as 1 / the square root of the width: 0.66 to 0.76 times per doubling.",
        DANESHMAND.at("Fig. 2b"),
        _gap("rescaled").between(0.66, 0.76),
        "power -0.46, or 0.73 times per doubling",
        remark=f"{_GAP_IS}; the range is that of the powers -0.6 to -0.4; -0.5, or 0.71 times, is proved as a bound",
    ),
    init_gap_centred=Claim(
        "With batch norm as it is used, which centres, at initialisation, the orthogonality gap of deep linear nets, averaged "
        "over all layers, falls as 1 / the square root of the width: 0.66 to 0.76 times per doubling.",
        replace(DANESHMAND.at("Sec. 2.1"), setup=""),
        _gap("batch_norm").between(0.66, 0.76),
        "the difference does not change the network's properties qualitatively",
        caveat_of="init_gap_width",
        remark=f"{_GAP_IS}; examples whose mean is 0 cannot be orthogonal: the gap of n such examples is at least 1 / "
        "(n (n - 1))^(1/2), whatever the width",
    ),
    init_fisher_plain=Claim(
        "Without batch norm, at initialisation, the largest eigenvalue of the Fisher matrix grows in proportion to the width: "
        "1.7 to 2.3 times per doubling.",
        KARAKIDA,
        _fisher("plain").between(1.7, 2.3),
        "the landscape is pathologically sharp when the network is wide",
        remark=f"{_FISHER}; {_LINEAR}",
        hypothesis="smoothness",
        speaks="neither",
    ),
    init_fisher_hidden=Claim(
        "With batch norm in the hidden layers alone, at initialisation, the largest eigenvalue of the Fisher matrix grows in "
        "proportion to the width: at least 1.7 times per doubling.",
        KARAKIDA,
        _fisher("batch_norm").above(1.7),
        "batch norm in the middle layers hardly alleviates the sharpness",
        in_doubt=_RISING,
        remark=f"{_FISHER}; {_LINEAR}",
        hypothesis="smoothness",
        speaks="neither",
    ),
    init_fisher_last=Claim(
        "At initialisation, with batch norm in every layer, the largest eigenvalue of the Fisher matrix does not grow with the "
        "width, if the number of examples grows in proportion to the width: less than 1.15 times per doubling.",
        KARAKIDA,
        _fisher("batch_norm_output").below(1.15),
        "batch norm in the last layer drastically decreases the sharpness",
        remark=f"{_FISHER}; {_BOUNDED}; {_RISING}, so that this speaks for neither side",
        hypothesis="smoothness",
        speaks="neither",
    ),
    init_fisher_fixed=Claim(
        "At initialisation, with batch norm in every layer, the largest eigenvalue of the Fisher matrix grows in "
        "proportion to the width if the number of examples stays the same: at least 1.7 times per doubling.",
        ours("whether the condition of Karakida et al. 2019 on width and number of examples is needed"),
        _fisher("batch_norm_output", FIXED).above(1.7),
        in_doubt=_RISING,
        caveat_of="init_fisher_last",
        remark=f"{_FISHER_FIXED}; {_LINEAR}",
        hypothesis="smoothness",
        speaks="neither",
    ),
    init_branch=Claim(
        "With batch norm, at initialisation, the variance of residual branch l is about 1 / l of that of its shortcut: l times "
        "their ratio lies between 0.5 and 2 at the last block of the first stage.",
        DE.at("abstract"),
        each(BRANCH, "batch_norm", "residual").between(0.5, 2),
        "the branch is smaller by a factor on the order of the square root of the depth",
        remark=_ORDER,
    ),
    init_branch_plain=Claim(
        "Without batch norm, at initialisation, the variance of a residual branch is about that of its shortcut: between 0.5 "
        "and 2 times in the geometric mean over the blocks of the first stage.",
        DE,
        each(MEAN_BRANCH, "plain", "residual").between(0.5, 2),
        remark=_ORDER,
    ),
    init_skip_init=Claim(
        "With SkipInit in place of batch norm, at initialisation, every residual branch is 0.",
        DE.at("SkipInit"),
        each(LARGEST_BRANCH, "skip_init", "residual").below(1e-12),
        "a number that starts from 0 multiplies each branch",
    ),
    init_penalty=Claim(
        "At initialisation, in the plain VGG of 13 layers whose hidden dense layers have 4,096 units, the cross-entropy and "
        "an L2 penalty of 0.0005 add up to a loss within 10 % of the published 4.27 nats.",
        SANTURKAR.at("Fig. 4a, read off at step 0, where the loss of chance is 2.30; the text names no penalty"),
        start(PUBLISHED_VGG, "penalty", 5e-4).between(3.84, 4.70),
        "4.27 nats",
        since="2026-11-30",
        differs="the source names neither depth nor head",
        remark=f"a consistency check: the penalty was inferred from this curve. {_GLOROT}: 7,613 here. The range was fixed "
        "on 2026-11-21 for the smallest loss of a scan at step 0, which in the source lies 0.02 nats below the largest one",
    ),
    init_penalty_vgg_a=Claim(
        "At initialisation, in the plain VGG-A whose hidden dense layers have 512 units, the cross-entropy and an L2 penalty "
        "of 0.0005 add up to a loss more than 10 % below the published 4.27 nats.",
        ours(
            "whether an L2 penalty explains the loss in Santurkar et al. 2018, Fig. 4a, whatever the width of the dense "
            "layers: with 512 units it does not"
        ),
        start(VGG_A, "other_penalty", 5e-4).below(3.84),
        caveat_of="init_penalty",
        since="2026-11-30",
        remark=f"{_GLOROT}: 3,439 here; in a VGG-A with 4,096 units, 7,421, or by this closed form a loss of 4.16 nats",
    ),
)

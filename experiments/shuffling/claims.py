"""Claims about shuffles of the data with batch norm, in a toy whose optima are known in closed form."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.source import Source, ours
from experiments.shuffling.quantities import (
    AGAIN,
    BETWEEN,
    FIXED,
    RISK_AGAIN,
    RISK_FIXED,
    change,
    each,
    end,
    smallest,
)

_WU = Source(
    "Wu, Yun & Sra 2023", "paper", "arxiv.org/abs/2302.12444", "linear networks with batch norm, squared error"
)
_ABSTRACT = _WU.at("abstract")
_TOY = "here one layer and normal inputs"
_NEAR = (
    "a tenth of the distance between both optima is the tolerance, since SGD with a constant learning rate keeps moving; its "
    "weights are averaged over the second half of the training"
)
_TENTH = "the source gives no number in its abstract; a tenth is ours"
_OF_MANY = "the distance for one shuffle is the median over several"

CLAIMS = claims(
    "none",
    "2026-11-29",
    shuffle_fixed_end=Claim(
        "With batch norm at the smallest batch, SGD that keeps one shuffle ends at the optimum of that shuffle's risk: its "
        "distance from there is less than 0.1 times the distance between that optimum and the one of new shuffles.",
        _ABSTRACT,
        each(end("fixed_to_fixed", "optima"), "batch_norm").below(0.1),
        "SGD with a single shuffle converges to a global optimum of its own",
        remark=_NEAR,
        differs=_TOY,
    ),
    shuffle_again_end=Claim(
        "With batch norm at the smallest batch, SGD with a new shuffle each epoch ends at the optimum of the risk averaged "
        "over shuffles: its distance from there is less than 0.1 times the distance between that optimum and the one of one "
        "shuffle.",
        _ABSTRACT,
        each(end("again_to_again", "optima"), "batch_norm").below(0.1),
        "SGD with reshuffling converges to a global optimum of its own",
        remark=_NEAR,
        differs=_TOY,
    ),
    shuffle_distinct=Claim(
        "With batch norm at the smallest batch, the distance between the optimum of one shuffle and that of new shuffles is "
        "more than 10 % of the length of gradient descent's weights.",
        _ABSTRACT,
        each(smallest(BETWEEN), "batch_norm").above(0.1),
        "distinct global optima",
        remark=f"{_TENTH}; {_OF_MANY}",
        differs=_TOY,
    ),
    shuffle_distorted=Claim(
        "With batch norm at the smallest batch, the optimum of one shuffle is further from that of gradient descent than the "
        "optimum of new shuffles.",
        _ABSTRACT,
        each(smallest(FIXED) / smallest(AGAIN), "batch_norm").above(1),
        "a single shuffle leads to distorted optima",
        remark=_OF_MANY,
        differs=_TOY,
    ),
    shuffle_risk=Claim(
        "With batch norm at the smallest batch, the squared error on all examples, normalised as one batch, exceeds that of "
        "gradient descent by more at the optimum of one shuffle than at that of new shuffles.",
        ours("what the distorted optima of Wu, Yun & Sra 2023 cost in the units of the loss"),
        each(smallest(RISK_FIXED) / smallest(RISK_AGAIN), "batch_norm").above(1),
        remark="the error for one shuffle is the median over several",
    ),
    shuffle_again_distorted=Claim(
        "With batch norm at the smallest batch, the distance between the optimum of new shuffles and that of gradient descent "
        "is more than 10 % of the length of gradient descent's weights.",
        _ABSTRACT,
        each(smallest(AGAIN), "batch_norm").above(0.1),
        "both optima are distorted away from gradient descent",
        caveat_of="shuffle_distorted",
        remark=_TENTH,
        differs=_TOY,
    ),
    shuffle_larger=Claim(
        "With batch norm, the optimum of one shuffle is less than half as far from that of gradient descent at the largest "
        "batch as at the smallest.",
        ours("whether the distortion of one shuffle is one of small batches"),
        each(change(FIXED), "batch_norm").below(0.5),
        caveat_of="shuffle_distorted",
        remark=_OF_MANY,
    ),
    shuffle_plain=Claim(
        "Without batch norm, at the smallest batch, SGD that keeps one shuffle ends where SGD with new shuffles does, to "
        "within 2 % of the length of gradient descent's weights.",
        ours("a control: without batch norm all shuffles have the same risk"),
        each(end("fixed_to_again"), "plain").below(0.02),
        remark="both risks have the same optimum; 2 % is the tolerance, since SGD with a constant learning rate keeps moving",
    ),
    shuffle_apart=Claim(
        "With batch norm at the smallest batch, the distance between the final weights of SGD that keeps one shuffle and of "
        "SGD with new shuffles is more than 10 % of the length of gradient descent's weights.",
        _ABSTRACT,
        each(end("fixed_to_again"), "batch_norm").above(0.1),
        "distinct global optima",
        remark=_TENTH,
        differs=_TOY,
    ),
)

"""Claims about weights whose length does not matter: identities of batch norm, and controls in which they must fail."""

import numpy as np

from experiments._evidence.claim import Claim, claims
from experiments._evidence.source import Source, ours
from experiments._evidence.statistic import Statistic
from experiments._nets import UNNAMED, Setting
from experiments.scale_invariance.quantities import (
    ALL,
    CONSTANT,
    COSINE,
    DIFFERENCE,
    EPSILON,
    GROWTH,
    MOMENTUM,
    SCALING,
    each,
    over_layers,
)

_LAARHOVEN = Source("van Laarhoven 2017", "paper", "arxiv.org/abs/1706.05350")
_LI = Source("Li & Arora 2019", "paper", "arxiv.org/abs/1910.07454")
_EXACT = 1e-8  # tolerance of an identity in float64 over the steps of a run
_APART = 1e-3  # distance from which two copies count as different: ten orders of magnitude above rounding
_CONTROL = "a control: without a normaliser the length of weights matters"
_SAME = "the same path as without it at a learning rate that grows by 1 / (1 - learning rate x penalty)² a step"
_REMARK = (
    "in exact arithmetic 0; both copies start from the same weights, so that the rate at step t, from 0, is learning rate x "
    "(1 - learning rate x penalty) to the power -(2t + 1)"
)


def _end(net: str, at: Setting = UNNAMED) -> Statistic:
    """Measure the final distance between the two copies."""
    return each(DIFFERENCE.at_end(), net, at)


CLAIMS = claims(
    "learning rates",
    "2026-11-29",
    "neither",
    scale_decay=Claim(
        f"With batch norm, plain SGD with an L2 penalty on the weights before it takes {_SAME}, to within 1e-8.",
        _LI,
        _end("batch_norm").below(_EXACT),
        "equal: the penalty is an exponential learning rate",
        remark=_REMARK,
        differs="here epsilon is 0, and no other parameters have a penalty",
    ),
    scale_decay_plain=Claim(
        f"Without batch norm, plain SGD with an L2 penalty on the hidden layers' weights does not take {_SAME}: their "
        "directions end more than 0.001 apart.",
        _CONTROL,
        _end("plain").above(_APART),
    ),
    scale_decay_rate=Claim(
        "With batch norm, an L2 penalty on the weights before it has an effect: without it, at the same learning rate, plain "
        "SGD ends more than 0.001 apart.",
        _LAARHOVEN.at("abstract"),
        _end("batch_norm", CONSTANT).above(_APART),
        "the penalty influences the scale of weights, and thereby the effective learning rate",
        remark="a control: two copies that never part would be equal whatever the rate",
    ),
    scale_decay_epsilon=Claim(
        f"With batch norm whose epsilon is 1e-5, as it is used, plain SGD with an L2 penalty on the weights before it takes "
        f"{_SAME}, to within 1 %.",
        ours("how much of the identity is left with the usual epsilon, for which lengths do matter"),
        _end("batch_norm", EPSILON).below(0.01),
        caveat_of="scale_decay",
    ),
    scale_decay_momentum=Claim(
        f"With batch norm, SGD with momentum and an L2 penalty on the weights before it does not take {_SAME}: the weights' "
        "directions end more than 0.001 apart.",
        ours("whether the identity needs SGD without momentum, as it is stated here"),
        _end("batch_norm", MOMENTUM).above(_APART),
        caveat_of="scale_decay",
        remark="the source has an identity of its own for momentum, with another rate and another momentum",
    ),
    scale_decay_all=Claim(
        f"With batch norm, plain SGD with an L2 penalty on all parameters, as it is used, does not take {_SAME}: the weights' "
        "directions end more than 0.001 apart.",
        ours("whether the identity needs a penalty on scale-invariant weights alone"),
        _end("batch_norm", ALL).above(_APART),
        caveat_of="scale_decay",
        remark="of the copy at the growing rate, no parameter has a penalty",
    ),
    scale_orthogonal=Claim(
        "With batch norm, at initialisation, the gradient of every layer's weights before it is orthogonal to them, to within "
        "1e-8.",
        _LAARHOVEN,
        each(over_layers(COSINE), "batch_norm").below(_EXACT),
        "orthogonal",
        differs="here epsilon is 0",
    ),
    scale_orthogonal_plain=Claim(
        "Without batch norm, at initialisation, the gradient of no hidden layer's weights is orthogonal to them, to within "
        "1e-5.",
        _CONTROL,
        each(over_layers(COSINE, np.min), "plain").above(1e-5),
    ),
    scale_inverse=Claim(
        "With batch norm, at initialisation, three times as long weights before it have a third of the gradient in every "
        "layer, to within 1e-8.",
        _LAARHOVEN,
        each(over_layers(SCALING), "batch_norm").below(_EXACT),
        "in inverse proportion to their length",
        remark="the weights of all layers are made longer at once",
        differs="here epsilon is 0",
    ),
    scale_inverse_plain=Claim(
        "Without batch norm, at initialisation, three times as long weights of the hidden layers have a third of the gradient "
        "in no layer: it is off by more than 10 %.",
        _CONTROL,
        each(over_layers(SCALING, np.min), "plain").above(0.1),
    ),
    scale_growth=Claim(
        "With batch norm and no penalty, plain SGD adds learning rate² x gradient² to the squared length of the weights "
        "before it at each step, in every layer, to within 1e-8 of what it adds in all.",
        _LAARHOVEN,
        each(over_layers(GROWTH), "batch_norm").below(_EXACT),
        "by Pythagoras, as the gradient is orthogonal",
        differs="here epsilon is 0, and the learning rate grows",
    ),
    scale_growth_plain=Claim(
        "Without batch norm and penalty, plain SGD does not add learning rate² x gradient² to the squared length of any hidden "
        "layer's weights: it is off by more than 10 %.",
        _CONTROL,
        each(over_layers(GROWTH, np.min), "plain").above(0.1),
    ),
)

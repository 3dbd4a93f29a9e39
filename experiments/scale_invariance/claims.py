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
_PENALISED = "with an L2 penalty on the weights before batch norm,"
_INSTEAD = (
    "without the penalty at a learning rate of these weights that grows by a factor of 1 / (1 - learning rate x penalty)² a "
    "step"
)
_REMARK = (
    "in exact arithmetic the distance is 0; both copies start from the same weights, so that the rate at step t, from 0, is "
    "learning rate x (1 - learning rate x penalty) to the power -(2t + 1)"
)


def _end(net: str, at: Setting = UNNAMED) -> Statistic:
    """Measure the final distance between the two copies."""
    return each(DIFFERENCE.at_end(), net, at)


CLAIMS = claims(
    "learning rates",
    "2026-11-29",
    "neither",
    scale_decay=Claim(
        f"With batch norm of epsilon 0, SGD without momentum, {_PENALISED} ends at the same directions of these weights as "
        f"{_INSTEAD}, to within 1e-8.",
        _LI,
        _end("batch_norm").below(_EXACT),
        "equal: the penalty is an exponential learning rate",
        remark=_REMARK,
        differs="here epsilon is 0, and no other parameters have a penalty",
    ),
    scale_decay_plain=Claim(
        "Without batch norm, SGD without momentum, with an L2 penalty on the hidden layers' weights, ends at directions of "
        f"these weights more than 0.001 from those {_INSTEAD}.",
        _CONTROL,
        _end("plain").above(_APART),
    ),
    scale_decay_rate=Claim(
        f"With batch norm of epsilon 0, SGD without momentum, {_PENALISED} ends at directions of these weights more than 0.001 "
        "from those without the penalty at the same learning rate.",
        _LAARHOVEN.at("abstract"),
        _end("batch_norm", CONSTANT).above(_APART),
        "the penalty influences the scale of weights, and thereby the effective learning rate",
        remark="a control: if the copies did not separate here, their agreement at the growing rate would show nothing",
    ),
    scale_decay_epsilon=Claim(
        f"With batch norm of epsilon 1e-5, as usual, SGD without momentum, {_PENALISED} ends at the same directions of these "
        f"weights as {_INSTEAD}, to within 1 %.",
        ours("how much of the identity is left with the usual epsilon, for which lengths do matter"),
        _end("batch_norm", EPSILON).below(0.01),
        caveat_of="scale_decay",
    ),
    scale_decay_momentum=Claim(
        f"With batch norm of epsilon 0, SGD with momentum, {_PENALISED} ends at directions of these weights more than 0.001 "
        f"from those {_INSTEAD}, the factor for SGD without momentum.",
        ours("whether the identity needs SGD without momentum, as it is stated here"),
        _end("batch_norm", MOMENTUM).above(_APART),
        caveat_of="scale_decay",
        remark="the source has an identity of its own for momentum, with another rate and another momentum",
    ),
    scale_decay_all=Claim(
        "With batch norm of epsilon 0, SGD without momentum, with an L2 penalty on all parameters, as usual, ends at "
        f"directions of the weights before batch norm more than 0.001 from those {_INSTEAD}.",
        ours("whether the identity needs a penalty on scale-invariant weights alone"),
        _end("batch_norm", ALL).above(_APART),
        caveat_of="scale_decay",
        remark="in the copy at the growing rate, no parameter has a penalty",
    ),
    scale_orthogonal=Claim(
        "With batch norm of epsilon 0, at initialisation, the gradient by the weights of every layer that batch norm follows "
        "is orthogonal to these weights, to within 1e-8.",
        _LAARHOVEN,
        each(over_layers(COSINE), "batch_norm").below(_EXACT),
        "orthogonal",
        differs="here epsilon is 0",
    ),
    scale_orthogonal_plain=Claim(
        "Without batch norm, at initialisation, the gradient by the weights of no hidden layer is orthogonal to these weights, "
        "to within 1e-5.",
        _CONTROL,
        each(over_layers(COSINE, np.min), "plain").above(1e-5),
    ),
    scale_inverse=Claim(
        "With batch norm of epsilon 0, at initialisation, multiplying the weights of all layers that batch norm follows by 3 "
        "divides their gradients by 3, to within 1e-8.",
        _LAARHOVEN,
        each(over_layers(SCALING), "batch_norm").below(_EXACT),
        "in inverse proportion to their length",
        differs="here epsilon is 0",
    ),
    scale_inverse_plain=Claim(
        "Without batch norm, at initialisation, multiplying the weights of all hidden layers by 3 divides the gradient of none "
        "of them by 3, to within 10 %.",
        _CONTROL,
        each(over_layers(SCALING, np.min), "plain").above(0.1),
    ),
    scale_growth=Claim(
        "With batch norm of epsilon 0 and no penalty, the squared length of the weights of every layer that batch norm follows "
        "grows under SGD without momentum by the sum over all steps of learning rate² x |gradient|², to within a share of "
        "1e-8.",
        _LAARHOVEN,
        each(over_layers(GROWTH), "batch_norm").below(_EXACT),
        "by Pythagoras, as the gradient is orthogonal",
        differs="here epsilon is 0, and the learning rate grows",
    ),
    scale_growth_plain=Claim(
        "Without batch norm and penalty, the growth of the squared length of each hidden layer's weights under SGD without "
        "momentum differs by more than 10 % from the sum over all steps of learning rate² x |gradient|².",
        _CONTROL,
        each(over_layers(GROWTH, np.min), "plain").above(0.1),
    ),
)

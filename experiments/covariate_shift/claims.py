"""Claims about internal covariate shift: how the step of earlier layers changes a layer's gradient."""

from dataclasses import replace

from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import Format
from experiments._evidence.quantities import TRAIN_ACCURACY, TRAIN_LOSS
from experiments._evidence.quantity import Quantity
from experiments._evidence.statistic import largest, smallest
from experiments._nets import learning_rate
from experiments.covariate_shift.quantities import FLOOR, second_net, shift

_SAN, _ALX = "Santurkar et al. 2018", "replication AlexeyGB/batch-norm-helps-optimization, read off"
_MAM = "F. Mameli, repository Test_batch_norm_paper, read off"
_IOFFE = f"Ioffe & Szegedy 2015, Sec. 2, in the words of {_SAN}, Sec. 2.2"
_RELATIVE = "the definition, normalised"
_BOTH = "batch_norm", "plain"
_FAST, _SLOW, _ADAM = learning_rate(0.1, "sgd"), learning_rate(0.01, "sgd"), learning_rate(0.001, "adam")
_LINEAR_FAST, _LINEAR_SLOW = ((learning_rate(rate), "deep_linear") for rate in (1e-6, 1e-7))


def _cosine(layer: int, digits: str = "+z.2f") -> Quantity:
    return shift(layer, "cosine", format=Format(digits))


def _size(cosine: Quantity) -> Quantity:
    return replace(cosine, value=lambda record: abs(cosine.values(record)), words=f"|{cosine.words}|")


_TURN = _size(second_net("cosine")).median() / _size(shift(5, "cosine")).median()
_EITHER = f"both nets, {_SLOW.words}"

CLAIMS = claims(
    shift_not_less=Claim(
        "At learning rate 0.1, layer 5 of a VGG has as much covariate shift with batch norm as without, or more.",
        f"{_SAN}, Sec. 2.2, Fig. 3; F. Mameli; J. Huber, Fig. 7",
        shift(5).median(50).over(*_BOTH, _FAST).above(0.5),
        "1.00 / 0.067 in steps 0 to 300, 0.88 / 0.50 around 1,000, 1.06 / 1.01 around 3,000, or 15, 1.8, 1.05 times",
        remark="as much is at least half",
    ),
    shift_not_less_relative=Claim(
        "In units of the layer's own gradient it has less.",
        _RELATIVE,
        shift(5, "relative_difference").median(50).over(*_BOTH, _FAST).between(0, 1),
        caveat_of="shift_not_less",
    ),
    shift_not_less_deeper=Claim(
        "In layer 10, at learning rate 0.1, both nets have about as much.",
        f"{_SAN}, Fig. 3a, whose axis has no numbers",
        shift(10).median(50).over(*_BOTH, _FAST).between(0.5, 2),
        "both curves overlap",
    ),
    shift_and_yet_better=Claim(
        "And yet the net with batch norm trains better.",
        f"{_SAN}, Sec. 2.2, Fig. 3",
        TRAIN_ACCURACY.at_end(50).minus(*_BOTH, _FAST).above(0),
        "81.4 - 51.9 % around step 1,000, or 29.5 points",
    ),
    shift_later=Claim(
        "From step 2,000 on, both nets have about as much.",
        f"{_SAN}, Fig. 3a, read off",
        shift(5).median(2000).over(*_BOTH, _FAST).between(0.5, 3),
        "1.06 / 1.01, 0.65 / 0.94, 0.88 / 0.70, 0.68 / 0.47, or 0.7 to 1.4 times",
    ),
    shift_at_start=Claim(
        "At initialisation the net with batch norm has at least ten times as much.",
        f"{_SAN}, Fig. 3a, read off",
        shift(5).median(0, 0).over(*_BOTH, _FAST).above(10),
        "14.7 / 0.067, the latter a median up to step 300, or 219 times",
    ),
    shift_slow_rate=Claim(
        "At learning rate 0.01, too, it is more with batch norm, early in training.",
        f"{_SAN}, Fig. 3a, read off",
        shift(5).median(50, 3500).over(*_BOTH, _SLOW).above(1),
        "4.1 / 0.11, 2.7 / 0.58 and 2.7 / 1.20, or 37, 4.7 and 2.3 times",
    ),
    shift_slow_rate_relative=Claim(
        "So it is in units of the layer's own gradient.",
        _RELATIVE,
        shift(5, "relative_difference").median(50, 3500).over(*_BOTH, _SLOW).above(1),
    ),
    shift_slow_rate_later=Claim(
        "At learning rate 0.01, it is less with batch norm from step 4,500 on, when that net has learnt everything.",
        f"{_SAN}, Fig. 3a, read off",
        shift(5).median(4500, 11000).over(*_BOTH, _SLOW).between(0, 1),
        "0.048 / 1.43 and 0.005 / 0.94, or 0.03 and 0.005 times",
        caveat_of="shift_slow_rate",
    ),
    shift_adam=Claim(
        "With Adam the sign is the opposite: there is less covariate shift in layer 5 with batch norm.",
        _ALX,
        shift(5).median(100).over(*_BOTH, _ADAM).between(0, 1),
        "0.08 to 0.15 / 0.2 to 1.0, or 0.1 to 0.7 times",
        caveat_of="shift_not_less",
    ),
    shift_adam_dense=Claim(
        "So it is with Adam in layer 10, a dense one.",
        _ALX,
        shift(10).median(100).over(*_BOTH, _ADAM).between(0, 1),
        "0.02 to 0.06 / 0.06 to 0.15, or 0.1 to 1 times",
        caveat_of="shift_not_less",
    ),
    shift_adam_relative=Claim(
        "In units of the layer's own gradient there is less with Adam, too.",
        _RELATIVE,
        shift(5, "relative_difference").median(100).over(*_BOTH, _ADAM).between(0, 1),
        caveat_of="shift_not_less",
    ),
    shift_gradients_alike=Claim(
        "Batch norm reduces covariate shift: the step of earlier layers turns the gradient of layer 5 less.",
        _IOFFE,
        _cosine(5).median(50).minus(*_BOTH, _FAST).above(0),
        "0.67 - 0.86 in steps 0 to 300, 0.75 - 0.76 around 1,000, or -0.19 and -0.01",
    ),
    shift_gradients_alike_slow=Claim(
        "So it does at learning rate 0.01.",
        _IOFFE,
        _cosine(5).median(50, 3500).minus(*_BOTH, _SLOW).above(0),
        "0.57 - 0.98, 0.72 - 0.91 and 0.61 - 0.84, or -0.41, -0.19 and -0.23",
    ),
    shift_second_net=Claim(
        "Measured against a second net, as Mameli's repository does, covariate shift is higher with batch norm.",
        _MAM,
        second_net().median(last=7000).over(*_BOTH, _SLOW).above(1),
        "3.7 / 1.0 at step 1,000, 4.2 / 1.9 at 3,000, or 3.7 and 2.2 times",
    ),
    shift_second_net_floor=Claim(
        "Most of that is no covariate shift: it is there when no layer has taken a step.",
        "control: the same comparison without any step",
        smallest(*(FLOOR.each(net, _SLOW) for net in _BOTH), who=_EITHER).above(0.5),
        caveat_of="shift_second_net",
    ),
    shift_second_net_cosine=Claim(
        "The gradients of net and second net are far less alike than G and G' are.",
        _MAM,
        largest(*(_TURN.each(net, _SLOW) for net in _BOTH), who=_EITHER).between(0, 0.5),
        "0.02 to 0.21 / 0.57 to 0.98, or below 0.4 times",
        caveat_of="shift_second_net",
        remark="far less is below half",
    ),
    shift_second_net_later=Claim(
        "That measure, too, is lower with batch norm once its loss has collapsed.",
        _MAM,
        second_net().median(9000).over(*_BOTH, _SLOW).between(0, 1),
        "1.6 / 3.8 at step 10,000, or 0.42 times",
        caveat_of="shift_second_net",
    ),
    shift_deep_linear_plain=Claim(
        "A deep linear network without batch norm has almost no covariate shift, at learning rate 1e-7.",
        f"{_SAN}, Sec. 2.2, Fig. 3b",
        smallest(*(_cosine(layer, "z.4f").median(1000).each("plain", *_LINEAR_SLOW) for layer in (9, 17))).above(0.99),
        "1.00 and 1.00",
    ),
    shift_deep_linear_fast=Claim(
        "Only there: at learning rate 1e-6 the gradient of its layer 17 turns around at a step.",
        f"{_SAN}, Fig. 3b, read off",
        _cosine(17).median(1000).each("plain", *_LINEAR_FAST).below(0),
        "-0.89 to -0.98",
        caveat_of="shift_deep_linear_plain",
    ),
    shift_deep_linear=Claim(
        "With batch norm that network has much covariate shift at learning rate 1e-7.",
        f"{_SAN}, Sec. 2.2, Fig. 3b",
        _cosine(17).mean(1000).each("batch_norm", *_LINEAR_SLOW).below(0.9),
        "-0.96, -0.33, 0.57, -0.05, the medians of four windows",
    ),
    shift_deep_linear_more=Claim(
        "It is more than ten times as much as without batch norm, at learning rate 1e-7.",
        f"{_SAN}, Fig. 3b, read off",
        shift(9).median(1000).over(*_BOTH, *_LINEAR_SLOW).above(10),
        "6870 / 4.0, 5990 / 0.92, 2200 / 1.5, 3050 / 1.2, or 1,500 times and more",
    ),
    shift_deep_linear_fast_more=Claim(
        "At learning rate 1e-6, too, it has as much as without batch norm, or more.",
        f"{_SAN}, Sec. 2.2, Fig. 3b",
        shift(9).median().over(*_BOTH, *_LINEAR_FAST).above(0.5),
        "11100 / 19400, 3570 / 7720, 2540 / 2270, 767 / 675, 617 / 2330, 535 / 93, or 0.26 to 5.8 times",
        remark="as much is at least half",
    ),
    shift_deep_linear_loss=Claim(
        "And yet the deep linear network trains better with batch norm, at learning rate 1e-6.",
        f"{_SAN}, Fig. 3b, read off",
        TRAIN_LOSS.at_end(100).over("plain", "batch_norm", *_LINEAR_FAST).above(1),
        "1660 / 480, or 3.5 times",
    ),
)

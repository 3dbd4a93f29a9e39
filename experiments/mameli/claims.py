"""Claims about Mameli's net: those of his repository, in his measures and in the definitions they are named after.

The claims of covariate_shift and landscape about his measures concern nets with batch norm after every layer.
"""

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantity import Measure
from experiments._evidence.source import MAMELI, MAMELI_GRADIENTS, Source, ours
from experiments._evidence.statistic import Criterion, Range, Statistic, largest, smallest
from experiments.mameli.quantities import PLATEAU, RELATIVE_SHIFT, SHIFT, TURN, successive

_NET = "In Mameli's VGG-A with dropout, at learning rate 0.01,"
_ONE = "with a single batch norm, after layer 4, than without"
_BOTH = "batch_norm_4", "plain"
_EITHER = "one BN, plain"
_FIVE, _TEN, _THIRTY = (epochs * 390 for epochs in (5, 10, 30))  # steps
_EARLY, _PART = (80, 3500), (80, 1500)
_FIRST = "2026-11-21"  # the day on which the ranges of accuracies, losses and plateau were fixed
_READ = MAMELI.at("read off")
_SHIFT = (
    "Mameli's measure of covariate shift, the distance of layer 5's gradient from that in a second net with the same "
    "convolutions and a random classifier,"
)
_SUM = (
    "the sum of layer 5's gradients on successive batches, whose length Mameli's repository takes for gradient "
    "predictiveness,"
)
_LOSS = "the loss plus its absolute change since the last batch, which Mameli's repository calls the loss landscape,"
_DEFINED = ours("Definition 2.1 of Santurkar et al. 2018, in the net of Mameli's repository")
_ALONG = ours("the scans of Santurkar et al. 2018, Sec. 3.2, in the net of Mameli's repository")
_AGREEMENT = (
    "the two gradients are of different mini-batches: how much they agree shows how large the mean gradient is beside the "
    "noise of batches, whatever the landscape"
)
# As mameli_plateau measures it.
_PLATEAU = (
    "for much of these steps the plain net is still near the loss of chance, where loss and gradient hardly change, so "
    "that less smoothness with batch norm does not count against it"
)
_SMALL = (
    "for much of these steps the plain net is still near the loss of chance, where its gradients are small, so that this "
    "speaks for neither side"
)
_OF_LOSSES = (
    "the median relative change from batch to batch replaces the variance of the losses, which also measures how far the loss "
    "falls"
)


def _larger(measure: Measure) -> Statistic:
    """Divide a measure with one batch norm by the same without it."""
    return measure.over(*_BOTH)


def _accepted(net: str, step: int, holds: Range, published: str, source: Source) -> Claim:
    """Claim that the test accuracy at a step is in the range accepted for replications; only full width decides it."""
    statistic = q.TEST_ACCURACY.at(step).each(net).where("model.width", 1, "full width")
    which = "with one batch norm, after layer 4," if net == "batch_norm_4" else "without batch norm"
    low, high = (f"{100 * end:g} %" for end in holds)
    words = f"{_NET} the test accuracy after {step:,} steps {which} is between {low} and {high}."
    return Claim(words, source, Criterion(statistic, holds), published, since=_FIRST)


_OF_ACCURACY = claims(
    "none",
    "2026-11-29",
    mameli_accuracy=Claim(
        f"{_NET} the test accuracy after 10 epochs is higher {_ONE}.",
        MAMELI_GRADIENTS,
        q.TEST_ACCURACY.at(_TEN).minus(*_BOTH).above(0),
        "72.4 % and 44.5 %, or +28 points",
    ),
    mameli_accuracy_recalibrated=Claim(
        f"{_NET} the test accuracy after 10 epochs, with statistics recomputed over the training images, is higher {_ONE}.",
        ours("a control: whether running statistics, which lag, make the difference"),
        (q.RECALIBRATED_ACCURACY.at(_TEN).each("batch_norm_4") - q.TEST_ACCURACY.at(_TEN).each("plain")).above(0),
        caveat_of="mameli_accuracy",
        since="2026-11-30",
    ),
    mameli_accuracy_5_epochs=Claim(
        f"{_NET} the test accuracy after 5 epochs is higher {_ONE}.",
        MAMELI_GRADIENTS,
        q.TEST_ACCURACY.at(_FIVE).minus(*_BOTH).above(0),
        "64.8 % and 30.9 %, or +34 points",
    ),
    mameli_loss=Claim(
        f"{_NET} the test loss after 30 epochs is larger {_ONE}.",
        MAMELI,
        q.TEST_LOSS.at(_THIRTY).minus(*_BOTH).above(0),
        "1.405 and 0.864, or +0.54, while the test accuracy is 6.7 points higher",
        caveat_of="mameli_accuracy",
        since=_FIRST,
    ),
    mameli_plateau=Claim(
        f"{_NET} the training loss without batch norm stays within 0.02 of that of chance, ln 10, for more than 400 steps.",
        MAMELI,
        PLATEAU.each("plain").above(400),
        "about 750 to 900",
        since=_FIRST,
    ),
    mameli_one_10_epochs=_accepted("batch_norm_4", _TEN, (0.6, 0.75), "72.4 %", MAMELI_GRADIENTS),
    mameli_none_10_epochs=_accepted("plain", _TEN, (0.35, 0.5), "44.5 %", MAMELI_GRADIENTS),
    mameli_one_30_epochs=_accepted("batch_norm_4", _THIRTY, (0.76, 0.81), "79.2 %", MAMELI),
    mameli_none_30_epochs=_accepted("plain", _THIRTY, (0.68, 0.75), "72.5 %", MAMELI),
)

# His measure compares the gradients of two nets, so it is not the shift by an update, and speaks for neither side.
_OF_SHIFT = claims(
    "covariate shift",
    "2026-11-29",
    mameli_shift=Claim(
        f"{_NET} over steps 0 to 7,000, {_SHIFT} is larger {_ONE}.",
        _READ,
        _larger(q.second_net().median(last=7000)).above(1),
        "3.7 / 1.0 at step 1,000, 4.2 / 1.9 at 3,000, or 3.7 and 2.2 times",
        speaks="neither",
    ),
    mameli_shift_part=Claim(
        f"{_NET} over steps 2,500 to 3,500, {_SHIFT} is larger {_ONE}.",
        _READ,
        _larger(q.second_net().median(2500, 3500)).above(1),
        "4.2 / 1.9 at step 3,000, or 2.2 times",
        repeats="mameli_shift",
        since="2026-11-30",
        speaks="neither",
    ),
    mameli_shift_start=Claim(
        f"{_NET} over steps 0 to 1,000, {_SHIFT} is larger {_ONE}.",
        _READ,
        _larger(q.second_net().median(last=1000)).above(1),
        "3.0 / 0.1 at step 200, 3.5 / 0.1 at 800, 3.7 / 1.0 at 1,000, or 30, 35 and 3.7 times",
        remark=_SMALL,
        speaks="neither",
    ),
    mameli_shift_later=Claim(
        f"{_NET} from step 9,000 on, {_SHIFT} is smaller {_ONE}.",
        _READ,
        _larger(q.second_net().median(9000)).between(0, 1),
        "1.6 / 3.8 at step 10,000, or 0.42 times",
        caveat_of="mameli_shift",
        speaks="neither",
    ),
    mameli_shift_floor=Claim(
        f"{_NET} {_SHIFT} is more than half as large without the update as with it, both with a single batch norm, after "
        "layer 4, and without.",
        ours("a control: the same comparison without an update"),
        smallest(*(q.SECOND_NET_FLOOR.each(net) for net in _BOTH), who=_EITHER).above(0.5),
        caveat_of="mameli_shift",
        speaks="neither",
    ),
    mameli_shift_cosine=Claim(
        f"{_NET} the absolute cosine of layer 5's gradients in the net and in Mameli's second net, with the same convolutions "
        "and a random classifier, is less than half the absolute cosine of its gradients before and after updating the "
        "preceding layers, both with a single batch norm, after layer 4, and without.",
        ours("a control: the direction of what Mameli's repository compares, which plots the absolute value alone"),
        largest(*(TURN.each(net) for net in _BOTH), who=_EITHER).between(0, 0.5),
        caveat_of="mameli_shift",
        speaks="neither",
    ),
    mameli_shift_defined=Claim(
        f"{_NET} over steps 0 to 1,000, layer 5 has more internal covariate shift, by Definition 2.1 of Santurkar et al. "
        f"2018, {_ONE}.",
        _DEFINED,
        _larger(SHIFT.median(last=1000)).above(1),
        caveat_of="mameli_shift",
        remark=_SMALL,
        speaks="neither",
    ),
    mameli_shift_relative=Claim(
        f"{_NET} over steps 0 to 1,000, layer 5 has more internal covariate shift, by Definition 2.1 of Santurkar et al. 2018 "
        f"and relative to the norm of its gradient, {_ONE}.",
        _DEFINED,
        _larger(RELATIVE_SHIFT.median(last=1000)).above(1),
        caveat_of="mameli_shift",
        remark=_SMALL,
        speaks="neither",
    ),
)

_OF_LANDSCAPE = claims(
    "smoothness",
    "2026-11-29",
    mameli_sum=Claim(
        f"{_NET} over steps 80 to 3,500, {_SUM} is longer {_ONE}.",
        MAMELI_GRADIENTS,
        _larger(successive("step_sum").median(*_EARLY)).above(1),
        "3.3 / 0.65 at step 1,000, 4.9 / 1.49 at 3,000, or 5.1 and 3.3 times",
        speaks="neither",
    ),
    mameli_sum_part=Claim(
        f"{_NET} over steps 80 to 1,500, {_SUM} is longer {_ONE}.",
        MAMELI_GRADIENTS,
        _larger(successive("step_sum").median(*_PART)).above(1),
        "2.9 / 0.10 at step 500, 3.3 / 0.65 at 1,000, 3.9 / 0.69 at 1,500, or 29, 5.1 and 5.7 times",
        speaks="neither",
    ),
    mameli_sum_relative=Claim(
        f"{_NET} over steps 80 to 1,500, the sum of layer 5's gradients on successive batches is shorter, relative to the sum "
        f"of their norms, {_ONE}.",
        ours("the measure of Mameli's repository, relative to the norms of the gradients"),
        _larger(successive("relative_sum").median(*_PART)).between(0, 1),
        caveat_of="mameli_sum",
        remark=_AGREEMENT,
        speaks="neither",
    ),
    mameli_distance=Claim(
        f"{_NET} over steps 80 to 1,500, layer 5's gradients on successive batches are further apart {_ONE}.",
        ours("the distance of Santurkar et al. 2018, between the gradients of Mameli's repository"),
        _larger(successive("step_distance").median(*_PART)).above(1),
        caveat_of="mameli_sum",
        remark="the two gradients are of different mini-batches: the noise of batches and the lengths of the gradients decide, "
        "not smoothness",
        speaks="neither",
    ),
    mameli_gradient_change=Claim(
        f"{_NET} over steps 80 to 1,500, the gradient changes less along its own direction {_ONE}.",
        _ALONG,
        _larger(q.GRADIENT_CHANGE.median(*_PART)).between(0, 1),
        caveat_of="mameli_sum",
        remark=_PLATEAU,
        speaks="for",
    ),
    mameli_direction=Claim(
        f"{_NET} over steps 80 to 1,500, the cosine of layer 5's gradients on successive batches is larger {_ONE}.",
        MAMELI_GRADIENTS.at("'more confident with the direction of the gradients'"),
        successive("step_cosine").median(*_PART).minus(*_BOTH).above(0),
        remark=_AGREEMENT,
        speaks="neither",
    ),
    mameli_loss_change=Claim(
        f"{_NET} over steps 80 to 3,500, {_LOSS} is lower {_ONE}.",
        MAMELI_GRADIENTS,
        _larger(q.LOSS_AND_CHANGE.median(*_EARLY)).between(0, 1),
        "1.34 / 2.25 at step 1,000, 0.87 / 1.74 at 3,000, or 0.60 and 0.50 times",
        speaks="neither",
    ),
    mameli_loss_change_part=Claim(
        f"{_NET} over steps 80 to 1,500, {_LOSS} is lower {_ONE}.",
        MAMELI_GRADIENTS,
        _larger(q.LOSS_AND_CHANGE.median(*_PART)).between(0, 1),
        "1.61 / 2.31 at step 500, 1.34 / 2.25 at 1,000, 1.23 / 2.11 at 1,500, or 0.70, 0.60 and 0.58 times",
        speaks="neither",
    ),
    mameli_loss_change_relative=Claim(
        f"{_NET} over steps 80 to 1,500, the loss changes more from batch to batch, relative to its size, {_ONE}.",
        MAMELI_GRADIENTS.at("variance of the losses"),
        _larger(q.RELATIVE_CHANGE.median(*_PART)).above(1),
        "variance of the losses 0.160 / 0.080, or 2.0 times",
        caveat_of="mameli_loss_change",
        remark="the noise of batches is divided by a loss that is lower with batch norm; for much of these steps the plain net "
        "is still near the loss of chance, which hardly changes",
        differs=_OF_LOSSES,
        speaks="neither",
    ),
    mameli_loss_range=Claim(
        f"{_NET} over steps 80 to 1,500, the loss varies less along the gradient {_ONE}.",
        _ALONG,
        _larger(q.LOSS_RANGE.median(*_PART)).between(0, 1),
        caveat_of="mameli_loss_change",
        remark=_PLATEAU,
        speaks="for",
    ),
    mameli_smoothness=Claim(
        f"{_NET} over steps 80 to 1,500, the gradient changes less per unit distance along its own direction {_ONE}.",
        _ALONG,
        _larger(q.SMOOTHNESS.median(*_PART)).between(0, 1),
        caveat_of="mameli_loss_change",
        remark=_PLATEAU,
        speaks="for",
    ),
)
CLAIMS = (*_OF_ACCURACY, *_OF_SHIFT, *_OF_LANDSCAPE)

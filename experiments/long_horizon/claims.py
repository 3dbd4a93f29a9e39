"""Claims about what lies ahead: along the frozen gradient, along the path of the training, and between its states."""

from experiments._evidence.claim import Claim, claims
from experiments._evidence.quantity import Quantity
from experiments._evidence.source import ANDREYEV, HUBER, PARRY, SANTURKAR, Source
from experiments._evidence.statistic import Statistic
from experiments._nets import Setting, learning_rate
from experiments.long_horizon.quantities import FAR, FIRST, MIDDLE, NEXT, SHARPNESS, at, in_edges

_REPAIR = Source(
    "Jordan et al. 2023",
    "paper",
    "arxiv.org/abs/2211.08403",
    "pairs of trained nets whose units are permuted to match, several architectures and tasks",
)
_OPEN = HUBER.at("open questions")
_SEC = SANTURKAR.at("Sec. 3.2, which looks up to four learning rates ahead")
_BOTH = "batch_norm", "plain"
_FAST, _SLOW = learning_rate(0.1), learning_rate(0.01)
_LATE = 4000  # step from which the training counts as long
_ASKED = "the source only asks; the measure is ours, and any difference counts"
_FURTHER = "the source takes steps of at most four learning rates; any difference counts"
_INTERPOLATES = "the source interpolates statistics, here they come from one end; any difference counts"
_OVER = "in the median over the training after step 0"
_SEGMENT = "the loss barrier between the weights now and 100 steps later, relative to the loss"
_CHANGE = "change of the gradient per unit distance over 100 training steps, step by step and on the same images,"


def _over(at_rate: Setting, first: float = FIRST):
    """Divide the median over training with batch norm by that without."""
    return lambda quantity: quantity.median(first).over(*_BOTH, at_rate)


def _minus(at_rate: Setting):
    """Subtract the median over training without batch norm from that with it."""
    return lambda quantity: quantity.median(FIRST).minus(*_BOTH, at_rate)


def _of(net: str, at_rate: Setting = _FAST):
    """Return a net's median over training."""
    return lambda quantity: quantity.median(FIRST).each(net, at_rate)


def _edges(net: str) -> Statistic:
    """Measure the batch sharpness late in training, in units of 2 / learning rate."""
    return in_edges(0.1).median(_LATE).each(net, _FAST)


def _kept(name: str) -> Statistic:
    """Subtract the barrier with fresh statistics from that with some others, for the net with batch norm."""
    return at(name, FAR, _of("batch_norm")) - at("recalibrated", FAR, _of("batch_norm"))


def _sharper(quantity: Quantity, first: float) -> Statistic:
    return quantity.median(first).over(*_BOTH, _FAST)


_SHARP = "batch sharpness, the curvature of mini-batch losses along their own gradients,"
_FROM = "in the median from step 4,000 on"
_TOLERANCE = "the source gives no tolerance; a quarter is ours; at preset cpu_long, three measurements decide"
_RISING = "the last of which is the largest with batch norm"
CLAIMS = claims(
    "smoothness",
    "2026-11-29",
    "for, else against",
    horizon_frozen=Claim(
        "At learning rate 0.1, the loss after a step of 10 learning rates along minus the gradient, relative to the loss "
        f"before it, is smaller with batch norm than without, {_OVER}.",
        _SEC,
        at("frozen", MIDDLE, _over(_FAST)).below(1),
        remark=_FURTHER,
    ),
    horizon_frozen_slow=Claim(
        "At learning rate 0.01, the loss after a step of 100 learning rates along minus the gradient, relative to the loss "
        f"before it, is smaller with batch norm than without, {_OVER}.",
        _SEC,
        at("frozen", FAR, _over(_SLOW)).below(1),
        repeats="horizon_frozen",
        remark=f"the same step size as 10 learning rates of 0.1; {_FURTHER}",
    ),
    horizon_path_plain=Claim(
        "Without batch norm at learning rate 0.1, 100 training steps end at a smaller loss than one step of 100 learning "
        f"rates along minus the gradient at their start, {_OVER}.",
        "a control: whether training has to follow the gradient as it turns",
        (at("path", FAR, _of("plain")) / at("frozen", FAR, _of("plain"))).below(1),
        speaks="neither",
    ),
    horizon_path_batch_norm=Claim(
        "With batch norm at learning rate 0.1, 100 training steps end at a smaller loss than one step of 100 learning "
        f"rates along minus the gradient at their start, {_OVER}.",
        "a control: whether training has to follow the gradient as it turns",
        (at("path", FAR, _of("batch_norm")) / at("frozen", FAR, _of("batch_norm"))).below(1),
        speaks="neither",
    ),
    horizon_gradient_next=Claim(
        "At learning rate 0.1, the cosine between the gradients before and after a training step, on the same images, is "
        f"larger with batch norm than without, {_OVER}.",
        _SEC,
        at("cosine", NEXT, _minus(_FAST)).above(0),
        remark="the source moves along the gradient of the batch on which it measures; any difference counts",
    ),
    horizon_gradient=Claim(
        "At learning rate 0.1, the cosine between the gradients now and 10 training steps later, on the same images, is "
        f"larger with batch norm than without, {_OVER}.",
        _OPEN,
        at("cosine", MIDDLE, _minus(_FAST)).above(0),
        repeats="horizon_gradient_next",
        remark=_ASKED,
    ),
    horizon_gradient_far=Claim(
        "At learning rate 0.1, the cosine between the gradients now and 100 training steps later, on the same images, is "
        f"larger with batch norm than without, {_OVER}.",
        _OPEN,
        at("cosine", FAR, _minus(_FAST)).above(0),
        repeats="horizon_gradient_next",
        remark=_ASKED,
    ),
    horizon_gradient_slow=Claim(
        "At learning rate 0.01, the cosine between the gradients now and 100 training steps later, on the same images, is "
        f"larger with batch norm than without, {_OVER}.",
        _OPEN,
        at("cosine", FAR, _minus(_SLOW)).above(0),
        remark=_ASKED,
    ),
    horizon_path_mean=Claim(
        f"At learning rate 0.1, the mean {_CHANGE} with batch norm is within 10 % of that without, {_OVER}.",
        PARRY,
        at("mean", FAR, _over(_FAST)).between(0.9, 1.1),
        "61.9 / 63.0, or 0.98 times, of successive batches",
        caveat_of="horizon_path_largest",
        differs="here the gradients before and after a step are of the same images",
        speaks="against",
    ),
    horizon_path_largest=Claim(
        f"At learning rate 0.1, the largest {_CHANGE} is smaller with batch norm than without, {_OVER}.",
        PARRY,
        at("largest", FAR, _over(_FAST)).between(0, 1),
        "155 / 322, or 0.48 times, of successive batches",
        differs="here the gradients before and after a step are of the same images",
    ),
    horizon_path_slow=Claim(
        f"At learning rate 0.01, the largest {_CHANGE} is smaller with batch norm than without, {_OVER}.",
        _OPEN,
        at("largest", FAR, _over(_SLOW)).between(0, 1),
        remark=_ASKED,
    ),
    horizon_barrier=Claim(
        f"At learning rate 0.1, {_SEGMENT} and with recalibrated statistics, is lower with batch norm than without, {_OVER}.",
        _OPEN,
        at("recalibrated", FAR, _minus(_FAST)).below(0),
        remark=f"{_ASKED}; where neither net has a barrier, this says nothing about smoothness",
        speaks="for",
    ),
    horizon_stale=Claim(
        "With batch norm at learning rate 0.1, recalibrated statistics remove more than 60 % of the loss barrier between the "
        f"weights now and 100 steps later that interpolated running statistics give, {_OVER}.",
        _REPAIR.at("abstract"),
        at("stale", FAR, _of("batch_norm")).above(0.6),
        "60 to 100 %",
        hypothesis="none",
        remark="unknown for a run in which any measurement has a barrier below 0.1 % of the loss",
        differs="here the two nets are states of one run, and no units are permuted",
    ),
    horizon_stale_start=Claim(
        f"With batch norm at learning rate 0.1, {_SEGMENT}, is higher with the running statistics of the start than with "
        f"recalibrated ones, {_OVER}.",
        _REPAIR,
        _kept("start").above(0),
        hypothesis="none",
        remark=_INTERPOLATES,
    ),
    horizon_stale_end=Claim(
        f"With batch norm at learning rate 0.1, {_SEGMENT}, is higher with the running statistics of the end than with "
        f"recalibrated ones, {_OVER}.",
        _REPAIR,
        _kept("end").above(0),
        hypothesis="none",
        remark=_INTERPOLATES,
    ),
    horizon_sharpness_less=Claim(
        "At learning rate 0.1, batch sharpness, the curvature of mini-batch losses along their own gradients, is smaller with "
        f"batch norm than without, {_OVER}.",
        "the smoothness of Santurkar et al. 2018, Sec. 3.2, by the measure of Andreyev & Beneventano 2024",
        _sharper(SHARPNESS, FIRST).below(1),
        remark="at a quarter of the width (landscape, preset evening) it is 0.92 to 1.13 times that without, and from step "
        "4,000 on 1.6 times, so that this speaks for neither side",
        speaks="neither",
    ),
    horizon_sharpness_plain=Claim(
        f"Without batch norm at learning rate 0.1, {_SHARP} is within 25 % of 2 / learning rate, {_FROM}.",
        ANDREYEV,
        _edges("plain").between(0.75, 1.25),
        "1 times, at which it stabilises",
        remark=_TOLERANCE,
        speaks="neither",
    ),
    horizon_sharpness_batch_norm=Claim(
        f"With batch norm at learning rate 0.1, {_SHARP} is within 25 % of 2 / learning rate, {_FROM}.",
        ANDREYEV,
        _edges("batch_norm").between(0.75, 1.25),
        "1 times, at which it stabilises",
        remark=f"{_TOLERANCE}, {_RISING}",
        speaks="neither",
    ),
    horizon_sharpness_same=Claim(
        f"At learning rate 0.1, {_SHARP} with batch norm is within 25 % of that without, {_FROM}.",
        ANDREYEV,
        _sharper(SHARPNESS, _LATE).between(0.75, 1.25),
        "2 / learning rate whatever the net, or 1 times",
        caveat_of="horizon_sharpness_less",
        remark="in the source the learning rate sets it, not the landscape; the tolerance of a quarter is ours, so that this "
        "also holds where the net with batch norm is less sharp, and speaks for neither side; at preset cpu_long three "
        f"measurements decide, {_RISING}",
        speaks="neither",
    ),
)

"""Claims about the loss landscape along the gradient, of a VGG, of a deep linear network and of runs at several rates."""

import math
from dataclasses import replace
from typing import Any

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim, claims
from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Data, array
from experiments._evidence.statistic import BySeed, NotInDataError, Statistic, join, largest
from experiments._evidence.value import Missing
from experiments.landscape.bands import NETS, band, bands

_SANTURKAR, _READ_OFF = "Santurkar et al. 2018", "Santurkar et al. 2018, Fig. 10, read off"
_GRADIENT_NOTEBOOK = "F. Mameli, article and repository Test_batch_norm_paper, gradient notebook"
_RATES = (
    "AlexeyGB, repository batch-norm-helps-optimization, Adam; measured alike by Kevin-LD, repository VGG_BatchNorm"
)
_DEEP: dict[str, Any] = {"group": "deep_linear"}
_EARLY, _PLATEAU = (80, 3500), 1000


def _rougher(measure: Measure, group: str = "arms") -> Statistic:
    """Measure how many times as large a number is without batch norm."""
    return measure.over("plain", "batch_norm", group=group)


def _larger(measure: Measure) -> Statistic:
    """Measure how many times as large a number is with batch norm."""
    return measure.over("batch_norm", "plain")


def _in_edges(statistic: Statistic, net: str) -> Statistic:
    """Measure in units of the edge of stability of a kind of net."""
    return statistic.in_units_of(lambda data: q.edge_of_stability(data["config"][net]), "2 / learning rate")


def _saturation() -> Statistic:
    """Divide where the smoothness ends with the smallest step halved by where it does with that step, if on a plateau."""
    late = q.SMOOTHNESS.late(0.25)
    usual, short = late.each("batch_norm"), late.each("batch_norm", group="short")

    def ratio(in_edges: float, ratio: float) -> float:
        return ratio if abs(in_edges - 1) < 0.1 else Missing("no plateau at 2 / learning rate")

    who = "BN with the smallest step halved / BN with it as it was, of runs on a plateau at 2 / learning rate"
    return replace(join((_in_edges(usual, "vgg"), short / usual), ratio), what=late.words, who=who)


def _of_bands(statistic: Statistic) -> Statistic:
    """Measure bands over runs of several learning rates."""

    def of(data: Data) -> BySeed:
        if not data.get("multirun"):
            raise NotInDataError("needs runs at several learning rates")
        return statistic.of({"arms": bands(data)})

    return replace(statistic, of=of, arms=("multirun",))


_FALL = replace(
    q.scan("smoothness", lambda rows, axis: rows[:, 0] / rows[:, 1], "smoothness at the smallest step / at the next"),
    if_diverged=math.nan,
)
LOSS_AND_CHANGE = Quantity(
    "train",
    lambda train: array(train["loss"]) + array(train["loss_change"]),
    "L + |L - L before| of successive batches",
)
RELATIVE_CHANGE = Quantity(
    "train",
    lambda train: array(train["loss_change"]) / array(train["loss"]),
    "|L - L before| / L of successive batches",
    if_diverged=math.nan,
)
_RANGE, _CHANGE, _SMOOTHNESS = (
    quantity.median(*_EARLY) for quantity in (q.LOSS_RANGE, q.GRADIENT_CHANGE, q.SMOOTHNESS)
)
_FIRST = q.LOWEST_LOSS.median(last=0).each("plain").where("vgg.probes.landscape.penalty", True, "probe penalty")
_EQUAL_STEPS, _EQUAL_PROGRESS = (band(kind, "width").median(*_EARLY) for kind in ("same_step", "same_progress"))
_END = q.SMOOTHNESS.late(0.05)

CLAIMS = claims(
    landscape_loss_range=Claim(
        "Along the gradient, the loss varies less with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1, Fig. 4a",
        _rougher(_RANGE).above(1),
        "1.5 / 0.66 to 3.0 / 0.38, or 2.3 to 7.9 times",
    ),
    landscape_loss_range_twofold=Claim(
        "In steps 1,000 to 5,000 it varies at least twice as much without batch norm.",
        f"{_SANTURKAR}, Fig. 4a, read off",
        _rougher(q.LOSS_RANGE.median(1000, 5000)).above(2),
        "2.2 / 0.40, 3.0 / 0.38, 2.1 / 0.05, or 5.5 times and more",
    ),
    landscape_loss_range_late=Claim(
        "From step 9,000 on the loss no longer varies more without batch norm: what is learnt is flat.",
        f"{_SANTURKAR}, Fig. 4a, read off",
        _rougher(q.LOSS_RANGE.median(first=9000)).between(0, 1.5),
        "0.15 / 0.11 and 0.07 / 0.12, or 1.4 and 0.6 times",
        caveat_of="landscape_loss_range",
    ),
    landscape_predictiveness=Claim(
        "Along the gradient, the gradient changes less with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1, Fig. 4b",
        _rougher(_CHANGE).above(1),
        "53 / 29 to 104 / 27, or 1.8 to 3.9 times",
    ),
    landscape_predictiveness_hundredfold=Claim(
        "Early in training, it is close to two orders of magnitude that the gradient changes less with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1, text; their Fig. 4b shows less for the VGG",
        _rougher(_CHANGE).above(10),
        "1.8 to 3.9 times",
        remark="ten times is half of two orders of magnitude on a logarithmic axis",
    ),
    landscape_rough_start=Claim(
        "At initialisation it is the net with batch norm whose gradient changes more.",
        f"{_SANTURKAR}, Fig. 4b, read off at step 0",
        _larger(q.GRADIENT_CHANGE.median(last=0)).above(1),
        "125 to 145 against 1.2 to 2.4, or 52 times and more",
        caveat_of="landscape_predictiveness",
    ),
    landscape_shorter_gradient=Claim(
        "With batch norm the loss is more Lipschitz along the training: its gradient is shorter.",
        f"{_SANTURKAR}, Sec. 3.1, text",
        _rougher(q.GRADIENT_NORM.median(*_EARLY)).above(1),
    ),
    landscape_smoothness=Claim(
        "Along the gradient, the gradient changes less per distance with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1, Fig. 4c",
        _rougher(_SMOOTHNESS).above(1),
        "22 / 16.8 to 21 / 19.9, or 1.3 to 1.06 times",
    ),
    landscape_smoothness_late=Claim(
        "Late in training, the effective smoothness of both nets is the same: it says nothing about batch norm.",
        f"{_SANTURKAR}, Fig. 4c, read off from step 9,000 on",
        _rougher(q.SMOOTHNESS.median(first=9000)).between(0.9, 1.1),
        "20 / 20, or 1 time",
        caveat_of="landscape_smoothness",
    ),
    landscape_smoothness_plateau=Claim(
        "From step 1,000 on it is 2 / learning rate with batch norm, which is also 1 / smallest step of the scan.",
        f"{_SANTURKAR}, Fig. 4c, read off",
        _in_edges(q.SMOOTHNESS.median(first=_PLATEAU).each("batch_norm"), "vgg").between(0.9, 1.1),
        "19.4 at steps 1,000 to 2,500, then 19.9 to 20.0, at a learning rate of 0.1, or 0.97 to 1.00 times",
        caveat_of="landscape_smoothness",
    ),
    landscape_smoothness_saturates=Claim(
        "The plateau of a VGG with batch norm is set by the smallest step of the scan.",
        f"{_SANTURKAR}, Fig. 4c and 11a: 20 is 2 / learning rate, the edge of stability, and 1 / smallest step",
        _saturation().above(math.sqrt(2)),
        caveat_of="landscape_smoothness",
        remark="it doubles if that step sets it, and stays at the edge of stability; 1.41 is halfway on a logarithmic axis",
    ),
    landscape_smoothness_falls=Claim(
        "Beyond the smallest step the gradient changes no further: at twice that step, change per distance halves.",
        f"{_SANTURKAR}, Fig. 11a, read off",
        replace(_FALL.median(0, 15_000).each("batch_norm"), format=_rougher(_RANGE).format).above(math.sqrt(2)),
        "11.6 / 11.7 of the change itself, or 1.98 times; without BN 1.71 times",
        caveat_of="landscape_smoothness",
        remark="1 at the edge of stability, 2 where it halves, 1.41 halfway on a logarithmic axis",
    ),
    landscape_random_direction=Claim(
        "Along a random direction as well, the loss varies less with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1, text, without a figure",
        _rougher(q.along_random(q.LOSS_RANGE).median(*_EARLY)).above(1),
    ),
    landscape_successive_sum=Claim(
        "With batch norm the sum of the gradients of successive batches is longer, which was called more predictive.",
        _GRADIENT_NOTEBOOK,
        _larger(q.successive("step_sum", "layer_5").median(*_EARLY)).above(1),
        "3.3 / 0.65 at step 1,000, or 5.1 times",
    ),
    landscape_successive_relative=Claim(
        "That sum is longer because the gradients are: in units of their own lengths it is shorter with batch norm.",
        "the same definition, normalised",
        _larger(q.successive("relative_sum", "layer_5").median(*_EARLY)).between(0, 1),
        caveat_of="landscape_successive_sum",
    ),
    landscape_successive_distance=Claim(
        "By the distance of the same two gradients, the smaller the more predictive, batch norm predicts worse.",
        "the definition of Santurkar et al. 2018, on the same gradients",
        _larger(q.successive("step_distance", "layer_5").median(*_EARLY)).above(1),
        caveat_of="landscape_successive_sum",
    ),
    landscape_loss_change=Claim(
        "With batch norm the loss plus its last change is lower, which was called a smoother landscape.",
        _GRADIENT_NOTEBOOK,
        _larger(LOSS_AND_CHANGE.median(*_EARLY)).between(0, 1),
        "1.34 / 2.25 at step 1,000, 0.87 / 1.74 at 3,000, or 0.60 and 0.50 times",
    ),
    landscape_loss_change_relative=Claim(
        "That is the loss, not its change: in units of the loss, it changes more with batch norm.",
        "the same, apart; F. Mameli's variance of the losses",
        _larger(RELATIVE_CHANGE.median(*_EARLY)).above(1),
        "variance of the losses 0.160 / 0.080, or 2.0 times",
        caveat_of="landscape_loss_change",
    ),
    landscape_penalty=Claim(
        "The published loss contains an L2 penalty of 0.0005, of which the text says nothing.",
        f"{_SANTURKAR}, Fig. 4a, read off at step 0, where the loss of a guess is 2.30",
        replace(_FIRST, format=Format("z.2f", "nats")).between(3.84, 4.70),
        "4.27 nats",
    ),
    # In the deep linear network.
    landscape_deep_linear=Claim(
        "Early in training, the gradient of a deep linear network changes a hundred times less with batch norm.",
        f"{_SANTURKAR}, Sec. 3.1 and Fig. 10",
        _rougher(q.GRADIENT_CHANGE.median(150, 700), **_DEEP).above(100),
        "1.9e16 / 3e6 or less at the start, or 6e9 times",
    ),
    landscape_deep_linear_loss=Claim(
        "Early in training, the loss of that network explodes along the gradient without batch norm, not with it.",
        _READ_OFF,
        _rougher(q.HIGHEST_LOSS.median(150, 700), **_DEEP).above(100),
        "2.7e10 / 1e5 or less, or 270,000 times and more",
    ),
    landscape_deep_linear_smoothness=Claim(
        "Early in training, that network is smoother with batch norm.",
        _READ_OFF,
        _rougher(q.SMOOTHNESS.median(150, 700), **_DEEP).above(1),
        "1.4e11 / 2.1e6 or less, or 67,000 times and more",
    ),
    landscape_deep_linear_end=Claim(
        "At the end it is not smoother with batch norm.",
        _READ_OFF,
        _rougher(_END, **_DEEP).between(0, 1.1),
        "2.0e6 / 2.0e6, or 1 time",
        caveat_of="landscape_deep_linear_smoothness",
    ),
    landscape_deep_linear_end_plain=Claim(
        "Without batch norm, too, it ends at 2 / learning rate.",
        _READ_OFF,
        _in_edges(_END.each("plain", **_DEEP), "deep_linear").within(0.1, of=1),
        "2.0e6 at a learning rate of 1e-6, or 1 time",
        caveat_of="landscape_deep_linear_smoothness",
    ),
    landscape_deep_linear_edge=Claim(
        "From step 1,000 on, the effective smoothness of a deep linear network with batch norm is 2 / learning rate.",
        _READ_OFF,
        _in_edges(q.SMOOTHNESS.median(first=_PLATEAU).each("batch_norm", **_DEEP), "deep_linear").within(0.1, of=1),
        "1.8e6 to 2.1e6 at a learning rate of 1e-6, or 0.9 to 1.05 times",
        caveat_of="landscape_deep_linear_smoothness",
    ),
    # In runs at several learning rates.
    landscape_rates_loss=Claim(
        "Of runs that differ in their learning rates alone, the losses lie closer together with batch norm.",
        _RATES,
        _of_bands(_rougher(_EQUAL_STEPS)).above(1),
        "0.5 to 1.0 / 0.2 to 0.35 at step 2,000, or 3.3 times; 0.03 to 0.35 / 0.01 to 0.03 at 8,000, or 16 times",
    ),
    landscape_rates_progress=Claim(
        "Part of this band is no landscape, but how far each run has come: at equal learning rate x steps it is "
        "narrower, with batch norm and without.",
        "of these definitions; Santurkar et al. 2018 vary the step from one and the same point",
        _of_bands(largest(*((_EQUAL_PROGRESS / _EQUAL_STEPS).each(net) for net in NETS))).between(0, 1),
        caveat_of="landscape_rates_loss",
    ),
    landscape_rates_predictiveness=Claim(
        "In such runs, the gradient of the last layer changes less from step to step with batch norm.",
        _RATES,
        _of_bands(_rougher(band("gradient", "high").median(*_EARLY))).above(1),
        "0.3 to 2.5 / 0.1 to 0.6, or 4.2 times at the upper edge, 3 times at the lower one",
    ),
)

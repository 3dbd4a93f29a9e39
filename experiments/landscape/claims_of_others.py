"""Claims about the landscape of a deep linear network, and about bands of runs at several learning rates."""

from dataclasses import replace
from functools import partial

from experiments._evidence import quantities as q
from experiments._evidence.claim import Claim
from experiments._evidence.readings import UNFITTING, UNFITTING_EARLY, read_otherwise
from experiments._evidence.source import ALEXEYGB, SANTURKAR_LINEAR, ours
from experiments._evidence.statistic import largest
from experiments._presets import UNHALVED
from experiments.landscape.bands import NETS, band
from experiments.landscape.measures import (
    DEEP,
    EARLY,
    END,
    EQUAL_PROGRESS,
    EQUAL_STEPS,
    OTHERWISE,
    PLATEAU,
    in_edges,
    in_unhalved_edges,
    of_bands,
    rougher,
)

_FIG_10 = SANTURKAR_LINEAR.at("Fig. 10, read off")
_RATES = replace(ALEXEYGB.at("also github.com/Kevin-LD/VGG_BatchNorm"), setup=ALEXEYGB.setup)
_LATER = "2026-11-29"
_RATES_DIFFER = "here SGD, except with presets alx and overnight_alx"


def _rates_parts() -> dict[str, Claim]:
    """Make the sources' claims about whole trainings at several learning rates for the steps that short runs cover."""
    start = (80, 1000)
    width, high = band("same_step", "width").median(*start), band("gradient", "high").median(*start)
    progress = band("same_progress", "width").median(*start) / width
    claim = partial(Claim, since=_LATER, differs=_RATES_DIFFER, speaks="neither")
    return {
        "landscape_rates_loss": claim(
            "Over steps 80 to 1,000, the losses of runs that differ only in learning rate lie closer together with batch "
            "norm than in the plain net.",
            _RATES,
            of_bands(rougher(width)).above(1),
            "0.5 to 1.0 / 0.2 to 0.35, or 3.3 times, at step 2,000",
        ),
        "landscape_rates_progress": claim(
            "Over steps 80 to 1,000, the losses of runs that differ only in learning rate lie closer together at equal "
            "learning rate x steps than at equal steps, both with batch norm and in the plain net.",
            ours("a control: how much of the spread of losses is unequal progress"),
            of_bands(largest(*(progress.each(net) for net in NETS))).between(0, 1),
            caveat_of="landscape_rates_loss",
            differs="",
        ),
        "landscape_rates_predictiveness": claim(
            "Over steps 80 to 1,000, the largest change of the last layer's gradient from step to step, each on a mini-batch "
            "of its own, in runs that differ only in learning rate, is smaller with batch norm than in the plain net.",
            _RATES,
            of_bands(rougher(high)).above(1),
            "0.3 to 2.5 / 0.1 to 0.6, or 4.2 times at the upper edge, 3 times at the lower one, of the whole training",
        ),
    }


CLAIMS_OF_LINEAR_NETS = {
    "landscape_deep_linear": Claim(
        "Over steps 150 to 700, the largest change of the gradient along its own direction is more than a hundred times as "
        "large in the plain net as with batch norm.",
        SANTURKAR_LINEAR.at("Sec. 3.2 and Fig. 10"),
        rougher(q.GRADIENT_CHANGE.largest(150, 700), **DEEP).above(100),
        "1.9e16 at the start / 3e6 or less, or 6e9 times and more",
        since=_LATER,
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    "landscape_deep_linear_loss": Claim(
        "Over steps 150 to 700, the largest loss along the gradient is more than a hundred times larger in the plain net "
        "than with batch norm.",
        _FIG_10,
        rougher(q.HIGHEST_LOSS.largest(150, 700), **DEEP).above(100),
        "2.7e10 / 1e5 or less, or 270,000 times and more",
        since=_LATER,
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    "landscape_deep_linear_smoothness": Claim(
        "Over steps 150 to 700, the gradient changes less per unit distance along its own direction with batch norm than in "
        "the plain net.",
        _FIG_10,
        rougher(q.SMOOTHNESS.median(150, 700), **DEEP).above(1),
        "1.4e11 / 2.1e6 or less, or 67,000 times and more",
        in_doubt=UNFITTING,
        speaks="neither",
    ),
    "landscape_deep_linear_end": Claim(
        "Over the last 5 % of the measurements, the effective smoothness of the plain net is within 10 % of 2 / learning "
        "rate.",
        _FIG_10,
        in_edges(END.each("plain", **DEEP), "deep_linear").within(0.1, of=1),
        "2.0e6 at a learning rate of 1e-6, or 1.0 times",
        caveat_of="landscape_deep_linear_smoothness",
        remark="this is the statistic that was fixed first; for a while, a ratio to batch norm had replaced it",
        in_doubt=UNFITTING_EARLY,
        speaks="neither",
    ),
    "landscape_deep_linear_edge": Claim(
        "From step 1,000 on, the effective smoothness with batch norm is within 10 % of 2 / learning rate.",
        _FIG_10,
        in_edges(q.SMOOTHNESS.median(first=PLATEAU).each("batch_norm", **DEEP), "deep_linear").within(0.1, of=1),
        "1.8e6 to 2.1e6 at a learning rate of 1e-6, or 0.9 to 1.05 times",
        caveat_of="landscape_deep_linear_smoothness",
        speaks="neither",
    ),
}
CLAIMS_OF_LINEAR_NETS |= {
    f"landscape_unhalved{name}": read_otherwise(
        CLAIMS_OF_LINEAR_NETS[f"landscape_deep_linear{name}"], criterion, UNHALVED, compares=name != "_end"
    )
    for name, criterion in {
        "": rougher(q.GRADIENT_CHANGE.largest(150, 700), **OTHERWISE).above(100),
        "_loss": rougher(q.HIGHEST_LOSS.largest(150, 700), **OTHERWISE).above(100),
        "_smoothness": rougher(q.SMOOTHNESS.median(150, 700), **OTHERWISE).above(1),
        "_end": in_unhalved_edges(END.each("plain", **OTHERWISE)).within(0.1, of=1),
    }.items()
}
# Each run of a band has its own weights, so bands compare trainings, not the landscape along the gradient.
CLAIMS_OF_RATES = dict(
    landscape_rates_loss=Claim(
        "Over steps 80 to 3,500, the losses of runs that differ only in learning rate lie closer together with batch norm "
        "than in the plain net.",
        _RATES,
        of_bands(rougher(EQUAL_STEPS)).above(1),
        "0.5 to 1.0 / 0.2 to 0.35 at step 2,000, or 3.3 times",
        differs=_RATES_DIFFER,
        speaks="neither",
    ),
    landscape_rates_progress=Claim(
        "Over steps 80 to 3,500, the losses of runs that differ only in learning rate lie closer together at equal learning "
        "rate x steps than at equal steps, both with batch norm and in the plain net.",
        ours("a control: how much of the spread of losses is unequal progress"),
        of_bands(largest(*((EQUAL_PROGRESS / EQUAL_STEPS).each(net) for net in NETS))).between(0, 1),
        caveat_of="landscape_rates_loss",
        speaks="neither",
    ),
    landscape_rates_predictiveness=Claim(
        "Over steps 80 to 3,500, the largest change of the last layer's gradient from step to step, each on a mini-batch of "
        "its own, in runs that differ only in learning rate, is smaller with batch norm than in the plain net.",
        _RATES,
        of_bands(rougher(band("gradient", "high").median(*EARLY))).above(1),
        "0.3 to 2.5 / 0.1 to 0.6, or 4.2 times at the upper edge, 3 times at the lower one, of the whole training",
        differs=_RATES_DIFFER,
        speaks="neither",
    ),
    **{f"{name}_part": claim for name, claim in _rates_parts().items()},
)

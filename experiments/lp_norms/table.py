"""What the table and the findings of `lp_norms` say: a few numbers per net."""

from typing import Any

import numpy as np

from experiments._claims.claim import PERCENT, TIMES, Format
from experiments._claims.lp_norms import NORMS, early_accuracy, final_loss
from experiments._claims.measures import RunMeasure, divide, final, loss_range, median_of, pairs
from experiments._numbers import curves

Runs = list[dict[str, Any]]
_LOSS = Format("z,.0f")
# Nets that end on the same plateau differ by less.
_MARGIN = 0.1
_last = final("train", num_steps=50)
_test = final("test")
_range = median_of("landscape", loss_range)
_change = median_of("landscape", curves.farthest_gradient)


def table(data: dict[str, Any]) -> str:
    """Write a row for each net: of the VGGs medians over seeds, of the deep linear networks quartiles over draws too."""
    heads = ("early train", "train", "test", "loss range", "grad change")
    lines = ["", f"{'VGG':17}" + "".join(f"{head:>13}" for head in heads)]
    for net, runs in data["arms"].items():
        shares = "".join(f"{PERCENT.number(middle(runs, m)):>11} %" for m in (early_accuracy, _last, _test))
        others = "".join(f"{TIMES.number(middle(runs, m)):>13}" for m in (_range, _change))
        lines.append(f"{curves.LABELS[net]:17}{shares}{others}")
    lines += [
        "Early: the median over steps 80 to 1,000; train: the last 50 batches. Along the gradient, medians over all scans: the",
        f"largest - smallest loss, the largest change of the gradient. Medians over {captioned(data['arms'], 'seed')}.",
        "",
        f"{'deep linear':17}{'final loss':>13}{'quartiles':>22}{'<< without BN':>15}{'<< with BN':>12}",
    ]
    deep = data["deep_linear"]
    for net, runs in deep.items():
        # Nearest values, not interpolated: some may be infinite.
        low, high = np.quantile([final_loss(run) for run in runs], (0.25, 0.75), method="nearest")
        wins = [count(deep, net, other) for other in ("plain", "batch_norm")]
        half, quartiles = middle(runs, final_loss), f"{low:.4g} to {high:.4g}"
        lines.append(f"{curves.LABELS[net]:17}{half:13.4g}{quartiles:>22}{wins[0]:>15}{wins[1]:>12}")
    lines.append(
        f"Mean of the last 100 steps, over {captioned(deep, 'draw')} of the linear map; <<: in how many by more than 10 %."
    )
    return "\n".join([*lines, *curves.divergences(data["arms"]), *curves.divergences(deep)])


def findings(data: dict[str, Any]) -> str:
    """Say how the three norms do beside batch norm and nothing, in both networks."""
    vgg, deep = data["arms"], data["deep_linear"]
    early = {net: f"{PERCENT.number(middle(runs, early_accuracy))} %" for net, runs in vgg.items()}
    changes = {net: divide(middle(runs, _change), middle(vgg["batch_norm"], _change)) for net, runs in vgg.items()}
    change = {net: f"{TIMES.number(value)} times" for net, value in changes.items()}
    losses = {net: _LOSS.number(middle(runs, final_loss)) for net, runs in deep.items()}

    def listed(values: dict[str, str]) -> str:
        return ", ".join(f"{values[net]} ({words} norm)" for net, words in NORMS.items())

    sentences = [
        f"Over steps 80 to 1,000 the VGG's training accuracy is {listed(early)}, against {early['batch_norm']} with batch norm "
        f"and {early['plain']} without any; along the gradient, the gradient changes {listed(change)} as much as with batch "
        f"norm, and {change['plain']} without any.",
        f"The deep linear network ends at a loss of {listed(losses)}, against {losses['batch_norm']} with batch norm and "
        f"{losses['plain']} without any, medians of {captioned(deep, 'draw')}: by more than 10 % the l1 norm ends below batch "
        f"norm in {count(deep, 'l1', 'batch_norm')}, and the l-infinity norm below none in {count(deep, 'linf', 'plain')}.",
    ]
    return " ".join([*sentences, *curves.divergences(vgg), *curves.divergences(deep)])


def middle(runs: Runs, measure: RunMeasure) -> float:
    """Take the median over runs; one that is not there counts as NaN."""
    return float(np.median([measure(run) for run in runs])) if runs else float("nan")


def count(arms: dict[str, Runs], net: str, other: str) -> str:
    """Count the draws in which a net ends clearly below another: so many of all; nothing for a net and itself."""
    losses = [(final_loss(run), final_loss(partner)) for run, partner in pairs(arms[net], arms[other])]
    return "" if net == other else f"{sum(own < (1 - _MARGIN) * theirs for own, theirs in losses)} of {len(losses)}"


def captioned(arms: dict[str, Runs], noun: str) -> str:
    """Say how many seeds, or draws, there are."""
    number = max((len(runs) for runs in arms.values()), default=0)
    return f"{number} {noun}" + "s" * (number != 1)

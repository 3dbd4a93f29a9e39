"""The tables and the findings of what goes with a small gap between training and test."""

from collections.abc import Mapping
from typing import Any

from experiments._evidence.format import Format, listing
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.table import by_net, divergences, ends, grid, known_values, seeds, written
from experiments._evidence.value import median
from experiments._nets import NETS, learning_rate
from experiments.generalisation import ghosts
from experiments.generalisation.quantities import (
    GAP,
    LOSS_GAP,
    MAIN,
    POPULATION,
    SHARPNESS,
    Name,
    at,
    levels,
    of_nets,
    ranked,
)

_RANKS = Format("+z.2f")
_NAMES: tuple[Name, ...] = (*SHARPNESS, "rate")


def summarise(data: dict[str, Any]) -> str:
    """Write a row for each net at each training loss, and the rank correlations with the gap."""
    rows = {_label(arm): runs for arm, runs in data["arms"].items()}
    lines = []
    for level in levels(data):
        gaps = {"gap": GAP, "loss gap": LOSS_GAP, "test": POPULATION, **SHARPNESS}
        measures = {name: at(quantity, level) for name, quantity in gaps.items()}
        end = {"at the end": TEST_ACCURACY.at_end()} if level == levels(data)[-1] else {}
        lines += [
            "",
            f"At the first measurement with a training loss of at most {level:g}:",
            *by_net(rows, measures | end),
        ]
    return "\n".join(
        [
            *lines,
            "Gap: test - training error in points, loss gap: test - training loss, both with the statistics of batches;",
            "test: accuracy with statistics of the population, and at the end with running ones. Eigenvalue, trace: of the",
            "Hessian of the training loss. Ascent, random: how far the loss rises where each layer's weights move by a share",
            f"of their length, along the gradient or at random. Medians over {seeds(data['config'])}.",
            "",
            *_correlations(data),
            *divergences(rows),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe each net's gap, and its rank correlations with sharpness and with the learning rate."""
    arms, gap = data["arms"], at(GAP, MAIN)
    ranks = {name: _RANKS.number(over_nets(data, name, GAP, MAIN)) for name in _NAMES}
    said = [f"{written(arms[arm], gap)} ({_label(arm)})" for arm in arms]
    return " ".join(
        [
            f"At the first measurement with a training loss of at most {MAIN:g}, the gap between test and training error is",
            f"{listing(said)}.",
            f"Over these {len(arms)} nets, its rank correlation with the largest eigenvalue of the Hessian is",
            f"{ranks['eigenvalue']}, with the trace {ranks['trace']}, with the rise of the loss where each layer's weights",
            f"move along the gradient by a share of their length {ranks['ascent']}, at random {ranks['random']}, and with",
            f"the learning rate {ranks['rate']}: above 0, less of it goes with a smaller gap.",
            *divergences({_label(arm): runs for arm, runs in arms.items()}),
        ]
    )


def over_nets(data: Mapping[str, Any], name: Name, quantity: Quantity, level: float) -> float:
    """Return the rank correlation over all nets in the data, as the median over seeds; NaN if there is none."""
    return median(known_values(ranked(name, quantity, level), data))


def _label(arm: str) -> str:
    """Name a net with its learning rate or ghost batch size."""
    net, _, number = arm.rpartition("_")
    return ghosts(int(number)).name("BN") if net == "ghost" else learning_rate(float(number)).name(NETS[net].short)


def _correlations(data: Mapping[str, Any]) -> list[str]:
    """Write the rank correlations with the gap at each training loss: over all nets, and over those with batch norm alone."""
    rows, columns = {}, [(level, of) for level in levels(data) for of in ((), ("batch_norm", "ghost"))]
    for name in _NAMES:
        cells = []
        for level, families in columns:
            values = known_values(ranked(name, GAP, level, *families), data)
            cells += [_RANKS.number(median(values)), ends(values, _RANKS)]
        rows[name] = cells
    heads = [head for level, of in columns for head in (f"{level:g}{', BN alone' * bool(of)}", "over seeds")]
    sizes = len(data["arms"]), len(of_nets(data["arms"], "batch_norm", "ghost"))
    return [
        *grid(heads, rows),
        f"Spearman's rank correlation with the gap in errors, over all {sizes[0]} nets and over the {sizes[1]} with batch",
        "norm, by the training loss at which nets are compared: the median and the range over seeds. Above 0, less goes with",
        "a smaller gap.",
    ]

"""The table and the findings of weights whose length does not matter."""

from typing import Any

import numpy as np

from experiments._evidence.format import plural
from experiments._evidence.table import cell, grid, middle
from experiments._evidence.verdict import decided
from experiments._nets import NETS, UNNAMED
from experiments.scale_invariance.claims import CLAIMS
from experiments.scale_invariance.quantities import (
    ALL,
    CONSTANT,
    COSINE,
    DIFFERENCE,
    EPSILON,
    GROWTH,
    MOMENTUM,
    SCALING,
    over_layers,
)


def summarise(data: dict[str, Any]) -> str:
    """Put how far the two copies are apart, and what the gradients do, into a table with a row per net and setting."""
    arms = data["arms"]
    measures = {
        "copies apart": DIFFERENCE.at_end(),
        "growth of |w|², off by": over_layers(GROWTH),
        "|cos(w, g)|": over_layers(COSINE),
        "g(3 w), off by": over_layers(SCALING),
    }
    rows = {}
    for net in ("plain", "batch_norm"):
        for at in (UNNAMED, CONSTANT, EPSILON, MOMENTUM, ALL):
            if runs := arms.get(at.arm(net)):
                cells = [cell(middle(runs, measure), measure.format) for measure in measures.values()]
                rows[at.name(NETS[net].label)] = cells
    measured = [over_layers(words, np.min) for words in (GROWTH, COSINE, SCALING)]
    least = [cell(middle(arms.get("plain", []), measure), measure.format) for measure in measured]
    return "\n".join(
        [
            *grid([*measures], rows),
            f"Copies apart: distance between the weights of two copies after {data['config']['num_steps']} steps, each over",
            "its length: one with the L2 penalty, the other at the learning rate that grows instead. The largest of all",
            f"layers; without BN, the smallest ones of the other columns are {', '.join(least)}. Medians over "
            f"{plural(len(data['config']['seeds']), 'draw')}.",
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe whether the penalty acts as a learning rate, and how far that holds in practice."""

    def of(name: str) -> str:
        return decided(CLAIMS, data, f"scale_{name}", unknown="an unknown distance")

    return (
        "Two copies of a net, one with an L2 penalty on the weights before batch norm, the other without it at a learning rate "
        f"that grows exponentially, end {of('decay')} apart with batch norm, and {of('decay_plain')} without. With the usual "
        f"epsilon they end {of('decay_epsilon')} apart, with momentum {of('decay_momentum')}, and {of('decay_all')} if all "
        "parameters have the penalty; at a learning rate that stays, "
        f"{of('decay_rate')}. The cosine of a layer's gradient and weights is at most {of('orthogonal')} with batch norm."
    )

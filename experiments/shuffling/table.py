"""The table and the findings of shuffles with batch norm."""

from typing import Any

from experiments._evidence.format import plural
from experiments._evidence.table import cell, grid, middle
from experiments._evidence.verdict import decided
from experiments._nets import NETS
from experiments.shuffling.claims import CLAIMS
from experiments.shuffling.quantities import AGAIN, BETWEEN, FIXED, RISK_AGAIN, RISK_FIXED, at_size, batch_sizes, end

_ROWS = {
    "one shuffle": FIXED,
    "new shuffles": AGAIN,
    "between them": BETWEEN,
    "error, one shuffle": RISK_FIXED,
    "error, new shuffles": RISK_AGAIN,
}


def summarise(data: dict[str, Any]) -> str:
    """Put the optima at each batch size into a table, and the ends of SGD into another."""
    config, arms = data["config"], data["arms"]
    sizes = batch_sizes(data)
    rows = {}
    for net in ("plain", "batch_norm"):
        for name, words in _ROWS.items():
            measures = [at_size(words, size) for size in sizes]
            rows[f"{NETS[net].label}: {name}"] = [cell(middle(arms[net], each), each.format) for each in measures]
    ends = {
        "own, one shuffle": "fixed_to_fixed",
        "own, new shuffles": "again_to_again",
        "from each other": "fixed_to_again",
    }
    found = {
        NETS[net].label: [cell(middle(arms[net], end(name)), end(name).format) for name in ends.values()]
        for net in ("plain", "batch_norm")
    }
    return "\n".join(
        [
            *grid([f"batch {size}" for size in sizes], rows),
            "",
            *grid([*ends], found),
            "Above: distance of the optima from gradient descent's weights, over the length of these; and by which share",
            f"the squared error is larger. Below: how far SGD of batch {min(sizes, default=0)} ends from the optimum of its",
            "own risk, and with one shuffle from with new ones. Medians over "
            f"{plural(config['num_shuffles'], 'fixed shuffle')}, then",
            f"over {plural(len(config['seeds']), 'draw')}.",
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe where SGD ends with one shuffle and with new ones."""

    def of(name: str) -> str:
        return decided(CLAIMS, data, f"shuffle_{name}", unknown="an unknown amount")

    return (
        "In a linear regression with batch norm at the smallest batch, the optimum of one fixed shuffle is "
        f"{of('distorted')} as far from gradient descent's as that of new shuffles, whose own distance is "
        f"{of('again_distorted')} of the length of gradient descent's weights. SGD ends there: with one shuffle and with new "
        f"ones, {of('apart')} apart with batch norm, and {of('plain')} without."
    )

"""The table and the findings of drift and accuracy over eight nets."""

from typing import Any

from experiments._evidence.drift import deepest_drift
from experiments._evidence.format import PERCENT
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.table import by_net, divergences, middle, seeds
from experiments._evidence.verdict import judge
from experiments._nets import NETS
from experiments.drift_and_accuracy.claims import CLAIMS

_TRAINING = TRAIN_ACCURACY.at_end(50)


def summarise(data: dict[str, Any]) -> str:
    """Put drift and accuracies into a table, a row for each net."""
    nets = {NETS[net].label: runs for net, runs in data["arms"].items()}
    columns = {"drift": deepest_drift(data), "train": _TRAINING, "test": TEST_ACCURACY.at_end()}
    return "\n".join(
        [
            "",
            *by_net(nets, columns),
            "Drift: distance W1 between measurements, in pooled standard deviations, in the deepest layer that is followed;",
            f"median over units and steps. Train: mean of the last 50 batches. Medians over {seeds(data['config'])}.",
            *divergences(data["arms"]),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe the correlation of drift and accuracy, and the steadiest, the noisy batch norm and the plain net."""
    known = {claim.name: judge(claim, data) for claim in CLAIMS}
    training, test = (
        claim.statistic.format.number(known[claim.name].median) for claim in CLAIMS if "variance" not in claim.name
    )
    measure = deepest_drift(data)
    ordered = sorted(data["arms"], key=lambda net: middle(data["arms"][net], measure))
    steadiest, noisy, plain = (_said(data, net) for net in (ordered[0], "noisy_batch", "plain"))
    return (
        f"Over {len(ordered)} nets, the rank correlation of how far distributions of the deepest layer that is followed move, "
        f"with accuracy at the end, is {training} in training and {test} in tests: below 0, nets whose distributions move less "
        "are more accurate. Each measurement is of another batch, which alone moves distributions. "
        f"In pooled standard deviations, {steadiest}, {noisy}, and {plain}."
    )


def _said(data: dict[str, Any], net: str) -> str:
    """Describe a net's drift and accuracy."""
    runs = data["arms"][net]
    drift, accuracy = middle(runs, deepest_drift(data)), PERCENT.written(middle(runs, _TRAINING))
    return f"{NETS[net].label} moves {drift:.2g} and reaches {accuracy}"

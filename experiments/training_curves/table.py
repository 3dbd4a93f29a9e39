"""The table and the findings of accuracy while a VGG trains."""

import math
from typing import Any

from experiments._evidence.format import STEPS, listing
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import all_runs, settings
from experiments._evidence.table import accuracies, divergences, middle, seeds, written
from experiments._evidence.value import Bound
from experiments._evidence.verdict import decided
from experiments._nets import NETS as NAMES
from experiments.training_curves import NETS
from experiments.training_curves.claims import CLAIMS


def summarise(data: dict[str, Any]) -> str:
    """Put steps and accuracies into a table, a row per net and learning rate."""
    rates = settings(data["arms"], NETS)
    arms = {f"{NAMES[net].label}, {rate}": runs for rate, nets in rates.items() for net, runs in nets.items()}
    explained = f"Each row is a net and its learning rate; medians over {seeds(data['config'])}."
    return "\n".join(["", *accuracies(arms), explained, *divergences(arms)])


def findings(data: dict[str, Any]) -> str:
    """Describe how well the nets did at each learning rate, and how fast."""
    rates, num_steps = settings(data["arms"], NETS), data["config"]["schedule"]["num_steps"]

    def listed(net: str) -> str:
        return listing(written(nets[net], TEST_ACCURACY.at_end()) for nets in rates.values())

    def reached(net: str) -> str:
        counts = {rate: middle(nets[net], TRAIN_ACCURACY.steps_to(0.5)) for rate, nets in rates.items()}
        known = {rate: x for rate, x in counts.items() if math.isfinite(x) and not isinstance(x, Bound)}
        if not known:
            return f"not within {num_steps:,} steps"
        alone = "" if len(known) == len(counts) else f" at learning rate {listing(known)} alone"
        return f"after {listing(map(STEPS.number, known.values()))} steps{alone}"

    has_once = all("batch_norm_4" in nets for nets in rates.values())
    once = f"{listed('batch_norm_4')} with one after layer 4, " if has_once else ""
    gain = decided(CLAIMS, data, "curves_test", unknown="")
    compared = f"; compared seed by seed at learning rate 0.1, batch norm changes it by {gain}" * bool(gain)
    found = (
        f"After {num_steps:,} steps at learning rate {listing(rates)} the net reaches {listed('batch_norm')} test accuracy "
        f"with batch norm, {once}and {listed('plain')} without{compared}. A training accuracy "
        f"of 50 % is reached {reached('batch_norm')} with batch norm, and {reached('plain')} without it."
    )
    runs = all_runs(data["arms"])
    num_diverged = sum(run["diverged_at"] is not None for run in runs)
    return found + f" {num_diverged} of {len(runs)} runs diverged and count as guesses." * bool(num_diverged)

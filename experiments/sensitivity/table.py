"""The tables and the findings of learning rates, initial weights, the line search and Adam."""

import math
from collections.abc import Mapping
from typing import Any

from experiments._evidence.format import Format
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_LOSS
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, settings
from experiments._evidence.table import by_measure, cell, divergences, grid, middle, seeds, written
from experiments._nets import NETS as NAMES
from experiments.sensitivity import STARTS
from experiments.sensitivity.quantities import EXPLODING, GAINING, LARGEST_PUBLISHED, LOWEST

NETS = ("plain", "batch_norm", "batch_norm_last")
LOSS = TRAIN_LOSS.at_end(50)
LINE: Mapping[str, Measure] = {
    "step size with the smallest loss": LOWEST,
    "largest step size that lowers the loss": GAINING,
    "smallest step size that multiplies it by 1,000": EXPLODING,
    "largest L(w - eta g) / L(w), eta to 0.1": LARGEST_PUBLISHED,
}
_SHORT = Format("z.2f")


def by_rate(arms: Arms) -> dict[float, Arms]:
    """Sort the nets by learning rate, ascending, then by normaliser."""
    found = {float(name.removeprefix("adam_")): nets for name, nets in settings(arms, NETS).items()}
    return dict(sorted(found.items()))


def by_start(arms: Arms) -> dict[str, Arms]:
    """Sort the nets by initial weights, each by their label, then by normaliser."""
    found = settings(arms, NETS)
    return {STARTS[name].label: found[name] for name in STARTS if name in found}


def summarise(data: dict[str, Any]) -> str:
    """Put losses and accuracies into tables, a column for each learning rate and for each kind of initial weights."""
    config, steps = data["config"], data["config"]["vgg"]["schedule"]["num_steps"]
    rates, starts = _named(by_rate(data["arms"])), by_start(data["starts"])
    lines = [
        f"\nSGD, {steps:,} steps, training loss at learning rate",
        *_rows(rates, LOSS),
        f"SGD, {steps:,} steps, test accuracy at learning rate",
        *_rows(rates, TEST_ACCURACY.at_end()),
        f"\nInitial weights, {config['start_steps']:,} steps at learning rate {_rate(config)}, test accuracy from",
        *_rows(starts, TEST_ACCURACY.at_end()),
        "\nLine search along minus the gradient, before minibatches 1, 4 and 7:",
        *by_measure(data["line"], LINE),
    ]
    if data.get("adam"):
        adam = _named(by_rate(data["adam"]))
        number = config["adam"]["schedule"]["num_steps"]
        lines += [f"\nAdam, {number:,} steps, test accuracy at learning rate", *_rows(adam, TEST_ACCURACY.at_end())]
    lines += [
        "Training loss: the last 50 batches, ln 10 = 2.303 for a net that guesses; test: all test images. Line search: the",
        "loss is lowered, or multiplied, where that is so for all three minibatches.",
        f"Medians over {seeds(config['vgg'])}.",
    ]
    return "\n".join([*lines, *divergences(_all(data))])


def findings(data: dict[str, Any]) -> str:
    """Describe the best test accuracies, how far they spread over initial weights, and the line search."""
    rates, starts = by_rate(data["arms"]), by_start(data["starts"])
    line = {NAMES[net].short: runs for net, runs in data["line"].items()}
    lowest = " and ".join(f"{written(runs, LOWEST)} ({net})" for net, runs in line.items())
    return (
        f"At the learning rate that suits each net best, the test accuracy is {'; '.join(_best(rates))}. "
        f"From {len(starts)} kinds of initial weights the test accuracy ranges {'; '.join(_ranges(starts))}. "
        f"Along the gradient the loss is smallest at step size {lowest}."
    )


def _best(rates: Mapping[float, Arms]) -> list[str]:
    """Write the highest test accuracy of each net, and its learning rate."""
    found = []
    for net in NETS:
        tests = {rate: middle(nets[net], TEST_ACCURACY.at_end()) for rate, nets in rates.items() if net in nets}
        known = {rate: value for rate, value in tests.items() if not math.isnan(value)}
        if known:
            rate = max(known, key=lambda rate: known[rate])
            found.append(f"{TEST_ACCURACY.format.written(known[rate])} at {rate:g} ({NAMES[net].short})")
    return found


def _ranges(starts: Mapping[str, Arms]) -> list[str]:
    """Write the range of test accuracies of each net."""
    found = []
    for net in ("plain", "batch_norm"):
        values = [middle(nets[net], TEST_ACCURACY.at_end()) for nets in starts.values()]
        low, high = (TEST_ACCURACY.format.written(end) for end in (min(values), max(values)))
        found.append(f"from {low} to {high} ({NAMES[net].short})")
    return found


def _rows(columns: Mapping[str, Arms], measure: Measure) -> list[str]:
    """Write a row for each net, and a column for each setting; cells of nets not trained are empty."""
    form = _SHORT if measure is LOSS else measure.format
    rows = {}
    for net in NETS:
        cells = [cell(middle(nets[net], measure), form) if net in nets else "" for nets in columns.values()]
        if any(cells):
            rows[NAMES[net].label] = cells
    return grid(list(columns), rows)


def _named(rates: Mapping[float, Arms]) -> dict[str, Arms]:
    return {f"{rate:g}".replace("e-0", "e-"): nets for rate, nets in rates.items()}


def _rate(config: dict[str, Any]) -> str:
    return f"{config['vgg']['optimizer']['learning_rate']:g}"


def _all(data: dict[str, Any]) -> Arms:
    """Name every net with its setting."""
    columns = {
        **{f"learning rate {rate:g}": nets for rate, nets in by_rate(data["arms"]).items()},
        **{f"from {start}": nets for start, nets in by_start(data["starts"]).items()},
        **{f"Adam at {rate:g}": nets for rate, nets in by_rate(data.get("adam", {})).items()},
    }
    return {f"{NAMES[net].label}, {setting}": runs for setting, nets in columns.items() for net, runs in nets.items()}

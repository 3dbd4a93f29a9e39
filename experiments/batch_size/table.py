"""The tables and the findings of normalisers at several batch sizes."""

import math
from typing import Any

from experiments._evidence.format import listing
from experiments._evidence.quantities import RECALIBRATED_ACCURACY, TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Runs, all_runs, num_steps, settings
from experiments._evidence.table import cell, divergences, grid, middle, seeds, written
from experiments._nets import NETS as NAMES
from experiments.batch_size import NETS

GROUPS = {"arms": "VGG", "resnet": "ResNet"}


def by_batch(arms: Arms) -> dict[int, Arms]:
    """Sort the nets by batch size, ascending, then by normaliser."""
    found = {int(name.removeprefix("b")): nets for name, nets in settings(arms, NETS).items()}
    return dict(sorted(found.items()))


def last_epoch(arms: Arms, epochs: int) -> dict[int, Measure]:
    """Return the training accuracy over the last epoch, by batch size."""
    steps = {size: max(map(num_steps, all_runs(nets)), default=0) for size, nets in by_batch(arms).items()}
    return {size: TRAIN_ACCURACY.at_end(max(1, number // epochs)) for size, number in steps.items()}


def summarise(data: dict[str, Any]) -> str:
    """Put accuracies into tables, a row for each normaliser and a column for each batch size."""
    config, lines = data["config"], []
    for group, name in GROUPS.items():
        arms = data[group]
        tested = dict.fromkeys(by_batch(arms), TEST_ACCURACY.at_end())
        lines += [f"\n{name}, test accuracy at batch", *_rows(arms, tested)]
        lines += [f"{name}, training accuracy at batch", *_rows(arms, last_epoch(arms, config["epochs"]))]
        if any("recalibrated_accuracy" in run.get("test", {}) for run in all_runs(arms)):
            again = dict.fromkeys(by_batch(arms), RECALIBRATED_ACCURACY.at_end())
            lines += [f"{name}, test accuracy with statistics of training images", *_rows(arms, again)]
    lines += [
        f"After {config['epochs']} epochs, learning rates in proportion to the batch. Training: the last epoch; test: all test "
        "images.",
        f"Medians over {seeds(config['vgg'])} of the VGG, and {seeds(config['resnet'])} of the residual network.",
    ]
    return "\n".join([*lines, *divergences(_named(data))])


def findings(data: dict[str, Any]) -> str:
    """Describe the test accuracies of every normaliser from the smallest batch to the largest."""
    epochs = data["config"]["epochs"]
    found = [_described(f"After {epochs} epochs the {name}", data[group]) for group, name in GROUPS.items()]
    return " ".join([*found, *divergences(_named(data))])


def _rows(arms: Arms, measures: dict[int, Measure]) -> list[str]:
    """Write a row for each normaliser; cells of nets not trained or not measured are empty."""
    rows = {}
    for net in NETS:
        cells = [_written(nets.get(net, []), measures[size]) for size, nets in by_batch(arms).items()]
        if any(cells):
            rows[NAMES[net].label] = cells
    return grid([str(size) for size in by_batch(arms)], rows)


def _written(runs: Runs, measure: Measure) -> str:
    value = middle(runs, measure)
    return "" if math.isnan(value) else cell(value, measure.format)


def _described(name: str, arms: Arms) -> str:
    """Write the test accuracies of a net's normalisers, each with the batch sizes at which it was trained."""
    parts = []
    for net in NETS:
        known = {
            size: written(nets[net], TEST_ACCURACY.at_end()) for size, nets in by_batch(arms).items() if net in nets
        }
        if known:
            parts.append(f"{listing(known.values())} at batch {listing(map(str, known))} ({NAMES[net].short})")
    return f"{name} has a test accuracy of {'; '.join(parts)}."


def _named(data: dict[str, Any]) -> Arms:
    """Name every net with its kind, normaliser and batch size."""
    return {
        f"{kind}, {NAMES[net].label}, batch {size}": runs
        for group, kind in GROUPS.items()
        for size, nets in by_batch(data[group]).items()
        for net, runs in nets.items()
    }

"""The tables and the findings of BN-Inception: the grid of learning rates, steps to the plain net's best, and accuracies."""

import math
from collections.abc import Mapping
from typing import Any

from experiments._evidence.format import TIMES, plural
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, settings
from experiments._evidence.table import by_net, cell, divergences, grid, middle, seeds
from experiments._evidence.value import median
from experiments._nets import NETS
from experiments.inception import RECIPES
from experiments.inception.quantities import (
    BASE,
    BEST,
    LAST,
    TRAINED,
    best_rate,
    by_rate,
    is_best,
    steps,
    steps_to_plain,
)


def by_recipe(arms: Arms) -> dict[str, Arms]:
    """Sort the nets by recipe, in the order of `RECIPES`, each {net: runs}."""
    found = settings(arms)
    return {name: found[name] for name in RECIPES if name in found}


def named(arms: Arms) -> Arms:
    """Name every net with its recipe."""
    return {
        f"{NETS[net].label}, {RECIPES[name].words}": nets[net]
        for name, nets in by_recipe(arms).items()
        for net in ("plain", "batch_norm")
        if net in nets
    }


def choice(data: dict[str, Any]) -> str:
    """Write the learning rate x1, and whether it is the best of the grid."""
    rate, best = data["config"]["optimizer"]["learning_rate"], best_rate(data)
    return (
        f"x1 is {rate:g}, {'the best of the grid' if is_best(data) else f'not the best of the grid, which is {best:g}'}"
    )


def summarise(data: dict[str, Any]) -> str:
    """Put the grid into a table, and steps and accuracies of every net into another."""
    arms, tests = data.get("arms", {}), by_rate(data)
    rates = grid(
        [f"{rate:g}" for rate in tests],
        {"test accuracy": [cell(middle(nets["plain"], LAST), LAST.format) for nets in tests.values()]},
    )
    lines = [f"\nPlain net, seed {data['config']['seeds'][0]} alone, by learning rate", *rates, f"{choice(data)}."]
    if arms:
        lines += ["", *_by_net(data, arms)]
    at_rates = {f"plain net, learning rate {rate:g}": nets["plain"] for rate, nets in tests.items()}
    return "\n".join([*lines, *divergences(at_rates), *divergences(named(arms))])


def findings(data: dict[str, Any]) -> str:
    """Describe x1, the best accuracies, and how much faster each net with batch norm is than the plain net."""
    arms = data.get("arms", {})
    found = [f"Of the plain net's learning rates, {choice(data)}."]
    tests = [f"{BEST.format.written(middle(runs, BEST))} ({name})" for name, runs in named(arms).items()]
    if tests:
        found.append(f"The best test accuracy is {'; '.join(tests)}.")
    times = {name: _times(data, name) for name, nets in by_recipe(arms).items() if "batch_norm" in nets}
    ratios = [
        f"{TIMES.rounded(value)} times at {RECIPES[name].words}"
        for name, value in times.items()
        if not math.isnan(value)
    ]
    if ratios:
        found.append(
            "To reach its best test accuracy, the plain net needs this many times as many steps as the net with batch norm: "
            f"{'; '.join(ratios)}."
        )
    lost = sum(run["diverged_at"] is not None for runs in arms.values() for run in runs)
    return " ".join([*found, *([f"{plural(lost, 'run')} diverged."] if lost else [])])


def _times(data: dict[str, Any], name: str) -> float:
    """Return the ratio of steps, plain net at rate x1 over batch norm; NaN if unknown, or x1 is not the grid's best."""
    if BASE.arm("plain") not in data["arms"] or not is_best(data):
        return math.nan
    return median((steps("plain", "x1") / steps("batch_norm", name)).of(data).values())


def _by_net(data: dict[str, Any], arms: Arms) -> list[str]:
    """Write a row for each net."""
    columns: Mapping[str, Measure] = {"train": TRAINED, "test": LAST, "best test": BEST}
    if BASE.arm("plain") in arms:
        columns = {"steps to plain's best": steps_to_plain(data), **columns}
    lost = {
        name: f"{sum(run['diverged_at'] is not None for run in runs)} of {len(runs)}"
        for name, runs in named(arms).items()
    }
    rows = by_net(named(arms), columns)
    words = {name: f"{row}  {lost[name]}" for name, row in zip(lost, rows[1:], strict=True)}
    return [
        f"{rows[0]}  diverged",
        *words.values(),
        "Steps: until the test accuracy reaches the best one of the plain net at rate x1 with the same seed, straight lines",
        "between tests; >: not in as many. Train: the last 50 batches; test: all test examples. A run that diverged guesses.",
        f"Medians over {seeds(data['config'])}.",
    ]

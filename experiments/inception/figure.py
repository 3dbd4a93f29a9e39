"""The figures of BN-Inception: test accuracy over training by recipe, best accuracies and steps, and the grid."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from experiments._evidence.quantities import CHANCE, TEST_ACCURACY
from experiments._evidence.run import Arms, all_runs
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Curves, Dots, Line, Panel
from experiments._nets import NETS
from experiments.inception import RECIPES
from experiments.inception.quantities import BASE, BEST, LAST, TRAINED, steps_to_plain
from experiments.inception.table import by_rate, by_recipe, choice

_IN_A_ROW = 3  # panels of training


def plot(data: dict[str, Any]) -> Layout:
    """Show test accuracies over training, and the best accuracies and steps of every recipe; the grid if it is alone."""
    arms = data.get("arms", {})
    if not arms:
        return _alone(data)
    recipes = by_recipe(arms)
    bests = [BEST.of(run) for run in all_runs(arms)]
    top = 1.1 * max((best for best in bests if math.isfinite(best)), default=1.0)
    panels: list[Panel | None] = [_training(name, nets, top) for name, nets in recipes.items()]
    panels += [None] * (-len(panels) % _IN_A_ROW)
    rows = [panels[i : i + _IN_A_ROW] for i in range(0, len(panels), _IN_A_ROW)]
    columns = {RECIPES[name].words.replace(", ", ",\n"): nets for name, nets in recipes.items()}
    blocks = [Block("", [row], height=3.6) for row in rows]
    blocks.append(Block("", [_results(data, columns)]))
    rates = (
        f"rates halve in {data['config']['optimizer']['half_life']:g} steps; at rates x5 and x30 with BN six times as fast, "
        "with a fifth of the L2 penalty and no dropout"
    )
    marks = ["medians over seeds, bands and lines from smallest to largest", "dotted: guessing"]
    return _figure(data, "Larger learning rates", blocks, _recipe(data), rates, marks)


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Show the grid of learning rates in a figure of its own, unless it is all there is."""
    return {"grid": _alone} if data.get("arms") else {}


def _alone(data: dict[str, Any]) -> Layout:
    """Show the grid of learning rates."""
    rates = f"rates halve in {data['config']['optimizer']['half_life']:g} steps"
    preset, *_, training = _recipe(data)
    recipe = [preset, "one seed", "without BN", training]
    return _figure(data, "The learning rate x1", [Block("", [_grid(data)])], recipe, rates, [])


def _recipe(data: dict[str, Any]) -> list[str]:
    """Describe how the nets were trained, beginning with the preset and ending with the optimiser."""
    return captions.recipe(data["config"], data["preset"], learning_rate=False)


def _figure(
    data: dict[str, Any], title: str, blocks: list[Block], recipe: list[str], rates: str, marks: list[str]
) -> Layout:
    """Write the net, the recipe, the learning rates, and what marks mean beside panels."""
    config = data["config"]
    return make_figure(
        f"{title}: {captions.network(config)}",
        blocks,
        recipe,
        [choice(data), rates],
        [*marks, captions.images(config)],
        captions.origin(data, "training and tests"),
    )


def _training(name: str, nets: Arms, top: float) -> Curves:
    """Show the test accuracy over training with one recipe."""
    return Curves(
        nets,
        [Line(TEST_ACCURACY, look="o-")],
        title=RECIPES[name].words[:1].upper() + RECIPES[name].words[1:],
        ylabel="test accuracy",
        scale="percent",
        line=CHANCE,
        ylim=(0, top),
    )


def _results(data: dict[str, Any], columns: Mapping[str, Arms]) -> list[Panel | None]:
    """Show the best test accuracy with each recipe, and the steps to the plain net's."""
    nets = {net: all_runs({name: arms.get(net, []) for name, arms in columns.items()}) for net in NETS}
    shown = {net: runs for net, runs in nets.items() if runs}
    found: list[Panel | None] = [
        Dots(
            shown, columns, {"": BEST}, title="Best test accuracy", xlabel="accuracy", scale="percent", horizontal=True
        )
    ]
    if BASE.arm("plain") in data["arms"]:
        measure = steps_to_plain(data)
        title = "Steps to the plain net's best"
        found.append(Dots(shown, columns, {"": measure}, title=title, xlabel="steps", scale="log", horizontal=True))
    return found


def _grid(data: dict[str, Any]) -> list[Panel | None]:
    """Show the accuracies of the plain net at the end, in tests and in training, by learning rate."""
    columns = {f"{rate:g}": nets for rate, nets in by_rate(data).items()}
    look: Any = {"xlabel": "learning rate", "ylabel": "accuracy", "scale": "percent", "joined": True}
    measures = {"Test accuracy, which decides": LAST, "Training accuracy": TRAINED}
    return [
        Dots({"plain": all_runs(data["grid"])}, columns, {"": measure}, title=title, **look)
        for title, measure in measures.items()
    ]

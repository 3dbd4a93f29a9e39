"""The table and the findings of the theorems on real networks."""

from typing import Any

from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Runs, all_runs
from experiments._evidence.table import divergences, grid, middle, seeds, written
from experiments._evidence.value import spread
from experiments._nets import NETS
from experiments.theory_bounds.quantities import EQUALITIES, RATIOS, STATEMENTS, largest_error, ratio, share, shown


def summarise(data: dict[str, Any]) -> str:
    """Put errors, shares and ratios into a table: a row for each, a column for each net."""
    nets = {NETS[net].label: runs for net, runs in shown(data).items()}
    layers, steps = (
        range(1, len(data["config"]["model"]["hidden"]) + 1),
        ", ".join(map(str, data["config"]["check_steps"])),
    )
    rows: dict[str, list[str]] = {"Largest relative error": []}
    rows |= {f"  {label}": [_worst(runs, name) for runs in nets.values()] for label, name in EQUALITIES.items()}
    rows["Share (range over seeds)"] = []
    rows |= {f"  {label}": [_range(runs, share(name)) for runs in nets.values()] for label, name in STATEMENTS.items()}
    rows["Last step, layer by layer"] = []
    for label, name in RATIOS.items():
        measures = [ratio(name, layer).at_end() for layer in layers]
        rows[f"  {label}"] = [", ".join(written(runs, measure) for measure in measures) for runs in nets.values()]
    return "\n".join(
        [
            "",
            *grid(list(nets), rows),
            "Errors: of all units, layers, steps and seeds. Shares: of the units and steps with a gradient, at which it holds;",
            f"ratios: medians over units; both medians over {seeds(data['config'])}. Steps {steps}; float64, epsilon 0.",
            *divergences(nets),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe how exactly the equalities hold, and how often the condition for a smoother landscape does."""
    runs = all_runs(data["arms"])
    errors = {words: spread(map(largest_error(name).of, runs)).high for words, name in EQUALITIES.items()}
    worst = max(errors, key=lambda words: errors[words])
    others = max(error for words, error in errors.items() if words != worst)
    inserted, trained = (
        [f"{100 * middle(data['arms'][arm], share(name)):.0f} %" for name in ("gradient_not_larger", "smoother")]
        for arm in ("plain", "batch_norm")
    )
    found = (
        "In float64 the largest relative difference between the two sides of an equality, over all units, layers and steps "
        f"that were checked, is {Format('.1e').number(errors[worst])} in {worst}, and {Format('.1e').number(others)} in the "
        f"others. Inserting batch norm does not lengthen the gradient at {inserted[0]} of "
        f"units and steps; in the net that is trained with it, whose scales training chooses, it does not at {trained[0]}. The "
        "condition under which the theorem on curvature promises a smoother landscape holds at "
        f"{inserted[1]} of units and steps where batch norm is inserted into a plain net, and at {trained[1]} in a net trained "
        "with it."
    )
    return " ".join([found, *divergences({NETS[net].label: arm for net, arm in shown(data).items()})])


def _worst(runs: Runs, name: str) -> str:
    measure = largest_error(name)
    return measure.format.number(spread(map(measure.of, runs)).high)


def _range(runs: Runs, measure: Measure) -> str:
    low, median, high = spread(map(measure.of, runs))
    return f"{measure.format.written(median)} ({measure.format.number(low)}, {measure.format.number(high)})"

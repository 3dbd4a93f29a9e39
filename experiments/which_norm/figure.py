"""The figure of all normalisers: test accuracy against smoothness, covariate shift and drift."""

from collections.abc import Callable
from typing import Any

from experiments._evidence.format import Format
from experiments._evidence.quantity import Measure
from experiments._evidence.run import all_runs, layer_names, layer_number
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Named
from experiments.which_norm import NO_STATISTICS, OF_BATCHES, OF_EXAMPLES
from experiments.which_norm.quantities import COMPARED, STEPS, TEST
from experiments.which_norm.table import over_nets

_FAMILIES = {
    "statistics of the batch": OF_BATCHES,
    "no statistics": NO_STATISTICS,
    "statistics of each example": OF_EXAMPLES,
}
_PANELS = {
    "loss range": ("Range of the loss", "largest - smallest along the gradient (nats)"),
    "relative shift": ("Covariate shift", "|G - G'| / |G|"),
    "drift": ("Drift", "W1 between measurements / pooled std"),
}


_RANKS = "rank correlation: Spearman's over the nets, median over seeds"
_LESS = f"{_RANKS}; below 0, less goes with a higher accuracy"


def plot(data: dict[str, Any]) -> Layout:
    """Show the test accuracy of every net against each of the three."""
    panels = _panels(data, TEST, "test accuracy at the end")
    return make_figure(_title(data, "accuracy"), [Block("", [panels], height=5.2)], [_LESS], *_foot(data))


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that draw further figures."""
    return {"steps": _steps}


def _steps(data: dict[str, Any]) -> Layout:
    """Show the steps to a training accuracy against each of the three."""
    panels = _panels(data, STEPS, "steps to 40 % training accuracy")
    late = "a net that has not reached it stands at its last step"
    remarks = [f"{_RANKS}; above 0, less goes with fewer steps", late]
    return make_figure(_title(data, "speed"), [Block("", [panels], height=5.2)], remarks, *_foot(data))


def _title(data: dict[str, Any], performance: str) -> str:
    return f"{captions.network(data['config'])}, {len(data['arms'])} nets: what goes with {performance}?"


def _panels(data: dict[str, Any], up: Measure, ylabel: str) -> list[Named]:
    """Make the three panels, with the rank correlation in their titles."""
    panels = []
    for name, (title, xlabel) in _PANELS.items():
        rank = Format("+z.2f").number(over_nets(data, name, up))
        across = COMPARED[name].of(data)
        look: Any = {
            "title": f"{title}\nrank correlation {rank}",
            "xlabel": xlabel,
            "ylabel": ylabel if not panels else "",
        }
        panels.append(Named(data["arms"], across, up, _FAMILIES, **look))
    return panels


def _foot(data: dict[str, Any]) -> list[list[str]]:
    config, runs = data["config"], all_runs(data["arms"])
    layers = {kind: [str(layer_number(name)) for name in layer_names(runs, kind)] for kind in ("shift", "drift")}
    return [
        [f"points: medians over {captions.seeds(config)}, lines: their range", captions.scans(config)],
        [
            f"covariate shift: mean of layers {', '.join(layers['shift'])}",
            f"drift: {captions.place(config)} in layer {layers['drift'][-1]}",
            "all: medians over the measurements after step 0",
        ],
        captions.recipe(config, data["preset"]),
        captions.origin(data),
    ]

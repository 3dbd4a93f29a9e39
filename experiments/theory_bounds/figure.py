"""The figure of the theorems on real networks: errors, where statements hold, what happens to gradient and curvature."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments._evidence.run import Arms, all_runs
from experiments._evidence.value import spread
from experiments._figures import captions, style
from experiments._figures.figure import Block, make_figure
from experiments._figures.panels import Curves, Dots, Histogram, Line
from experiments.theory_bounds.quantities import (
    ACCEPTED,
    EDGES,
    EQUALITIES,
    RATIOS,
    STATEMENTS,
    largest_error,
    ratio,
    share,
    share_by_step,
    shown,
)

_MARKERS = ("o", "s", "^", "D", "v", "P")


def plot(data: dict[str, Any]) -> Figure:
    """Draw errors and shares per statement, the gradient that is removed, and shares and ratios over training."""
    config, arms = data["config"], shown(data)
    widths = "-".join(map(str, config["hidden"]))
    activation = {"relu": "ReLU", "elu": "ELU"}.get(config["activation"], config["activation"])
    active = spread(share("active", "units").of(run) for run in data["arms"]["plain"]).low
    return make_figure(
        f"The theorems on a real network: MLP {widths}, {activation}, on {captions.DATASETS[config['dataset']]}",
        [
            # Rows of their own: the names in the first one leave the others their width.
            Block("", [[_errors(arms), _shares(arms)]], height=5),
            Block("", [[_removed(data), _condition(data, arms)]]),
            Block(
                "",
                [
                    [
                        _ratios(data, arms, label, words)
                        for label, words in zip(RATIOS, ("Gradient", "Curvature"), strict=True)
                    ]
                ],
            ),
        ],
        [
            "per unit: g, H by the output of BN, which is what a plain net sees",
            "ĝ, Ĥ by its input y, through BN (ŷ: y normalised)",
            "first row: median and range over seeds",
        ],
        [
            f"preset {data['preset']}",
            captions.seeds(config),
            f"SGD, learning rate {config['learning_rate']:g}, batches of {config['batch_size']}",
            "checks in float64 with epsilon 0, on the batch of the next step",
        ],
        [f"at least {100 * active:.0f} % of the units have a gradient", *captions.origin(data, "training and checks")],
    )


def _errors(arms: Arms) -> Dots:
    """Show the largest relative error of each equality."""
    return Dots(
        arms,
        list(EQUALITIES),
        {"": lambda label: largest_error(EQUALITIES[label])},
        title="Equalities: largest error",
        xlabel="relative error, over units, layers and steps",
        ylim=(1e-17, 1e-7),
        levels={"accepted below": ACCEPTED},
        horizontal=True,
    )


def _shares(arms: Arms) -> Dots:
    """Show the share of units and steps at which each statement holds."""
    return Dots(
        arms,
        list(STATEMENTS),
        {"": lambda label: share(STATEMENTS[label])},
        title="Where does it hold?",
        xlabel="share of (unit, step)",
        ylim=(-0.03, 1.03),
        scale="percent",
        horizontal=True,
    )


def _removed(data: dict[str, Any]) -> Histogram:
    """Show the share of the squared gradient that inserted batch norm removes, at the first, a middle and the last check."""
    probes = [run["probe"] for run in data["arms"]["plain"]]
    steps = max((probe["step"] for probe in probes), key=len)
    chosen = sorted({0, len(steps) // 2, len(steps) - 1})
    series = {}
    for rank, i in enumerate(chosen):
        counts = np.sum([probe["histogram"]["removed"][i] for probe in probes if i < len(probe["step"])], axis=0)
        colour = style.SEQUENTIAL(0.85 * (1 - rank / max(1, len(chosen) - 1)))
        series[f"step {steps[i]:,}"] = (colour, counts)
    title = "Gradient that inserted BN removes"
    return Histogram(series, EDGES, title=title, xlabel="1 - |ĝ|² / |g|²", ylabel="share of units, all layers")


def _condition(data: dict[str, Any], arms: Arms) -> Curves:
    """Show over training the share of units at which the theorem promises smoothing."""
    return Curves(
        arms,
        [Line(share_by_step("smoother"), "o-")],
        places=data["config"]["check_steps"],
        title="Condition for smoothing",
        ylabel="units with g·ŷ > 0 and H ≥ 0",
        scale="percent",
        line=0.5,
    )


def _ratios(data: dict[str, Any], arms: Arms, label: str, words: str) -> Curves:
    """Show a ratio over training, a line per net and layer."""
    lines = [
        Line(ratio(RATIOS[label], layer), f"{_MARKERS[(layer - 1) % len(_MARKERS)]}-", label=f"layer {layer}")
        for layer in range(1, len(data["config"]["hidden"]) + 1)
    ]
    values = np.concatenate([line.quantity.curve(run)[1] for line in lines for run in all_runs(arms)])
    return Curves(
        arms,
        lines,
        places=data["config"]["check_steps"],
        title=f"{words}: with BN / without",
        ylabel=f"{label}, median over units",
        scale="log" if style.is_wide(values, ratio=8) else "linear",
        line=1,
    )

"""The figure of the theorems on real networks: errors, where statements hold, what happens to gradient and curvature."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from experiments._figures import captions, style
from experiments._figures.style import COLOURS, INK, SEQUENTIAL
from experiments._numbers import curves
from experiments._numbers import theory as numbers

_MARKS = ("o", "s", "^", "D", "v", "P")


def theory_figure(data: dict[str, Any]) -> Figure:
    """Draw errors and shares per statement, the gradient that is removed, and shares and ratios over training."""
    with style.style():
        figure = Figure(figsize=(13, 15))
        # Rows of their own: the names in the first one leave the others their width.
        rows: Any = figure.subfigures(3, 1)
        panels = np.array([row.subplots(1, 2) for row in rows])
        _errors(panels[0, 0], data)
        _shares(panels[0, 1], data)
        _removed(panels[1, 0], data)
        _condition(panels[1, 1], data)
        _ratios(panels[2, 0], data, "gradient_ratio")
        panels[2, 0].set(title="Gradient: with BN / without", ylabel="|ĝ| / |g|, median over units")
        _ratios(panels[2, 1], data, "curvature_ratio")
        panels[2, 1].set(title="Curvature: with BN / without", ylabel="ĝᵀĤĝ / gᵀHg, median over units")
        figure.legend(
            handles=[Patch(color=COLOURS[arm], label=numbers.LABELS[arm]) for arm in data["arms"]],
            loc="outside upper center",
            ncols=len(data["arms"]),
            fontsize=14,
            title=_title(data),
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _errors(panel: Axes, data: dict[str, Any]) -> None:
    """Draw the largest relative error of each equality."""
    _dots(panel, data, numbers.EQUALITIES, numbers.largest_error, "errors")
    panel.axvline(numbers.ACCEPTED, color=INK, linestyle="--", linewidth=1.4)
    panel.annotate(
        f"accepted below {style.number(numbers.ACCEPTED)}",
        (numbers.ACCEPTED, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        fontsize=12,
        color=INK,
    )
    panel.set_xscale("log")
    panel.set_xlim(1e-17, 1e-7)
    panel.xaxis.set_major_locator(LogLocator(numticks=6))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set(title="Equalities: largest error", xlabel="relative error, over units, layers, steps, seeds")


def _shares(panel: Axes, data: dict[str, Any]) -> None:
    """Draw the share of units and steps at which each statement holds."""
    _dots(panel, data, numbers.STATEMENTS, numbers.share, "counts")
    panel.set(title="Where does it hold?", xlabel="share of (unit, step); line: range over seeds", xlim=(-0.03, 1.03))
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _dots(panel: Axes, data: dict[str, Any], labels: dict[str, str], measure: Callable, kind: str) -> None:
    """Draw a row per name, a dot per net."""
    arms = data["arms"]
    for i, (arm, runs) in enumerate(arms.items()):
        beside = 0.28 * (i - (len(arms) - 1) / 2)
        for row, name in enumerate(labels):
            if not runs or name not in runs[0]["probe"][kind]:
                continue
            low, middle, high = numbers.over_runs(runs, measure(name))
            panel.plot([low, high], [row + beside] * 2, color=COLOURS[arm], linewidth=2.5)
            panel.plot(high if kind == "errors" else middle, row + beside, "o", color=COLOURS[arm], markersize=9)
    panel.set_yticks(range(len(labels)), list(labels.values()))
    panel.set_ylim(len(labels) - 0.4, -0.6)


def _removed(panel: Axes, data: dict[str, Any]) -> None:
    """Draw histograms over units of the share that inserted batch norm removes of the squared gradient."""
    runs = data["arms"]["plain"]
    longest = max((run["probe"]["step"] for run in runs), key=len)
    shown = sorted({0, len(longest) // 2, len(longest) - 1})
    edges = np.logspace(-5, 0, len(runs[0]["probe"]["histogram"]["removed"][0]) + 1)
    for rank, i in enumerate(shown):
        counts = np.sum(
            [run["probe"]["histogram"]["removed"][i] for run in runs if i < len(run["probe"]["step"])], axis=0
        )
        colour = SEQUENTIAL(0.85 * (1 - rank / max(1, len(shown) - 1)))
        panel.stairs(counts / counts.sum(), edges, color=colour, linewidth=2.6, label=f"step {longest[i]:,}")
    panel.set_xscale("log")
    panel.set_xlim(edges[0], edges[-1])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.legend(loc="upper left", fontsize=12)
    panel.set(title="Gradient that inserted BN removes", xlabel="1 - |ĝ|² / |g|²", ylabel="share of units, all layers")


def _condition(panel: Axes, data: dict[str, Any]) -> None:
    """Draw over training the share of units at which the theorem promises smoothing."""
    for arm, runs in data["arms"].items():
        curve = curves.over_seeds(runs, "probe", numbers.share_by_step("smoother"))
        places = _places(data, curve.step)
        panel.plot(places, curve.middle, "o-", color=COLOURS[arm], markersize=7)
        panel.fill_between(places, curve.low, curve.high, color=COLOURS[arm], alpha=0.25, linewidth=0)
    panel.axhline(0.5, color=INK, linestyle="--", linewidth=1.4)
    panel.set(title="Condition for smoothing", ylabel="units with g·ŷ > 0 and H ≥ 0", ylim=(0, 1))
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _label_steps(panel, data)


def _ratios(panel: Axes, data: dict[str, Any], name: str) -> None:
    """Draw a ratio over training, a line per net and layer."""
    layers = range(1, len(data["config"]["hidden"]) + 1)
    for arm, runs in data["arms"].items():
        for layer in layers:
            curve = curves.over_seeds(runs, "probe", numbers.median_ratio(name, layer))
            places, mark = _places(data, curve.step), _MARKS[(layer - 1) % len(_MARKS)]
            panel.plot(places, curve.middle, f"{mark}-", color=COLOURS[arm], markersize=7, linewidth=1.8)
            panel.fill_between(places, curve.low, curve.high, color=COLOURS[arm], alpha=0.18, linewidth=0)
    panel.axhline(1, color=INK, linestyle="--", linewidth=1.4)
    if style.is_wide(np.concatenate([line.get_ydata() for line in panel.lines]), ratio=8):
        style.log_scale(panel)
    _label_steps(panel, data)
    handles = [
        Line2D([], [], color=INK, marker=_MARKS[(layer - 1) % len(_MARKS)], label=f"layer {layer}") for layer in layers
    ]
    panel.legend(handles=handles, fontsize=12, loc="best")


def _places(data: dict[str, Any], steps: np.ndarray) -> list[int]:
    """Place checked steps, which are spread over orders of magnitude, at equal distances."""
    return [data["config"]["check_steps"].index(step) for step in steps]


def _label_steps(panel: Axes, data: dict[str, Any]) -> None:
    """Label these places."""
    steps = data["config"]["check_steps"]
    panel.set_xticks(range(len(steps)), [f"{step:,}" for step in steps])
    panel.set_xlabel("training step")


def _title(data: dict[str, Any]) -> str:
    """Name what was trained."""
    config = data["config"]
    widths = "-".join(map(str, config["hidden"]))
    activation = {"relu": "ReLU", "elu": "ELU"}.get(config["activation"], config["activation"])
    return f"The theorems on a real network: MLP {widths}, {activation}, on {captions.DATASETS[config['dataset']]}"


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say what the symbols are, and how the numbers came about."""
    config = data["config"]
    units = numbers.over_runs(data["arms"]["plain"], numbers.share("active", "units"))[0]
    return [
        [
            "per unit: g, H by the output of BN, which is what a plain net sees; ĝ, Ĥ by its input y, through BN (ŷ: y "
            "normalised)"
        ],
        [
            f"preset {data['preset']}",
            captions.seeds(config),
            f"SGD, learning rate {config['learning_rate']:g}, batches of {config['batch_size']}",
            "checks in float64 with epsilon 0, on the batch of the next step",
        ],
        [
            f"gradient reaches at least {100 * units:.0f} % of the units",
            *captions.origin(data, "training and checks"),
        ],
    ]

"""The figure of the theorems on real networks: errors, where statements hold, what happens to gradient and curvature."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnjax.draw import style
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, all_runs
from experiments._evidence.value import spread
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Curves, Dots, Histogram, Line
from experiments.theory_bounds import quantities as q

_MARKERS = ("o", "s", "^", "D", "v", "P")


def plot(data: dict[str, Any]) -> Layout:
    """Show errors and shares per statement, the gradient that is removed, and shares and ratios over training."""
    config, arms = data["config"], q.shown(data)
    widths = "-".join(map(str, config["model"]["hidden"]))
    activation = {"relu": "ReLU", "elu": "ELU"}.get(config["model"]["activation"], config["model"]["activation"])
    active = spread(q.share("active", "units").of(run) for run in data["arms"]["plain"]).low
    errors = {"title": "Equalities: largest error", "xlabel": "relative error, over units, layers and steps"}
    errors |= {"levels": {"accepted below": q.ACCEPTED}, "ylim": (1e-17, 1e-6)}
    shares = {"title": "Where does it hold?", "xlabel": "share of (unit, step)", "ylim": (-0.03, 1.03)}
    equalities = _rows(arms, q.EQUALITIES, q.largest_error, **errors)
    statements = _rows(arms, q.STATEMENTS, q.share, scale="percent", **shares)
    title, label, smoother = "Condition for smoothing", "units with g·ŷ > 0 and H ≥ 0", q.share_by_step("smoother")
    line: Any = {"scale": "percent", "line": 0.5}
    condition = Curves(arms, [Line(smoother, "o-")], config["check_steps"], title=title, ylabel=label, **line)
    return make_figure(
        f"The theorems on a real network: MLP {widths}, {activation}, on {captions.DATASETS[config['data']['dataset']]}",
        [
            # Separate rows, so that the long names in the first one do not narrow the others.
            Block("", [[equalities, statements]]),
            Block("", [[_removed(data), condition]]),
            Block("", [[_ratios(data, "Gradient", "|ĝ| / |g|"), _ratios(data, "Curvature", "ĝᵀĤĝ / gᵀHg")]]),
        ],
        [
            "per unit: g, H by the output of BN, which is what a plain net sees",
            "ĝ, Ĥ by its input y, through BN (ŷ: y normalised)",
            f"dots: medians over seeds, lines: smallest to largest, bands: {captions.bands(config)}",
        ],
        [
            f"preset {data['preset']}",
            captions.seeds(config),
            f"SGD, learning rate {config['optimizer']['learning_rate']:g}, batches of {config['optimizer']['batch_size']}",
            "checks in float64 with epsilon 0, on the batch of the next step",
        ],
        [f"at least {100 * active:.0f} % of the units have a gradient", *captions.origin(data, "training and checks")],
    )


def _rows(arms: Arms, names: Mapping[str, str], of: Callable[[str], Measure], **look: Any) -> Dots:
    """Show a measure of each equality or statement, a row for each."""
    return Dots(arms, dict.fromkeys(names, arms), {"": lambda label: of(names[label])}, horizontal=True, **look)


def _removed(data: dict[str, Any]) -> Histogram:
    """Show the share of the squared gradient that inserted batch norm removes, at the first, a middle and the last check."""
    probes = [run["probe"] for run in data["arms"]["plain"]]
    steps = max((probe["step"] for probe in probes), key=len)
    chosen = sorted({0, len(steps) // 2, len(steps) - 1})
    series = {}
    for rank, i in enumerate(chosen):
        counts = np.sum([probe["histogram"]["removed"][i] for probe in probes if i < len(probe["step"])], axis=0)
        colour = style.sequential()(0.85 * (1 - rank / max(1, len(chosen) - 1)))
        series[f"step {steps[i]:,}"] = (colour, counts)
    title = "Gradient that inserted BN removes"
    return Histogram(series, q.EDGES, title=title, xlabel="1 - |ĝ|² / |g|²", ylabel="share of units, all layers")


def _ratios(data: dict[str, Any], words: str, label: str) -> Curves:
    """Show a ratio over training, a line per net and layer."""
    layers = range(1, len(data["config"]["model"]["hidden"]) + 1)
    ratios = [q.ratio(q.RATIOS[label], layer) for layer in layers]
    looks = [f"{_MARKERS[i % len(_MARKERS)]}-" for i in range(len(ratios))]
    values = np.concatenate([of_layer.curve(run)[1] for of_layer in ratios for run in all_runs(data["arms"])])
    return Curves(
        q.shown(data),
        [Line(ratio, look, label=f"layer {layer}") for ratio, look, layer in zip(ratios, looks, layers, strict=True)],
        data["config"]["check_steps"],
        title=f"{words}: with BN / without",
        ylabel=f"{label}, median over units",
        scale="log" if style.is_wide(values, ratio=8) else "linear",
        line=1,
    )

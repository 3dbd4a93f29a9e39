"""How figures look: one colour per net everywhere, axes with units, and where the numbers come from at the foot."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from experiments import _curves
from experiments._curves import LABELS

COLOURS = {"plain": "#d55e00", "batch_norm": "#0072b2"}
_STYLE: dict[Any, Any] = {
    "font.size": 13,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
}


def landscape_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy, loss band, gradient predictiveness and effective smoothness over training."""
    with plt.rc_context(_STYLE):
        figure, panels = plt.subplots(2, 2, figsize=(13, 10))
        _accuracy(panels[0, 0], data)
        _band(panels[0, 1], data, _curves.lowest_loss, _curves.highest_loss)
        panels[0, 1].set(title="Loss along the gradient", ylabel=_loss_name(data))
        _band(panels[1, 0], data, _curves.nearest_gradient, _curves.farthest_gradient)
        panels[1, 0].set(title="Gradient predictiveness", ylabel="change of the gradient, l2 (nats / unit)")
        _smoothness(panels[1, 1], data)
        for panel in panels.flat:
            panel.set(xlabel="training step")
            panel.margins(x=0.01)
        figure.legend(
            handles=[Patch(color=COLOURS[arm], label=LABELS[arm]) for arm in data["arms"]],
            loc="outside upper center",
            ncols=len(data["arms"]),
            fontsize=15,
            title=_title(data),
            title_fontsize=17,
        )
        figure.supxlabel(_caption(data), fontsize=11, color="#444444", linespacing=1.5)
    return figure


def _accuracy(panel: Axes, data: dict[str, Any]) -> None:
    """Draw accuracy on training batches (lines) and on test images (dots)."""
    window = max(1, data["config"]["num_steps"] // 60)
    for arm, runs in data["arms"].items():
        train = _curves.over_seeds(
            runs, "train", lambda curve: _curves.rolling_mean(_curves.array(curve["accuracy"]), window)
        )
        panel.plot(train.step, train.middle, color=COLOURS[arm])
        panel.fill_between(train.step, train.low, train.high, color=COLOURS[arm], alpha=0.25, linewidth=0)
        test = _curves.over_seeds(runs, "test", lambda curve: _curves.array(curve["accuracy"]))
        errors = [test.middle - test.low, test.high - test.middle]
        for run in (run for run in runs if run["diverged_at"] is not None):
            panel.plot(run["diverged_at"], 0, "X", color=COLOURS[arm], markersize=14, clip_on=False)
        panel.errorbar(test.step, test.middle, errors, fmt="o--", linewidth=1, color=COLOURS[arm])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.set(title="Accuracy", ylabel="correct answers", ylim=(0, 1.02))
    handles = [
        Line2D([], [], color="#444444", label=f"training, mean of {window} batches"),
        Line2D([], [], color="#444444", marker="o", linestyle="--", linewidth=1, label="test"),
    ]
    if any(run["diverged_at"] is not None for runs in data["arms"].values() for run in runs):
        handles.append(Line2D([], [], color="#444444", marker="X", markersize=12, linestyle="", label="diverged"))
    panel.legend(handles=handles, loc="lower right")


def _band(panel: Axes, data: dict[str, Any], low: Any, high: Any) -> None:
    """Shade from the smallest to the largest value over a scan's step sizes, medians over seeds."""
    for arm, runs in data["arms"].items():
        bottom, top = (_curves.over_seeds(runs, "probe", edge) for edge in (low, high))
        panel.fill_between(bottom.step, bottom.middle, top.middle, color=COLOURS[arm], alpha=0.4, linewidth=0)
        for edge in (bottom, top):
            panel.plot(edge.step, edge.middle, color=COLOURS[arm], linewidth=1)
    _log_scale(panel)


def _smoothness(panel: Axes, data: dict[str, Any]) -> None:
    """Draw the effective smoothness, with its range over seeds."""
    for arm, runs in data["arms"].items():
        curve = _curves.over_seeds(runs, "probe", _curves.effective_smoothness)
        panel.plot(curve.step, curve.middle, color=COLOURS[arm])
        panel.fill_between(curve.step, curve.low, curve.high, color=COLOURS[arm], alpha=0.25, linewidth=0)
    panel.set(title="Effective smoothness (smaller is smoother)", ylabel="gradient change / distance (nats / unit²)")
    _log_scale(panel)


def _log_scale(panel: Axes) -> None:
    """Make the vertical axis logarithmic, with a label at a few round numbers, unless there is nothing to draw."""
    if any(np.any(np.asarray(line.get_ydata()) > 0) for line in panel.lines):
        panel.set_yscale("log")
        low, high = panel.get_ylim()
        between = (2, 4, 6) if high < 50 * low else ()
        panel.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        panel.yaxis.set_minor_formatter(
            lambda y, _: f"{y:g}" if round(y / 10 ** np.floor(np.log10(y))) in between else ""
        )


def _title(data: dict[str, Any]) -> str:
    """Name what was trained."""
    config = data["config"]
    names = {"cifar10": "CIFAR-10", "mnist": "MNIST", "digits": "the UCI digits", "synthetic": "synthetic patterns"}
    width = "" if config["width"] == 1 else f", {config['width']:g} of its width"
    return f"VGG-{config['depth']}{width}, on {names[config['dataset']]}: the landscape with and without batch norm"


def _loss_name(data: dict[str, Any]) -> str:
    """Name the loss that was scanned."""
    return "cross-entropy + L2 penalty (nats)" if data["config"]["probe_penalty"] else "cross-entropy (nats)"


def _caption(data: dict[str, Any]) -> str:
    """Say how the numbers came about."""
    config, origins = data["config"], data["provenance"]
    layers = config["norm_layers"]
    after = "every hidden layer" if layers == "all" else f"layer {', '.join(map(str, layers))} only"
    sizes = np.array(config["step_multiples"]) * config["learning_rate"]
    extras = "".join(
        f", {name.replace('_', ' ')} {config[name]:g}" for name in ("momentum", "weight_decay") if config[name]
    )

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(str(origin[name]) for origin in origins))

    cores = f" ({each('cpu_cores')} cores)" if each("device") == "CPU" else ""
    return (
        f"preset {data['preset']} · {_curves.count_seeds(data)} · head {config['head']} · BN after {after} · "
        f"{config['optimizer'].upper()}, learning rate {config['learning_rate']:g}{extras}, batches of {config['batch_size']}\n"
        f"images {config['image_size']}x{config['image_size']}, inputs '{config['preprocessing']}' · scans every "
        f"{config['probe_every']} steps, {len(sizes)} step sizes {sizes.min():g} to {sizes.max():g} along minus the gradient, "
        f"on the current batch with its own statistics\n"
        f"commit {each('commit')} · {each('device')}{cores} · {data['seconds']:.0f} s for training, scans and tests · "
        f"{each('date')}"
    )

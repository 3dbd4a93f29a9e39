"""The figure of experiments that train with and without batch norm and scan the landscape along the way."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from experiments import _curves
from experiments._curves import LABELS
from experiments._figures import captions, style
from experiments._figures.style import COLOURS, INK


def landscape_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy, loss band, gradient predictiveness and effective smoothness over training."""
    with style.style():
        figure = Figure(figsize=(13, 10))
        panels = figure.subplots(2, 2)
        _accuracy(panels[0, 0], data)
        _band(panels[0, 1], data, _curves.lowest_loss, _curves.highest_loss)
        panels[0, 1].set(title="Loss along the gradient", ylabel=_loss_name(data))
        _band(panels[1, 0], data, _curves.nearest_gradient, _curves.farthest_gradient)
        panels[1, 0].set(title="Gradient predictiveness", ylabel="change of the gradient, l2 (nats / unit)")
        _smoothness(panels[1, 1], data)
        for panel in panels.flat:
            panel.set(xlabel="training step")
            panel.margins(x=0.01)
        handles = _legend(data)
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(handles),
            fontsize=14,
            title=_title(data),
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _window(data: dict[str, Any]) -> int:
    """Count the batches over which training accuracy is averaged."""
    return max(1, data["config"]["num_steps"] // 60)


def _legend(data: dict[str, Any]) -> list[Any]:
    """Explain colours, and the lines and marks of the accuracy."""
    handles: list[Any] = [Patch(color=COLOURS[arm], label=LABELS[arm]) for arm in data["arms"]]
    handles.append(Line2D([], [], color=INK, label=f"training, mean of {_window(data)} batches"))
    handles.append(Line2D([], [], color=INK, marker="o", linestyle="--", linewidth=1, label="test"))
    if any(run["diverged_at"] is not None for runs in data["arms"].values() for run in runs):
        handles.append(Line2D([], [], color=INK, marker="X", markersize=12, linestyle="", label="diverged"))
    return handles


def _accuracy(panel: Axes, data: dict[str, Any]) -> None:
    """Draw accuracy on training batches (lines) and on test images (dots)."""
    for arm, runs in data["arms"].items():
        window = _curves.num_points(runs[0], _window(data))
        train = _curves.over_seeds(
            runs, "train", lambda curve, window=window: _curves.rolling_mean(_curves.array(curve["accuracy"]), window)
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


def _band(panel: Axes, data: dict[str, Any], low: Any, high: Any) -> None:
    """Shade from the smallest to the largest value over a scan's step sizes, medians over seeds."""
    for arm, runs in data["arms"].items():
        bottom, top = (_curves.over_seeds(runs, "landscape", edge) for edge in (low, high))
        panel.fill_between(bottom.step, bottom.middle, top.middle, color=COLOURS[arm], alpha=0.4, linewidth=0)
        for edge in (bottom, top):
            panel.plot(edge.step, edge.middle, color=COLOURS[arm], linewidth=1)
    style.log_scale(panel)


def _smoothness(panel: Axes, data: dict[str, Any]) -> None:
    """Draw the effective smoothness, with its range over seeds."""
    for arm, runs in data["arms"].items():
        curve = _curves.over_seeds(runs, "landscape", _curves.effective_smoothness)
        panel.plot(curve.step, curve.middle, color=COLOURS[arm])
        panel.fill_between(curve.step, curve.low, curve.high, color=COLOURS[arm], alpha=0.25, linewidth=0)
    panel.set(title="Effective smoothness (smaller is smoother)", ylabel="gradient change / distance (nats/unit²)")
    style.log_scale(panel)


def _title(data: dict[str, Any]) -> str:
    """Name what was trained."""
    return f"{captions.network(data['config'])}: the landscape with and without batch norm"


def _loss_name(data: dict[str, Any]) -> str:
    """Name the loss that was scanned."""
    return "cross-entropy + L2 penalty (nats)" if data["config"]["probe_penalty"] else "cross-entropy (nats)"


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    return [
        captions.recipe(config, data["preset"]),
        [captions.images(config), captions.scans(config)],
        captions.origin(data, "training, scans and tests"),
    ]

"""The figure of experiments that train with and without batch norm and scan the landscape along the way."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import _curves
from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, smoothing
from experiments._figures.style import COLOURS


def landscape_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy, loss band, gradient predictiveness and effective smoothness over training."""
    with style.style():
        figure = Figure(figsize=(13, 10))
        panels = figure.subplots(2, 2)
        num_batches = smoothing(data["config"]["num_steps"])
        draw_accuracy(panels[0, 0], data["arms"], num_batches)
        _band(panels[0, 1], data, _curves.lowest_loss, _curves.highest_loss)
        panels[0, 1].set(title="Loss along the gradient", ylabel=_loss_name(data))
        _band(panels[1, 0], data, _curves.nearest_gradient, _curves.farthest_gradient)
        panels[1, 0].set(title="Gradient predictiveness", ylabel="change of the gradient, l2 (nats / unit)")
        _smoothness(panels[1, 1], data)
        for panel in panels.flat:
            panel.set(xlabel="training step")
            panel.margins(x=0.01)
        handles = explain(data["arms"], num_batches)
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

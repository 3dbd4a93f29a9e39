"""The figure of experiments that train with and without batch norm and scan the landscape along the way."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, smoothing
from experiments._figures.curves import Arms, draw_band, draw_curves
from experiments._numbers import curves


def landscape_figure(data: dict[str, Any]) -> Figure:
    """Draw accuracy, loss band, gradient predictiveness and effective smoothness over training."""
    with style.style():
        figure = Figure(figsize=(13, 10))
        panels = figure.subplots(2, 2)
        num_batches = smoothing(data["config"]["num_steps"])
        draw_accuracy(panels[0, 0], data["arms"], num_batches)
        draw_scans(panels[0, 1], panels[1, 0], panels[1, 1], data["arms"], data["config"])
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


def draw_scans(loss: Axes, predictiveness: Axes, smoothness: Axes, arms: Arms, config: dict[str, Any]) -> None:
    """Draw what was found along minus the gradient: bands of loss and of gradient change, and the effective smoothness."""
    draw_band(loss, arms, "landscape", curves.lowest_loss, curves.highest_loss)
    name = "cross-entropy + L2 penalty (nats)" if config["probe_penalty"] else "cross-entropy (nats)"
    loss.set(title="Loss along the gradient", ylabel=name)
    draw_band(predictiveness, arms, "landscape", curves.nearest_gradient, curves.farthest_gradient)
    predictiveness.set(
        title="Gradient predictiveness", ylabel=f"change of the gradient, {captions.length(config)} (nats / unit)"
    )
    draw_curves(smoothness, arms, "landscape", curves.effective_smoothness)
    smoothness.set(title="Effective smoothness (smaller is smoother)", ylabel="gradient change / distance (nats/unit²)")
    for panel in (loss, predictiveness, smoothness):
        panel.set(xlabel="training step")
        style.log_scale(panel)


def _title(data: dict[str, Any]) -> str:
    """Name what was trained."""
    return f"{captions.network(data['config'])}: the landscape with and without batch norm"


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    return [
        captions.recipe(config, data["preset"]),
        [captions.images(config), captions.scans(config)],
        captions.origin(data, "training, scans and tests"),
    ]

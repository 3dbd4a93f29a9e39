"""The figure of `recurrent`: test error, gradients through time, and both by size of the mini-batches and initial scale."""

from typing import Any

import numpy as np

from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms, Run, array, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer, Curves, Dots, Line
from experiments._figures.panels.panel import mark
from experiments.recurrent import NORMS, setting
from experiments.recurrent.claims import ACCURACY
from experiments.recurrent.table import by_batch

_ERROR = Quantity("test", lambda test: 100 - 100 * TEST_ACCURACY.values(test), "test error")
_LOOKS = ("-", "--", ":", "-.")


def plot(data: dict[str, Any]) -> Layout:
    """Show test error over training, gradients of the hidden states, and accuracy and speed of all settings."""
    config = data["config"]
    run = config["large"]
    looks: dict[str, float] = dict(zip(_LOOKS, config["scales"], strict=False))
    images = captions.DATASETS[run["data"]["dataset"]]
    sizes = [f"{name}: {_length(config[name])}" for name in ("small", "large")]
    return make_figure(
        f"LSTM of {run['model']['features']} units on the rows of {images}, with and without normalisers",
        [
            Block("", [[_error(data, group, looks) for group in ("small", "large")]], share=True),
            Block("", [[_gradients(data, when, looks) for when in ("first", "last")]], share=True),
            Block("", [[_dots(data, "Test accuracy at the end"), _dots(data, "Steps to 90 % test accuracy")]]),
        ],
        [f"preset {data['preset']}", captions.seeds(run), *sizes],
        [
            captions.images(run),
            *([f"{run['data']['subset']:,} of them"] if run["data"].get("subset") else []),
            captions.recipe(run, data["preset"])[-1].partition(", batches of")[0],  # their sizes stand above
        ],
        ["lines: medians, bands: range over seeds", "running statistics in tests"],
        captions.origin(data),
        marks=[mark(f"initial scale {scale:g}", "", look) for look, scale in looks.items()],
    )


def _length(run: dict[str, Any]) -> str:
    return f"{run['schedule']['num_steps']:,} steps of {run['optimizer']['batch_size']} images"


def _of_scale(arms: Arms, scale: float, *nets: str) -> Arms:
    """Return the nets at a scale, together with the plain net, which has no scale."""
    return {net: arms[name] for net in nets for name in (net, setting(scale).arm(net)) if name in arms}


def _error(data: dict[str, Any], group: str, looks: dict[str, float]) -> Curves:
    """Show the test error over training."""
    nets = ("plain", *NORMS)
    lines = [Line(_ERROR, look, _of_scale(data[group], scale, *nets)) for look, scale in looks.items()]
    return Curves(
        _of_scale(data[group], next(iter(looks.values())), *nets),
        lines,
        title=f"Test error, mini-batches of {data['config'][group]['optimizer']['batch_size']}",
        ylabel="test error (%)",
        labelled=(2, 3, 5),
    )


def _gradients(data: dict[str, Any], when: str, looks: dict[str, float]) -> ByLayer:
    """Show the gradient with respect to the hidden state after each time step, at the first or last measurement."""
    place = 0 if when == "first" else -1

    def norms(run: Run) -> np.ndarray:
        found = array(recorded(run, "hidden_gradients").get("norm", []))
        return np.where(found[place] > 0, found[place], np.nan) if len(found) else np.array([])

    size = data["config"]["large"]["optimizer"]["batch_size"]
    return ByLayer(
        {
            look: (_of_scale(data["large"], scale, "plain", "layer_norm", "batch_norm"), norms)
            for look, scale in looks.items()
        },
        title=f"Gradient, {'at initialisation' if when == 'first' else 'at the end'}, mini-batches of {size}",
        xlabel="time step",
        ylabel="gradient by hidden states, l2 (nats / unit)",
    )


def _dots(data: dict[str, Any], title: str) -> Dots:
    columns = {
        f"batch {size}\nscale {scale:g}": {"plain": arms["plain"], **nets}
        for size, arms in by_batch(data).items()
        for scale, nets in arms["by_scale"].items()
    }
    is_accuracy = title.startswith("Test")
    return Dots(
        next(iter(columns.values())),
        columns,
        {"": ACCURACY.at_end() if is_accuracy else ACCURACY.steps_to(0.9, points=1)},
        title=title,
        ylabel="test accuracy" if is_accuracy else "steps",
        scale="share" if is_accuracy else "log",
    )

"""The figures of what lies ahead, one per learning rate: losses, gradients, smoothness, barriers and batch sharpness."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from experiments._evidence.run import Arms, settings
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, ByLayer, Curves, Line
from experiments._nets import describe
from experiments.long_horizon.quantities import by_steps, in_edges, steps_ahead

_XLABEL = "steps or learning rates ahead"


def plot(data: dict[str, Any]) -> Layout:
    """Show the first learning rate."""
    return next(iter(_figures(data).values()))(data)


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out the other learning rates."""
    return dict(list(_figures(data).items())[1:])


def _figures(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name a function for each learning rate."""
    return {f"rate_{name}": partial(_at_rate, setting=name) for name in settings(data["arms"])}


def _at_rate(data: dict[str, Any], setting: str) -> Layout:
    """Show what lies ahead at a learning rate."""
    config, arms = data["config"], settings(data["arms"])[setting]
    settings_ = config["probes"]["horizon"]
    losses = {"-": "path", "--": "frozen"}
    barriers = {"-": "recalibrated", "--": "mixed", ":": "start"}
    gradient: dict[str, Any] = {"ylabel": "cosine of the gradients", "scale": "linear", "line": 0}
    height: dict[str, Any] = {"ylabel": "height / loss at the start", "scale": "share"}
    panels = [
        [
            Accuracy(arms),
            _ahead(data, arms, losses, title="Loss ahead", ylabel="loss / loss at the start", line=1),
            _ahead(data, arms, {"-": "cosine"}, title="Gradient ahead", **gradient),
        ],
        [
            _ahead(data, arms, {"-": "largest", "--": "mean"}, title="From step to step", ylabel="|Δgradient| / |Δw|"),
            _ahead(data, arms, barriers, title="Loss barrier", **height),
            _sharpness(arms, float(setting)),
        ],
    ]
    return make_figure(
        f"{captions.network(config)}: {describe(setting)}",
        [Block("", panels)],
        [
            "loss: solid along the training, dashed along the frozen gradient",
            "step to step: solid largest, dashed mean",
        ],
        [
            "barrier: statistics at each point fresh (solid), running, interpolated (dashed), running, of the start (dotted)"
        ],
        captions.recipe(config, data["preset"], learning_rate=False),
        [
            f"measured every {config['schedule']['probe_every']} steps on the same {settings_['num_examples']:,} images",
            f"lines: medians over the training after step 0, then over {captions.seeds(config)}",
            f"bands: {captions.bands(config)}",
        ],
        captions.origin(data),
    )


def _ahead(data: dict[str, Any], arms: Arms, lines: Mapping[str, str], **look: Any) -> ByLayer:
    """Show quantities by how many steps they lie ahead."""
    shown = {style: (arms, partial(by_steps, name=name)) for style, name in lines.items()}
    return ByLayer(shown, steps_ahead(data), xlabel=_XLABEL, **look)


def _sharpness(arms: Arms, rate: float) -> Curves:
    """Show the batch sharpness over the training."""
    look: dict[str, Any] = {"title": "Batch sharpness", "ylabel": "in units of 2 / learning rate", "line": 1}
    return Curves(arms, [Line(in_edges(rate))], **look)

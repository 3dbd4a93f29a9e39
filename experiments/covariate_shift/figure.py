"""The figures of internal covariate shift: one per optimiser and learning rate, with a column per layer."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from experiments._evidence.format import capital
from experiments._evidence.quantities import SHIFT, TRAIN_LOSS, second_net, shift
from experiments._evidence.run import Arms, settings
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, Curves, Line, Panel
from experiments._figures.panels.panel import mark
from experiments._nets import describe
from experiments._presets import UNHALVED

_WHAT = (
    "G: a layer's gradient; G': after the layers before it have taken their step; |G - G'|: l2, loss per unit of weight"
)
_AXES: dict[str, dict[str, Any]] = {name: {"ylabel": words, "xlabel": ""} for name, words in SHIFT.items()}
_AXES["cosine"] = {"ylabel": "cosine", "scale": "linear", "ylim": (-1.08, 1.08), "line": 1}


def plot(data: dict[str, Any]) -> Layout:
    """Show the first setting: training, shift, relative shift and cosine, and the shift as Mameli's repository measures it."""
    return next(iter(_figures(data).values()))(data)


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out the other settings."""
    return dict(list(_figures(data).items())[1:])


def _figures(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name a function for each setting."""
    vgg = {name: partial(_vgg, setting=name) for name in settings(data["arms"])}
    linear = {name: (arms, describe(name)) for name, arms in settings(data.get("deep_linear", {})).items()}
    if data.get("unhalved"):
        linear["unhalved"] = (data["unhalved"], UNHALVED)
    return {
        **vgg,
        **{f"deep_linear_{name}": partial(_linear, arms=arms, words=words) for name, (arms, words) in linear.items()},
    }


def _vgg(data: dict[str, Any], setting: str) -> Layout:
    """Show a setting of the VGG."""
    config, arms = data["config"]["vgg"], settings(data["arms"])[setting]
    return make_figure(
        f"{captions.network(config)}: {describe(setting)}",
        [_block(config, arms, _of_vgg(arms))],
        [_WHAT],
        ["second net: as in Mameli's repository, G' is of a net that shares only the convolutions' weights"],
        captions.recipe(config, data["preset"], learning_rate=False)[:-1],
        [f"batches of {config['optimizer']['batch_size']}", *_measured(config)],
        captions.origin(data),
        marks=[mark("second net, no step taken", "", "--")],
    )


def _linear(data: dict[str, Any], arms: Arms, words: str) -> Layout:
    """Show a setting of the deep linear network."""
    config = data["config"]["deep_linear"]
    look: Any = {"title": "Training loss", "ylabel": "half the squared error, over all examples"}
    return make_figure(
        f"{capital(captions.network(config))}: {words}",
        [_block(config, arms, [Curves(arms, [Line(TRAIN_LOSS)], **look), None, None])],
        [_WHAT],
        [captions.deep_linear(config)],
        _measured(config),
        captions.origin(data),
    )


def _measured(config: dict[str, Any]) -> list[str]:
    return [
        f"measured every {config['schedule']['probe_every']} steps",
        f"lines: medians, bands: {captions.bands(config)}",
    ]


def _block(config: dict[str, Any], arms: Arms, first: Sequence[Panel | None]) -> Block:
    """Draw shift, relative shift and cosine in a column per layer, beside a first column."""
    rows = []
    for panel, name in zip(first, SHIFT, strict=True):
        layers = {layer: f"Layer {layer}" * (name == "difference") for layer in config["probes"]["shift"]["layers"][:2]}
        curves = [Curves(arms, [Line(shift(n, name))], title=title, **_AXES[name]) for n, title in layers.items()]
        rows.append([panel, *curves])
    return Block("", rows, height=2.1)


def _of_vgg(arms: Arms) -> list[Panel]:
    """Show accuracy, and Mameli's measure with and without a step."""
    difference, cosine = (
        [Line(second_net(name)), Line(second_net(name, "zero_step"), "--")] for name in ("difference", "cosine")
    )
    return [
        Accuracy(arms, xlabel=""),
        Curves(arms, difference, title="Against a second net", **_AXES["difference"]),
        Curves(arms, cosine, **_AXES["cosine"]),
    ]

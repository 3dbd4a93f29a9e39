"""The figure of internal covariate shift: a block per optimiser and learning rate, a column per layer."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments._evidence.format import capital
from experiments._evidence.quantities import TRAIN_LOSS
from experiments._evidence.run import Arms, settings
from experiments._figures import captions
from experiments._figures.figure import Block, make_figure
from experiments._figures.panels import Accuracy, Curves, Line, Panel
from experiments._figures.panels.panel import mark
from experiments._nets import describe
from experiments.covariate_shift.quantities import SHIFT, second_net, shift

_AXES: dict[str, dict[str, Any]] = {name: {"ylabel": words, "xlabel": ""} for name, words in SHIFT.items()}
_AXES["cosine"] = {"ylabel": "cosine", "scale": "linear", "ylim": (-1.08, 1.08), "line": 1}


def plot(data: dict[str, Any]) -> Figure:
    """Draw training, shift, relative shift and cosine of each net, and the shift as Mameli's repository measures it."""
    vgg, linear = data["config"]["vgg"], data["config"]["deep_linear"]
    measured = sorted({net["schedule"]["probe_every"] for net in (vgg, linear)})
    blocks = [_block(vgg, name, arms, _of_vgg(arms)) for name, arms in settings(data["arms"]).items()]
    for name, arms in settings(data["deep_linear"]).items():
        look: Any = {"title": "Training loss", "ylabel": "half the squared error, over all examples"}
        blocks.append(_block(linear, name, arms, [Curves(arms, [Line(TRAIN_LOSS)], **look), None, None]))
    return make_figure(
        "Internal covariate shift: a layer's gradient G, and G' when the layers before it have taken their step",
        blocks,
        ["second net: as in Mameli's repository, G' is of a net that shares only the convolutions' weights"],
        [
            *captions.recipe(vgg, data["preset"], learning_rate=False)[:-1],
            f"batches of {vgg['optimizer']['batch_size']}",
        ],
        [captions.deep_linear(linear)],
        ["|G - G'|: l2 norm over the layer's weights, in units of the loss (of the VGG nats) per unit of weight"],
        [
            f"measured every {' and '.join(map(str, measured))} steps",
            f"lines: medians, bands: {captions.bands(vgg)}",
        ],
        captions.origin(data),
        marks=[mark("second net, no step taken", "", "--")],
    )


def _block(config: dict[str, Any], setting: str, arms: Arms, first: Sequence[Panel | None]) -> Block:
    """Draw shift, relative shift and cosine in a column per layer, beside a first column."""
    rows = []
    for panel, name in zip(first, SHIFT, strict=True):
        layers = {layer: f"Layer {layer}" * (name == "difference") for layer in config["probes"]["shift"]["layers"][:2]}
        curves = [Curves(arms, [Line(shift(n, name))], title=title, **_AXES[name]) for n, title in layers.items()]
        rows.append([panel, *curves])
    return Block(f"{capital(captions.network(config))}: {describe(setting)}", rows, height=1.9)


def _of_vgg(arms: Arms) -> list[Panel]:
    """Show accuracy, and Mameli's measure with what is left of it without a step."""
    difference, cosine = (
        [Line(second_net(name)), Line(second_net(name, "zero_step"), "--")] for name in ("difference", "cosine")
    )
    return [
        Accuracy(arms, xlabel=""),
        Curves(arms, difference, title="Against a second net", **_AXES["difference"]),
        Curves(arms, cosine, **_AXES["cosine"]),
    ]

"""The figure of weights whose length does not matter: two copies of a net over their steps, and gradients layer by layer."""

from typing import Any

from experiments._evidence.format import plural
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer, Curves, Line
from experiments._figures.panels.panel import mark
from experiments.scale_invariance.quantities import (
    ALL,
    CONSTANT,
    COSINE,
    DIFFERENCE,
    EPSILON,
    GROWTH,
    LENGTHS,
    MOMENTUM,
    SCALING,
    by_layer,
)

_COPIES = ("with the L2 penalty", "learning rate grows instead")


def plot(data: dict[str, Any]) -> Layout:
    """Show the distance of the two copies, also in variants, the weights' lengths, and all layers' gradients."""
    config = data["config"]
    nets = {net: data["arms"].get(net, []) for net in ("plain", "batch_norm")}
    panels = [
        [
            Curves(nets, [Line(DIFFERENCE)], title="Are the two copies one net?", ylabel="distance of the weights"),
            _variants(data),
            Curves(
                nets,
                [Line(LENGTHS["length_penalty"]), Line(LENGTHS["length_instead"], "--")],
                title="Length of the weights, layer 1",
                ylabel="|w|",
            ),
        ],
        [
            _layers(nets, COSINE, "Is the gradient orthogonal?", "|cosine| of gradient and weights"),
            _layers(nets, SCALING, "Gradient of longer weights", "|3 g(3 w) - g(w)| / |g(w)|"),
            _layers(nets, GROWTH, "Growth of the weights", "|growth / sum of rate² |g|² - 1|"),
        ],
    ]
    return make_figure(
        f"{captions.network(config)}: two copies, in float64",
        [Block("", panels)],
        [
            f"preset {data['preset']}",
            plural(len(config["seeds"]), "draw"),
            "lines: medians, bands: smallest to largest",
        ],
        [
            f"SGD, learning rate {config['learning_rate']:g}, batches of {config['batch_size']}",
            f"L2 penalty {config['weight_decay']:g} on the weights that a normaliser can follow",
        ],
        captions.origin(data, "measurements"),
        marks=[mark(words, "", look) for words, look in zip(_COPIES, ("-", "--"), strict=True)],
    )


def _variants(data: dict[str, Any]) -> Curves:
    """Show the variants in which the copies with batch norm separate."""
    shown = {"epsilon 1e-5": (EPSILON, "-"), "rate kept": (CONSTANT, "--")}
    shown |= {"momentum": (MOMENTUM, ":"), "penalty on all": (ALL, "-.")}
    lines = [
        Line(DIFFERENCE, look, {"batch_norm": data["arms"].get(at.arm("batch_norm"), [])}, label=words)
        for words, (at, look) in shown.items()
    ]
    return Curves({"batch_norm": []}, lines, title="With BN, one thing changed", ylabel="distance of the weights")


def _layers(nets: dict[str, Any], words: str, title: str, ylabel: str) -> ByLayer:
    return ByLayer({"o-": (nets, by_layer(words))}, title=title, ylabel=ylabel)

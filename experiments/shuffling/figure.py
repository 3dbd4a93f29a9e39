"""The figure of shuffles with batch norm: optima by batch size, what they cost, and the path of SGD."""

import math
from typing import Any

from experiments._evidence.format import plural
from experiments._evidence.quantity import Quantity
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import ByLayer, Curves, Line
from experiments._figures.panels.panel import mark
from experiments.shuffling.quantities import AGAIN, FIXED, RISK_AGAIN, RISK_FIXED, batch_sizes, by_size

_DISTANCE = "distance from gradient descent"
_ONE, _NEW = "-", "--"  # looks of lines: of one shuffle, and of new ones


def plot(data: dict[str, Any]) -> Layout:
    """Show both nets side by side: what depends on the batch size, and SGD at the smallest."""
    config = data["config"]
    path = {
        look: Quantity("path", name, "distance from gradient descent", if_diverged=math.nan)
        for look, name in ((_ONE, "fixed"), (_NEW, "again"))
    }
    size = min(batch_sizes(data), default=0)
    normed = {"batch_norm": data["arms"]["batch_norm"]}
    panels = [
        [
            Curves(
                data["arms"],
                [Line(quantity, look) for look, quantity in path.items()],
                title=f"Where SGD goes, batch {size}",
                ylabel=_DISTANCE,
            ),
            _by_size(data, normed, {_ONE: FIXED, _NEW: AGAIN}, "Where the optima are", _DISTANCE),
            _by_size(
                data, normed, {_ONE: RISK_FIXED, _NEW: RISK_AGAIN}, "What they cost", "squared error, excess / least"
            ),
        ]
    ]
    return make_figure(
        "Linear regression on normalised inputs: one shuffle, or new ones",
        [Block("", panels)],
        [
            f"preset {data['preset']}",
            plural(len(config["seeds"]), "draw"),
            "lines: medians, bands: smallest to largest",
        ],
        [
            f"{config['num_examples']} examples of {config['num_features']} features, noise {config['noise']:g}",
            f"SGD, learning rate {config['learning_rate']:g}",
            f"fixed shuffles: medians over {config['num_shuffles']}",
            "distances: over the length of gradient descent's weights",
        ],
        captions.origin(data, "measurements"),
        marks=[mark("one fixed shuffle", "", _ONE), mark("a new shuffle each epoch", "", _NEW)],
    )


def _by_size(data: dict[str, Any], arms: dict[str, Any], lines: dict[str, str], title: str, ylabel: str) -> ByLayer:
    """Show quantities by batch size, with batch norm; without, there is one optimum, up to rounding."""
    drawn = {f"o{look}": (arms, by_size(words)) for look, words in lines.items()}
    return ByLayer(drawn, batch_sizes(data), xlabel="batch size (with BN)", title=title, ylabel=ylabel)

"""The figure of the quickstart: accuracy, and the landscape along the gradient."""

from typing import Any

from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import along_gradient
from experiments._figures.panels import Accuracy


def plot(data: dict[str, Any]) -> Layout:
    """Show accuracy, loss band, gradient predictiveness and effective smoothness over training."""
    arms, config = data["arms"], data["config"]
    loss, predictiveness, smoothness = along_gradient(arms, config)
    return make_figure(
        f"{captions.network(config)}: the landscape with and without batch norm",
        [Block("", [[Accuracy(arms), loss], [predictiveness, smoothness]], height=4.7)],
        captions.recipe(config, data["preset"]),
        [captions.images(config), captions.scans(config)],
        captions.origin(data, "training, scans and tests"),
    )

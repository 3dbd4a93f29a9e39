"""The figure of drift and accuracy over eight nets: a scatter plot."""

from typing import Any

from experiments._evidence.drift import deepest_drift
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Scatter


def plot(data: dict[str, Any]) -> Layout:
    """Show each net's accuracy against how far its distributions move, a mark per seed."""
    config, every = data["config"], data["config"]["schedule"]["probe_every"]
    panels = [
        Scatter(
            data["arms"],
            deepest_drift(data),
            accuracy,
            title=title,
            xlabel="drift between measurements, W1 / pooled std",
            ylabel="accuracy at the end",
            scale="percent",
        )
        for title, accuracy in (
            ("Training accuracy", TRAIN_ACCURACY.at_end(50)),
            ("Test accuracy, running statistics", TEST_ACCURACY.at_end()),
        )
    ]
    return make_figure(
        f"{captions.network(config)}: do steadier distributions go with higher accuracy?",
        [Block("", [panels])],
        captions.recipe(config, data["preset"]),
        [captions.images(config), captions.noise(config["noise"])],
        [f"drift: of the deepest layer that is followed, between measurements {every} steps apart", "a mark per seed"],
        captions.origin(data),
    )

"""The figure of accuracy while a VGG trains, at several learning rates."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import settings
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, Dots
from experiments.training_curves import NETS


def plot(data: dict[str, Any]) -> Layout:
    """Show a column per learning rate, and below how soon and how well each net has learnt."""
    rates, config = settings(data["arms"], NETS), data["config"]
    known = [net for net in NETS if all(net in arms for arms in rates.values())]
    nets = {net: [run for arms in rates.values() for run in arms[net]] for net in known}
    steps = {f"{level:.0%}".replace("%", " %"): TRAIN_ACCURACY.steps_to(level) for level in (0.5, 0.8)}
    tests = {"at the end": TEST_ACCURACY.at_end(), "best of all tests": TEST_ACCURACY.highest()}
    look: Any = {"xlabel": "learning rate"}
    lower = [
        Dots(nets, rates, steps, title="Steps to a training accuracy of", ylabel="steps", **look),
        Dots(nets, rates, tests, title="Test accuracy", ylabel="accuracy", scale="percent", **look),
    ]
    return make_figure(
        f"{captions.network(config)}: batch norm everywhere,{' once,' * ('batch_norm_4' in nets)} and nowhere",
        [
            Block("", [[Accuracy(arms, title=f"Learning rate {name}") for name, arms in rates.items()]], share=True),
            Block("", [lower]),
        ],
        captions.recipe(config, data["preset"], learning_rate=False),
        [
            captions.images(config),
            "medians over seeds, from the smallest to the largest",
            "steps: until the median of 5 points of the training curve is there",
        ],
        captions.origin(data, "training and tests"),
    )

"""The figure of batch norm before and after the activation: accuracies by activation, ReLU nets over training, dead units."""

from typing import Any

import numpy as np

from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.run import Arms, Run, array, layer_names, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Accuracy, ByLayer, Dots, Panel
from experiments.norm_order.table import PLACES, by_activation


def plot(data: dict[str, Any]) -> Layout:
    """Show test accuracies of the VGG and of the perceptron; of the VGG with ReLU, its training and its dead units."""
    config = data["config"]
    vgg, mlp = config["vgg"], config["mlp"]
    hidden = mlp["model"]["hidden"]
    first, second = by_activation(data["arms"]), by_activation(data["mlp"])
    return make_figure(
        f"Batch norm before and after the activation: {captions.network(vgg)}, and a perceptron",
        [
            Block("", [[_accuracies(first, "VGG"), _accuracies(second, "Perceptron")]]),
            Block("", [_of_one(*next(iter(first.items())))]),
        ],
        captions.recipe(vgg, data["preset"]),
        [
            captions.images(vgg),
            f"perceptron: {len(hidden)} x {hidden[0]} units on {captions.DATASETS[mlp['data']['dataset']]}, "
            f"{captions.seeds(mlp)}, batches of {mlp['optimizer']['batch_size']}, {mlp['schedule']['num_steps']:,} steps",
        ],
        [
            "accuracy: a dot per seed, bars at the median",
            "dead: zero on all test images looked at, where last measured",
        ],
        captions.origin(data),
    )


def _accuracies(nets: dict[str, Arms], title: str) -> Dots:
    """Show the test accuracy of each net at the end, a column per activation."""
    known = {place: [run for arms in nets.values() for run in arms.get(place, [])] for place in PLACES}
    return Dots(
        {place: runs for place, runs in known.items() if runs},
        nets,
        {"": TEST_ACCURACY.at_end()},
        title=f"{title}: test accuracy",
        ylabel="accuracy",
        scale="share",
        each=True,
    )


def _of_one(activation: str, arms: Arms) -> list[Panel]:
    """Show how the nets with one activation train, and which of their units are dead."""
    pair = {place: arms[place] for place in ("before", "after")}
    known = {place: arms[place] for place in PLACES if place in arms}
    return [
        Accuracy(pair, title=f"VGG, {activation}: accuracy"),
        ByLayer(
            {"o-": (known, dead_by_layer)},
            title=f"VGG, {activation}: dead units",
            ylabel="share of a layer's units",
            scale="share",
        ),
    ]


def dead_by_layer(run: Run) -> np.ndarray:
    """Return the share of each layer's units that are dead at the last measurement, (layers,)."""
    layers = recorded(run, "zero_units").get("layers", {})
    names = layer_names([run], "zero_units")
    return np.array([(array(layers[name]["dead"]) / array(layers[name]["units"]))[-1] for name in names])

"""The tables and the findings of batch norm before and after the activation."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.run import Arms, settings
from experiments._evidence.table import by_net, divergences, seeds, written
from experiments._nets import NETS
from experiments.norm_order import LABELS
from experiments.norm_order.claims import DEAD_AT_END, ZERO_AT_END

PLACES = ("before", "after", "before_fixed", "after_fixed")
_COLUMNS = {
    "train": TRAIN_ACCURACY.at_end(50),
    "test": TEST_ACCURACY.at_end(),
    "dead units": DEAD_AT_END,
    "zeros": ZERO_AT_END,
}


def by_activation(arms: Arms) -> dict[str, Arms]:
    """Sort the nets by activation, each by its label, then by the place of the normaliser."""
    return {LABELS[activation]: nets for activation, nets in settings(arms, PLACES).items()}


def summarise(data: dict[str, Any]) -> str:
    """Put accuracies and units that are zero into tables, a row for each net."""
    vgg, mlp = _named(data["arms"]), _named(data["mlp"])
    lines = [
        "\nVGG:",
        *by_net(vgg, _COLUMNS),
        "\nPerceptron:",
        *by_net(mlp, _COLUMNS),
        "Train: the last 50 batches; test: all test images. Dead: units whose activation is zero on all images looked at, and",
        f"zeros: of all activations; both where last measured. Medians over {seeds(data['config']['vgg'])} of the VGG, and",
        f"{seeds(data['config']['mlp'])} of the perceptron.",
    ]
    return "\n".join([*lines, *divergences(vgg), *divergences(mlp)])


def findings(data: dict[str, Any]) -> str:
    """Describe test accuracies with both orders, and dead units of ReLU nets."""
    found = " ".join([_accuracies("the VGG", data["arms"]), _accuracies("the perceptron", data["mlp"])])
    relu = by_activation(data["arms"]).get("ReLU")
    if relu:
        dead = {place: written(relu[place], DEAD_AT_END) for place in ("before", "after")}
        found += f" Of the VGG's ReLU units {dead['before']} are dead with batch norm before them, {dead['after']} after them."
    return " ".join([found, *divergences(_named(data["arms"])), *divergences(_named(data["mlp"]))])


def _accuracies(name: str, arms: Arms) -> str:
    """Write the test accuracies of a net by activation."""
    tests = {
        activation: [written(nets[place], TEST_ACCURACY.at_end()) for place in ("before", "after")]
        for activation, nets in by_activation(arms).items()
    }
    listed = "; ".join(f"{before} and {after} with {activation}" for activation, (before, after) in tests.items())
    return f"At the end {name} has a test accuracy, with batch norm before and after the activation, of {listed}."


def _named(arms: Arms) -> Arms:
    """Name the nets as rows of a table."""
    return {
        f"{activation}, {NETS[place].label}": nets[place]
        for activation, nets in by_activation(arms).items()
        for place in PLACES
        if place in nets
    }

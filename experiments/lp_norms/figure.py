"""The figure of lp norms: five normalisers in a VGG and in the deep linear network."""

from collections.abc import Callable
from typing import Any

from experiments._evidence.format import capital
from experiments._evidence.quantities import GRADIENT_CHANGE, LOSS_RANGE, SMOOTHNESS, TRAIN_LOSS
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms
from experiments._figures import captions, distributions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import ARROW, PREDICTIVENESS, SMOOTHER
from experiments._figures.panels import Accuracy, Curves, Dots, Line
from experiments._nets import NETS
from experiments.lp_norms.quantities import FINAL_LOSS, draws_of


def plot(data: dict[str, Any]) -> Layout:
    """Show accuracy and landscape of the VGGs."""
    arms, vgg = data["arms"], data["config"]["vgg"]
    row = [
        Accuracy(arms),
        _curves(arms, LOSS_RANGE, "Loss along the gradient", "largest - smallest loss (nats)"),
        _curves(arms, GRADIENT_CHANGE, PREDICTIVENESS, f"change, {captions.length(vgg)} (nats/unit)"),
    ]
    title = f"{captions.network(vgg)}: dividing by an lp norm of the batch"
    return make_figure(title, [Block("", [row])], *_foot(data), [ARROW, f"bands: {captions.bands(vgg)}"], _origin(data))


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out further figures."""
    return {"distributions": _distributions, "deep_linear": _deep_linear}


def _foot(data: dict[str, Any]) -> list[list[str]]:
    """Describe the VGGs."""
    vgg, centred = data["config"]["vgg"], [captions.LP_CENTRED] * data["config"]["center_first"]
    return [
        [*captions.recipe(vgg, data["preset"]), *centred],
        [captions.images(vgg), f"scans every {vgg['schedule']['probe_every']} steps"],
    ]


def _origin(data: dict[str, Any]) -> list[str]:
    return captions.origin(data, "both kinds of net: training, measurements and tests")


def _deep_linear(data: dict[str, Any]) -> Layout:
    """Show losses and landscape of the deep linear networks."""
    deep, linear = data["deep_linear"], data["config"]["deep_linear"]
    draws, title = {NETS[net].short: {net: runs} for net, runs in deep.items()}, "Final loss, each draw"
    every = linear["schedule"]["probe_every"]
    row = [
        _curves(deep, TRAIN_LOSS, "Loss", "loss, over all examples"),
        Dots(deep, draws, {"": FINAL_LOSS}, each=True, linked=True, title=title, ylabel="loss, last 100 steps"),
        _curves(deep, SMOOTHNESS, SMOOTHER, "change / distance (loss/unit²)"),
    ]
    return make_figure(
        f"{capital(captions.network(linear))}: dividing by an lp norm of the batch",
        [Block("", [row])],
        [captions.deep_linear(linear, draws_of(deep)), f"learning rate {linear['optimizer']['learning_rate']:g}"],
        [
            f"{linear['model']['width']} units each; scans every {every} steps, with lp norms every "
            f"{data['config'].get('lp_probe_every', every)}; loss summed over all examples; bars: medians"
        ],
        [ARROW, *_origin(data)],
    )


def _curves(arms: Arms, quantity: Quantity, title: str, ylabel: str) -> Curves:
    return Curves(arms, [Line(quantity)], title=title, ylabel=ylabel)


def _distributions(data: dict[str, Any]) -> Layout:
    """Show a unit of the deepest layer over training for every net."""
    arms, vgg, title = data["arms"], data["config"]["vgg"], "dividing by an lp norm of the batch"
    return distributions.of_deepest_layer(arms, vgg, title, *_foot(data), _origin(data))

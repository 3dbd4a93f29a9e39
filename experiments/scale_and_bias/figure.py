"""The figure of scale and bias: accuracies, the landscape, the scales of each layer, and scale and bias alone."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments._evidence.quantities import CHANCE
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Runs
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import ARROW, SMOOTHER
from experiments._figures.panels import ByLayer, Dots, Panel
from experiments.scale_and_bias import USUAL, initial
from experiments.scale_and_bias.quantities import LANDSCAPE, SMALL, TEST, by_layer
from experiments.scale_and_bias.table import alone, vggs

_SHORT = {
    "bias fixed at 0, scale trained": "bias fixed at 0",
    "without scale and bias": "no scale, no bias",
}
_GRADIENT = "the gradient is one by all parameters, trained or not"


def plot(data: dict[str, Any]) -> Layout:
    """Show test accuracies and the landscape of all VGGs, their scales by layer, and nets with scale and bias alone trained."""
    vgg, resnet = data["config"]["vgg"], data["config"]["resnet"]
    others = _columns(alone(data), "norms_only")
    scaled = {name: arms for name, arms in (_coloured(data) | others).items() if "plain" not in arms}
    rows: list[list[Panel | None]] = [
        [
            _rows(data, "Test accuracy", TEST, "accuracy at the end", scale="percent", line=CHANCE),
            _rows(
                data,
                "Range of the loss",
                LANDSCAPE["loss range"].median(first=1),
                "range of the loss along the gradient (nats)",
            ),
        ],
        [
            _of_layers(data, "Scales by layer", "scale", "median |scale|", scale="linear"),
            _of_layers(data, "Scales in units of sigma", "ratio", "median |scale| / sigma", scale="linear"),
        ],
        [
            _dots(others, "Scale and bias alone: test accuracy", TEST, "accuracy at the end", scale="percent"),
            _dots(scaled, "Scales close to 0", SMALL.at_end(), "units with |scale| < 0.01 at the end", scale="percent"),
        ],
    ]
    return make_figure(
        f"Scale and bias: {captions.network(vgg)}, and ResNets",
        [Block("", [row]) for row in rows],
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), captions.scans(vgg), _GRADIENT],
        [
            "range of the loss: median over the measurements after step 0",
            "sigma: of what is normalised, over a batch",
            "by layer: dotted before the first step, solid at the last measurement",
        ],
        [
            f"ResNets of width {resnet['model']['width']}: {resnet['schedule']['num_steps']:,} steps, learning rate "
            f"{resnet['optimizer']['learning_rate']:g}, momentum {resnet['optimizer']['momentum']:g}, batches of "
            f"{resnet['optimizer']['batch_size']}",
            "dots: medians over seeds; lines and bands: smallest to largest",
        ],
        captions.origin(data),
    )


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that draw further figures."""
    return {"landscape": _landscape}


def _landscape(data: dict[str, Any]) -> Layout:
    """Show the three measures of the landscape before the first step, and later."""
    vgg = data["config"]["vgg"]
    units = {
        "loss range": "range of the loss (nats)",
        "gradient change": "largest change of the gradient",
        "smoothness": "largest change per distance",
    }
    titles = {"loss range": "Range of the loss", "gradient change": "Change of the gradient", "smoothness": SMOOTHER}
    rows: list[list[Panel | None]] = [
        [
            _rows(data, f"{titles[name]}, step 0", quantity.median(0, 0), units[name]),
            _rows(data, f"{titles[name]}, later", quantity.median(first=1), units[name]),
        ]
        for name, quantity in LANDSCAPE.items()
    ]
    return make_figure(
        f"Scale and bias, the landscape along the gradient: {captions.network(vgg)}",
        [Block("", [row]) for row in rows],
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), captions.scans(vgg), _GRADIENT],
        [
            "medians over seeds, lines from smallest to largest",
            "later: median over the measurements after step 0",
            ARROW,
        ],
        captions.origin(data),
    )


def _usual(data: Mapping[str, Any]) -> Runs:
    return data["arms"][initial(USUAL).arm("batch_norm")]


def _columns(nets: Mapping[str, Runs], net: str) -> dict[str, Arms]:
    """Make a column per net, all in the colour of one net."""
    return {name: {net: runs} for name, runs in nets.items()}


def _coloured(data: Mapping[str, Any]) -> dict[str, Arms]:
    """Make a row per VGG, coloured by which parameters are trained."""
    arms = data["arms"]
    colours = {id(runs): name.rpartition("_x")[0] or name for name, runs in arms.items()}
    return {_SHORT.get(name, name): {colours[id(runs)]: runs} for name, runs in vggs(data).items()}


def _rows(data: Mapping[str, Any], title: str, measure: Measure, xlabel: str, **look: Any) -> Dots:
    """Show a measure of each VGG, one per row."""
    return _dots(_coloured(data), title, measure, xlabel, **look)


def _dots(rows: Mapping[str, Arms], title: str, measure: Measure, xlabel: str, **look: Any) -> Dots:
    nets = {net: [run for arms in rows.values() for run in arms.get(net, [])] for arms in rows.values() for net in arms}
    return Dots(nets, rows, {"": measure}, title=title, xlabel=xlabel, horizontal=True, **look)


def _of_layers(data: Mapping[str, Any], title: str, name: str, ylabel: str, **look: Any) -> ByLayer:
    """Show each layer's median over units, with everything trained and with only scale and bias trained."""
    nets = {"batch_norm": _usual(data), "norms_only": data["alone"]["norms_only"]}
    return ByLayer(
        {":": (nets, by_layer(name, 0)), "o-": (nets, by_layer(name, -1))},
        title=title,
        ylabel=ylabel,
        **look,
    )

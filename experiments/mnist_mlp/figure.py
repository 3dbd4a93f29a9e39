"""The figure of networks of sigmoids on MNIST: test error, the last pre-activations, and how steady those are."""

from functools import partial
from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Run, recorded
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Curves, Dots, Line, Percentiles, Published
from experiments._nets import NETS
from experiments.mnist_mlp import SETTINGS
from experiments.mnist_mlp.percentiles import levels, steadiness

_SOURCES = {"ioffe": "Ioffe & Szegedy 2015, Fig. 1a", "huber": "Huber 2020, notebook"}
# In per cent, read off the figure and printed in the notebook.
_STEPS = {"ioffe": (4e3, 5e3, 6e3, 7.5e3, 1e4, 1.5e4, 2e4, 3e4, 4e4), "huber": range(1000, 11_000, 1000)}
_ACCURACIES = {
    ("ioffe", "plain"): (73.2, 78.2, 83.2, 90.3, 92.6, 95.3, 96.3, 96.8, 97.2),
    ("ioffe", "batch_norm"): (95.3, 95.6, 96.0, 96.5, 96.6, 97.2, 97.5, 97.8, 98.0),
    ("huber", "plain"): (73.6, 79.6, 82.3, 84.0, 85.5, 86.1, 86.9, 87.4, 87.6, 87.8),
    ("huber", "huber"): (78.6, 84.1, 86.1, 87.8, 88.4, 89.6, 89.8, 90.2, 90.8, 91.3),
}
_ERROR = Quantity("test", lambda test: 100 - 100 * TEST_ACCURACY.values(test), "test error")
# Rows of the last panel: statistics of the median, for a unit in the first setting and the whole layer in the second.
_ROWS = {
    f"{whose} {name}": (group, name, part)
    for group, whose, part in (("ioffe", "a unit's", "of_units"), ("huber", "the layer's", "of_layer"))
    for name in ("range", "variation", "roughness")
}


def plot(data: dict[str, Any]) -> Layout:
    """Show test error, percentiles over training, and how steady their medians are, in both settings."""
    config = data["config"]["ioffe"]
    widths = "-".join(map(str, config["model"]["hidden"]))
    recipes = [
        [
            f"{SETTINGS[group]}: {captions.recipe(recipe, data['preset'])[-1]}",
            f"inputs '{recipe['data']['preprocessing']}'",
            f"weights N(0, {recipe['model']['kernel_scale']:g}²)",
        ]
        for group, recipe in data["config"].items()
    ]
    title, lines = "All units together, Huber", [_percentile(0, 1.3), _percentile(1, 2.2), _percentile(2, 1.3)]
    layer = Curves(data["huber"], lines, title=title, ylabel="pre-activations", scale="linear")
    return make_figure(
        f"MLP {widths} of {config['model']['activation']}s on {captions.DATASETS[config['data']['dataset']]}, "
        "with and without batch norm",
        [
            Block("", [[_error(data, group) for group in SETTINGS]]),
            Block("", [[_unit(data, net) for net in data["ioffe"]]], share=True),
            Block("", [[layer, _steadiness(data)]]),
        ],
        *recipes,
        ["percentiles 15, 50 and 85 of the last hidden layer's pre-activations, on the same test images throughout"],
        ["typical: the middle range of all medians", "without BN, batches and running averages are the same"],
        ["thin dark line, and the panel of all units together: normalised by running averages"],
        ["from step 500 on; variation: per 1,000 steps; roughness: std around the moving average over 1,000 steps"],
        [f"preset {data['preset']}", captions.seeds(config), *captions.origin(data)],
    )


def _error(data: dict[str, Any], group: str) -> Curves:
    """Show the test error, measured and published."""
    title, is_mnist = f"Test error, {SETTINGS[group]}", data["config"][group]["data"]["dataset"] == "mnist"
    points = {net: (_STEPS[at], [100 - x for x in row]) for (at, net), row in _ACCURACIES.items() if at == group}
    published = Published(_SOURCES[group], points) if is_mnist else None
    return Curves(
        data[group], [Line(_ERROR)], title=title, ylabel="test error (%)", published=published, labelled=(2, 3, 5)
    )


def _unit(data: dict[str, Any], net: str) -> Percentiles:
    """Show percentiles of one unit normalised in batches, and its median normalised by running averages."""

    def of(run: Run, way: str = "batch") -> Any:
        record = recorded(run, "percentiles")
        return record.get("step", []), levels(record, "unit", way)

    title, beside = f"A typical unit {NETS[net].label}", None if net == "plain" else partial(of, way="running")
    return Percentiles({net: data["ioffe"][net]}, of, beside, title=title, ylabel="pre-activation")


def _percentile(index: int, width: float) -> Line:
    return Line(Quantity("percentiles", lambda record: levels(record, "layer")[:, index], "percentile"), width=width)


def _steadiness(data: dict[str, Any]) -> Dots:

    def normalised(way: str) -> Any:
        return lambda row: steadiness(_ROWS[row][1], way, _ROWS[row][2])

    return Dots(
        data["huber"],
        {row: data[group] for row, (group, *_) in _ROWS.items()},
        {"in batches": normalised("batch"), "by running averages": normalised("running")},
        title="How the median moves",
        xlabel="in units of the pre-activation",
        horizontal=True,
        headings={"a unit's range": SETTINGS["ioffe"], "the layer's range": SETTINGS["huber"]},
    )

"""The table and the findings of networks of sigmoids on MNIST."""

from typing import Any

from experiments._evidence.format import Format
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.table import cell, divergences, grid, middle, seeds, written
from experiments._nets import NETS
from experiments.mnist_mlp import SETTINGS, WAYS
from experiments.mnist_mlp.percentiles import ACCURACY, SPREAD_RANGE, steadiness

_NAMES = ("range", "variation", "roughness", "spread")
_ROWS = {
    **{f"test accuracy, step {step:,}": ACCURACY.at(step) for step in (1000, 4000, 10_000)},
    "test accuracy at the end": ACCURACY.at_end(),
    "steps to 95 % test accuracy": ACCURACY.steps_to(0.95, points=1),
    **{f"a unit's {name}, {way}": steadiness(name, way) for way in WAYS for name in _NAMES},
    **{f"the layer's {name}, running": steadiness(name, "running", "of_layer") for name in _NAMES},
}


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table: a column per setting and net."""
    columns = [(group, net) for group in SETTINGS for net in data[group]]
    heads = [f"{group.title()}: {NETS[net].short}" for group, net in columns]
    rows = {
        name: [cell(middle(data[group][net], measure), measure.format) for group, net in columns]
        for name, measure in _ROWS.items()
    }
    return "\n".join(
        [
            "",
            *grid(heads, rows),
            f"Medians over {seeds(data['config']['ioffe'])}; >: not in as many steps. Below: percentiles 15, 50 and 85 of the",
            "last pre-activations from step 500 on, of each unit (median over units) or of the layer, normalised by running",
            "averages or in batches (the same without BN). Range: of the 50th; variation: the sum of its changes per 1,000",
            "steps; roughness: its std around its moving average over 1,000 steps; spread: half the distance of the others.",
            *(line for group in SETTINGS for line in divergences(data[group])),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe the accuracy in both settings, and how far the median of a unit moves."""
    num_steps, huber_steps = (data["config"][group]["schedule"]["num_steps"] for group in ("ioffe", "huber"))
    short = Format("z.2g")
    early = min(4000, num_steps // 2)
    tests = {
        net: f"{written(runs, TEST_ACCURACY.at(early))} and {written(runs, TEST_ACCURACY.at_end())}"
        for net, runs in data["ioffe"].items()
    }
    huber = {net: written(runs, TEST_ACCURACY.at_end()) for net, runs in data["huber"].items()}
    widths = {net: short.number(middle(runs, SPREAD_RANGE)) for net, runs in data["huber"].items()}

    def moves(net: str, way: str) -> str:
        return short.number(middle(data["ioffe"][net], steadiness("range", way)))

    found = (
        f"In the setting of Ioffe & Szegedy, the test accuracy after {early:,} and {num_steps:,} steps is "
        f"{tests['batch_norm']} with batch norm, and {tests['plain']} without; the median of a pre-activation in the last "
        f"hidden layer moves over a range of {moves('batch_norm', 'batch')} with batch norm when mini-batches normalise it, of "
        f"{moves('batch_norm', 'running')} when running averages do, which lag behind, and of {moves('plain', 'running')} "
        f"without batch norm. In Huber's setting, the test accuracy after {huber_steps:,} steps is "
        f"{huber['plain']} without batch norm, {huber['huber']} with his, whose variance is too small, and "
        f"{huber['batch_norm']} with the usual one, while the spread over all units changes by {widths['plain']}, "
        f"{widths['huber']} and {widths['batch_norm']}."
    )
    return " ".join([found, *(line for group in SETTINGS for line in divergences(data[group]))])

"""The figure of normalisers at several batch sizes: test and training accuracies of both nets."""

from typing import Any

from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Dots
from experiments.batch_size import NETS
from experiments.batch_size.table import GROUPS, by_batch, last_epoch


def plot(data: dict[str, Any]) -> Layout:
    """Show test and training accuracies of the VGG and the residual network by batch size."""
    config = data["config"]
    vgg, resnet = config["vgg"], config["resnet"]
    number, optimizer = vgg["data"]["subset"], vgg["optimizer"]
    rate = (
        f"learning rate {optimizer['learning_rate']:g} at batch {optimizer['batch_size']}, in proportion to the batch"
    )

    def tested(arms: Arms) -> dict[int, Measure]:
        return dict.fromkeys(by_batch(arms), TEST_ACCURACY.at_end())

    def trained(arms: Arms) -> dict[int, Measure]:
        return last_epoch(arms, config["epochs"])

    rows = [
        [_by_batch(data[group], of(data[group]), f"{net}: {words}") for group, net in GROUPS.items()]
        for words, of in (("test accuracy", tested), ("training accuracy, last epoch", trained))
    ]
    return make_figure(
        f"Normalisers at small and large batches: {captions.network(vgg)}, and {captions.network(resnet).split(',')[0]}",
        [Block("", rows)],
        [f"preset {data['preset']}", captions.seeds(vgg), f"{config['epochs']} epochs", f"{number or 'all'} images"],
        [f"{optimizer['name'].upper()} with momentum {optimizer['momentum']:g}", rate],
        [f"GN: groups of {config['group_size']} channels", "normalisers after convolutions alone", "without BN: none"],
        ["dots: medians, lines: range over seeds", *captions.origin(data, "training and tests")],
    )


def _by_batch(arms: Arms, measures: dict[int, Measure], title: str) -> Dots:
    """Show an accuracy of every net, a column per batch size."""
    sizes = by_batch(arms)
    nets = {net: [run for each in sizes.values() for run in each.get(net, [])] for net in NETS}
    return Dots(
        {net: runs for net, runs in nets.items() if runs},
        {str(size): each for size, each in sizes.items()},
        {"": lambda size: measures[int(size)]},
        title=title,
        xlabel="batch size",
        ylabel="accuracy",
        scale="percent",
        joined=True,
    )

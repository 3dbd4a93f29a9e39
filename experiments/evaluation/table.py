"""The tables and the findings of batch norm in evaluation."""

from typing import Any

from experiments._config.probes import CORRUPTIONS
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.table import by_measure, by_net, divergences, seeds, written
from experiments._evidence.verdict import decided
from experiments._nets import NETS
from experiments.evaluation import by_size
from experiments.evaluation.claims import CLAIMS
from experiments.evaluation.quantities import MEAN_GAIN, accuracy, changed, growth, not_finite


def summarise(data: dict[str, Any]) -> str:
    """Put accuracies by shift and by statistics, and the largest activations, into tables."""
    shifts = [
        "clean",
        *(name for name in CORRUPTIONS if name in data["config"]["vgg"]["probes"]["evaluation"]["shifts"]),
    ]
    rows = {
        f"{shift}, {mode}": accuracy(shift, mode).at_end()
        for shift in shifts
        for mode in ("running", "batch", "adapted")
    }
    modes = {mode: accuracy("clean", mode).at_end() for mode in ("running", "batch", "recalibrated")}
    ranges = {"growth": growth("clean").at_end(), "not finite": not_finite("clean").at_end()}
    named = _named(data)
    return "\n".join(
        [
            "",
            *by_measure({net: data["arms"][net] for net in ("plain", "batch_norm")}, rows),
            "Accuracy by the shift of the images and by the statistics; without BN, channels are restandardised to the "
            "moments of",
            f"training images. Medians over {seeds(data['config']['vgg'])}.",
            "",
            *by_net(named, {**modes, "test": TEST_ACCURACY.at_end(), **ranges}),
            "Test images: accuracy with running, the batch's own and recalibrated statistics; test: all test images, running",
            "statistics. Growth: largest |pre-activation| of test images as a multiple of that of training images.",
            *divergences(named),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe what adapted statistics gain, with batch norm and without, and how activations leave their range."""
    arms = data["arms"]
    net = arms["batch_norm"]
    found = (
        f"Adapted statistics change the accuracy on corrupted images by {written(net, MEAN_GAIN.at_end())} with batch norm, "
        f"and restandardised channels by {written(arms['plain'], MEAN_GAIN.at_end())} without, on average over the "
        f"corruptions. The rest of a batch changes an image's logits by up to {written(net, changed('batch').at_end())} with "
        f"the batch's own statistics, and by {written(net, changed('running').at_end())} with running ones. For classes that "
        f"the net was not trained on, the largest pre-activation is {decided(CLAIMS, data, 'evaluation_explodes')} as large "
        "as for training images; after training on few images it is up to "
        f"{decided(CLAIMS, data, 'evaluation_tiny_explodes')} as large for test images."
    )
    return " ".join([found, *divergences(_named(data))])


def _named(data: dict[str, Any]) -> dict[str, Any]:
    """Name every net by its normaliser and by what it was trained on."""
    config, nets = data["config"], {f"{NETS['plain'].label}": data["arms"]["plain"]}
    for size, of_size in by_size(data).items():
        nets |= {f"{NETS[net].label}, batch {size}": runs for net, runs in of_size.items()}
    nets["with BN, some classes"] = data["classes"]["batch_norm"]
    for name, runs in data["tiny"].items():
        nets[f"with BN, {config['tiny']['data']['subset']} images, batch {name.rpartition('_')[2]}"] = runs
    return nets | {f"{NETS[net].label}, sorted batches": runs for net, runs in data["labels"].items()}

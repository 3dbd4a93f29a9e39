"""The table and the findings of internal covariate shift: medians over training, then over seeds."""

from typing import Any

from experiments._evidence.format import PERCENT, TIMES, listing
from experiments._evidence.quantities import TEST_ACCURACY, TRAIN_LOSS
from experiments._evidence.run import settings
from experiments._evidence.table import by_measure, divergences, middle, seeds, written
from experiments._evidence.value import median, spread
from experiments._nets import describe
from experiments.covariate_shift.quantities import FLOOR, SHIFT, second_net, shift

_BOTH = "batch_norm", "plain"


def summarise(data: dict[str, Any]) -> str:
    """Put each setting into a table: a row per layer and quantity, a column per net, and the ratio of both."""
    second = {"|G - G'| against a second net": second_net(), "  without any step": second_net(which="zero_step")}
    lines = []
    for group, net, title, end, more in (
        ("arms", "vgg", "VGG", {"test accuracy": TEST_ACCURACY.at_end()}, second),
        ("deep_linear", "deep_linear", "Deep linear network", {"training loss at the end": TRAIN_LOSS.at_end()}, {}),
    ):
        layers = data["config"][net]["probes"]["shift"]["layers"]
        shifts = {f"layer {layer}, {words}": shift(layer, name) for layer in layers for name, words in SHIFT.items()}
        rows = end | {words: quantity.median() for words, quantity in (shifts | more).items()}
        for setting, arms in settings(data[group]).items():
            lines += ["", f"{title}, {describe(setting)}", *by_measure(arms, rows, _BOTH)]
    counts = f"{seeds(data['config']['vgg'])}, {seeds(data['config']['deep_linear'], 'draw')}"
    about = f"Medians over all measurements of a training, then over seeds ({counts})."
    return "\n".join([*lines, "", about, *divergences({**data["arms"], **data["deep_linear"]})])


def findings(data: dict[str, Any]) -> str:
    """Describe in each setting how many times as much shift there is with batch norm, and what the second net adds."""
    vgg, linear = (settings(data[group]) for group in ("arms", "deep_linear"))
    (layer, *_), (*_, last) = (data["config"][net]["probes"]["shift"]["layers"] for net in ("vgg", "deep_linear"))
    times, cosine = shift(layer).median().over(*_BOTH), shift(last, "cosine").median()
    ratios = [
        f"{TIMES.written(median(times.of({'arms': arms}).values()))} ({describe(at)})" for at, arms in vgg.items()
    ]
    low, _, high = spread(middle(runs, FLOOR) for arms in vgg.values() for runs in arms.values())
    cosines = [
        f"{written(arms['plain'], cosine)} and {written(arms['batch_norm'], cosine)} at {describe(at)}"
        for at, arms in linear.items()
    ]
    return (
        f"With batch norm, the covariate shift of layer {layer} in the VGG is {listing(ratios)} what it is without; "
        f"against a second net with its own classifier, {PERCENT.number(low)} to {PERCENT.written(high)} of it is there "
        f"before any layer has moved. In the deep linear network, the cosine of layer {last}'s gradients before and after "
        f"the step is {listing(cosines)}, without and with batch norm."
    )

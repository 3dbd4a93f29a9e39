"""The table and the findings of internal covariate shift: medians over training, then over seeds."""

import math
from collections.abc import Mapping
from typing import Any

from experiments._evidence.format import PERCENT, listing
from experiments._evidence.quantities import SHIFT, TEST_ACCURACY, TRAIN_LOSS, second_net, shift
from experiments._evidence.quantity import Measure, Quantity
from experiments._evidence.run import Arms, settings
from experiments._evidence.table import by_measure, divergences, seeds
from experiments._evidence.verdict import decided, judge
from experiments._nets import NETS, describe
from experiments._presets import UNHALVED
from experiments.covariate_shift.claims import CLAIMS

_BOTH = "batch_norm", "plain"


def summarise(data: dict[str, Any]) -> str:
    """Put each setting into a table: a row per layer and quantity, a column per net, and the ratio of both."""
    linear = {describe(setting): arms for setting, arms in settings(data.get("deep_linear", {})).items()}
    if data.get("unhalved"):
        linear[UNHALVED] = data["unhalved"]
    vgg = {describe(setting): arms for setting, arms in settings(data["arms"]).items()}
    second = {"|G - G'| against a second net": second_net(), "  without any step": second_net(which="zero_step")}
    lines = _tables(data, "vgg", "VGG", vgg, {"test accuracy": TEST_ACCURACY.at_end()}, second)
    lines += _tables(
        data, "deep_linear", "Deep linear network", linear, {"training loss at the end": TRAIN_LOSS.at_end()}, {}
    )
    draws = f", {seeds(data['config']['deep_linear'], 'draw')}" if linear else ""
    about = f"Medians over all measurements of a training, then over seeds ({seeds(data['config']['vgg'])}{draws})."
    others = {f"{NETS[net].label}, {UNHALVED}": runs for net, runs in data.get("unhalved", {}).items()}
    stops = divergences({**data["arms"], **data.get("deep_linear", {}), **others})
    return "\n".join([*lines, "", about, *stops])


def _tables(
    data: dict[str, Any],
    net: str,
    title: str,
    by_setting: Mapping[str, Arms],
    end: dict[str, Measure],
    more: dict[str, Quantity],
) -> list[str]:
    """Put the settings of a net into tables."""
    layers = data["config"][net]["probes"]["shift"]["layers"]
    shifts = {f"layer {layer}, {words}": shift(layer, name) for layer in layers for name, words in SHIFT.items()}
    rows = end | {words: quantity.median() for words, quantity in (shifts | more).items()}
    return [
        line
        for setting, arms in by_setting.items()
        for line in ["", f"{title}, {setting}", *by_measure(arms, rows, _BOTH)]
    ]


def findings(data: dict[str, Any]) -> str:
    """Describe the shift with batch norm relative to the plain net, from the claims, and what the second net adds."""
    said = {
        "with SGD at learning rate 0.1": ("shift_not_less",),
        "at 0.01, early in training": ("shift_slow_rate", "shift_slow_rate_start"),
        "with Adam at 0.001": ("shift_adam",),
    }
    ratios = {words: decided(CLAIMS, data, *names, unknown="") for words, names in said.items()}
    floor = next(judge(claim, data).median for claim in CLAIMS if claim.name == "shift_second_net_floor")
    cosines = {
        "a median of {} without batch norm at learning rate 1e-6": "shift_deep_linear_fast",
        "a mean of {} with batch norm at 1e-7": "shift_deep_linear",
    }
    turned = [
        words.format(cosine) for words, name in cosines.items() if (cosine := decided(CLAIMS, data, name, unknown=""))
    ]
    listed = (
        listing(f"{ratio} {words}" for words, ratio in ratios.items() if ratio) if any(ratios.values()) else "unknown"
    )
    sentences = [
        f"The covariate shift of layer 5 in the VGG with batch norm, as a multiple of the plain net's, is {listed}."
    ]
    if not math.isnan(floor):
        sentences.append(
            f"Measured against a second net with its own classifier, {PERCENT.written(floor)} of it exists before any layer "
            "has moved."
        )
    if turned:
        sentences.append(
            "In the deep linear network, the cosine between layer 17's gradients before and after the step has, over the steps "
            f"from 1,000 on, {listing(turned)}."
        )
    return " ".join(sentences)

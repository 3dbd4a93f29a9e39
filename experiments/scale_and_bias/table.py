"""The tables and the findings of scale and bias."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments._evidence.quantities import RECALIBRATED_ACCURACY, TRAIN_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Runs, all_runs
from experiments._evidence.table import by_net, divergences, seeds, written
from experiments._nets import NETS
from experiments.scale_and_bias import USUAL, depth, initial
from experiments.scale_and_bias.quantities import LANDSCAPE, RATIO, SCALE, SMALL, TEST, blocks_of, scales_of

_BY_ITSELF = ("plain", "no_affine", "fixed_bias")


def vggs(data: Mapping[str, Any]) -> dict[str, Runs]:
    """Return the runs of all VGGs by their names in tables and figures, those with everything trained first."""
    arms = data["arms"]
    named = {f"initial scale {scale:g}": initial(scale).arm("batch_norm") for scale in scales_of(data)}
    named |= {
        f"scale fixed at {scale:g}": initial(scale).arm("fixed_scale") for scale in scales_of(data, "fixed_scales")
    }
    named |= {NETS[net].label: net for net in reversed(_BY_ITSELF)}
    return {name: arms[arm] for name, arm in named.items() if arm in arms}


def alone(data: Mapping[str, Any]) -> dict[str, Runs]:
    """Return the runs of all nets with only scale and bias trained, by their names in tables and figures."""
    resnets = {depth(blocks).words: data["resnet"][depth(blocks).arm("norms_only")] for blocks in blocks_of(data)}
    return {"VGG": data["alone"]["norms_only"], **resnets}


def summarise(data: dict[str, Any]) -> str:
    """Write a row for each net: accuracies and scales, then the landscape."""
    nets, others = vggs(data), {f"{name}, these alone": runs for name, runs in alone(data).items()}
    normalised = {name: runs for name, runs in nets.items() if name != NETS["plain"].label}
    accuracies: dict[str, Measure] = {"train": TRAIN_ACCURACY.at_end(50), "test": TEST}
    if any("recalibrated_accuracy" in run.get("test", {}) for run in all_runs(nets)):
        accuracies["recalibrated"] = RECALIBRATED_ACCURACY.at_end()
    sizes = {
        "|scale|": SCALE.at_end(),
        "|scale| / sigma at 0": RATIO.median(0, 0),
        "at the end": RATIO.at_end(),
        "|scale| < 0.01": SMALL.at_end(),
    }
    scans = {f"{name}{when}": measure for name, measure, when in _scans()}
    return "\n".join(
        [
            "",
            *by_net({**nets, **others}, accuracies),
            "These alone: scales and biases of the normalisers are trained, all other weights stay as they were drawn.",
            "Train: mean of the last 50 batches. Recalibrated: tested with statistics of training examples.",
            "",
            *by_net({**normalised, **others}, sizes),
            "Sigma: standard deviation of what is normalised, over a batch. Medians over units, then over layers; the share is",
            "one of all units. At 0: before the first step; the others are of the last measurement.",
            "",
            *by_net(nets, scans),
            "Along the gradient: largest - smallest loss, largest change of the gradient, and the same per distance; before",
            f"the first step (0), and the median over the later ones. All: medians over {seeds(data['config']['vgg'])}.",
            *divergences({**nets, **others}),
        ]
    )


def findings(data: dict[str, Any]) -> str:
    """Describe how the accuracy depends on the initial scale, and on training scale and bias."""
    nets, others = vggs(data), alone(data)
    usual = f"initial scale {USUAL:g}"
    tests = {name: f"{written(runs, TEST)} ({name})" for name, runs in nets.items()}
    starting = [said for name, said in tests.items() if name.startswith("initial")]
    fixed = [said for name, said in tests.items() if not name.startswith("initial")]
    shares = {name: written(runs, SMALL.at_end()) for name, runs in {usual: nets[usual], "VGG": others["VGG"]}.items()}
    by_depth = _listed([f"{written(runs, TEST)} ({name})" for name, runs in others.items()])
    return (
        f"With scale and bias trained, the test accuracies are {_listed(starting)}; with one of them or both fixed, or without "
        f"batch norm, {_listed(fixed)}. With scale and bias alone trained, they are {by_depth}. At the last measurement "
        f"{shares['VGG']} of the VGG's scales are below 0.01 where scale and bias alone are trained, and {shares[usual]} where "
        "everything is."
    )


def _scans() -> list[tuple[str, Measure, str]]:
    """List the measures of the landscape, before the first step and after it."""
    return [
        (name, measure, when)
        for name, quantity in LANDSCAPE.items()
        for measure, when in ((quantity.median(0, 0), " at 0"), (quantity.median(first=1), ""))
    ]


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts)

"""The figures of the loss landscape: a VGG along its gradient, published and measured, and other landscapes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from experiments._evidence import quantities as q
from experiments._evidence.curve import over_seeds
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import ARROW, along_gradient
from experiments._figures.panels import BySize, Panel, Window, Windows
from experiments.landscape import published
from experiments.landscape.further_figures import along_random, at_rates, deep_linear, successive, unhalved

_THEIRS = "a VGG of 13 or more layers, batch 128, one run"
_READ_OFF = [
    "published curves: medians of windows of steps, read off",
    "the published loss seems to contain an L2 penalty",
]
_EDGES = (
    (published.LOSS, (q.LOWEST_LOSS, q.HIGHEST_LOSS)),
    (published.CHANGE, (q.LEAST_CHANGE, q.GRADIENT_CHANGE)),
    (published.SMOOTHNESS, (q.SMOOTHNESS,)),
)


def plot(data: dict[str, Any]) -> Layout:
    """Show loss, change of the gradient and effective smoothness along minus the gradient, published ones above."""
    theirs, ours = _panels(data)
    title, whose = "The loss landscape along the gradient", _here(data)
    foot = _foot(data, has_source=bool(theirs))
    blocks = [Block(f"Here: {whose}", [ours], height=2.9)]
    if not theirs:
        return make_figure(title, blocks, *foot)
    pairs = [
        [
            replace(panel, title=f"{panel.title}, {where}")
            for panel, where in zip(pair, ("published", "here"), strict=True)
        ]
        for pair in zip(theirs, ours, strict=True)
    ]
    sources = [[f"published: {_THEIRS}"], [f"here: {whose}"]]
    return make_figure(
        title,
        [Block(f"Published, medians read off: {_THEIRS}", [theirs], height=2.9), *blocks],
        *foot,
        # On a narrow screen, each published panel stands directly above the measured one.
        narrow=make_figure(title, [Block("", pairs)], *sources, *foot),
    )


def more(data: dict[str, Any]) -> Mapping[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out further figures."""
    return {
        "step_sizes": _by_size,
        "random_direction": along_random,
        "successive_batches": successive,
        **({"rates": at_rates} if data.get("multirun") else {}),
        "deep_linear": deep_linear,
        **({"unhalved": unhalved} if data.get("unhalved") else {}),
    }


def _panels(data: dict[str, Any]) -> tuple[list[Panel], list[Panel]]:
    """Return the published panels (none if the setting differs too much) and those of the data, on the same axes."""
    config, arms = data["config"]["vgg"], data["arms"]
    ours: list[Panel] = [*along_gradient(arms, config)]
    is_like = config["optimizer"]["name"] == "sgd" and config["optimizer"]["learning_rate"] == published.LEARNING_RATE
    if not is_like or config["data"]["dataset"] != "cifar10":
        return [], ours
    theirs: list[Panel] = []
    until = max((step for runs in arms.values() for step in over_seeds(runs, q.HIGHEST_LOSS).step.tolist()), default=1)
    for i, (windows, edges) in enumerate(_EDGES):
        limits = _limits(arms, edges, windows, until)
        ours[i] = replace(ours[i], ylim=limits)
        theirs.append(Windows(windows, until, title=ours[i].title, ylabel=ours[i].ylabel, ylim=limits))
    return theirs, ours


def _limits(
    arms: Arms, edges: Sequence[Quantity], windows: Mapping[str, Sequence[Window]], until: int
) -> tuple[float, float] | None:
    """Choose limits of a logarithmic axis around measured and published values."""
    measured = [over_seeds(runs, edge) for runs in arms.values() for edge in edges]
    # Bands show only the medians of their edges; a single quantity also shows the range over seeds.
    curves = [values for each in measured for values in (each[1:] if len(edges) == 1 else [each.middle])]
    ends = [end for net in windows.values() for window in net if window.first < until for end in window[2:]]
    values = np.concatenate([*curves, ends])
    values = values[np.isfinite(values) & (values > 0)]
    return (0.9 * float(values.min()), 1.1 * float(values.max())) if values.size else None


def _here(data: dict[str, Any]) -> str:
    config = data["config"]["vgg"]
    rate, batch = config["optimizer"]["learning_rate"], config["optimizer"]["batch_size"]
    return f"{captions.network(config)}, batch {batch}, learning rate {rate:g}, {captions.seeds(config)}"


def _foot(data: dict[str, Any], *, has_source: bool) -> list[list[str]]:
    vgg = data["config"]["vgg"]
    sizes = captions.scans(vgg).partition(", ")[2].partition(", on")[0]
    return [
        [f"shaded: range over {sizes}{', medians over seeds' * (len(vgg['seeds']) > 1)}", ARROW],
        *[_READ_OFF] * has_source,
        captions.origin(data, "training, scans and tests"),
    ]


def _by_size(data: dict[str, Any]) -> Layout:
    """Show the change of the gradient against the step size, and what may set the level of the effective smoothness."""
    config, short = data["config"]["vgg"], data["config"]["short_multiples"]
    rate, multiples = config["optimizer"]["learning_rate"], config["probes"]["landscape"]["step_multiples"]
    levels = {
        "2 / learning rate": q.edge_of_stability(config),
        "1 / smallest step": 1 / (rate * min(multiples)),
        **({"1 / smallest step of dotted scans": 1 / (rate * min(short))} if short else {}),
    }
    smoothness = along_gradient(data["arms"], config, data.get("short", {}), levels)[2]
    has_source, _ = _panels(data)
    by_size = partial(
        BySize, sizes=[rate * multiple for multiple in multiples], ylabel="change of the gradient, l2 (nats/unit)"
    )
    panels = [
        by_size(net, runs, title=title, published=published.by_size(net) if has_source else None)
        for (net, runs), title in zip(data["arms"].items(), ("Without BN", "With BN"), strict=True)
    ]
    return make_figure(
        "Change of the gradient against the step size, over training",
        [Block("", [panels], share=True), Block("", [[smoothness]], height=4.2)],
        [captions.network(config), *captions.recipe(config, data["preset"])],
        ["lines: medians over seeds, published: median over the whole training", ARROW],
        captions.origin(data, "training, scans and tests"),
    )

"""The figures of Mameli's net: his four plots beside the definitions they are named after, and how the two differ."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._evidence import quantities as q
from experiments._evidence.curve import rolling_mean
from experiments._evidence.quantity import Quantity
from experiments._evidence.run import Arms
from experiments._evidence.verdict import MIN_VALUES
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import along_gradient
from experiments._figures.panels import Accuracy, Curves, Line, Panel, Published
from experiments._figures.panels.panel import mark
from experiments.mameli import LAYER, published
from experiments.mameli.quantities import SHIFT, successive

DEPTH = "the VGG of Santurkar et al. 2018 has at least 13 weight layers, this one, a VGG-A as in the source, has 11"
_GRADIENTS = f"G, g: of layer {LAYER}'s weights; G': after layers before it took their step; g': of the batch before"


def plot(data: dict[str, Any]) -> Layout:
    """Show the plots of Mameli's notebooks on the left, and the definitions they are named after on the right."""
    arms, config = data["arms"], data["config"]
    loss, change, _ = along_gradient(arms, config)
    unit = "l2 (nats / unit)"
    rows: list[list[Panel | None]] = [
        [
            Accuracy(arms, published=_shown(data, published.accuracies(arms))),
            Curves(
                arms,
                [Line(q.TEST_LOSS, "o-"), Line(q.TRAIN_LOSS, ":", smooth=_smooth)],
                title="Loss",
                ylabel="nats; dotted: training",
                scale="linear",
                line=float(np.log(10)),
            ),
        ],
        [
            Curves(
                arms,
                [Line(q.second_net()), Line(q.second_net(which="zero_step"), "--")],
                title="Mameli's shift: from a second net",
                ylabel=f"|G - G'|, {unit}",
                published=_of(data, published.SECOND_NET),
            ),
            Curves(arms, [Line(SHIFT)], title="Shift by Definition 2.1", ylabel=f"|G - G'|, {unit}"),
        ],
        [
            Curves(
                arms,
                [Line(successive("step_sum"))],
                title="Mameli's predictiveness (↑)",
                ylabel=f"|g + g'|, {unit}",
                published=_of(data, published.SUM),
            ),
            change,
        ],
        [
            Curves(
                arms,
                [Line(q.LOSS_AND_CHANGE, smooth=_smooth), Line(q.TRAIN_LOSS, ":", smooth=_smooth)],
                title="Mameli's landscape: loss + its change",
                ylabel="nats; dotted: the loss alone",
                scale="linear",
                published=_of(data, published.LOSS_AND_CHANGE),
            ),
            loss,
        ],
    ]
    return make_figure(
        f"Mameli's net, one batch norm and none: {captions.network(config)}",
        [Block("", [row]) for row in rows],
        *_foot(data, "↑: Mameli's repository calls larger better", "↓: smaller is more predictable"),
        marks=[mark("second net, no step taken", "", "--")],
    )


def more(data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Name the functions that lay out further figures."""
    return {"details": _details}


def _details(data: dict[str, Any]) -> Layout:
    """Show directions, and quantities relative to the gradients' lengths and to the loss."""
    arms, config = data["arms"], data["config"]
    cosine: dict[str, Any] = {"scale": "linear", "ylim": (-1.08, 1.08), "line": 0}
    per_distance = "change / distance (nats/unit²)"
    rows: list[list[Panel | None]] = [
        [
            _turn(arms, [q.second_net("cosine"), q.second_net("cosine", "zero_step")], "Against a second net", cosine),
            _turn(arms, [q.shift(LAYER, "cosine")], "By the preceding step", cosine),
            Curves(
                arms, [Line(q.shift(LAYER, "relative_difference"))], title="Relative shift", ylabel="|G - G'| / |G|"
            ),
        ],
        [
            Curves(
                arms,
                [Line(successive("norm")), Line(successive("step_distance"), "--", has_band=False)],
                title="Length and difference",
                ylabel="|g|; dashed: |g - g'|",
            ),
            _turn(arms, [successive("step_cosine")], "From batch to batch", cosine | {"ylabel": "cosine of g and g'"}),
        ],
        [
            Curves(
                arms,
                [Line(q.LOSS_RANGE), Line(q.along_random(q.LOSS_RANGE), "--", has_band=False)],
                title="Range of the loss",
                ylabel="largest - smallest (nats)",
            ),
            Curves(
                arms,
                [Line(q.SMOOTHNESS), Line(q.along_random(q.SMOOTHNESS), "--", has_band=False)],
                title="Effective smoothness (↓)",
                ylabel=per_distance,
            ),
        ],
    ]
    return make_figure(
        f"Mameli's net, directions and relative sizes: {captions.network(config)}",
        [Block("", [row], height=3.2) for row in rows],
        [
            "dashed, without bands: in the top row before any step, in the bottom row along a random direction of equal length"
        ],
        *_foot(data, "↓: smaller is smoother"),
    )


def few_seeds(data: dict[str, Any]) -> str:
    """Write that results are not judged, if there are too few seeds to decide a claim."""
    number = len(data["config"]["seeds"])
    return f"{'one seed' if number == 1 else f'{number} seeds'}, not judged" if number < MIN_VALUES else ""


def _foot(data: dict[str, Any], *arrows: str) -> list[list[str]]:
    config = data["config"]
    is_reduced = config["model"]["head"] == "mameli_reduced"
    head = "the head's first dense layer, which reads one vector 49 times over, is trained as the equal single one"
    return [
        [_GRADIENTS, *arrows],
        captions.recipe(config, data["preset"]),
        [captions.images(config), captions.scans(config)],
        [DEPTH],
        *([[head]] if is_reduced else []),
        [
            few_seeds(data) or f"lines: medians over {captions.seeds(config)}, bands: {captions.bands(config)}",
            f"measured every {config['schedule']['probe_every']} steps",
        ],
        captions.origin(data),
    ]


def _turn(arms: Arms, quantities: list[Quantity], title: str, look: dict[str, Any]) -> Curves:
    lines = [
        Line(quantity, style, has_band=style == "-") for quantity, style in zip(quantities, ("-", "--"), strict=False)
    ]
    look = {"ylabel": "cosine of G and G'"} | look
    return Curves(arms, lines, title=title, **look)


def _of(data: dict[str, Any], points: published.Points) -> Published | None:
    return _shown(data, published.up_to_end(points, data["arms"]))


def _shown(data: dict[str, Any], points: Published) -> Published | None:
    """Return published points if the images are CIFAR-10, on which they were measured, else None."""
    return points if data["config"]["data"]["dataset"] == "cifar10" else None


def _smooth(values: np.ndarray) -> np.ndarray:
    """Smooth a curve over windows of a sixtieth of its length, without the first point, which may have no change."""
    return np.concatenate([[np.nan], rolling_mean(values[1:], max(1, len(values) // 60))])

"""The figure of learning rates and initial weights: tests and losses, the line search, and Adam where it was trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnjax.draw import style
from experiments._evidence.curve import Curve
from experiments._evidence.quantities import CHANCE, TEST_ACCURACY
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, all_runs
from experiments._evidence.value import spread
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Dots, Panel
from experiments._figures.panels.curves import draw_curve
from experiments._figures.panels.panel import Scale, mark
from experiments._nets import NETS as NAMES
from experiments.sensitivity.quantities import EXPLODED, TRAINED, relative_losses
from experiments.sensitivity.table import LOSS, NETS, by_rate, by_start

_LOOKS = ("-", "--", ":")  # of mini-batches 1, 4 and 7
_TOP, _FOOT = 1e4, 0.3  # limits of the axis of relative losses
_HIGHEST = 1e9  # largest value drawn, beyond the axis


@dataclass(frozen=True)
class LineSearch(Panel):
    """L(w - eta g) / L(w) along minus the gradient, a line for each minibatch: median over seeds, smallest to largest."""

    arms: Arms
    xlabel: str = field(default="step size along the gradient", kw_only=True)
    scale: Scale = field(default="log", kw_only=True)

    @property
    def marks(self) -> list[Line2D]:
        """A line for each minibatch."""
        looks = zip((1, 4, 7), _LOOKS, strict=True)
        return [*super().marks, *(mark(f"mini-batch {number}", "", look) for number, look in looks)]

    def draw_data(self, axes: Axes) -> None:
        """Draw the medians; values beyond the axis leave it at the top."""
        for net, runs in self.arms.items():
            known = [found for found in map(relative_losses, runs) if found[0].size]
            if not known:
                continue
            for minibatch, look in enumerate(_LOOKS):
                rows = np.array([ratios[minibatch] for _, ratios in known if len(ratios) > minibatch])
                if not rows.size:
                    continue
                levels = np.transpose([spread(column) for column in np.minimum(rows, _HIGHEST).T])
                draw_curve(axes, Curve(known[0][0], *levels), NAMES[net].colour, look)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(style.number)


def plot(data: dict[str, Any]) -> Layout:
    """Show tests and losses by learning rate, tests by initial weights, the line search, and tests by Adam's learning rate."""
    config = data["config"]
    vgg, adam = config["vgg"], by_rate(data.get("adam", {}))
    rates = _named(by_rate(data["arms"]))
    number = vgg["schedule"]["num_steps"]
    steps, start_steps = f"{number:,} steps", f"{config['start_steps']:,} steps"
    levels = {"guessing, ln 10": math.log(10)} | ({"counts as trained": TRAINED[number]} if number in TRAINED else {})
    rows: list[list[Panel | None]] = [
        [
            _by_rate(
                rates, TEST_ACCURACY.at_end(), title=f"SGD, {steps}: test accuracy", ylabel="accuracy", scale="percent"
            ),
            _by_rate(
                rates,
                LOSS,
                title=f"SGD, {steps}: training loss",
                ylabel="cross-entropy (nats)",
                scale="linear",
                ylim=(0, 3),
                levels=levels,
            ),
        ],
        [
            _tests(by_start(data["starts"]), f"Initial weights, {start_steps}: test accuracy", horizontal=True),
            LineSearch(
                data["line"],
                title="Loss after a step, relative to before",
                ylabel="L(w - \N{GREEK SMALL LETTER ETA}g) / L(w)",
                ylim=(_FOOT, _TOP),
                levels={"exploded, by definition": EXPLODED},
                line=1.0,
            ),
        ],
    ]
    if adam:
        named = {f"{rate:g}": nets for rate, nets in adam.items()}
        title = f"Adam, {config['adam']['schedule']['num_steps']:,} steps: test accuracy"
        rows.append([_tests(named, title, xlabel="learning rate")])
    return make_figure(
        f"Learning rates and initial weights: {captions.network(vgg)}",
        [Block("", [row]) for row in rows],
        captions.recipe(vgg, data["preset"], learning_rate=False),
        [
            captions.images(vgg),
            f"initial weights and line search: learning rate {vgg['optimizer']['learning_rate']:g}",
            "learning rates: from He weights",
        ],
        ["medians over seeds, lines and bands from smallest to largest", "training loss: the last 50 batches"],
        captions.origin(data),
    )


def _named(rates: Mapping[float, Arms]) -> dict[str, Arms]:
    """Name learning rates, to one digit."""
    return {f"{rate:.1g}": nets for rate, nets in rates.items()}


def _by_rate(columns: Mapping[str, Arms], measure: Measure, **look: Any) -> Dots:
    """Show a number of each net, a column per learning rate."""
    return Dots(_nets(columns), columns, {"": measure}, xlabel="learning rate", joined=True, **look)


def _tests(columns: Mapping[str, Arms], title: str, xlabel: str = "accuracy", *, horizontal: bool = False) -> Dots:
    """Show the test accuracy of each net at the end, a column or a row per setting."""
    return Dots(
        _nets(columns),
        columns,
        {"": TEST_ACCURACY.at_end()},
        title=title,
        xlabel=xlabel,
        ylabel="" if horizontal else "accuracy",
        scale="percent",
        horizontal=horizontal,
        line=CHANCE if horizontal else None,
    )


def _nets(columns: Mapping[str, Arms]) -> Arms:
    """List the runs of each net over all columns."""
    found = {net: all_runs({name: nets.get(net, []) for name, nets in columns.items()}) for net in NETS}
    return {net: runs for net, runs in found.items() if runs}

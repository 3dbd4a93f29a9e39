"""The figure of accuracy while a VGG trains, at several learning rates."""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from experiments._figures import captions, style
from experiments._figures.accuracy import draw_accuracy, explain, limit_accuracy, mark_guessing, smoothing
from experiments._figures.style import COLOURS, FAINT, INK
from experiments._numbers.accuracy import MEASURES, over_runs
from experiments.training_curves import NETS, by_rate


def training_figure(data: dict[str, Any]) -> Figure:
    """Draw a column per learning rate, and below how soon and how well each net has learnt."""
    rates, num_batches = by_rate(data), smoothing(data["config"]["num_steps"])
    with style.style():
        figure = Figure(figsize=(13, 11))
        parts: Any = figure.subfigures(2, 1, height_ratios=(1, 0.85))
        upper, lower = parts
        columns = upper.subplots(1, len(rates), squeeze=False)[0]
        for panel, (rate, nets) in zip(columns, rates.items(), strict=True):
            draw_accuracy(panel, nets, num_batches, f"Learning rate {rate:g}")
        top = max(panel.get_ylim()[1] for panel in columns)
        for panel in columns:
            panel.set_ylim(0, top)
            panel.label_outer()
        speed, test = lower.subplots(1, 2)
        _draw_speed(speed, data)
        _draw_test(test, data)
        handles = explain({net: [run for nets in rates.values() for run in nets[net]] for net in NETS}, num_batches)
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=3,
            fontsize=14,
            title=f"{captions.network(data['config'])}: batch norm everywhere, once, and nowhere",
            title_fontsize=17,
        )
        style.write_foot(figure, *_caption(data))
    return figure


def _draw_speed(panel: Axes, data: dict[str, Any]) -> None:
    """Mark after how many steps a net has reached two levels of accuracy."""
    num_steps = data["config"]["num_steps"]
    never = 1.5 * num_steps
    _draw_marks(panel, data, ("steps to 50 %", "steps to 80 %"), lambda value: min(value, never))
    panel.set_yscale("log")
    low = min(panel.get_ylim()[0], num_steps / 6)
    panel.set_ylim(low, 1.9 * num_steps)
    panel.axhspan(1.18 * num_steps, 1.9 * num_steps, color="#f2f2f2", zorder=0, linewidth=0)
    ticks = [x for x in (factor * 10**power for power in range(7) for factor in (1, 2, 5)) if low < x <= num_steps]
    panel.set_yticks([*ticks, never], [*(f"{tick:,}" for tick in ticks), "later\nor never"])
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set(title="Steps to a training accuracy of", ylabel="training steps")
    _explain_marks(panel, "50 %", "80 %")


def _draw_test(panel: Axes, data: dict[str, Any]) -> None:
    """Mark the last and the best test accuracy."""
    _draw_marks(panel, data, ("test", "best test"), lambda value: value)
    mark_guessing(panel)
    panel.set(title="Test accuracy", ylabel="correct answers")
    limit_accuracy(panel)
    _explain_marks(panel, "at the end", "best of all tests")


def _draw_marks(panel: Axes, data: dict[str, Any], names: tuple[str, str], place: Callable[[float], float]) -> None:
    """Mark two numbers of each net at each learning rate: median over seeds, with the range."""
    rates = by_rate(data)
    for row, nets in enumerate(rates.values()):
        for rank, (net, runs) in enumerate(nets.items()):
            for side, name in enumerate(names):
                low, middle, high = map(place, over_runs(runs, MEASURES[name]))
                x = row + 0.26 * (rank - 1) + 0.09 * (side - 0.5)
                fill = COLOURS[net] if side == 0 else "white"
                panel.plot([x, x], [low, high], color=COLOURS[net], linewidth=2)
                panel.plot(
                    x, middle, "os"[side], color=COLOURS[net], markerfacecolor=fill, markersize=9, markeredgewidth=2
                )
    panel.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    panel.set_xlim(-0.5, len(rates) - 0.5)
    panel.set_xlabel("learning rate")
    panel.grid(False, axis="x")
    for edge in range(1, len(rates)):
        panel.axvline(edge - 0.5, color=FAINT, linewidth=1)


def _explain_marks(panel: Axes, first: str, second: str) -> None:
    """Say what the two marks are."""
    marks = {"color": INK, "linestyle": "", "markersize": 9, "markeredgewidth": 2}
    style.legend_above(
        panel,
        [
            Line2D([], [], marker="o", label=first, **marks),
            Line2D([], [], marker="s", markerfacecolor="white", label=second, **marks),
        ],
    )


def _caption(data: dict[str, Any]) -> list[list[str]]:
    """Say how the numbers came about."""
    config = data["config"]
    return [
        captions.recipe(config, data["preset"], learning_rate=False),
        [
            captions.images(config),
            "medians over seeds, from the smallest to the largest",
            "steps: until the median of 5 points of the training curve is there",
        ],
        captions.origin(data, "training and tests"),
    ]

"""The panel of accuracy over training that several experiments have."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from experiments._claims.measures import CHANCE
from experiments._figures.style import COLOURS, INK
from experiments._numbers import curves
from experiments._numbers.curves import LABELS

Arms = Mapping[str, list[dict[str, Any]]]


def smoothing(num_steps: int) -> int:
    """Choose over how many batches accuracy is averaged, for a training of so many steps."""
    return max(1, num_steps // 60)


def draw_accuracy(panel: Axes, arms: Arms, num_batches: int, title: str = "Accuracy") -> None:
    """Draw accuracy on training batches, averaged (lines), and on all test images (dots); a cross where a run diverged.

    Args:
        panel: to draw on.
        arms: the runs of each net; of several seeds the median is drawn, and a band that `captions.bands` describes.
        num_batches: how many batches are averaged.
        title: of the panel.
    """
    for net, runs in arms.items():
        window, colour = curves.num_points(runs[0], num_batches), COLOURS[net]
        levels = curves.levels(len(runs))
        train = curves.over_seeds(
            runs,
            "train",
            lambda curve, window=window: curves.rolling_mean(curves.array(curve["accuracy"]), window),
            levels,
        )
        panel.plot(train.step, train.middle, color=colour)
        panel.fill_between(train.step, train.low, train.high, color=colour, alpha=0.22, linewidth=0)
        test = curves.over_seeds(runs, "test", lambda curve: curves.array(curve.get("accuracy", [])), levels)
        errors = [test.middle - test.low, test.high - test.middle]
        panel.errorbar(test.step, test.middle, errors, fmt="o--", linewidth=1, color=colour)
        for run in (run for run in runs if run["diverged_at"] is not None):
            panel.plot(run["diverged_at"], 0, "X", color=colour, markersize=14, clip_on=False, zorder=5)
    panel.set(title=title, xlabel="training step", ylabel="correct answers")
    limit_accuracy(panel)
    panel.margins(x=0.01)


def limit_accuracy(panel: Axes) -> None:
    """Draw accuracies from 0 to a little above the highest."""
    panel.set_ylim(0, min(1.02, max(0.3, 1.05 * panel.dataLim.y1)))
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def mark_guessing(panel: Axes) -> None:
    """Draw the accuracy of a guess."""
    panel.axhline(CHANCE, color=INK, linestyle=":", linewidth=1.4)
    beside = panel.get_yaxis_transform()
    panel.text(0.01, CHANCE, "guessing", ha="left", va="top", fontsize=11, color=INK, transform=beside)


def explain(arms: Arms, num_batches: int) -> list[Any]:
    """Make the legend's entries: the nets' colours, then lines and marks."""
    handles: list[Any] = [Patch(color=COLOURS[net], label=LABELS[net]) for net in arms]
    handles.append(Line2D([], [], color=INK, label=f"training, mean of {num_batches} batches"))
    handles.append(Line2D([], [], color=INK, marker="o", linestyle="--", linewidth=1, label="test"))
    if any(run["diverged_at"] is not None for runs in arms.values() for run in runs):
        handles.append(Line2D([], [], color=INK, marker="X", markersize=12, linestyle="", label="diverged"))
    return handles

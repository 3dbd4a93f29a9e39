"""How figures look: colours, type, numbers on axes, what is missing, and where the numbers come from at the foot."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bnjax.types import ObjectiveInfo

# Of Okabe & Ito, which colour-blind readers tell apart.
COLOURS = {
    "plain": "#d55e00",
    "batch_norm": "#0072b2",
    "batch_norm_4": "#56b4e9",
    "noisy_batch": "#009e73",
    "noise": "#cc79a7",
    "relative_noise": "#e69f00",
    "l1": "#009e73",
    "l2": "#cc79a7",
    "linf": "#e69f00",
    "huber": "#009e73",
}
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Of a gradient or a step, by the name of its norm.
LENGTHS = {"global": "l2", "sum_of_layers": "l2 of arrays, added up"}
INK, FAINT = "#444444", "#e4e4e4"
# Without the darkest third, on which no line and no number can be read.
SEQUENTIAL = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.3, 1, 256)), "landscape")
DIVERGING = mpl.colormaps["RdBu"]
_MISSING: dict[str, Any] = {"facecolor": "#eeeeee", "edgecolor": "#b5b5b5", "hatch": "////"}
_STYLE: dict[Any, Any] = {
    "font.size": 13,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "legend.frameon": False,
    "lines.linewidth": 2.2,
    "figure.dpi": 130,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
}


class Quantity(NamedTuple):
    """What a panel shows: a field or property of a result, and what is written at the panel."""

    name: str
    title: str
    label: str


def style() -> AbstractContextManager:
    """Draw in the style of all figures, in a `with` statement."""
    return mpl.rc_context(_STYLE)


def write_foot(figure: Figure, *lines: Iterable[str]) -> None:
    """Say at the foot where the numbers come from: lines of remarks, of which empty ones are left out."""
    text = "\n".join(" · ".join(filter(None, line)) for line in lines)
    if text.strip():
        figure.supxlabel(text.strip("\n"), fontsize=11, color=INK, linespacing=1.5)


def describe_objective(info: ObjectiveInfo) -> str:
    """Say how a loss was made, as far as that is known."""
    statistics = {
        "batch": "the batch's own statistics",
        "running": "running statistics",
        "recalibrated": "statistics taken anew at every point",
    }
    examples = f"{info.num_examples:,} examples" if info.num_examples else ""
    batches = f"in batches of {info.batch_size:,}" if 0 < info.batch_size < info.num_examples else ""
    words = (" ".join(filter(None, (examples, batches))), statistics.get(info.statistics, ""))
    return ", ".join(filter(None, words))


def number(value: float, _position: object = None) -> str:
    """Write a number shortly, powers of ten where it would be long."""
    if not np.isfinite(value):
        return "not finite"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    digits, exponent = f"{value:.3e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    return f"${'' if digits == '1' else digits + '·'}10^{{{int(exponent)}}}$"


def span(values: Any, digits: int = 3) -> str:
    """Write the smallest and the largest of some numbers, or the one that there is."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    if not finite.size:
        return "not finite"
    low, high = (f"{edge:.{digits}g}" for edge in (finite.min(), finite.max()))
    return low if low == high else f"{low} to {high}"


def is_wide(values: Any, ratio: float = 50) -> bool:
    """Tell whether numbers are positive and so far apart that they need a logarithmic scale."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > ratio * finite.min())


def log_scale(panel: Axes) -> None:
    """Make the vertical axis logarithmic, with a label at a few round numbers, unless there is nothing to draw."""
    if any(np.any(np.asarray(line.get_ydata(), float) > 0) for line in panel.lines):
        panel.set_yscale("log")
        low, high = panel.get_ylim()
        powers = np.floor(np.log10(high)) - np.ceil(np.log10(low)) + 1
        between = (2, 4, 6) if high < 50 * low else (2, 5) if powers < 2 else ()
        panel.yaxis.set_major_formatter(number)
        panel.yaxis.set_minor_formatter(
            lambda y, _: number(y) if round(y / 10 ** np.floor(np.log10(y))) in between else ""
        )


def hatch_missing(panel: Axes) -> Patch:
    """Hatch what will not be drawn over; return what stands for it in a legend."""
    panel.grid(False)
    panel.patch.set(**_MISSING)
    return Patch(label="not finite", **_MISSING)


def legend_above(panel: Axes, handles: list[Any] | None = None) -> None:
    """Put the legend between title and axes, where it hides nothing; the title must be there."""
    handles = panel.get_legend_handles_labels()[0] if handles is None else handles
    if handles:
        panel.set_title(panel.get_title(), pad=28)
        panel.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=len(handles),
            fontsize=11,
            borderaxespad=0.3,
            handletextpad=0.5,
            columnspacing=1.2,
        )

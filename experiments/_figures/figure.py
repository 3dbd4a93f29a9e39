"""Figures: blocks of panels below one legend, above a foot with the origin of the numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bnjax.draw import style
from experiments._figures.block import Block as Block
from experiments._figures.block import share_limits
from experiments._figures.narrow import draw_narrow
from experiments._figures.panels import Panel
from experiments._nets import NETS

_WIDTH = 13.0
_LEGEND_CHARACTERS = 160  # per row of the legend, 6 of them for each mark
_SMALL = 2.5  # inches
_MAX_CHARACTERS = 140  # per line of the foot


@dataclass(frozen=True)
class Layout:
    """A figure before it is drawn: blocks of panels below a legend, above a foot.

    Attributes:
        title: title of the figure.
        blocks: blocks of panels.
        foot: lines of remarks.
        marks: the last entries of the legend.
        narrow: layout for a narrow screen; by default, the same panels stacked vertically.
    """

    title: str
    blocks: Sequence[Block]
    foot: Sequence[Sequence[str]] = ()
    marks: Sequence[Any] = ()
    narrow: "Layout | None" = None

    def draw(self, *, narrow: bool = False) -> Figure:
        """Draw the figure as wide as a page, or for a narrow screen."""
        if not narrow:
            return _draw_wide(self)
        shown = self.narrow or self
        return draw_narrow(shown.title, shown.blocks, _explain(shown), shown.foot)


def make_figure(
    title: str,
    blocks: Sequence[Block],
    *foot: Sequence[str],
    marks: Sequence[Any] = (),
    narrow: Layout | None = None,
) -> Layout:
    """Lay out blocks below a legend, whose last entries are marks, and above a foot of lines of remarks.

    Args:
        title: title of the figure.
        blocks: blocks of panels.
        *foot: lines of remarks.
        marks: further entries of the legend.
        narrow: layout for a narrow screen; by default, the same panels stacked vertically.
    """
    return Layout(title, blocks, foot, marks, narrow)


def _draw_wide(layout: Layout) -> Figure:
    """Draw rows of panels."""
    # Successive rows with the same number of panels share one grid.
    parts = [(block, list(rows)) for block in layout.blocks for _, rows in groupby(block.rows, key=len)]
    heights = [block.inches * len(rows) / len(block.rows) for block, rows in parts]
    with style.new_figure(_WIDTH, sum(heights) + 1.2 + 0.22 * len(layout.foot)) as figure:
        places = np.atleast_1d(np.asarray(figure.subfigures(len(parts), 1, height_ratios=heights)))
        for i, (place, (block, rows)) in enumerate(zip(places, parts, strict=True)):
            axes = _draw_rows(place, rows, block)
            if block.heading and (i == 0 or parts[i - 1][0] is not block):
                _name_block(axes, block.heading)
        handles = _explain(layout)
        look: Any = {"fontsize": 13, "title_fontsize": 17, "loc": "outside upper center", "ncols": _columns(handles)}
        figure.legend(handles=handles, title=layout.title, **look)
        style.write_foot(figure, *(line for remarks in layout.foot for line in _wrapped(remarks)))
        return figure


def _wrapped(remarks: Iterable[str]) -> list[list[str]]:
    """Break a line of remarks that would be wider than the figure."""
    lines: list[list[str]] = [[]]
    for remark in filter(None, remarks):
        if lines[-1] and len(" · ".join([*lines[-1], remark])) > _MAX_CHARACTERS:
            lines.append([])
        lines[-1].append(remark)
    return lines


def _draw_rows(place: Any, rows: Sequence[Sequence[Panel | None]], block: Block) -> Axes:
    """Draw rows with the same number of panels; return the first panel's axes."""
    grid, axes = place.add_gridspec(len(rows), len(rows[0])), {}
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            if panel is not None:
                height = next((k for k in range(i + 1, len(rows)) if rows[k][j] is not None), len(rows)) - i
                axes[i, j] = place.add_subplot(grid[i : i + height, j])
                panel.draw(axes[i, j])
                low, high = axes[i, j].get_ylim()
                is_small = height * (block.height or 4) < _SMALL
                if is_small and axes[i, j].get_yscale() == "log" and 8 * low < high < 50 * low:
                    # So that no two labels touch.
                    few = next((f for f in ((3,), (2, 5)) if style.num_labels(low, high, f) > 1), (2, 4, 6))
                    style.label_between(axes[i, j], few)
        if block.share:
            first, *others = [axes[i, j] for j in range(len(row)) if (i, j) in axes]
            share_limits([first, *others])
            for other in others:
                other.set_ylabel("")
                other.tick_params(labelleft=False, which="both")
    return axes[0, 0]


def _explain(layout: Layout) -> list[Any]:
    """List the entries of the legend: colours of the nets, then marks, each once."""
    panels = [panel for block in layout.blocks for row in block.rows for panel in row if panel]
    nets = dict.fromkeys(net for panel in panels for net in panel.nets)
    patches = [Patch(color=NETS[net].colour, label=NETS[net].label) for net in nets]
    known = {mark.get_label(): mark for panel in panels for mark in panel.marks}
    return [*patches, *known.values(), *layout.marks]


def _columns(handles: Sequence[Any]) -> int:
    """Choose the number of columns of the legend: as many as fit, with rows as equal as possible."""
    longest = max(len(handle.get_label()) for handle in handles)
    fitting = max(1, min(5, _LEGEND_CHARACTERS // (longest + 6)))
    return -(-len(handles) // -(-len(handles) // fitting))


def _name_block(axes: Axes, name: str) -> None:
    """Write a block's name above its first panel's title, in its full length; an equally high space makes room."""
    look: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 17, "fontweight": "bold"}
    axes.annotate(name, (0, 1), xytext=(0, 34), color=style.INK, in_layout=False, **look)
    axes.annotate(" ", (0, 1), xytext=(0, 44), **look)

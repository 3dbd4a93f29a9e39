"""Figures: blocks of panels below one legend, above the foot that says where the numbers come from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bnjax.draw import style
from experiments._figures.panels import Panel
from experiments._nets import NETS

_WIDTH = 13.0
_HEIGHTS = {1: 4.6, 2: 4.5}  # of a row with so many panels, in inches; 4 with more
_HEADING = 0.5
_LEGEND_CHARACTERS = 160  # of a row of the legend, 6 of them for each mark
_SMALL = 2.5  # inches
_MAX_CHARACTERS = 140  # of a line of the foot


@dataclass(frozen=True)
class Block:
    """Rows of panels under one heading, if it is not empty.

    Attributes:
        rows: of panels. None continues the panel above it; rows of equal length stand in the same columns.
        height: of a row, in inches; by default it depends on the number of panels.
        share: gives the panels of a row one vertical axis.
    """

    heading: str
    rows: Sequence[Sequence[Panel | None]]
    height: float | None = None
    share: bool = False

    @property
    def inches(self) -> float:
        """The height of the block."""
        return sum(self.height or _HEIGHTS.get(len(row), 4.0) for row in self.rows) + _HEADING * bool(self.heading)


def make_figure(
    title: str, blocks: Sequence[Block], *foot: Sequence[str], marks: Sequence[Any] = (), width: float = _WIDTH
) -> Figure:
    """Draw blocks below a legend, whose last entries are marks, and above a foot of lines of remarks.

    Args:
        title: of the figure.
        blocks: of panels.
        *foot: lines of remarks.
        marks: further entries of the legend.
        width: in inches; the legend and the foot are wrapped to it.
    """
    share = width / _WIDTH
    # Successive rows with as many panels stand in one grid.
    parts = [(block, list(rows)) for block in blocks for _, rows in groupby(block.rows, key=len)]
    heights = [block.inches * len(rows) / len(block.rows) for block, rows in parts]
    with style.new_figure(width, sum(heights) + 1.2 + 0.22 * len(foot)) as figure:
        places = np.atleast_1d(np.asarray(figure.subfigures(len(parts), 1, height_ratios=heights)))
        for i, (place, (block, rows)) in enumerate(zip(places, parts, strict=True)):
            axes = _draw_rows(place, rows, block)
            if block.heading and (i == 0 or parts[i - 1][0] is not block):
                _name_block(axes, block.heading)
        panels = [panel for block in blocks for row in block.rows for panel in row if panel]
        handles = _explain(panels, marks)
        columns = _columns(handles, share)
        look: Any = {"fontsize": 13, "title_fontsize": 17, "loc": "outside upper center", "ncols": columns}
        figure.legend(handles=handles, title=title, **look)
        style.write_foot(figure, *(line for remarks in foot for line in _wrapped(remarks, share)))
        return figure


def _wrapped(remarks: Iterable[str], share: float) -> list[list[str]]:
    """Break a line of remarks where it would be wider than the figure."""
    lines: list[list[str]] = [[]]
    for remark in filter(None, remarks):
        if lines[-1] and len(" · ".join([*lines[-1], remark])) > share * _MAX_CHARACTERS:
            lines.append([])
        lines[-1].append(remark)
    return lines


def _draw_rows(place: Any, rows: Sequence[Sequence[Panel | None]], block: Block) -> Axes:
    """Draw rows of as many panels; return the first panel's axes."""
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
                    style.label_between(axes[i, j], (3,))  # so that no two labels touch
        if block.share:
            _share_limits([axes[i, j] for j in range(len(row)) if (i, j) in axes])
    return axes[0, 0]


def _share_limits(panels: Sequence[Axes]) -> None:
    """Give panels of a row the same vertical limits, and numbers only to the first."""
    limits = [panel.get_ylim() for panel in panels]
    low, high = min(min(ends) for ends in limits), max(max(ends) for ends in limits)
    for panel in panels:
        panel.set_ylim((low, high) if limits[0][0] < limits[0][1] else (high, low))
    for panel in panels[1:]:
        panel.set_ylabel("")
        panel.tick_params(labelleft=False, which="both")


def _explain(panels: Sequence[Panel], marks: Sequence[Any]) -> list[Any]:
    """List the entries of the legend: colours of the nets, then marks, each once."""
    nets = dict.fromkeys(net for panel in panels for net in panel.nets)
    patches = [Patch(color=NETS[net].colour, label=NETS[net].label) for net in nets]
    known = {mark.get_label(): mark for panel in panels for mark in panel.marks}
    return [*patches, *known.values(), *marks]


def _columns(handles: Sequence[Any], share: float) -> int:
    """Choose the columns of the legend: as many as fit, and rows as equal as can be."""
    longest = max(len(handle.get_label()) for handle in handles)
    fitting = max(1, min(5, int(share * _LEGEND_CHARACTERS) // (longest + 6)))
    return -(-len(handles) // -(-len(handles) // fitting))


def _name_block(axes: Axes, name: str) -> None:
    """Write a block's name above the title of its first panel, as long as it is; room is made by a space as high."""
    look: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 17, "fontweight": "bold"}
    axes.annotate(name, (0, 1), xytext=(0, 34), color=style.INK, in_layout=False, **look)
    axes.annotate(" ", (0, 1), xytext=(0, 44), **look)

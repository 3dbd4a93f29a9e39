"""Figures for narrow screens: panels stacked vertically, and text that is readable at the width of a phone."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from bnjax.draw import style
from experiments._figures.block import Block, share_limits
from experiments._figures.panels import Panel

_WIDTH = 6.0  # inches; 358 pixels of a phone, so that 13 points are 11 pixels
_LINE = 1.45 / 72  # the height of a line of text per point of its size, in inches
# Characters of a line: of the figure's title, the headings, the legend, the foot.
_TITLE, _HEADING, _LEGEND, _FOOT = 46, 36, 48, 67
# Of a panel's title, the labels of its axes, and all names below it, which share the line.
_PANEL, _ACROSS, _UP, _NAMES = 40, 46, 26, 52
_NAME, _BESIDE = 22, 34  # of a name beside the panel, and of the label below a panel with such names


def draw_narrow(title: str, blocks: Sequence[Block], handles: Sequence[Any], foot: Sequence[Iterable[str]]) -> Figure:
    """Draw blocks, one panel per row, below the title and a legend of these handles, and above lines of remarks."""
    title, labels = _wrapped(title, _TITLE), [_wrapped(handle.get_label(), _LEGEND) for handle in handles]
    # A line does not begin with the dot that separates remarks.
    remarks = [fill("\N{NO-BREAK SPACE}· ".join(filter(None, line)), _FOOT) for line in foot]
    parts = list(_parts(blocks))
    heights = [part.height for part in parts]
    columns = _columns(labels)
    texts = 17 * title.count("\n") + 13 * -(-sum(label.count("\n") + 1 for label in labels) // columns)
    texts += 11 * sum(line.count("\n") + 1 for line in remarks)
    with style.new_figure(_WIDTH, sum(heights) + 0.7 + texts * _LINE) as figure:
        places = np.atleast_1d(np.asarray(figure.subfigures(len(parts), 1, height_ratios=heights)))
        for place, part in zip(places, parts, strict=True):
            _draw_panels(place, part)
            if part.heading:
                place.suptitle(part.heading, fontsize=17, fontweight="bold")
        look: Any = {"fontsize": 13, "title_fontsize": 17, "loc": "outside upper center", "ncols": columns}
        figure.legend(handles=handles, labels=labels, title=title, alignment="center", **look)
        foot_look: Any = {"x": 0.03, "ha": "left", "fontsize": 11, "color": style.INK, "linespacing": 1.4}
        figure.supxlabel("\n".join(remarks), **foot_look)
        return figure


class _Part(NamedTuple):
    """Panels of a block with the numbers of their rows, under its heading if they are the first ones."""

    heading: str
    panels: list[tuple[int, Panel]]
    share: bool

    @property
    def height(self) -> float:
        """The height in inches."""
        return sum(panel.height for _, panel in self.panels) + 17 * _LINE * len(self.heading.splitlines())


def _parts(blocks: Sequence[Block]) -> Iterator[_Part]:
    """Split blocks into panels with and without names beside them, so that the latter keep their width."""
    for block in blocks:
        heading = _wrapped(block.heading, _HEADING)
        for _, panels in groupby(block.downwards(), key=lambda placed: placed[1].axis):
            yield _Part(heading, list(panels), block.share)
            heading = ""


def _wrapped(text: str, characters: int) -> str:
    """Break lines that would be too wide into lines of about equal length; words are never broken."""
    look: Any = {"break_long_words": False, "break_on_hyphens": False}
    lines = []
    for line in text.splitlines():
        widths = range(1, characters + 1)
        number = fill(line, characters, **look).count("\n")
        lines.append(next(filled for width in widths if (filled := fill(line, width, **look)).count("\n") <= number))
    return "\n".join(lines)


def _columns(labels: Sequence[str]) -> int:
    """Choose the columns of the legend: two, if they fit beside each other."""
    half = -(-len(labels) // 2)
    longest = [max(map(len, "\n".join(part).splitlines()), default=0) for part in (labels[:half], labels[half:])]
    return 2 if sum(longest) <= _LEGEND - 6 else 1


def _draw_panels(place: Any, part: _Part) -> None:
    """Draw panels stacked vertically; panels of a row keep their shared limits."""
    grid = place.add_gridspec(len(part.panels), 1, height_ratios=[panel.height for _, panel in part.panels])
    rows: dict[int, dict[Axes, Panel]] = {}
    for i, (row, panel) in enumerate(part.panels):
        axes = place.add_subplot(grid[i])
        panel.draw(axes)
        rows.setdefault(row, {})[axes] = panel
        _lift_legend(axes)
        axes.title.set_text(_wrapped(axes.get_title(), _PANEL))
        axes.set_xlabel(_wrapped(axes.get_xlabel(), _BESIDE if panel.axis == "x" else _ACROSS))
        axes.set_ylabel(_wrapped(axes.get_ylabel(), _UP))
        _fit_names(axes)
    for row in rows.values() if part.share else ():
        share_limits([*row])
        for axes, panel in row.items():
            panel.label_values(axes)  # whose number depends on the limits


def _lift_legend(axes: Axes) -> None:
    """Move a panel's own legend above it, where it hides nothing, if it fits into a line."""
    if legend := axes.get_legend():
        handles, labels = filter(None, legend.legend_handles), [text.get_text() for text in legend.get_texts()]
        if sum(len(label) + 6 for label in labels) <= _LEGEND:
            named = list(zip(handles, labels, strict=True))
            for handle, label in named:
                handle.set_label(label)
            style.legend_above(axes, [handle for handle, _ in named])


def _fit_names(axes: Axes) -> None:
    """Wrap the names on both axes; names below the panel that do not fit are rotated."""
    if names := _names(axes.yaxis):
        axes.set_yticks(axes.get_yticks(), [_wrapped(name, _NAME) for name in names])
    if names := _names(axes.xaxis):
        room = max(1, _NAMES // len(names))
        wrapped = [_wrapped(name, room) for name in names]
        if all(len(line) <= room for name in wrapped for line in name.splitlines()):
            axes.set_xticks(axes.get_xticks(), wrapped)
        else:
            look: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
            axes.set_xticks(axes.get_xticks(), [" ".join(name.split()) for name in names], **look)


def _names(axis: Axis) -> list[str]:
    """List the names at an axis; none if it has numbers."""
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if not isinstance(locator, FixedLocator) or not isinstance(formatter, FuncFormatter):
        return []
    return [formatter(place) for place in axis.get_majorticklocs()]

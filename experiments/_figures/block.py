"""Blocks: rows of panels under one heading."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from experiments._figures.panels import Panel

_HEIGHTS = {1: 4.6, 2: 4.5}  # of a row by its number of panels, in inches; 4 with more
_HEADING = 0.5


@dataclass(frozen=True)
class Block:
    """Rows of panels under one heading, if it is not empty.

    Attributes:
        rows: rows of panels. None continues the panel above it; rows of equal length share their columns.
        height: height of a row, in inches; by default it depends on the number of panels.
        share: whether the panels of a row share one vertical axis.
    """

    heading: str
    rows: Sequence[Sequence[Panel | None]]
    height: float | None = None
    share: bool = False

    @property
    def inches(self) -> float:
        """The height of the block."""
        return sum(self.height or _HEIGHTS.get(len(row), 4.0) for row in self.rows) + _HEADING * bool(self.heading)

    def downwards(self) -> list[tuple[int, Panel]]:
        """List the panels in the order of a single column, with the numbers of their rows.

        A panel without a title shares the title of the panel above it, so it follows that panel; otherwise rows follow rows.
        """
        found: dict[tuple[int, int], Panel] = {}
        for i, row in enumerate(self.rows):
            for j, first in enumerate(row):
                if first is None or (i, j) in found:
                    continue
                found[i, j] = first
                for k in range(i + 1, len(self.rows)):
                    below = self.rows[k][j] if j < len(self.rows[k]) else None
                    if below and below.title:
                        break
                    if below:
                        found[k, j] = below
        return [(i, panel) for (i, _), panel in found.items()]


def share_limits(panels: Sequence[Axes]) -> None:
    """Give panels the same vertical limits."""
    limits = [panel.get_ylim() for panel in panels]
    low, high = min(min(ends) for ends in limits), max(max(ends) for ends in limits)
    for panel in panels:
        panel.set_ylim((low, high) if limits[0][0] < limits[0][1] else (high, low))

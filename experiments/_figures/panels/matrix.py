"""Panels of matrices between layers."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes

from bnjax.draw.dependence import draw_shares
from experiments._evidence.run import Run, Runs
from experiments._evidence.value import median
from experiments._figures.panels.panel import Panel

_EXTENT = 0.1  # share whose colour is at the end of the scale


@dataclass(frozen=True)
class Matrix(Panel):
    """Shares between layers, numbered from 1 at the input, as a heat map: the median over seeds.

    Attributes:
        runs: the runs of a net.
        of: maps a run to a matrix, (layers, layers); an empty one if it has none.
    """

    runs: Runs
    of: Callable[[Run], np.ndarray]
    xlabel: str = field(default="layer", kw_only=True)
    ylabel: str = field(default="layer", kw_only=True)

    @property
    def height(self) -> float:
        """The height on a narrow screen, about its width."""
        return 4.2

    @property
    def shown(self) -> list[Run]:
        """The runs of the net."""
        return [*self.runs]

    def draw_data(self, axes: Axes) -> None:
        """Draw the median of the matrices of all runs that have one."""
        found = [matrix for matrix in map(self.of, self.runs) if matrix.size]
        if found:
            layers = [str(number) for number in range(1, len(found[0]) + 1)]
            draw_shares(axes, np.apply_along_axis(median, 0, found), layers, _EXTENT)

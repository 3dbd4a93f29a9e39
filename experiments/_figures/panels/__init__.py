"""The panels of figures. Each draws itself, and lists the marks that the figure's legend must explain.

panel          the base class of panels
curves         Accuracy, Curves, Band over training; ByLayer
distributions  Percentiles, Ridges, Histogram
matrix         Matrix: shares between layers
plane          Plane: the loss on a plane
dots           Dots: numbers per net, in columns or rows
published      Windows: ranges that a source shows; BySize: scans by their step sizes
scatter        Scatter: one number of each run against another; Named: the same for each net, with its name
"""

from experiments._figures.panels.curves import Accuracy as Accuracy
from experiments._figures.panels.curves import Band as Band
from experiments._figures.panels.curves import ByLayer as ByLayer
from experiments._figures.panels.curves import Curves as Curves
from experiments._figures.panels.curves import Line as Line
from experiments._figures.panels.distributions import BINS as BINS
from experiments._figures.panels.distributions import Histogram as Histogram
from experiments._figures.panels.distributions import Percentiles as Percentiles
from experiments._figures.panels.distributions import Ridges as Ridges
from experiments._figures.panels.distributions import shared_limits as shared_limits
from experiments._figures.panels.dots import Dots as Dots
from experiments._figures.panels.matrix import Matrix as Matrix
from experiments._figures.panels.panel import Panel as Panel
from experiments._figures.panels.panel import Published as Published
from experiments._figures.panels.plane import Plane as Plane
from experiments._figures.panels.published import BySize as BySize
from experiments._figures.panels.published import Window as Window
from experiments._figures.panels.published import Windows as Windows
from experiments._figures.panels.scatter import Named as Named
from experiments._figures.panels.scatter import Scatter as Scatter

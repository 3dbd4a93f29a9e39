"""Loss-landscape probes: they take a function of the parameters, and change nothing.

points      the engine: one function at many points
chunks      a long evaluation in pieces
line        loss and gradients along a line
plane       the loss on a plane
directions  where to go: gradients, random, filter-normalised, between points, principal axes
restrict    a loss of some parameters only, for any probe
paths       parameters by path
results     what probes return, on disk; bands over repetitions
"""

from bnjax.probes import directions as directions
from bnjax.probes.line import LineScan as LineScan
from bnjax.probes.line import scan_line as scan_line
from bnjax.probes.line import stack_lines as stack_lines
from bnjax.probes.plane import PlaneScan as PlaneScan
from bnjax.probes.plane import scan_plane as scan_plane
from bnjax.probes.points import Batching as Batching
from bnjax.probes.points import evaluate_points as evaluate_points
from bnjax.probes.restrict import restrict as restrict
from bnjax.probes.results import Band as Band
from bnjax.probes.results import band as band

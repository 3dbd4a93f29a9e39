"""Loss-landscape probes: they take a function of the parameters, and change nothing."""

from bnjax.probes.line import LineScan as LineScan
from bnjax.probes.line import scan_line as scan_line
from bnjax.probes.points import Batching as Batching
from bnjax.probes.points import evaluate_points as evaluate_points

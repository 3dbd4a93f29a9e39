"""Loss-landscape probes: they take a function of the parameters, and change nothing.

points      the engine: one function at many points
following   points that are compared with a start
chunks      a long evaluation in pieces
line        loss and gradients along a line
sanity      whether a line's losses and gradients match
plane       the loss on a plane
barrier     how far the loss rises between two nets
directions  directions of scans: gradients, random, filter-normalised, between points
axes        planes: principal axes of a trajectory, through three points
restrict    a loss of some parameters only, for any probe
paths       parameters and layers by path
results     results of probes on disk; `load` reads any of them; bands over repetitions
shown       display of results, printed and in notebooks

covariate_shift  how far a layer's gradient moves when the layers before it are updated
layer_dependence how much the steps of different layers depend on each other
moment_control   which updates move means and standard deviations of units: those of earlier layers, or a layer's own
gradients        norms, ratios and step-to-step changes of gradients, layer by layer
activations      distributions of activations, and how they drift over training
capture          activations of any model's layers
gram             rank, orthogonality and cosines of a layer's activations over a batch
sharpness        curvature of mini-batches along their own gradients
relative_sharpness  how far the loss rises where each layer moves by a share of its own length

curvature   Hessian products, eigenpairs, trace and spectral density
hessian     the Hessian of a block as an operator
gauss_newton  the loss whose Hessian is the Gauss-Newton matrix
lanczos     eigenpairs and quadrature from products alone
spectra     results of curvature probes
"""

from bnjax._host.groups import MeasuredBatching as MeasuredBatching
from bnjax._host.groups import measured_batching as measured_batching
from bnjax.probes import curvature as curvature
from bnjax.probes import directions as directions
from bnjax.probes.activations import ActivationStatistics as ActivationStatistics
from bnjax.probes.activations import Drift as Drift
from bnjax.probes.activations import Shift as Shift
from bnjax.probes.activations import activation_statistics as activation_statistics
from bnjax.probes.activations import drift as drift
from bnjax.probes.activations import shift as shift
from bnjax.probes.activations import wasserstein_distance as wasserstein_distance
from bnjax.probes.activations import zero_share as zero_share
from bnjax.probes.barrier import Barrier as Barrier
from bnjax.probes.barrier import barrier as barrier
from bnjax.probes.capture import capture as capture
from bnjax.probes.covariate_shift import CovariateShift as CovariateShift
from bnjax.probes.covariate_shift import covariate_shift as covariate_shift
from bnjax.probes.gradients import GradientStatistics as GradientStatistics
from bnjax.probes.gradients import gradient_statistics as gradient_statistics
from bnjax.probes.gram import cosines as cosines
from bnjax.probes.gram import orthogonality_gap as orthogonality_gap
from bnjax.probes.gram import soft_rank as soft_rank
from bnjax.probes.layer_dependence import LayerDependence as LayerDependence
from bnjax.probes.layer_dependence import hessian_blocks as hessian_blocks
from bnjax.probes.layer_dependence import layer_dependence as layer_dependence
from bnjax.probes.line import LineScan as LineScan
from bnjax.probes.line import scan_line as scan_line
from bnjax.probes.line import stack_lines as stack_lines
from bnjax.probes.moment_control import MomentControl as MomentControl
from bnjax.probes.moment_control import moment_control as moment_control
from bnjax.probes.plane import PlaneScan as PlaneScan
from bnjax.probes.plane import scan_plane as scan_plane
from bnjax.probes.points import Batching as Batching
from bnjax.probes.points import evaluate_points as evaluate_points
from bnjax.probes.relative_sharpness import RelativeSharpness as RelativeSharpness
from bnjax.probes.relative_sharpness import relative_sharpness as relative_sharpness
from bnjax.probes.restrict import restrict as restrict
from bnjax.probes.results import Band as Band
from bnjax.probes.results import LayerNames as LayerNames
from bnjax.probes.results import band as band
from bnjax.probes.results import load as load
from bnjax.probes.sanity import Sanity as Sanity
from bnjax.probes.sharpness import BatchSharpness as BatchSharpness
from bnjax.probes.sharpness import batch_sharpness as batch_sharpness

"""The configurations of experiments, which compose; imports nothing heavy, so that the command line answers at once.

check    rules that fields keep, and configurations with a few fields changed
norms    the normalisers, one class each
probe    the base class of the settings of probes
probes   the settings of the probes, one class each
dependence the settings of the probes of dependence between layers
eigenvalues the settings of the probe of the Hessian's largest eigenvalues
parts    data, optimiser, noise and schedule
runs     runs, each with a model, data, a normaliser, an optimiser, a schedule and probes
options  settings that do not change a result
words    formatting of costs

A class that is one of several choices, such as a normaliser, has a `kind`, by which the command line and data files name it.
"""

from experiments._config.check import change as change
from experiments._config.check import check as check
from experiments._config.check import check_arms as check_arms
from experiments._config.check import check_numbers as check_numbers
from experiments._config.eigenvalues import Eigenvalues as Eigenvalues
from experiments._config.example_norms import DyT as DyT
from experiments._config.example_norms import GroupNorm as GroupNorm
from experiments._config.example_norms import InstanceNorm as InstanceNorm
from experiments._config.example_norms import LayerNorm as LayerNorm
from experiments._config.norms import BatchNorm as BatchNorm
from experiments._config.norms import BatchRenorm as BatchRenorm
from experiments._config.norms import GhostBatchNorm as GhostBatchNorm
from experiments._config.norms import HuberNorm as HuberNorm
from experiments._config.norms import LpNorm as LpNorm
from experiments._config.norms import NoisyBatchNorm as NoisyBatchNorm
from experiments._config.norms import NoNorm as NoNorm
from experiments._config.norms import Norm as Norm
from experiments._config.norms import PlainNoise as PlainNoise
from experiments._config.norms import RelativeNoise as RelativeNoise
from experiments._config.options import Options as Options
from experiments._config.parts import Images as Images
from experiments._config.parts import Noise as Noise
from experiments._config.parts import Optimizer as Optimizer
from experiments._config.parts import Schedule as Schedule
from experiments._config.probes import BatchSharpness as BatchSharpness
from experiments._config.probes import Drift as Drift
from experiments._config.probes import DummyShift as DummyShift
from experiments._config.probes import Evaluation as Evaluation
from experiments._config.probes import Flatness as Flatness
from experiments._config.probes import Generalisation as Generalisation
from experiments._config.probes import HiddenGradients as HiddenGradients
from experiments._config.probes import Horizon as Horizon
from experiments._config.probes import Landscape as Landscape
from experiments._config.probes import LayerDependence as LayerDependence
from experiments._config.probes import MomentControl as MomentControl
from experiments._config.probes import Percentiles as Percentiles
from experiments._config.probes import Plane as Plane
from experiments._config.probes import Probes as Probes
from experiments._config.probes import RandomDirection as RandomDirection
from experiments._config.probes import Scales as Scales
from experiments._config.probes import Shift as Shift
from experiments._config.probes import SuccessiveGradients as SuccessiveGradients
from experiments._config.probes import ZeroUnits as ZeroUnits
from experiments._config.runs import DeepLinearRun as DeepLinearRun
from experiments._config.runs import InceptionRun as InceptionRun
from experiments._config.runs import LSTMRun as LSTMRun
from experiments._config.runs import MLPRun as MLPRun
from experiments._config.runs import ResNetRun as ResNetRun
from experiments._config.runs import RunConfig as RunConfig
from experiments._config.runs import VGGRun as VGGRun
from experiments._config.runs import runs_of as runs_of
from experiments._config.words import duration as duration

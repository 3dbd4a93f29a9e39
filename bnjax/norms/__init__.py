"""Normalisers as pure functions: arrays and statistics in, arrays and new statistics out.

batch          batch norm
lp             an lp norm of the batch in place of its standard deviation
ghost          batch norm in parts of a batch
renorm         batch renormalisation
noise          batch norm whose output gets new noise at every step
examples       layer, instance and group norm, whose statistics belong to one example
elementwise    dynamic tanh, an element-wise function in place of a normaliser
statistics     moments of a batch, and running statistics that follow them
features       feature axes, and checks of per-feature arrays
population     running statistics recomputed from data, for any model
restandardise  frozen normalisers inserted into a trained net
mismatch       distance between statistics and those that normalise
updates        how the running statistics of any normaliser move
fold           batch norm in evaluation as part of the weights before it
"""

from bnjax.norms.batch import batch_norm as batch_norm
from bnjax.norms.elementwise import dyt as dyt
from bnjax.norms.examples import group_norm as group_norm
from bnjax.norms.examples import instance_norm as instance_norm
from bnjax.norms.examples import layer_norm as layer_norm
from bnjax.norms.fold import fold_batch_norm as fold_batch_norm
from bnjax.norms.ghost import ghost_batch_norm as ghost_batch_norm
from bnjax.norms.lp import lp_norm as lp_norm
from bnjax.norms.mismatch import Mismatch as Mismatch
from bnjax.norms.mismatch import mismatch as mismatch
from bnjax.norms.noise import add_noise as add_noise
from bnjax.norms.noise import noisy_batch_norm as noisy_batch_norm
from bnjax.norms.population import recalibrate as recalibrate
from bnjax.norms.renorm import batch_renorm as batch_renorm
from bnjax.norms.renorm import renorm_bounds as renorm_bounds
from bnjax.norms.restandardise import restandardise as restandardise
from bnjax.norms.statistics import Moments as Moments
from bnjax.norms.statistics import cumulative_momentum as cumulative_momentum
from bnjax.norms.statistics import init_batch_stats as init_batch_stats
from bnjax.norms.statistics import moments as moments
from bnjax.types import BatchStats as BatchStats

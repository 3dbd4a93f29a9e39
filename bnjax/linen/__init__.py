"""Flax linen modules over the pure functions of `bnjax.norms`.

All of them are called as `module(x, use_running_average=None, *, mask=None)`, so that each can be the `norm` of a model here.
Scale and bias are `params`; running statistics, `batch_stats`. `BatchNorm`, `LayerNorm`, `GroupNorm`
and `InstanceNorm` stand in for Flax's own, and are instances of them.

running    batch norm and its relatives, which remember statistics of the batches
examples   layer, instance and group norm, which remember nothing
elementwise  dynamic tanh, which has no statistics
noise      noise without a normaliser
shared     code that they share
"""

from bnjax.linen.elementwise import DyT as DyT
from bnjax.linen.examples import GroupNorm as GroupNorm
from bnjax.linen.examples import InstanceNorm as InstanceNorm
from bnjax.linen.examples import LayerNorm as LayerNorm
from bnjax.linen.noise import Noise as Noise
from bnjax.linen.running import BatchNorm as BatchNorm
from bnjax.linen.running import BatchRenorm as BatchRenorm
from bnjax.linen.running import GhostBatchNorm as GhostBatchNorm
from bnjax.linen.running import LpNorm as LpNorm
from bnjax.linen.running import NoisyBatchNorm as NoisyBatchNorm

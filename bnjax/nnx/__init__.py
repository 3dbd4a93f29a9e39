"""Flax nnx modules over the pure functions of `bnjax.norms`.

All of them are called as `module(x, use_running_average=None, *, mask=None)`, so that one can take another's place. Scale and
bias are `nnx.Param`; running statistics, `nnx.BatchStat`. `BatchNorm`, `LayerNorm`, `GroupNorm`
and `InstanceNorm` stand in for Flax's own, and are instances of them.

running    batch norm and its relatives, which remember statistics of the batches
examples   layer, instance and group norm, which remember nothing
elementwise  dynamic tanh, which has no statistics
shared     code that they share
"""

from bnjax.nnx.elementwise import DyT as DyT
from bnjax.nnx.examples import GroupNorm as GroupNorm
from bnjax.nnx.examples import InstanceNorm as InstanceNorm
from bnjax.nnx.examples import LayerNorm as LayerNorm
from bnjax.nnx.running import BatchNorm as BatchNorm
from bnjax.nnx.running import BatchRenorm as BatchRenorm
from bnjax.nnx.running import GhostBatchNorm as GhostBatchNorm
from bnjax.nnx.running import LpNorm as LpNorm
from bnjax.nnx.running import NoisyBatchNorm as NoisyBatchNorm

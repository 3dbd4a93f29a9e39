"""Flax linen modules over the pure functions of `bnjax.norms`.

All of them are called as `module(x, use_running_average=None, *, mask=None)`, so that each can be the `norm` of a model here.
Scale and bias are `params`; what is remembered, `batch_stats`. `BatchNorm` stands in for Flax's own.

_running   batch norm and its relatives, which remember statistics of the batches
_examples  layer, instance and group norm, which remember nothing
_noise     noise without a normaliser
_shared    what they have in common
"""

from bnjax.linen._examples import GroupNorm as GroupNorm
from bnjax.linen._examples import InstanceNorm as InstanceNorm
from bnjax.linen._examples import LayerNorm as LayerNorm
from bnjax.linen._noise import Noise as Noise
from bnjax.linen._running import BatchNorm as BatchNorm
from bnjax.linen._running import BatchRenorm as BatchRenorm
from bnjax.linen._running import GhostBatchNorm as GhostBatchNorm
from bnjax.linen._running import LpNorm as LpNorm
from bnjax.linen._running import NoisyBatchNorm as NoisyBatchNorm

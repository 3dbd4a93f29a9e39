"""Normalisers as pure functions: arrays and statistics in, arrays and new statistics out."""

from bnjax.norms.batch import batch_norm as batch_norm
from bnjax.norms.statistics import Moments as Moments
from bnjax.norms.statistics import init_batch_stats as init_batch_stats
from bnjax.norms.statistics import moments as moments
from bnjax.types import BatchStats as BatchStats

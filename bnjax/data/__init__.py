"""Data sets by name, whole on the device, and batches that can be drawn again from a key.

    split = data.load("cifar10", preprocessing="meanstd").train
    indices = data.draw_indices(key, step=0, num_steps=1, num_examples=len(split.labels), batch_size=128)
    batch = data.take_batch(split, indices[0])

`python -m bnjax.data prepare cifar10` prepares a set on a machine that has TensorFlow.
"""

from bnjax.data.batches import Dataset as Dataset
from bnjax.data.batches import Split as Split
from bnjax.data.batches import draw_indices as draw_indices
from bnjax.data.batches import steps_per_epoch as steps_per_epoch
from bnjax.data.batches import take_batch as take_batch
from bnjax.data.sources import NAMES as NAMES
from bnjax.data.sources import PREPROCESSINGS as PREPROCESSINGS
from bnjax.data.sources import MissingDataError as MissingDataError
from bnjax.data.sources import load as load

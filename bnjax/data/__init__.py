"""Data sets by name, whole on the device, and batches that can be drawn again from a key.

    split = data.load("cifar10", preprocessing="meanstd").train
    indices = data.draw_indices(key, step=0, num_steps=1, num_examples=len(split.labels), batch_size=128)
    batch = data.take_batch(split, indices[0])

`python -m bnjax.data prepare cifar10` prepares a set on a machine that has TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bnjax.data.prepared import DamagedDataError as DamagedDataError
from bnjax.data.prepared import DataError as DataError
from bnjax.data.prepared import MissingDataError as MissingDataError
from bnjax.data.prepared import check_prepared as check_prepared

if TYPE_CHECKING:
    from bnjax.data.batches import Dataset as Dataset
    from bnjax.data.batches import Split as Split
    from bnjax.data.batches import digest as digest
    from bnjax.data.batches import draw_indices as draw_indices
    from bnjax.data.batches import from_arrays as from_arrays
    from bnjax.data.batches import steps_per_epoch as steps_per_epoch
    from bnjax.data.batches import take_batch as take_batch
    from bnjax.data.regression import draw_linear_map as draw_linear_map
    from bnjax.data.sources import NAMES as NAMES
    from bnjax.data.sources import PREPROCESSINGS as PREPROCESSINGS
    from bnjax.data.sources import load as load
    from bnjax.data.subsets import take_classes as take_classes
    from bnjax.data.subsets import take_subset as take_subset

_MODULES = {
    **dict.fromkeys(("NAMES", "PREPROCESSINGS", "load"), "sources"),
    **dict.fromkeys(("Dataset", "Split", "digest", "draw_indices", "from_arrays"), "batches"),
    **dict.fromkeys(("steps_per_epoch", "take_batch"), "batches"),
    "draw_linear_map": "regression",
    **dict.fromkeys(("take_classes", "take_subset"), "subsets"),
}


def __getattr__(name: str) -> Any:
    """Import modules that need jax on first use, so that a missing data set is reported at once."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"bnjax.data.{_MODULES[name]}"), name)

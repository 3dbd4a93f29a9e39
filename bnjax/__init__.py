"""bnjax: what normalisation layers do to optimisation.

types        Batch, Variables, Model: the basic types of the package
norms        normalisers as pure functions: (x, statistics) -> (y, new statistics)
linen, nnx   Flax modules over them, interchangeable with Flax's own
ops          a convolution and a pooling whose gradients are fast on CPU too
convert      variables to and from PyTorch, Haiku, Keras and Equinox
models       networks that take their normaliser as an argument
adapters     a Model, a pair of pure functions, from a Flax module
losses       cross-entropy, squared error, accuracy
objective    a loss as a function of the parameters alone
data         data sets by name, and batches that can be drawn again
train        pure training steps over data on the device
sweep        the training loop: a run or a whole grid, measured on the way, stopped and resumed
runs         a run on disk: folder, log, provenance, checkpoints
probes       the loss landscape at many points, in one compiled program
theory       the right-hand sides of the paper's theorems
draw         pictures of probes' results, on a Matplotlib axis or as whole figures

Submodules are imported when they are first asked for: `import bnjax` is enough for `bnjax.norms.batch_norm`.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnjax import adapters as adapters
    from bnjax import convert as convert
    from bnjax import data as data
    from bnjax import draw as draw
    from bnjax import linen as linen
    from bnjax import losses as losses
    from bnjax import models as models
    from bnjax import nnx as nnx
    from bnjax import norms as norms
    from bnjax import objective as objective
    from bnjax import ops as ops
    from bnjax import probes as probes
    from bnjax import runs as runs
    from bnjax import sweep as sweep
    from bnjax import theory as theory
    from bnjax import train as train
    from bnjax import types as types
    from bnjax.types import Batch as Batch
    from bnjax.types import BatchStats as BatchStats
    from bnjax.types import LossFn as LossFn
    from bnjax.types import Model as Model
    from bnjax.types import Variables as Variables

    __version__: str

_TYPES = ("Batch", "BatchStats", "LossFn", "Model", "Variables")
_MODULES = (
    *("adapters", "convert", "data", "draw", "linen", "losses", "models", "nnx", "norms", "objective", "ops", "probes"),
    *("runs", "sweep", "theory", "train", "types"),
)
__all__ = [
    "Batch",
    "BatchStats",
    "LossFn",
    "Model",
    "Variables",
    "__version__",
    "adapters",
    "convert",
    "data",
    "draw",
    "linen",
    "losses",
    "models",
    "nnx",
    "norms",
    "objective",
    "ops",
    "probes",
    "runs",
    "sweep",
    "theory",
    "train",
    "types",
]

if not TYPE_CHECKING:  # so that type checkers know exactly these names

    def __getattr__(name: str) -> Any:
        """Import a submodule or a type, and with it jax, when it is first asked for."""
        if name in _TYPES:
            return getattr(importlib.import_module("bnjax.types"), name)
        if name in _MODULES:
            return importlib.import_module(f"bnjax.{name}")
        if name == "__version__":
            return metadata.version("bnjax")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the names that can be imported."""
    return sorted({*globals(), *__all__})

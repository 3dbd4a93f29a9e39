"""bnjax: what normalisation layers do to optimisation.

types        Batch, Variables, Model: what everything here is made of
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
draw         pictures of what probes returned, on a Matplotlib axis or as whole figures

Submodules are imported when they are first asked for: `import bnjax` is enough for `bnjax.norms.batch_norm`.
"""

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnjax.types import Batch as Batch
    from bnjax.types import BatchStats as BatchStats
    from bnjax.types import LossFn as LossFn
    from bnjax.types import Model as Model
    from bnjax.types import Variables as Variables

_TYPES = ("Batch", "BatchStats", "LossFn", "Model", "Variables")
_MODULES = (
    *("adapters", "convert", "data", "draw", "linen", "losses", "models", "nnx", "norms", "objective", "ops", "probes"),
    *("runs", "sweep", "theory", "train", "types"),
)


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
    """List what can be asked for."""
    return sorted({*globals(), *_TYPES, *_MODULES, "__version__"})

"""bnjax: what normalisation layers do to optimisation.

norms        normalisers as pure functions: (x, statistics) -> (y, new statistics)
linen, nnx   Flax modules over them, interchangeable with Flax's own
convert      variables to and from PyTorch, Haiku, Keras and Equinox
conv, pool   a convolution and a pooling whose gradients are fast on CPU too
models       networks that take their normaliser as an argument
adapters     a Model, a pair of pure functions, from a Flax linen module
losses       cross-entropy, squared error, accuracy
objective    a loss as a function of the parameters alone
probes       the loss landscape at many points, in one compiled program
draw         pictures of what probes returned, on a Matplotlib axis or as whole figures
theory       the right-hand sides of the paper's theorems
data         data sets by name, and batches that can be drawn again
train        pure training steps over data on the device
sweep        whole grids of runs: seeds, learning rates and anything else, as one program
checkpoint   states on disk, checked bit for bit
records      a run's folder
files        files written whole or not at all
progress     a bar for what takes long
digest       fingerprints of pytrees
cores        how many there are
devices      batches spread over several
processes    several at once, of which one writes
memory       what does not fit is tried in halves
arithmetic   sums over trees in float32 or better, ratios without a value, numbers not known yet
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnjax.types import Batch as Batch
    from bnjax.types import Model as Model
    from bnjax.types import Variables as Variables


def __getattr__(name: str) -> Any:
    """Import the types, and with them jax, when they are first asked for."""
    if name not in ("Batch", "Model", "Variables"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bnjax import types

    return getattr(types, name)

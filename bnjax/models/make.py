"""Models from their configurations."""

from bnjax import adapters
from bnjax.models.deep_linear import DeepLinear, DeepLinearConfig
from bnjax.models.mlp import MLP, MLPConfig
from bnjax.models.vgg import VGG, VGGConfig
from bnjax.types import Model

_MODULES = {VGGConfig: VGG, MLPConfig: MLP, DeepLinearConfig: DeepLinear}


def make_model(config: VGGConfig | MLPConfig | DeepLinearConfig) -> Model:
    """Make the pure functions of the network that `config` describes.

    Raises:
        ValueError: if `config` describes none.
    """
    if type(config) not in _MODULES:
        names = ", ".join(kind.__name__ for kind in _MODULES)
        raise ValueError(f"config must be one of {names}, got {config!r}.")
    return adapters.from_linen(_MODULES[type(config)](config))

"""Models that take their normaliser as an argument: `make_model(config)` is the Model of any of the configurations.

shapes       each network without its normaliser: the fields of the configurations
choices      allowed values of fields that several of them share
vgg          VGG networks, for images
resnet       pre-activation residual networks, for images
inception    BN-Inception, for images; inception_shape has the table of its modules
mlp          multilayer perceptrons, for inputs that can be flattened
huber        the batch norm of a replication of theirs
deep_linear  products of square matrices, for vectors
lstm         LSTMs, for sequences
make         from a configuration to a Model
weights      their initial weights
repeated     a dense layer that reads one vector many times over
shared       where normalisers stand

The shapes are importable without jax; everything else is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bnjax.models.shapes import DeepLinearShape as DeepLinearShape
from bnjax.models.shapes import InceptionShape as InceptionShape
from bnjax.models.shapes import LSTMShape as LSTMShape
from bnjax.models.shapes import MLPShape as MLPShape
from bnjax.models.shapes import ResNetShape as ResNetShape
from bnjax.models.shapes import VGGShape as VGGShape

if TYPE_CHECKING:
    from bnjax.models.deep_linear import DeepLinear as DeepLinear
    from bnjax.models.deep_linear import DeepLinearConfig as DeepLinearConfig
    from bnjax.models.huber import HuberBatchNorm as HuberBatchNorm
    from bnjax.models.inception import Inception as Inception
    from bnjax.models.inception import InceptionConfig as InceptionConfig
    from bnjax.models.lstm import LSTM as LSTM
    from bnjax.models.lstm import LSTMConfig as LSTMConfig
    from bnjax.models.lstm import hidden_gradients as hidden_gradients
    from bnjax.models.make import make_model as make_model
    from bnjax.models.mlp import MLP as MLP
    from bnjax.models.mlp import MLPConfig as MLPConfig
    from bnjax.models.repeated import RepeatedDense as RepeatedDense
    from bnjax.models.repeated import join_copies as join_copies
    from bnjax.models.resnet import ResNet as ResNet
    from bnjax.models.resnet import ResNetConfig as ResNetConfig
    from bnjax.models.vgg import VGG as VGG
    from bnjax.models.vgg import VGGConfig as VGGConfig

_PLACES = {
    **dict.fromkeys(("DeepLinear", "DeepLinearConfig"), "deep_linear"),
    **dict.fromkeys(("Inception", "InceptionConfig"), "inception"),
    **dict.fromkeys(("LSTM", "LSTMConfig", "hidden_gradients"), "lstm"),
    **dict.fromkeys(("MLP", "MLPConfig"), "mlp"),
    **dict.fromkeys(("RepeatedDense", "join_copies"), "repeated"),
    **dict.fromkeys(("ResNet", "ResNetConfig"), "resnet"),
    **dict.fromkeys(("VGG", "VGGConfig"), "vgg"),
    "HuberBatchNorm": "huber",
    "make_model": "make",
}


def __getattr__(name: str) -> Any:
    """Import a model, and with it jax, when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"bnjax.models.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    """List the names that can be imported."""
    return sorted({*globals(), *_PLACES})

"""Models that take their normaliser as an argument: `make_model(config)` is the Model of any of the configurations.

vgg          VGG networks, for images
mlp          multilayer perceptrons, for whatever can be flattened
huber        the batch norm of a replication of theirs
deep_linear  products of square matrices, for vectors
make         from a configuration to a Model
shared       what they have in common
"""

from bnjax.models.deep_linear import DeepLinear as DeepLinear
from bnjax.models.deep_linear import DeepLinearConfig as DeepLinearConfig
from bnjax.models.huber import HuberBatchNorm as HuberBatchNorm
from bnjax.models.make import make_model as make_model
from bnjax.models.mlp import MLP as MLP
from bnjax.models.mlp import MLPConfig as MLPConfig
from bnjax.models.vgg import VGG as VGG
from bnjax.models.vgg import VGGConfig as VGGConfig

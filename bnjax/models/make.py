"""Models from their configurations."""

from functools import partial

from jax import Array

from bnjax import adapters
from bnjax._host.programs import compiled_once, remembered
from bnjax.models.deep_linear import DeepLinear, DeepLinearConfig
from bnjax.models.inception import Inception, InceptionConfig
from bnjax.models.lstm import LSTM, LSTMConfig
from bnjax.models.mlp import MLP, MLPConfig
from bnjax.models.resnet import ResNet, ResNetConfig
from bnjax.models.vgg import VGG, VGGConfig
from bnjax.models.weights import redraw_kernels
from bnjax.types import Model, Variables

_MODULES = {
    VGGConfig: VGG,
    MLPConfig: MLP,
    ResNetConfig: ResNet,
    InceptionConfig: Inception,
    DeepLinearConfig: DeepLinear,
    LSTMConfig: LSTM,
}

Config = VGGConfig | MLPConfig | ResNetConfig | InceptionConfig | DeepLinearConfig | LSTMConfig


@remembered
def make_model(config: Config) -> Model:
    """Make the pure functions of the network that `config` describes.

    The kernels of all layers are drawn at once, except those of an LSTM. `VGG(config).init` and the like draw layer by layer:
    their kernels have other values of the same distribution.

    Raises:
        ValueError: if `config` is not a configuration of a network.

    Example:
        >>> from bnjax import linen, models
        >>> model = models.make_model(models.MLPConfig(hidden=(8,), norm=linen.BatchNorm, num_classes=3))
        >>> variables = model.init(jax.random.key(0), jnp.ones((2, 4)))
        >>> logits, batch_stats = model.apply(variables, jnp.ones((2, 4)), train=True)
        >>> print(logits.shape, sorted(batch_stats["norm_1"]))
        (2, 3) ['mean', 'var']
    """
    if type(config) not in _MODULES:
        names = ", ".join(kind.__name__ for kind in _MODULES)
        raise ValueError(f"config must be one of {names}, got {config!r}.")
    model = adapters.from_linen(_MODULES[type(config)](config))
    return model._replace(init=partial(_init, model, config))


@compiled_once("model", "config")
def _init(model: Model, config: Config, key: Array, x: Array) -> Variables:
    """Draw all kernels at once; everything else comes from the module's own `init`."""
    params, batch_stats = model.init(key, x)
    if isinstance(config, LSTMConfig):
        return Variables(params, batch_stats)
    scale, copies = getattr(config, "kernel_scale", 1.0), getattr(config, "copies", {})
    redrawn = redraw_kernels(key, params, kernel_init=config.kernel_init, scale=scale, copies=copies)
    return Variables(redrawn, batch_stats)

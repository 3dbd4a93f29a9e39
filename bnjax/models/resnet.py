"""Pre-activation residual networks (He et al. 2016, arXiv 1603.05027) in the form for small images."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.shapes import ResNetShape
from bnjax.models.shared import Normalised, check_classes, check_images, normalise
from bnjax.models.weights import make_kernel_init
from bnjax.ops import conv_general_dilated


@dataclass(frozen=True)
class ResNetConfig(Normalised, ResNetShape):
    """A residual network: its shape, its classes and its normaliser.

    Attributes:
        num_classes: length of the logits.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.ResNetConfig(num_blocks=1, width=2, norm=linen.BatchNorm)
        >>> print(config.features)
        (2, 2, 2, 4, 4, 8, 8)
    """

    num_classes: int = 10

    def __post_init__(self):
        super().__post_init__()
        check_classes(self.num_classes)


class ResNet(nn.Module):
    """A 3x3 convolution, three stages of residual blocks, and a dense layer on the mean over the map.

        x <- shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))

    Weight layer number n is called `conv_n` or `dense_n`, and what follows it, also the sum of branch and shortcut, is
    normalised by `norm_n`. The shortcut is the identity; into a stage of more features it takes every second pixel, and adds
    features that are 0 (option A of He et al. 2016, arXiv 1512.03385), so that it has no parameters.

    Example:
        >>> from bnjax import linen, models
        >>> net = models.ResNet(models.ResNetConfig(num_blocks=1, width=2, norm=linen.BatchNorm))
        >>> shapes = jax.eval_shape(lambda key: net.init(key, jnp.ones((2, 8, 8, 3)), train=False), jax.random.key(0))
        >>> print(shapes["params"]["conv_1"]["kernel"].shape, len(shapes["batch_stats"]))
        (3, 3, 3, 2) 7
    """

    config: ResNetConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        check_images(x)
        config, layer = self.config, 1
        x = self._conv(layer, config.stage_features[0], x)
        for stage, features in enumerate(config.stage_features):
            for block in range(config.num_blocks):
                stride, branch = 2 if stage > 0 and block == 0 else 1, x
                for step in (stride, 1):
                    branch = nn.relu(normalise(config, layer, branch, train=train))
                    layer += 1
                    branch = self._conv(layer, features, branch)[:, ::step, ::step]
                if config.skip_init:
                    branch = branch * self.param(f"scale_{layer}", nn.initializers.zeros, ()).astype(branch.dtype)
                x = shortcut(x, features, stride) + branch
        x = nn.relu(normalise(config, layer, x, train=train)).mean(axis=(1, 2))
        init = make_kernel_init(config.kernel_init)
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{layer + 1}")(x)

    @nn.nowrap
    def _conv(self, layer: int, features: int, x: Array) -> Array:
        """Convolve; for a stride of 2, take every second pixel of the result.

        NOTE: gradients of strided convolutions miss the fast path of `bnjax.ops` on CPU; this takes a sixth more products.
        """
        config = self.config
        return nn.Conv(
            features,
            (3, 3),
            use_bias=config.use_bias,
            kernel_init=make_kernel_init(config.kernel_init),
            dtype=config.dtype,
            conv_general_dilated=conv_general_dilated,
            name=f"conv_{layer}",
        )(x)


def shortcut(
    x: Float[Array, "batch height width channels"], features: int, stride: int
) -> Float[Array, "batch rows columns features"]:
    """Take every `stride`-th pixel, and add features that are 0: the shortcut to which a block adds its branch.

    Args:
        x: input of the block.
        features: of its output, at least those of its input.
        stride: of its first convolution.

    Example:
        >>> from bnjax.models import resnet
        >>> print(resnet.shortcut(jnp.ones((1, 8, 8, 2)), 4, 2).shape)
        (1, 4, 4, 4)
    """
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))

"""VGG networks (Simonyan & Zisserman 2015) in the forms in which the batch-norm papers and their replications train them."""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from bnjax.models.repeated import RepeatedDense
from bnjax.models.shapes import HAVE_DROPOUT, HIDDEN_FEATURES, STAGE_FEATURES, STAGES, VGGShape
from bnjax.models.shared import Normalised, activate, check_classes, check_images
from bnjax.models.weights import make_kernel_init
from bnjax.ops import conv_general_dilated, max_pool_2x2


@dataclass(frozen=True)
class VGGConfig(Normalised, VGGShape):
    """A VGG: its shape, its classes and its normaliser.

    Attributes:
        num_classes: length of the logits.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.VGGConfig(width=1 / 64, norm=linen.BatchNorm, num_classes=5)
        >>> print(config.features)
        (1, 2, 4, 4, 8, 8, 8, 8, 8, 8)
    """

    num_classes: int = 10

    def __post_init__(self):
        super().__post_init__()
        check_classes(self.num_classes)


class VGG(nn.Module):
    """3x3 convolutions in five stages, then two hidden dense layers.

    A layer is weights, normaliser, activation, or weights, activation, normaliser; the last of a stage is then max-pooled.
    Weight layer number n is called `conv_n` or `dense_n`, its normaliser `norm_n`.
    Deviation: a map of one pixel is not pooled further, so that images smaller than 32x32 pass.

    Example:
        >>> from bnjax import linen, models
        >>> net = models.VGG(models.VGGConfig(width=1 / 64, norm=linen.BatchNorm))
        >>> shapes = jax.eval_shape(lambda key: net.init(key, jnp.ones((2, 32, 32, 3)), train=False), jax.random.key(0))
        >>> print(shapes["params"]["conv_1"]["kernel"].shape, len(shapes["batch_stats"]))
        (3, 3, 3, 1) 10
    """

    config: VGGConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        check_images(x)
        config, layer = self.config, 0
        init = make_kernel_init(config.kernel_init, config.kernel_scale)
        for num_convs, features in zip(STAGES[config.depth], STAGE_FEATURES, strict=True):
            for number in range(num_convs):
                layer += 1
                x = nn.Conv(
                    int(features * config.width),
                    (3, 3),
                    kernel_init=init,
                    dtype=config.dtype,
                    conv_general_dilated=conv_general_dilated,
                    name=f"conv_{layer}",
                )(x)
                is_pooled = number == num_convs - 1 and min(x.shape[1:3]) > 1
                x = activate(config, layer, x, train=train, **({"pool": max_pool_2x2} if is_pooled else {}))

        if config.head == "mameli":
            x = _adaptive_average_pool(x, 7)
        if config.copies and x.shape[1:3] != (1, 1):
            raise ValueError(f'with head "{config.head}", the last map must have one pixel, got {x.shape[1:3]}.')
        x = x.reshape(x.shape[0], -1)
        for _ in range(2):
            layer += 1
            features, name = int(HIDDEN_FEATURES[config.head] * config.width), f"dense_{layer}"
            copies = config.copies.get(name, 1)
            dense = nn.Dense if copies == 1 else partial(RepeatedDense, copies=copies)
            x = dense(features, kernel_init=init, dtype=config.dtype, name=name)(x)
            x = activate(config, layer, x, train=train)
            if config.head in HAVE_DROPOUT:
                x = nn.Dropout(0.5, deterministic=not train)(x)
        if config.dropout:
            x = nn.Dropout(config.dropout, deterministic=not train)(x)
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{layer + 1}")(x)


def _adaptive_average_pool(x: Array, size: int) -> Array:
    """Average (or, from a smaller map, copy) to size x size: cell i covers rows floor(i n / size) to ceil((i+1) n / size)."""

    def weights(n: int) -> np.ndarray:
        cell, pixel = np.arange(size)[:, None], np.arange(n)[None, :]
        covered = (pixel >= cell * n // size) & (pixel < -(-(cell + 1) * n // size))
        return (covered / covered.sum(axis=1, keepdims=True)).astype(x.dtype)

    return jnp.einsum("ih,nhwc,jw->nijc", weights(x.shape[1]), x, weights(x.shape[2]))

"""BN-Inception (Ioffe & Szegedy 2015, Fig. 5), the network on which batch norm was introduced, in a form for small images."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float

from bnjax.models.inception_shape import INCEPTION_MODULES, STEM_FEATURES, InceptionModule, InceptionShape, Pool
from bnjax.models.shared import Normalised, activate, check_classes, check_images
from bnjax.models.weights import make_kernel_init
from bnjax.ops import conv_general_dilated

_WINDOW = 3  # of the pooling, in pixels
_Conv = Callable[..., Array]


@dataclass(frozen=True)
class InceptionConfig(Normalised, InceptionShape):
    """BN-Inception: its shape, its classes and its normaliser.

    Attributes:
        num_classes: length of the logits.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.InceptionConfig(width=1 / 32, norm=linen.BatchNorm, num_classes=5)
        >>> print(config.features[:8])
        (6, 2, 2, 2, 2, 3, 3, 1)
    """

    num_classes: int = 10

    def __post_init__(self):
        super().__post_init__()
        check_classes(self.num_classes)


class Inception(nn.Module):
    """A 3x3 convolution, ten Inception modules, the mean over the map, and a dense layer.

    A module puts the features of its branches side by side:

        conv 1x1 | conv 1x1, conv 3x3 | conv 1x1, conv 3x3, conv 3x3 | pooling over 3x3, conv 1x1

    Modules 3c and 4e have stride 2; they have no first branch, and pass the pooled map through. Every convolution is followed
    by normaliser and activation, or by activation and normaliser. Weight layer number n is called `conv_n` or `dense_n`, its
    normaliser `norm_n`; they are numbered module by module, and in a module branch by branch.
    Average pooling averages only over pixels inside the map. Local response normalisation, which the paper's baseline has, is
    left out, and so are GoogLeNet's auxiliary classifiers, which the paper does not mention.

    Example:
        >>> from bnjax import linen, models
        >>> net = models.Inception(models.InceptionConfig(width=1 / 32, norm=linen.BatchNorm))
        >>> shapes = jax.eval_shape(lambda key: net.init(key, jnp.ones((2, 8, 8, 3)), train=False), jax.random.key(0))
        >>> print(shapes["params"]["conv_1"]["kernel"].shape, len(shapes["batch_stats"]))
        (3, 3, 3, 6) 67
    """

    config: InceptionConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], *, train: bool) -> Float[Array, "batch classes"]:
        """Compute the logits."""
        check_images(x)
        config, layer = self.config, 0
        init = make_kernel_init(config.kernel_init, config.kernel_scale)

        def conv(x: Array, features: int, size: int, stride: int = 1) -> Array:
            """Convolve, normalise and activate; for a stride of 2, take every second pixel of the convolution.

            NOTE: gradients of strided convolutions miss the fast path of `bnjax.ops` on CPU.
            """
            nonlocal layer
            layer += 1
            x = nn.Conv(
                int(features * config.width),
                (size, size),
                kernel_init=init,
                dtype=config.dtype,
                conv_general_dilated=conv_general_dilated,
                name=f"conv_{layer}",
            )(x)
            return activate(config, layer, x[:, ::stride, ::stride], train=train)

        x = conv(x, STEM_FEATURES, 3, config.stem_stride)
        for module in INCEPTION_MODULES:
            x = _concatenate_branches(module, x, conv)
        x = x.mean(axis=(1, 2))
        if config.dropout:
            x = nn.Dropout(config.dropout, deterministic=not train)(x)
        return nn.Dense(config.num_classes, kernel_init=init, name=f"dense_{layer + 1}")(x)


def _concatenate_branches(module: InceptionModule, x: Array, conv: _Conv) -> Array:
    """Apply the branches of a module to its input, and put their features side by side."""
    stride, branches = module.stride, []
    if module.one:
        branches.append(conv(x, module.one, 1))
    reduce, features = module.three
    branches.append(conv(conv(x, reduce, 1), features, 3, stride))
    reduce, features = module.double
    branches.append(conv(conv(conv(x, reduce, 1), features, 3), features, 3, stride))
    pooled = _pool_3x3(x, module.pool, stride)
    branches.append(conv(pooled, module.projection, 1) if module.projection else pooled)
    return jnp.concatenate(branches, axis=-1)


def _pool_3x3(x: Array, pool: Pool, stride: int) -> Array:
    """Take the mean or the maximum over the pixels of the map in windows of 3x3, first over rows, then over columns.

    NOTE: XLA's gradient of a window maximum takes longer on CPU than a layer's convolutions. Here it is a selection, in which
    two equal maxima share the gradient.
    """
    for axis in (1, 2):
        if pool == "max":
            x = _reduce_shifts(x, axis, stride, -jnp.inf, jnp.maximum)
        else:
            counts = _reduce_shifts(jnp.ones((1, *x.shape[1:3], 1), x.dtype), axis, stride, 0.0, jnp.add)
            x = _reduce_shifts(x, axis, stride, 0.0, jnp.add) / counts
    return x


def _reduce_shifts(x: Array, axis: int, stride: int, padding: float, reduce: Callable[[Array, Array], Array]) -> Array:
    """Combine each pixel with both of its neighbours along an axis; beyond the map lies the padding."""
    ends = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
    padded, length = jnp.pad(x, ends, constant_values=padding), x.shape[axis]
    before, here, after = (lax.slice_in_dim(padded, shift, shift + length, stride, axis) for shift in range(_WINDOW))
    return reduce(reduce(before, here), after)

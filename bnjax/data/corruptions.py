"""Corrupt images, so that they differ from the training images: pure functions of a key and pixels between 0 and 1.

The corruptions follow Hendrycks & Dietterich 2019 in kind; their strengths are those given here. Each returns pixels between 0
and 1 again.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.kinds import kind_of
from bnjax._host.trees import is_known

Images = Float[Array, "examples height width channels"]
_ROUNDING = 1e-3  # beyond 0 and 1
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


@checked()
def corrupt(name: str, key: Array, images: Images) -> Images:
    """Apply a corruption.

    Args:
        name: "contrast" keeps 0.3 of the distance from each image's mean colour; "noise_0.1" and "noise_0.2" add Gaussian noise
            of that standard deviation to each pixel; "brightness" adds 0.3; "grey" takes the luminance of colours; "blur"
            averages with a Gaussian of standard deviation 1 pixel.
        key: of the noise; the others do not use it.
        images: pixels between 0 and 1.

    Returns:
        Images of the same shape, pixels between 0 and 1.

    Raises:
        ValueError: if the name is unknown, the images are not traced and hold other numbers than 0 to 1, or "grey" gets neither
            1 nor 3 channels.

    Example:
        >>> from bnjax import data
        >>> print(data.corrupt("brightness", jax.random.key(0), jnp.full((1, 1, 2, 1), 0.5)).ravel())
        [0.8 0.8]
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"name must be one of {', '.join(CORRUPTIONS)}, got {name!r}.")
    if images.ndim != 4:
        raise ValueError(f"images must have shape (examples, height, width, channels), got {images.shape}.")
    if got := _not_pixels(images):
        raise ValueError(
            f"images must be numbers between 0 and 1, such as take_batch(split, indices).inputs, got {got}."
        )
    return jnp.clip(CORRUPTIONS[name](key, images), 0, 1)


def _not_pixels(images: Images) -> str:
    """Describe type or range of images that are not numbers between 0 and 1; empty if they are, or are traced."""
    if kind_of(images.dtype) != "f":
        return str(images.dtype)
    if not is_known(images) or not getattr(images, "is_fully_addressable", True):
        return ""
    known = np.asarray(images, np.float64)  # not in JAX, which would trace it inside compiled code
    low, high = np.nanmin(known, initial=np.inf), np.nanmax(known, initial=-np.inf)
    return "" if low >= -_ROUNDING and high <= 1 + _ROUNDING else f"{low:.4g} to {high:.4g}"


def _contrast(_key: Array, images: Images) -> Images:
    """Shrink the distance from the mean of each image and channel."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + 0.3 * (images - mean)


def _noise(std: float) -> Callable[[Array, Images], Images]:
    return lambda key, images: images + std * jax.random.normal(key, images.shape, images.dtype)


def _brightness(_key: Array, images: Images) -> Images:
    return images + 0.3


def _grey(_key: Array, images: Images) -> Images:
    """Set all channels to the luminance; a single channel is grey already."""
    if (channels := images.shape[-1]) == 1:
        return images
    if channels != 3:
        raise ValueError(f"images must have 1 or 3 channels for grey, got {channels}.")
    luminance = sum(factor * images[..., i : i + 1] for i, factor in enumerate(_LUMINANCE))
    return jnp.broadcast_to(jnp.asarray(luminance), images.shape)


def _blur(_key: Array, images: Images) -> Images:
    """Convolve with a Gaussian of seven pixels, one axis after the other; edge pixels are repeated as padding."""
    weights = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    for axis in (1, 2):
        wide = jnp.pad(images, [(3, 3) if a == axis else (0, 0) for a in range(4)], mode="edge")
        shifted = (jax.lax.slice_in_dim(wide, i, i + images.shape[axis], axis=axis) for i in range(7))
        images = jnp.asarray(sum(float(w) * part for w, part in zip(weights / weights.sum(), shifted, strict=True)))
    return images


CORRUPTIONS: Mapping[str, Callable[[Array, Images], Images]] = MappingProxyType(
    {
        "contrast": _contrast,
        "noise_0.1": _noise(0.1),
        "noise_0.2": _noise(0.2),
        "brightness": _brightness,
        "grey": _grey,
        "blur": _blur,
    }
)

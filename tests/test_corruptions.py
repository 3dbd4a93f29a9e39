"""Corrupted images against NumPy and SciPy, in float64."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from bnjax import data

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).uniform(size=(3, 9, 8, 3)).astype(np.float32)


def corrupted(name, images=IMAGES, key=KEY):
    """Corrupt images."""
    return np.asarray(data.corrupt(name, key, jax.numpy.asarray(images)))


def by_numpy(name, images):
    """Do the same in float64."""
    images = images.astype(np.float64)
    mean = images.mean((1, 2), keepdims=True)
    blurred = ndimage.gaussian_filter(images, (0, 1, 1, 0), mode="nearest", truncate=3)
    grey = np.repeat((images @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
    found = {"contrast": mean + 0.3 * (images - mean), "brightness": images + 0.3, "grey": grey, "blur": blurred}
    return np.clip(found[name], 0, 1)


@pytest.mark.parametrize("name", ["contrast", "brightness", "grey", "blur"])
def test_corruptions_are_those_of_numpy(name):
    """Colour by colour, image by image, whatever the key."""
    np.testing.assert_allclose(corrupted(name), by_numpy(name, IMAGES), atol=1e-6)
    np.testing.assert_array_equal(corrupted(name), corrupted(name, key=jax.random.key(4)))
    np.testing.assert_allclose(corrupted(name)[:1], corrupted(name, IMAGES[:1]), atol=1e-6)


@pytest.mark.parametrize(("name", "std"), [("noise_0.1", 0.1), ("noise_0.2", 0.2)])
def test_noise_has_its_strength_and_follows_from_the_key(name, std):
    """Mean 0, the standard deviation that the name says, clipped to pixels that there are; another key is other noise."""
    grey = np.full((50, 16, 16, 1), 0.5, np.float32)
    noise = corrupted(name, grey) - 0.5
    assert abs(noise.mean()) < 5 * std / np.sqrt(noise.size)
    clipped = np.clip(np.random.default_rng(1).normal(0, std, 10**6), -0.5, 0.5)
    np.testing.assert_allclose(noise.std(), clipped.std(), rtol=0.02)
    np.testing.assert_array_equal(noise, corrupted(name, grey) - 0.5)
    assert np.any(noise != corrupted(name, grey, jax.random.key(4)) - 0.5)
    assert np.abs(noise).max() <= 0.5


def test_one_channel_is_grey_already():
    """Digits stay as they are."""
    np.testing.assert_array_equal(corrupted("grey", IMAGES[..., :1]), IMAGES[..., :1])


@pytest.mark.parametrize("channels", [2, 4])
def test_grey_is_of_colours(channels):
    """Other numbers of channels have no luminance; the other corruptions take any."""
    images = np.full((2, 3, 3, channels), 0.5, np.float32)
    with pytest.raises(ValueError, match=rf"^images must have 1 or 3 channels for grey, got {channels}\.$"):
        corrupted("grey", images)
    assert corrupted("blur", images).shape == images.shape


def test_misfits():
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=r"name must be one of contrast, noise_0\.1, .*, blur, got 'fog'\."):
        corrupted("fog")
    with pytest.raises(
        ValueError, match=r"images must .*shape \(examples, height, width, channels\), got .*\(9, 8, 3\)"
    ):
        data.corrupt("blur", KEY, jax.numpy.asarray(IMAGES[0]))
    with pytest.raises(ValueError, match=r"name must be one of digits, .*, got 'svhn'\."):
        data.largest_pixel("svhn")
    with pytest.raises(ValueError, match=r"^preprocessing must be one of unit, .*, binary, got 'foo'\.$"):
        data.largest_pixel("digits", "foo")
    assert [data.largest_pixel(name, "binary") for name in ("digits", "mnist")] == [1, 1]


def test_inside_compiled_code():
    """Images that are known there are checked and corrupted as outside."""
    images = jax.numpy.asarray(IMAGES)
    found = jax.jit(lambda key: data.corrupt("blur", key, images))(KEY)
    np.testing.assert_allclose(found, corrupted("blur"), rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "got"), [((IMAGES * 255).astype(np.uint8), "uint8"), (IMAGES * 255, r"0\.\d+ to 25\d")]
)
def test_pixels_between_0_and_1(images, got, as_a_user):
    """Bytes would come out white."""
    message = rf"^images must be numbers between 0 and 1, such as take_batch\(split, indices\).inputs, got {got}"
    for name in ("blur", "noise_0.1"):
        with pytest.raises(ValueError, match=message):
            data.corrupt(name, KEY, jax.numpy.asarray(images))

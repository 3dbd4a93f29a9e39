"""Where images come from: embedded, synthetic, or prepared by tensorflow-datasets, read without TensorFlow."""

import contextlib
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from bnjax._host.archives import read_arrays
from bnjax._host.arguments import checked
from bnjax._host.files import cache_dir, write_whole
from bnjax._host.output import one_line
from bnjax.data.batches import Dataset, Split
from bnjax.data.prepared import (
    NUM_CLASSES,
    SHAPES,
    VERSIONS,
    DamagedDataError,
    MissingDataError,
    check_features,
    check_prepared,
    num_bytes,
    num_examples,
    shard_lengths,
    split_digest,
    split_files,
    unreadable,
)

PREPROCESSINGS = ("unit", "half", "meanstd", "binary")
_READ_SIZE = 1000  # records decoded at a time


class Images(NamedTuple):
    """A split as arrays of the host: uint8 images (n, height, width, channels), int32 labels (n,)."""

    images: np.ndarray
    labels: np.ndarray


@checked()
def load(
    name: str, *, preprocessing: str = "unit", image_size: int | None = None, data_dir: str | os.PathLike | None = None
) -> Dataset:
    """Load a data set onto the default device.

    `digits` (1,797 real 8x8 digits of the UCI set; the last 297 test) and `synthetic` (ten random 8x8 RGB patterns under
    noise) are always there. `cifar10` and `mnist` must have been prepared in `data_dir`; nothing is ever downloaded.

    Args:
        name: one of `NAMES`.
        preprocessing: "unit" maps the smallest to the largest possible pixel to [0, 1], "half" to [-1, 1]; "meanstd" gives
            each channel of the training split mean 0 and standard deviation 1; "binary" is 1 where a pixel is above the
            middle of the possible range, else 0.
        image_size: enlarge images to this height and width: repeat each pixel as often as fits, and add a border of
            pixels 0 on all sides; None leaves them as they are.
        data_dir: folder of tensorflow-datasets; default is TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Returns:
        Dataset of uint8 images and the map that preprocesses them.

    Raises:
        MissingDataError: if the set, or a package that reads it, is not there.
        DamagedDataError: if files of the set are gone or hold something else.
        DataError: if they cannot be read for a temporary reason, such as lack of memory.
        ValueError: if `name` or `preprocessing` is unknown, or the images are larger than `image_size`.

    Example:
        >>> from bnjax import data
        >>> train, test = data.load("digits")
        >>> print(train.images.shape, len(test.labels), train.images.dtype)
        (1500, 8, 8, 1) 297 uint8
    """
    _check_names(name, preprocessing)
    train, test = (split._replace(images=_enlarge(split.images, image_size)) for split in _SOURCES[name](data_dir))
    max_pixel = _MAX_PIXEL.get(name, 255)
    if preprocessing == "binary":
        train, test = (
            split._replace(images=(split.images > max_pixel / 2).astype(np.uint8)) for split in (train, test)
        )
        max_pixel = 1
    scale, offset = _affine(train.images, max_pixel, preprocessing)
    on_device = (Split(*map(jnp.asarray, (*split, scale, offset))) for split in (train, test))
    return Dataset(*on_device)


@checked()
def largest_pixel(name: str, preprocessing: str = "unit") -> int:
    """Return the largest possible value of a stored pixel; the smallest is 0.

    Args:
        name: of the data set.
        preprocessing: as in `load`; "binary" stores 0 and 1.

    Raises:
        ValueError: if there is no such data set or preprocessing.

    Example:
        >>> from bnjax import data
        >>> print(data.largest_pixel("digits"), data.largest_pixel("cifar10"))
        16 255
    """
    _check_names(name, preprocessing)
    return 1 if preprocessing == "binary" else _MAX_PIXEL.get(name, 255)


def _check_names(name: str, preprocessing: str) -> None:
    """Raise unless there are such a data set and such a preprocessing."""
    if name not in _SOURCES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}.")
    if preprocessing not in PREPROCESSINGS:
        raise ValueError(f"preprocessing must be one of {', '.join(PREPROCESSINGS)}, got {preprocessing!r}.")


def _enlarge(images: np.ndarray, size: int | None) -> np.ndarray:
    """Repeat pixels, then add a border, to reach `size`."""
    height, width = images.shape[1:3]
    if size in (None, height) and size in (None, width):
        return images
    if size < max(height, width):
        raise ValueError(f"image_size must be at least the images' own, {height} x {width}, got {size}.")
    times = size // max(height, width)
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    borders = [((size - n) // 2, size - n - (size - n) // 2) for n in images.shape[1:3]]
    return np.pad(images, ((0, 0), *borders, (0, 0)))


def _affine(images: np.ndarray, max_pixel: int, preprocessing: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute (scale, offset) per channel, float32."""
    channels = images.shape[-1]
    if preprocessing == "meanstd":
        # The moments of a byte image are exact from its histogram.
        counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)])
        values = np.arange(256.0)
        mean = counts @ values / counts.sum(axis=1)
        std = np.sqrt(counts @ values**2 / counts.sum(axis=1) - mean**2)
        scale, offset = 1 / std, -mean / std
    else:
        low, high = (-1, 1) if preprocessing == "half" else (0, 1)
        scale, offset = np.full(channels, (high - low) / max_pixel), np.full(channels, low)
    return scale.astype(np.float32), offset.astype(np.float32)


def _load_digits(_data_dir: object) -> tuple[Images, Images]:
    """Read the UCI digits that scikit-learn carries; their pixels go to 16."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise _missing_package("digits", "scikit-learn") from None
    pixels, labels = load_digits(return_X_y=True)
    images = np.asarray(pixels, np.uint8).reshape(-1, 8, 8, 1)
    # NOTE: the set is ordered by writer, so that this split tests on writers that were not trained on.
    labels = np.asarray(labels, np.int32)
    return Images(images[:1500], labels[:1500]), Images(images[1500:], labels[1500:])


def _load_synthetic(_data_dir: object) -> tuple[Images, Images]:
    """Draw ten 8x8 RGB patterns, and noisy copies of them: 2,000 to train on, 500 to test on."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(64, 192, (10, 8, 8, 3))

    def draw(num: int) -> Images:
        labels = rng.integers(10, size=num).astype(np.int32)
        noisy = patterns[labels] + rng.normal(0, 48, (num, 8, 8, 3))
        return Images(np.clip(noisy, 0, 255).astype(np.uint8), labels)

    return draw(2000), draw(500)


def _load_tfds(name: str, data_dir: str | os.PathLike | None) -> tuple[Images, Images]:
    """Read both splits of a prepared set, decoding its images only once per user."""
    folder = check_prepared(name, data_dir)
    return _cached(name, "train", folder), _cached(name, "test", folder)


def _cached(name: str, split: str, folder: Path) -> Images:
    """Load decoded images from the cache, or read the prepared set and fill it."""
    digest = split_digest(name, split, folder)
    folder_of_caches = cache_dir()
    path = folder_of_caches and folder_of_caches / f"{name}-{VERSIONS[name]}-{split}-{digest[:16]}.npz"
    try:
        arrays = read_arrays(path) if path else {}
        images = Images(arrays["images"], arrays["labels"])
    except Exception:  # absent, cut short, or damaged: numpy raises half a dozen types for that
        images = None
    if images and not _problem(images, name, split, folder):
        return images
    images = _read_tfds(name, split, folder)
    if problem := _problem(images, name, split, folder):
        raise DamagedDataError(name, folder, f"its split {split} {problem}")
    images = Images(images.images, images.labels.astype(np.int32))
    if path and split_digest(name, split, folder) == digest:  # otherwise its files have changed meanwhile
        with contextlib.suppress(OSError):  # without a cache the next run only takes seconds longer
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: np.savez(file, images=images.images, labels=images.labels))
    return images


def _problem(split_images: Images, name: str, split: str, folder: Path) -> str:
    """Describe how a split violates the rules of its data set; empty if it follows them."""
    images, labels = split_images
    number = num_examples(name, split, folder)
    if number < 1:
        return "has no examples"
    for what, array, kind, shape in (
        ("images", images, np.uint8, (number, *SHAPES[name])),
        ("labels", labels, np.integer, (number,)),
    ):
        if array.shape != shape or not np.issubdtype(array.dtype, kind):
            return f"must hold {what} of {kind.__name__}{list(shape)}, it holds {array.dtype}{list(array.shape)}"
    low, high = labels.min(), labels.max()
    if low < 0 or high >= NUM_CLASSES:
        return f"must hold labels from 0 to {NUM_CLASSES - 1}, it holds some from {low} to {high}"
    return ""


def _read_tfds(name: str, split: str, folder: Path) -> Images:
    """Decode every record of a split.

    NOTE: the features are made here; a folder's features name classes, whose modules tensorflow-datasets would import.
    """
    try:
        import PIL.Image  # noqa: F401
        import tensorflow_datasets as tfds
        from array_record.python.array_record_data_source import ArrayRecordDataSource
        from array_record.python.array_record_module import ArrayRecordReader
    except ImportError:
        raise _missing_package(name, "tensorflow-datasets, array_record and pillow") from None
    check_features(name, folder)
    # NOTE: labels are read as floats, since the library would truncate other numbers to integers.
    kinds = {"image": tfds.features.Image(shape=SHAPES[name]), "label": tfds.features.Scalar(np.float64)}
    features = tfds.features.FeaturesDict(kinds)
    decoders = {"image": tfds.decode.SkipDecoding()}
    images, labels, length = [], [], 0
    files = [str(file) for file in split_files(name, split, folder)]
    try:
        counts = [ArrayRecordReader(file).num_records() for file in files]
        source = ArrayRecordDataSource(files)
        for start in range(0, len(source), _READ_SIZE):
            for record in source.__getitems__(range(start, min(start + _READ_SIZE, len(source)))):
                example: Any = features.deserialize_example_np(record, decoders=decoders)
                images.append(_decode_png(example["image"], SHAPES[name]))
                labels.append(example["label"])
                length += len(record)
        read = Images(np.stack(images), _whole(np.array(labels)))
    except Exception as error:  # of the readers of records and of images, which raise many types
        problem = f"its split {split} cannot be read ({type(error).__name__}: {one_line(error)})"
        raise unreadable(name, folder, problem, error) from error
    lengths, num = shard_lengths(name, split, folder), num_bytes(name, split, folder)
    if counts != lengths or num not in (None, length):
        rule = f"must have files of {lengths} records, of {length if num is None else num} bytes in all"
        raise DamagedDataError(name, folder, f"its split {split} {rule}, it has {counts} of {length} bytes")
    return read


def _whole(labels: np.ndarray) -> np.ndarray:
    """Convert floats with integer values to integers."""
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    if not np.array_equal(whole, labels):
        raise ValueError("a label is no whole number")
    return whole


def _decode_png(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode an image of 8 bits, after checking its declared size.

    NOTE: PNG alone: pillow decodes other formats by programs such as Ghostscript.
    """
    from PIL import Image

    height, width, channels = shape
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        if (image.size, image.mode) != ((width, height), "L" if channels == 1 else "RGB"):
            raise ValueError(f"an image is {image.mode} of {image.height} x {image.width} pixels")
        # NOTE: pillow cuts colours of 16 bits to 8; a PNG begins with its header, which has the number of bits.
        if content[12:16] != b"IHDR" or content[24] != 8:
            raise ValueError("an image has other than 8 bits per channel")
        return np.asarray(image).reshape(shape)


def _missing_package(name: str, package: str) -> MissingDataError:
    """Make the error for a set whose reader is not installed."""
    return MissingDataError(f"{name} is read with {package}, not installed here: pip install 'bnjax[experiments]'")


_SOURCES: dict[str, Callable[..., tuple[Images, Images]]] = {
    "digits": _load_digits,
    "synthetic": _load_synthetic,
    **{name: partial(_load_tfds, name) for name in VERSIONS},
}
_MAX_PIXEL = {"digits": 16}
NAMES = tuple(_SOURCES)

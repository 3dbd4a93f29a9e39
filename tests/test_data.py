"""Data sets, their preprocessing, their cache, and batches that can be drawn again."""

import errno
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image

from bnjax import data
from bnjax.data import prepared as preparation
from bnjax.data import sources


def test_digits_are_all_there():
    """The embedded set has 1,797 images of ten kinds, in writers' order, pixels up to 16."""
    digits = data.load("digits")
    assert digits.train.images.shape == (1500, 8, 8, 1)
    assert digits.test.images.shape == (297, 8, 8, 1)
    assert int(digits.train.images.max()) == 16
    assert set(np.asarray(digits.test.labels)) == set(range(10))


@pytest.mark.parametrize(("preprocessing", "low", "high"), [("unit", 0, 1), ("half", -1, 1)])
@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_range_of_inputs(name, preprocessing, low, high):
    """The smallest and the largest possible pixel go to the ends of the range."""
    split = data.load(name, preprocessing=preprocessing).train
    ends = split._replace(images=jnp.array([0, 16 if name == "digits" else 255], jnp.uint8).reshape(2, 1, 1, 1))
    batch = data.take_batch(ends, jnp.arange(2))
    np.testing.assert_allclose(batch.inputs[:, 0, 0, 0], [low, high], atol=1e-6)


def test_meanstd_standardises_each_channel():
    """Training inputs have mean 0 and standard deviation 1 in each channel."""
    split = data.load("synthetic", preprocessing="meanstd").train
    inputs = data.take_batch(split, jnp.arange(len(split.labels))).inputs
    np.testing.assert_allclose(inputs.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std((0, 1, 2)), 1, atol=1e-5)


def test_enlarged_images():
    """Pixels are repeated as often as fits, and a border fills the rest."""
    small, large = data.load("digits").test.images, data.load("digits", image_size=18).test.images
    np.testing.assert_array_equal(large[:, 1:17:2, 2:17:2], small)
    assert large.shape == (297, 18, 18, 1)
    assert not np.any(large[:, 0])
    with pytest.raises(ValueError, match="image_size must be at least the images' own, 8 x 8, got 4"):
        data.load("digits", image_size=4)


def test_synthetic_is_the_same_everywhere():
    """Its images follow from a fixed seed."""
    assert int(data.load("synthetic").train.images.sum(dtype=jnp.uint32)) == 49_055_800


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "imagenet"}, "name must be one of digits, synthetic, cifar10, mnist, got 'imagenet'"),
        (
            {"name": "digits", "preprocessing": "none"},
            "preprocessing must be one of unit, half, meanstd, binary, got 'none'",
        ),
    ],
)
def test_unknown_names(arguments, message, as_a_user):
    """One line names what there is."""
    with pytest.raises(ValueError, match=message):
        data.load(**arguments)


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_a_set_that_is_not_prepared_is_named_at_once(name, tmp_path, monkeypatch):
    """What is missing, where, and the command; without asking tensorflow-datasets, which would try the network."""
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(data.MissingDataError) as error:
        data.load(name, data_dir=tmp_path)
    assert f"{name} {preparation.VERSIONS[name]} is not prepared in {tmp_path}" in str(error.value)
    assert f"python -m bnjax.data prepare {name} --data-dir {tmp_path}" in str(error.value)
    assert "\n" not in str(error.value)


def test_preparing_without_tensorflow_says_what_to_install():
    """The command that prepares names its extra."""
    command = [
        sys.executable,
        "-c",
        "import sys, runpy; sys.modules['tensorflow'] = None; sys.argv = ['x', 'prepare', ",
    ]
    command[-1] += "'cifar10']; runpy.run_module('bnjax.data', run_name='__main__')"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Preparing cifar10 needs ")
    assert "pip install 'bnjax[prepare]'" in done.stderr


@pytest.fixture(scope="module")
def small_mnist(tmp_path_factory):
    """A prepared MNIST of 30 + 10 images, written by tensorflow-datasets itself."""
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)

    class Mnist(tfds.core.GeneratorBasedBuilder):
        """A set with MNIST's name, version and features."""

        name = "mnist"
        VERSION = tfds.core.Version(preparation.VERSIONS["mnist"])
        SKIP_REGISTERING = True

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(30), "test": self._generate_examples(10)}

        def _generate_examples(self, num):
            for i in range(num):
                png = io.BytesIO()  # encoded here: tensorflow-datasets would do it with TensorFlow
                Image.fromarray(rng.integers(0, 256, (28, 28)).astype(np.uint8)).save(png, "png")
                yield i, {"image": io.BytesIO(png.getvalue()), "label": i % 10}

    folder = tmp_path_factory.mktemp("sets")
    Mnist(data_dir=folder, file_format="array_record").download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return folder


@pytest.fixture
def prepared(small_mnist, tmp_path, monkeypatch):
    """A copy of it, and an empty cache."""
    monkeypatch.setenv("BNJAX_CACHE_DIR", str(tmp_path / "cache"))
    shutil.copytree(small_mnist, tmp_path / "sets")
    return tmp_path


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
def test_prepared_sets_are_read_once_and_cached(prepared, monkeypatch):
    """Records are decoded without TensorFlow; then the cache serves, and a damaged cache is made again."""
    first = data.load("mnist", data_dir=prepared / "sets")
    assert first.train.images.shape == (30, 28, 28, 1)
    assert sorted(np.asarray(first.test.labels)) == list(range(10))
    assert "tensorflow" not in sys.modules
    files = sorted(file.name for file in (prepared / "cache").iterdir())
    assert re.fullmatch(r"mnist-3.0.1-test-\w{16}.npz mnist-3.0.1-train-\w{16}.npz", " ".join(files))

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_read_tfds", None)  # to read again would fail
        jax.tree.map(np.testing.assert_array_equal, first, data.load("mnist", data_dir=prepared / "sets"))
    cached = prepared / "cache" / files[0]
    cached.write_bytes(cached.read_bytes()[:1000])
    jax.tree.map(np.testing.assert_array_equal, first, data.load("mnist", data_dir=prepared / "sets"))
    assert cached.stat().st_size > 1000


def flip(file):
    """Flip a bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
def test_a_damaged_cache_is_made_again(prepared):
    """A flipped bit, a pickle in place of an array, something else altogether: the records are read once more."""
    first = data.load("mnist", data_dir=prepared / "sets")
    (cached,) = (prepared / "cache").glob("mnist-3.0.1-train-*.npz")
    size = cached.stat().st_size

    class Trap:
        """Unpickled, it would make a file."""

        def __reduce__(self):
            return Path.touch, (prepared / "sprung",)

    def trap(file):
        np.savez(file, images=np.array([Trap()], object), labels=np.array([Trap()], object))

    def few(file):
        np.savez(file, images=np.zeros((5, 28, 28, 1), np.uint8), labels=np.zeros(5, np.int32))

    for damage in (flip, trap, few, Path.unlink, lambda file: file.write_text("pixels")):
        damage(cached)
        jax.tree.map(np.testing.assert_array_equal, first, data.load("mnist", data_dir=prepared / "sets"))
        assert cached.stat().st_size == size
    assert not (prepared / "sprung").exists()


def zeros(file):
    """Overwrite a file's second half."""
    size = file.stat().st_size // 2
    file.write_bytes(file.read_bytes()[:size] + bytes(size))


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize(
    ("file", "damage", "problem"),
    [
        ("mnist-train.array_record-00000-of-00001", Path.unlink, "mnist-train.array_record-00000-of-00001 is gone"),
        ("mnist-test.array_record-00000-of-00001", Path.unlink, "mnist-test.array_record-00000-of-00001 is gone"),
        ("mnist-train.array_record-00000-of-00001", lambda file: os.truncate(file, 0), "of-00001 is empty"),
        (
            "mnist-train.array_record-00000-of-00001",
            lambda file: os.truncate(file, 70_000),
            "its split train cannot be read",
        ),
        ("mnist-test.array_record-00000-of-00001", zeros, "its split test cannot be read"),
        ("dataset_info.json", lambda file: os.truncate(file, 100), "dataset_info.json cannot be read"),
        ("dataset_info.json", lambda file: file.write_text('{"splits": 3}'), "dataset_info.json cannot be read"),
        ("features.json", lambda file: file.write_text("{}"), "cannot be read"),
    ],
)
def test_a_damaged_set_is_told(file, damage, problem, prepared, capsys):
    """What is gone or cannot be read is named, with what helps, by the library and in one line by the command."""
    folder = prepared / "sets" / "mnist" / preparation.VERSIONS["mnist"]
    damage(folder / file)
    with pytest.raises(data.DamagedDataError) as error:
        data.load("mnist", data_dir=prepared / "sets")
    start = f"mnist 3.0.1 in {prepared / 'sets'} is damaged: "
    end = (
        f". Move {folder} away, and prepare it again: python -m bnjax.data prepare mnist --data-dir {prepared / 'sets'}"
    )
    message = str(error.value)
    assert message.startswith(start)
    assert problem in message
    assert message.endswith(end)
    assert message.isprintable()
    assert tiny.call(prepared / "results", "--data.dataset", "mnist", "--data-dir", str(prepared / "sets")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "step/s" not in line and line.strip()] == [f"error: {message}"]


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
@pytest.mark.parametrize("place", ["sources._decode_png", "prepared.hashlib.file_digest", "prepared.json.loads"])
def test_a_set_that_cannot_be_read_for_now_is_not_damaged(place, error, prepared, monkeypatch):
    """Nobody is told to move it away."""

    def fails(*_arguments):
        raise error

    monkeypatch.setattr(f"bnjax.data.{place}", fails)
    with pytest.raises((data.DataError, MemoryError)) as raised:
        data.load("mnist", data_dir=prepared / "sets")
    assert not isinstance(raised.value, data.DamagedDataError)
    assert isinstance(raised.value, MemoryError) or "cannot be read now" in str(raised.value)


def test_binary_pixels():
    """A pixel above the middle of the possible range is 1, all others are 0."""
    split = data.load("digits", preprocessing="binary").train
    pixels = data.load("digits").train.images
    inputs = data.take_batch(split, jnp.arange(50)).inputs
    np.testing.assert_array_equal(inputs, (np.asarray(pixels[:50]) > 8).astype(np.float32))


def test_a_linear_map_has_exact_labels():
    """Labels are one matrix times the inputs, another one for another key, and batches can be drawn."""
    train, test = data.draw_linear_map(jax.random.key(0))
    assert train is test
    assert train.images.shape == train.labels.shape == (1000, 10)
    x, y = (np.asarray(values, np.float64) for values in (train.images, train.labels))
    matrix = np.linalg.lstsq(x, y)[0]
    np.testing.assert_allclose(x @ matrix, y, atol=1e-5)
    np.testing.assert_allclose(np.square(matrix).sum(), 100, atol=50)
    batch = data.take_batch(train, jnp.array([3, 1]))
    np.testing.assert_array_equal(batch.inputs, train.images[jnp.array([3, 1])])
    np.testing.assert_array_equal(batch.labels, train.labels[jnp.array([3, 1])])
    assert not np.allclose(data.draw_linear_map(jax.random.key(1)).train.labels, y)
    with pytest.raises(ValueError, match="width must be a whole number >= 1, got 0"):
        data.draw_linear_map(jax.random.key(0), width=0)


def test_the_digest_is_of_names_too():
    """Whatever was computed before of the same arrays."""
    split = data.from_arrays(jnp.ones((2, 1)), {"a": jnp.arange(2), "b": jnp.arange(2) + 1})
    renamed = split._replace(labels={"c": split.labels["a"], "d": split.labels["b"]})
    copied = renamed._replace(labels=jax.tree.map(jnp.copy, renamed.labels))
    assert data.digest(split) != data.digest(renamed) == data.digest(copied)

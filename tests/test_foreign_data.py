"""Data folders from elsewhere: they run nothing, are told from one another, and hold what they must, or are refused."""

import doctest
import io
import shutil
import struct
import subprocess
import sys
import zlib
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from prepared_sets import VERSION, describe, draw_image, prepare, write_records

from bnjax import data
from bnjax._host import digest as digests
from bnjax.data import batches, sources
from bnjax.data import prepared as preparation


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of decoded images."""
    monkeypatch.setenv("BNJAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The name of a class whose module, once imported, would make a file; and that file."""
    (tmp_path / "sprung_trap.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.sprung').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "sprung_trap.Feature", tmp_path / "sprung_trap.sprung"


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize("feature", ["image", "label", "id", "other"])
def test_a_class_that_a_folder_names_is_not_imported(feature, trap, tmp_path):
    """It is refused in one line."""
    name, sprung = trap
    write_records(prepare(tmp_path / "sets", **{feature: name}), draw_image(), 3)
    with pytest.raises(data.DamagedDataError, match=r"features\.json describes other records") as error:
        data.load("mnist", data_dir=tmp_path / "sets")
    assert "\n" not in str(error.value)
    assert not sprung.exists()
    assert "sprung_trap" not in sys.modules


def test_preparing_never_shows_a_folder_to_the_library(trap, tmp_path, monkeypatch, capsys):
    """One that is prepared stays, and one that is not is refused: tensorflow-datasets would import what it names."""
    from bnjax.data import __main__ as command_line

    shown = []
    library = SimpleNamespace(builder=lambda *names, **options: shown.append(names))
    for module in ("importlib_resources", "tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, module, library)
    prepared = prepare(tmp_path / "sets", image=trap[0])
    monkeypatch.setattr(sys, "argv", ["data", "prepare", "mnist", "--data-dir", str(tmp_path / "sets")])
    command_line.main()
    assert capsys.readouterr().out == f"mnist is prepared in {prepared}\n"
    (prepared / "dataset_info.json").unlink()
    with pytest.raises(SystemExit, match="must be a prepared set, or not be there; move it away"):
        command_line.main()
    assert not shown


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize(
    ("image", "label", "problem"),
    [
        (draw_image("RGB"), 3, "an image is RGB of 28 x 28 pixels"),
        (draw_image("P"), 3, "an image is P of 28 x 28 pixels"),
        (draw_image("I;16"), 3, "an image is I;16 of 28 x 28 pixels"),
        (draw_image(size=(27, 28)), 3, "an image is L of 28 x 27 pixels"),
        (draw_image(size=(5000, 5000)), 3, "an image is L of 5000 x 5000 pixels"),
        (draw_image(image_format="JPEG"), 3, "cannot identify image file"),
        (draw_image("RGB", image_format="EPS"), 3, "cannot identify image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n", 3, "cannot identify image file"),
        (draw_image(), -1, "must hold labels from 0 to 9, it holds some from -1 to -1"),
        (draw_image(), 99, "must hold labels from 0 to 9, it holds some from 99 to 99"),
        (draw_image(), 2**32 + 3, "must hold labels from 0 to 9, it holds some from 4294967299 to 4294967299"),
        (draw_image(), np.float32("nan"), "a label is no whole number"),
        (draw_image(), np.float32("inf"), "a label is no whole number"),
        (draw_image(), np.float32(3.5), "a label is no whole number"),
    ],
)
def test_records_of_another_kind_are_refused(image, label, problem, tmp_path, cache):
    """In one line, before an image is decoded that is larger than it may be, and by no other decoder than PNG's."""
    write_records(prepare(tmp_path / "sets"), image, label)
    with pytest.raises(data.DamagedDataError) as error:
        data.load("mnist", data_dir=tmp_path / "sets")
    assert problem in str(error.value)
    assert str(error.value).isprintable()
    assert not cache.exists()


def test_colours_of_16_bits_are_refused():
    """Pillow would cut them to 8 without a word."""
    rows = b"".join(b"\0" + bytes(2 * 3 * 32) for _ in range(32))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(x)) + kind + x + struct.pack(">I", zlib.crc32(kind + x)) for kind, x in parts]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    assert Image.open(io.BytesIO(png)).mode == "RGB"
    with pytest.raises(ValueError, match="an image has other than 8 bits per channel"):
        sources._decode_png(png, (32, 32, 3))


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize("damage", ["copied", "exchanged"])
def test_a_file_in_the_place_of_another_is_noticed(damage, tmp_path, cache):
    """By the number of its records, or by the length of all records; sets that do not say the length can be read."""
    prepared = prepare(tmp_path / "sets")
    lengths = {"train": write_records(prepared, draw_image(), 3, (1, 2), "train"), "test": 0}
    lengths["test"] = write_records(prepared, draw_image() + bytes(50), 4, (1, 2), "test")
    told = {split: {"shardLengths": ["1", "2"], "numBytes": str(3 * length)} for split, length in lengths.items()}
    describe(prepared, **told)
    assert data.load("mnist", data_dir=tmp_path / "sets").train.labels.tolist() == [3] * 3
    shutil.rmtree(cache)
    first, second = (prepared / f"mnist-train.array_record-0000{i}-of-00002" for i in range(2))
    if damage == "copied":
        shutil.copy(prepared / second.name.replace("train", "test"), second)
        got = rf"of {3 * lengths['train']} bytes in all, it has \[1, 2\] of {lengths['train'] + 2 * lengths['test']} bytes"
    else:
        first.rename(prepared / "other")
        second.rename(first)
        (prepared / "other").rename(second)
        got = r"files of \[1, 2\] records, .*, it has \[2, 1\] of "
    with pytest.raises(data.DamagedDataError, match=got):
        data.load("mnist", data_dir=tmp_path / "sets")
    describe(prepared, train={"numBytes": None})
    if damage == "copied":
        assert data.load("mnist", data_dir=tmp_path / "sets").train.labels.tolist() == [3, 4, 4]


@pytest.mark.filterwarnings("ignore")  # tensorflow-datasets' own
@pytest.mark.parametrize("wrong", [3.5, "many", -1, []])
def test_a_length_that_is_no_number(wrong, tmp_path):
    """It is refused."""
    write_records(prepare(tmp_path / "sets"), draw_image(), 3)
    describe(tmp_path / "sets" / "mnist" / VERSION, train={"numBytes": wrong})
    with pytest.raises(data.DamagedDataError, match=r"dataset_info\.json cannot be read"):
        data.load("mnist", data_dir=tmp_path / "sets")


@pytest.mark.parametrize(
    ("shape", "dtype", "labels", "problem"),
    [
        ((5, 28, 28, 1), np.uint8, [1] * 5, "must hold images of uint8[3, 28, 28, 1], it holds uint8[5, 28, 28, 1]"),
        ((3, 28, 28, 3), np.uint8, [1] * 3, "it holds uint8[3, 28, 28, 3]"),
        ((3, 28, 28), np.uint8, [1] * 3, "it holds uint8[3, 28, 28]"),
        ((3, 28, 28, 1), np.float32, [1] * 3, "it holds float32[3, 28, 28, 1]"),
        ((3, 28, 28, 1), np.uint8, [1] * 2, "must hold labels of integer[3], it holds int64[2]"),
        ((3, 28, 28, 1), np.uint8, [1, np.nan, 2], "it holds float64[3]"),
        ((3, 28, 28, 1), np.uint8, [[1], [2], [3]], "it holds int64[3, 1]"),
        ((3, 28, 28, 1), np.uint8, [0, 9, -1], "must hold labels from 0 to 9, it holds some from -1 to 9"),
        ((3, 28, 28, 1), np.uint8, [0, 9, 10], "must hold labels from 0 to 9, it holds some from 0 to 10"),
    ],
)
def test_what_was_read_is_what_was_asked_for(shape, dtype, labels, problem, tmp_path, cache, monkeypatch):
    """Number, shape, type and range are compared, whoever has read; a cache that holds something else is made again."""
    prepare(tmp_path / "sets")
    wrong, right = (
        sources.Images(np.full(s, 7, kind), np.array(y))
        for s, kind, y in ((shape, dtype, labels), ((3, 28, 28, 1), np.uint8, [0, 1, 9]))
    )
    monkeypatch.setattr(sources, "_read_tfds", lambda *_: wrong)
    with pytest.raises(data.DamagedDataError, match="its split train ") as error:
        data.load("mnist", data_dir=tmp_path / "sets")
    assert problem in str(error.value)
    assert not cache.exists()
    monkeypatch.setattr(sources, "_read_tfds", lambda *_: right)
    for _ in range(2):
        np.testing.assert_array_equal(data.load("mnist", data_dir=tmp_path / "sets").train.labels, [0, 1, 9])
        for file in cache.iterdir():
            np.savez(file, images=wrong.images, labels=wrong.labels)


def test_a_set_without_examples(tmp_path, monkeypatch):
    """It is refused."""
    prepare(tmp_path / "sets", num=0)
    empty = sources.Images(np.zeros((0, 28, 28, 1), np.uint8), np.zeros(0, np.int32))
    monkeypatch.setattr(sources, "_read_tfds", lambda *_: empty)
    with pytest.raises(data.DamagedDataError, match="its split train has no examples"):
        data.load("mnist", data_dir=tmp_path / "sets")


def test_each_folder_has_its_own_images(tmp_path, monkeypatch):
    """Folders that hold sets of one name and version, smaller, relabelled or prepared again, are not taken for each other."""

    def read(name, split, folder):
        reads.append(folder)
        num = preparation.num_examples(name, split, folder)
        (path,) = preparation.split_files(name, split, folder)
        return sources.Images(np.full((num, 28, 28, 1), path.read_bytes()[0], np.uint8), np.arange(num) % 10)

    reads = []
    monkeypatch.setattr(sources, "_read_tfds", read)
    folders = {"small": (3, b"\1a"), "whole": (6, b"\1a"), "relabelled": (6, b"\2a"), "damaged": (6, b"\2b")}
    for name, (num, content) in folders.items():
        prepare(tmp_path / name, num, content)
    for name, (num, content) in [*folders.items()] * 2:
        images = data.load("mnist", data_dir=tmp_path / name).train.images
        assert (len(images), int(images[0, 0, 0, 0])) == (num, content[0])
    assert len(reads) == 2 * len(folders)
    prepare(tmp_path / "copy", *folders["small"])
    data.load("mnist", data_dir=tmp_path / "copy")
    assert len(reads) == 2 * len(folders)


def test_files_that_change_while_they_are_read_are_not_cached(tmp_path, cache, monkeypatch):
    """The images belong to the files from before or to those from after, which nobody knows."""

    def read(name, split, folder):
        (path,) = preparation.split_files(name, split, folder)
        path.write_bytes(b"other records")
        return sources.Images(np.zeros((3, 28, 28, 1), np.uint8), np.arange(3))

    monkeypatch.setattr(sources, "_read_tfds", read)
    prepare(tmp_path / "sets")
    data.load("mnist", data_dir=tmp_path / "sets")
    assert not cache.exists()


def test_the_digest_of_a_data_set_is_taken_once(monkeypatch):
    """It tells arrays apart by types, shapes and bytes, and is forgotten with them."""
    taken = []
    digest = digests.digest
    monkeypatch.setattr(digests, "digest", lambda tree: taken.append(1) or digest(tree))
    x, y = jnp.ones((4, 2)), jnp.arange(4)
    splits = [data.from_arrays(*arrays) for arrays in ((x, y), (x, y + 1), (2 * x, y), (x.T.reshape(4, 2, 1), y))]
    found = {data.digest(data.Dataset(split, splits[0])) for split in splits}
    assert len(found) == len(splits) == len(taken)
    dataset = data.Dataset(splits[0], splits[1])
    assert data.digest(dataset) == data.digest(dataset) == digest(dataset)
    assert len(taken) == len(splits) + 1
    assert data.digest(data.Dataset(*map(data.from_arrays, (x, x), (y, y + 1)))) == digest(dataset)

    on_host = jax.tree.map(np.array, splits[0])  # can change
    before = data.digest(on_host)
    on_host.images[0] = 0
    assert data.digest(on_host) != before
    known = len(batches._DIGESTS)
    del splits, dataset, x, y
    assert len(batches._DIGESTS) < known


def test_the_example_of_the_digest_runs():
    """It prints what it shows."""
    test = doctest.DocTestParser().get_doctest(data.digest.__doc__, {"data": data, "jnp": jnp}, "digest", None, 0)
    assert test.examples
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)


@pytest.mark.thorough
def test_the_digest_is_the_same_in_every_process():
    """So that a run finds its folder again."""
    code = "from bnjax import data; print(data.digest(data.load('digits')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == data.digest(data.load("digits"))

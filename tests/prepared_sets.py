"""Folders such as tensorflow-datasets writes, of a few images."""

import io
import json

import numpy as np
from PIL import Image

from bnjax.data import prepared as preparation

VERSION = preparation.VERSIONS["mnist"]
KINDS = {"image": "image_feature.Image", "label": "class_label_feature.ClassLabel"}


def prepare(folder, num=3, content=b"records", **kinds):
    """Make what is looked at of a prepared MNIST: descriptions, and a file of records for each split."""
    prepared = folder / "mnist" / VERSION
    prepared.mkdir(parents=True)
    splits = [{"name": split, "shardLengths": [str(num)]} for split in ("train", "test")]
    (prepared / "dataset_info.json").write_text(json.dumps({"name": "mnist", "version": VERSION, "splits": splits}))
    known = {name: f"tensorflow_datasets.core.features.{kind}" for name, kind in KINDS.items()}
    features = {name: {"pythonClassName": kind} for name, kind in (known | kinds).items()}
    (prepared / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    for split in ("train", "test"):
        (prepared / f"mnist-{split}.array_record-00000-of-00001").write_bytes(content)
    return prepared


def draw_image(kind="L", size=(28, 28), image_format="PNG"):
    """Encode a black image."""
    file = io.BytesIO()
    Image.new(kind, size).save(file, image_format)
    return file.getvalue()


def write_records(prepared, image, label, counts=(3,), split=None):
    """Write files of records of one image and one label, as tensorflow-datasets does, into a split or into both.

    Returns:
        The bytes of a record.
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    kinds = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.Scalar(np.asarray(label).dtype)}
    features = tfds.features.FeaturesDict(kinds)
    record = features.serialize_example({"image": io.BytesIO(image), "label": label})
    for name in ("train", "test") if split is None else (split,):
        for i, count in enumerate(counts):
            file = prepared / f"mnist-{name}.array_record-{i:05}-of-{len(counts):05}"
            writer = ArrayRecordWriter(str(file), "group_size:1")
            for _ in range(count):
                writer.write(record)
            writer.close()
    return len(record)


def describe(prepared, **fields):
    """Change what is said of a split."""
    file = prepared / "dataset_info.json"
    info = json.loads(file.read_text())
    for split in info["splits"]:
        split |= fields.get(split["name"], {})
    file.write_text(json.dumps(info | {name: value for name, value in fields.items() if name in info}))

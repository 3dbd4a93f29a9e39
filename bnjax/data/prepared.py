"""Check whether a data set of tensorflow-datasets is prepared, from its folder alone and without the library.

NOTE: tensorflow-datasets imports every module that a folder's `features.json` names, so it is never given a folder.
"""

import fnmatch
import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import Any

from bnjax._host.files import is_passing
from bnjax._host.output import one_line

VERSIONS = {"cifar10": "3.0.2", "mnist": "3.0.1"}
SHAPES = {"cifar10": (32, 32, 3), "mnist": (28, 28, 1)}
NUM_CLASSES = 10
# The kinds of features, by name, as `features.json` calls them.
_FEATURES = {"image": "image_feature.Image", "label": "class_label_feature.ClassLabel"}
_OPTIONAL_FEATURES = {"id": "text_feature.Text"}
_PACKAGE = "tensorflow_datasets.core.features."


class DataError(Exception):
    """A data set that cannot be used; the message is one line, and says what helps."""


class MissingDataError(DataError):
    """A data set that was not found in its folder; the message says how to prepare it."""


class DamagedDataError(DataError):
    """A data set whose files are missing or hold something else; the message names them."""

    def __init__(self, name: str, folder: Path, problem: str):
        prepared = folder / name / VERSIONS[name]
        super().__init__(
            f"{name} {VERSIONS[name]} in {folder} is damaged: {problem}. "
            f"Move {prepared} away, and prepare it again: {_command(name, folder)}"
        )


def _command(name: str, folder: Path) -> str:
    """Return the command that prepares a set, as a shell takes it."""
    return f"python -m bnjax.data prepare {name} --data-dir {shlex.quote(str(folder))}"


def unreadable(name: str, folder: Path, problem: str, error: Exception) -> DataError:
    """Return the error for an unreadable set: damaged, unless the reason may be temporary, such as lack of memory."""
    if is_passing(error):
        return DataError(f"{name} {VERSIONS[name]} in {folder} cannot be read now: {problem}.")
    return DamagedDataError(name, folder, problem)


def check_prepared(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder of tensorflow-datasets in which a set is prepared.

    Args:
        name: "cifar10" or "mnist", which must be prepared; other sets are always there.
        data_dir: folder of tensorflow-datasets; default is TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        MissingDataError: at once, without the network, if it is not. The message names the files, their place and a command.
        DamagedDataError: if some of its files are gone or empty, or they are described as another set's.
        DataError: if they cannot be read for a temporary reason, such as a lack of permissions, or the folder cannot exist.
        ValueError: if no such set is prepared, or `data_dir` is no path.

    Example:
        >>> import tempfile
        >>> from bnjax import data
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     try:
        ...         data.check_prepared("cifar10", empty)
        ...     except data.MissingDataError as error:
        ...         print(str(error)[:29])
        cifar10 3.0.2 is not prepared
    """
    if name not in (*VERSIONS,):
        raise ValueError(f"name must be one of {', '.join(VERSIONS)}, got {name!r}.")
    folder = data_folder(data_dir)
    prepared = folder / name / VERSIONS[name]
    try:
        names = {*os.listdir(prepared)}
        if "dataset_info.json" in names:
            (prepared / "dataset_info.json").stat()  # needs the permission to search the folder
    except (FileNotFoundError, NotADirectoryError):
        names = set()
    except (OSError, ValueError) as error:  # ValueError: of a character 0
        reason = getattr(error, "strerror", None) or error
        problem = f"{name} {VERSIONS[name]} in {folder} cannot be read ({reason})"
        raise DataError(f"{problem}. Set TFDS_DATA_DIR to a folder that can be read.") from error
    is_record = f"{name}-*.array_record*"
    if "dataset_info.json" not in names or not any(fnmatch.fnmatchcase(file, is_record) for file in names):
        raise MissingDataError(
            f"{name} {VERSIONS[name]} is not prepared in {folder} (array_record files in {prepared} are needed). "
            f"Set TFDS_DATA_DIR to the folder that holds it, or prepare it there on a machine with a network: "
            f"pip install 'bnjax[prepare]' && {_command(name, folder)}"
        )
    described = _read_json(name, "dataset_info.json", folder)
    for split in ("train", "test"):
        for file in split_files(name, split, folder):
            if not file.is_file() or not file.stat().st_size:
                raise DamagedDataError(name, folder, f"{file.name} is {'empty' if file.is_file() else 'gone'}")
    found = described.get("name"), described.get("version")
    if found != (name, VERSIONS[name]):
        problem = f"dataset_info.json must describe {name} {VERSIONS[name]}, it describes {found[0]} {found[1]}"
        raise DamagedDataError(name, folder, one_line(problem))
    return folder


def data_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder of tensorflow-datasets: the given one, else TFDS_DATA_DIR, else the user's.

    Raises:
        MissingDataError: if it is the address of another machine.
        ValueError: if it is no path.
    """
    if data_dir is not None and not isinstance(data_dir, str | os.PathLike):
        raise ValueError(f"data_dir must be a string or a PathLike, got {data_dir!r}.")
    given = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    if "://" in str(given):
        raise MissingDataError(
            f"data_dir, or TFDS_DATA_DIR, must be a folder of this machine, since remote ones are not read, got {given}. "
            "Copy the folder here, and name the copy."
        )
    return Path(os.path.expanduser(given))  # unlike Path.expanduser, works if the user has no home folder


def split_files(name: str, split: str, folder: Path) -> list[Path]:
    """List the files that tensorflow-datasets has written for a split."""
    count = len(shard_lengths(name, split, folder))
    names = (f"{name}-{split}.array_record-{i:05}-of-{count:05}" for i in range(count))
    return [folder / name / VERSIONS[name] / file for file in names]


def shard_lengths(name: str, split: str, folder: Path) -> list[int]:
    """List how many examples each file of a split has, as `dataset_info.json` says.

    Raises:
        DamagedDataError: if it does not say that.
    """
    try:
        splits = _read_json(name, "dataset_info.json", folder)["splits"]
        (lengths,) = (each["shardLengths"] for each in splits if each["name"] == split)
        return [_whole(length) for length in lengths]
    except (LookupError, TypeError, ValueError):
        raise DamagedDataError(name, folder, "dataset_info.json cannot be read") from None


def num_examples(name: str, split: str, folder: Path) -> int:
    """Return how many examples a split has, as `dataset_info.json` says."""
    return sum(shard_lengths(name, split, folder))


def split_digest(name: str, split: str, folder: Path) -> str:
    """Compute the SHA-256 of the files of a split and of how many examples they hold.

    Raises:
        DamagedDataError: if a file cannot be read; a plain DataError if the reason may be temporary.
    """
    hasher = hashlib.sha256(f"{shard_lengths(name, split, folder)}".encode())
    for path in split_files(name, split, folder):
        try:
            with path.open("rb") as file:
                hasher.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise unreadable(name, folder, f"{path.name} cannot be read ({error.strerror})", error) from error
    return hasher.hexdigest()


def check_features(name: str, folder: Path) -> None:
    """Raise unless a folder describes the records of this data set.

    Raises:
        DamagedDataError: if it describes other records.
    """
    try:
        described = _read_json(name, "features.json", folder)["featuresDict"]["features"]
        kinds = {feature: dict(about)["pythonClassName"] for feature, about in described.items()}
    except (LookupError, TypeError, AttributeError, ValueError):
        kinds = {}
    known = {feature: _PACKAGE + kind for feature, kind in (_FEATURES | _OPTIONAL_FEATURES).items()}
    if not _FEATURES.keys() <= kinds.keys() <= known.keys() or any(
        kinds[feature] != known[feature] for feature in kinds
    ):
        raise DamagedDataError(name, folder, "features.json describes other records, so that they cannot be read")


def num_bytes(name: str, split: str, folder: Path) -> int | None:
    """Return the length of all records of a split, as `dataset_info.json` says; None if it does not.

    Raises:
        DamagedDataError: if it says something else than a number.
    """
    try:
        splits = _read_json(name, "dataset_info.json", folder)["splits"]
        (length,) = (each.get("numBytes") for each in splits if each["name"] == split)
        return None if length is None else _whole(length)
    except (LookupError, TypeError, AttributeError, ValueError):
        raise DamagedDataError(name, folder, "dataset_info.json cannot be read") from None


def _whole(value: object) -> int:
    """Read a whole number, which this format writes as text."""
    if isinstance(value, bool | float) or not isinstance(value, int | str) or int(value) < 0:
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _read_json(name: str, file: str, folder: Path) -> Any:
    """Read a file of a prepared set."""
    try:
        return json.loads((folder / name / VERSIONS[name] / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise unreadable(name, folder, f"{file} cannot be read", error) from None

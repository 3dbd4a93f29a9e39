"""Whether a data set of tensorflow-datasets is prepared: answered from the folder alone, without importing anything."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

VERSIONS = {"cifar10": "3.0.2", "mnist": "3.0.1"}


class DataError(Exception):
    """A data set that cannot be used; the message is one line, and says what helps."""


class MissingDataError(DataError):
    """A data set that is not where it was looked for; the message says what prepares it."""


class DamagedDataError(DataError):
    """A data set of which files are gone, or hold something else; the message says which."""

    def __init__(self, name: str, folder: Path, problem: str):
        prepared = folder / name / VERSIONS[name]
        super().__init__(
            f"{name} {VERSIONS[name]} in {folder} is damaged: {problem}. "
            f"Move {prepared} away, and prepare it again: python -m bnjax.data prepare {name} --data-dir {folder}"
        )


def check_prepared(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder of tensorflow-datasets in which a set is prepared.

    Raises:
        MissingDataError: at once, without the network, if it is not: what is missing, where, and what prepares it.
        DamagedDataError: if some of its files are gone or empty.
    """
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()
    prepared = folder / name / VERSIONS[name]
    if not (prepared / "dataset_info.json").is_file() or not any(prepared.glob(f"{name}-*.array_record*")):
        raise MissingDataError(
            f"{name} {VERSIONS[name]} is not prepared in {folder} (array_record files in {prepared} are needed). "
            f"Set TFDS_DATA_DIR to the folder that holds it, or prepare it there on a machine with a network: "
            f"pip install -e '.[prepare]' && python -m bnjax.data prepare {name} --data-dir {folder}"
        )
    try:
        files = [prepared / file for file in _files(name, json.loads((prepared / "dataset_info.json").read_text()))]
    except (ValueError, LookupError, TypeError):
        raise DamagedDataError(name, folder, "dataset_info.json cannot be read") from None
    for file in files:
        if not file.is_file() or not file.stat().st_size:
            raise DamagedDataError(name, folder, f"{file.name} is {'empty' if file.is_file() else 'gone'}")
    return folder


def _files(name: str, info: dict) -> Iterator[str]:
    """List the files that tensorflow-datasets has written for each split."""
    for split in info["splits"]:
        count = len(split["shardLengths"])
        yield from (f"{name}-{split['name']}.array_record-{i:05}-of-{count:05}" for i in range(count))

"""Whether a data set of tensorflow-datasets is prepared: answered from the folder alone, without importing anything."""

import os
from pathlib import Path

VERSIONS = {"cifar10": "3.0.2", "mnist": "3.0.1"}


class MissingDataError(Exception):
    """A data set that is not where it was looked for; the message says what prepares it."""


def check_prepared(name: str, data_dir: str | os.PathLike | None = None) -> Path:
    """Return the folder of tensorflow-datasets in which a set is prepared.

    Raises:
        MissingDataError: at once, without the network, if it is not: what is missing, where, and what prepares it.
    """
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()
    prepared = folder / name / VERSIONS[name]
    if not (prepared / "dataset_info.json").is_file() or not any(prepared.glob(f"{name}-test.array_record*")):
        raise MissingDataError(
            f"{name} {VERSIONS[name]} is not prepared in {folder} (array_record files in {prepared} are needed). "
            f"Set TFDS_DATA_DIR to the folder that holds it, or prepare it there on a machine with a network: "
            f"pip install -e '.[prepare]' && python -m bnjax.data prepare {name} --data-dir {folder}"
        )
    return folder

"""`python -m bnjax.data prepare NAME`: download and prepare a data set, where TensorFlow is installed."""

import argparse
import importlib
import sys

from bnjax._host.output import say, unfailing_output
from bnjax.data.prepared import VERSIONS, DataError, check_prepared, data_folder


@unfailing_output()
def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bnjax.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="download a data set and write it as array_record files")
    prepare.add_argument("name", choices=VERSIONS)
    prepare.add_argument("--data-dir", help="default: TFDS_DATA_DIR, else ~/tensorflow_datasets")
    arguments = parser.parse_args()
    try:
        # tensorflow-datasets imports the first without declaring it, and the second only where it needs it.
        importlib.import_module("importlib_resources")
        importlib.import_module("tensorflow")
        import tensorflow_datasets as tfds
    except ImportError as error:
        sys.exit(f"Preparing {arguments.name} needs {error.name}: pip install 'bnjax[prepare]'")
    try:
        folder = data_folder(arguments.data_dir)
    except DataError as error:
        sys.exit(f"error: {error}")
    target = folder / arguments.name / VERSIONS[arguments.name]
    if target.exists():
        # NOTE: never shown to tensorflow-datasets, which imports the modules that such a folder names.
        try:
            check_prepared(arguments.name, folder)
        except DataError as error:
            sys.exit(f"error: {target} must be a prepared set, or not be there; move it away. {error}")
    else:
        # NOTE: the default file format, tfrecord, cannot be read without TensorFlow.
        version = f"{arguments.name}:{VERSIONS[arguments.name]}"
        tfds.builder(version, data_dir=folder, file_format="array_record").download_and_prepare()
    say(f"{arguments.name} is prepared in {target}")


if __name__ == "__main__":
    main()

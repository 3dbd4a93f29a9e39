"""`python -m bnjax.data prepare NAME`: download and prepare a data set, where TensorFlow is installed."""

import argparse
import importlib
import sys

from bnjax.data.prepared import VERSIONS


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
        sys.exit(f"Preparing {arguments.name} needs {error.name}: pip install -e '.[prepare]'")
    # NOTE: the default file format, tfrecord, cannot be read without TensorFlow.
    builder = tfds.builder(
        f"{arguments.name}:{VERSIONS[arguments.name]}", data_dir=arguments.data_dir, file_format="array_record"
    )
    builder.download_and_prepare()
    print(f"{arguments.name} is prepared in {builder.data_path}")


if __name__ == "__main__":
    main()

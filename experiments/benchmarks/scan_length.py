"""Long scans: time per point and memory from 10 points to 10,000.

Command: python -m experiments.benchmarks.scan_length

Points lie on a line through a narrow VGG-A, loss alone, as in `experiments.benchmarks.scan`. "memory" is the most that this
process has held so far, its compiled programs and images included; a scan that kept its points' parameters would need the
last column more.

Measured: on two CPU cores, in three minutes: 8.0, 5.9, 5.6 and 5.5 ms per point, while memory grew from 979 to 1,204 MiB.
"""

import argparse
import resource
import sys

import jax
import numpy as np

from bnjax import probes
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._timing import measure
from experiments.benchmarks.scan import make_scan


def peak_memory() -> float:
    """Return the most memory this process has held, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.scan_length", description=__doc__)
    parser.add_argument("--width", type=positive(float), default=1 / 16, help="of the VGG-A (default: 1/16)")
    parser.add_argument(
        "--points", type=positive(int), nargs="+", default=[10, 100, 1_000, 10_000], help="of the scans"
    )
    arguments = parser.parse_args()

    loss_fn, params = make_scan(arguments.width)
    direction = probes.directions.gradient(loss_fn, params)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params)) / 2**20
    print(f"{'points':>8}{'ms per point':>14}{'memory (MiB)':>14}{'all parameters (MiB)':>22}")
    for num in arguments.points:
        sizes = np.linspace(0, 0.4, num)

        def scan(sizes: np.ndarray = sizes) -> object:
            return probes.scan_line(loss_fn, params, direction, sizes, gradients=False, show_progress=False).loss

        scan()  # compiles
        milliseconds = measure({"scan": scan}, rounds=3, seconds=20)["scan"]
        print(f"{num:8,}{milliseconds / num:14.2f}{peak_memory():14.0f}{num * size:22.0f}", flush=True)


if __name__ == "__main__":
    main()

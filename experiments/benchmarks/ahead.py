"""What the compilers of accelerators make of bnjax, on a machine that has none: memory, bytes, kernels, precision, collectives.

Command: python -m experiments.benchmarks.ahead h100 --output results/ahead
         python -m experiments.benchmarks.ahead v5e --nets mlp --output results/ahead

It needs the compiler, in an environment of its own beside what bnjax needs: `pip install 'jax[cuda12]'` for an H100,
`pip install 'jax[tpu]'` for a TPU v5e; no device, and no driver. Nothing is run. A row is one program: a gradient, bnjax's
beside plain Flax's of the same net; a training step; a sweep; every probe, scans in each way of batching; and a scan that is
spread over four devices. It says

    compiles      seconds, or why it does not
    memory        arguments, results and temporaries, by which bnjax bounds how many points go together
    temporaries   of these, what is beside arguments and results
    bytes         of operands and results of the program's top level, without the bodies of loops and called programs; what a
                  loop carries from one iteration to the next counts as read and as written once; an asynchronous kernel
                  counts at its start and at its end
    grouped       convolutions with feature groups, which points together become
    precision     of products and convolutions
    collectives   all-reduces, all-gathers and their like

Rows are written to `rows-h100.jsonl` as they are compiled, and those that are there are not compiled again, so that the command
can be stopped and continued. The table in Markdown is printed, and written to `table-h100.md`, with the versions. How long a
program takes on the device is not known before somebody has one: see `experiments.benchmarks.accelerator`.

Measured: rows and tables are in `experiments/benchmarks/compiled`, and `--output experiments/benchmarks/compiled` goes on with
them. All of them compile. A gradient of VGG-A moves 1,545 MB on an H100 and needs 217, in plain Flax 2,048 and 307; at a
quarter of its width 346 and 38, in plain Flax 482 and 67. On a v5e it moves 2,538 MB, in plain Flax 2,018; at a quarter 317
and 268.
At full width, bnjax's batch norm in plain Flax makes its gradient move 1.13 times as much on an H100 and 1.09 on a v5e (at a
quarter 1.09 and 1.15), since it passes over its inputs twice, for the digits of the variance.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks._arguments import positive
from experiments.benchmarks._rows import Rows

NETS = ("vgg", "vgg/4", "resnet", "mlp")
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "TPU_SKIP_MDS_QUERY": "1",
}
_COLUMNS = ("memory_mb", "temporaries_mb", "moved_mb", "grouped")
_BYTES = (
    "Bytes count the operands and results of a program's top level, without the bodies of loops. What a loop carries from one "
    "iteration to the next counts twice. Programs with and without loops cannot be compared by these bytes."
)


def parse(options: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.ahead", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", choices=("h100", "v5e", "cpu"), help="what to compile for; cpu is for tests")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), help="which nets (all)")
    parser.add_argument("--programs", nargs="+", help="which programs, by the beginning of their names (all)")
    parser.add_argument("--batch", type=positive(int), default=128, help="examples per batch (128)")
    parser.add_argument("--points", type=positive(int), default=64, help="points of a scan (64)")
    parser.add_argument("--output", type=Path, default=Path("results/ahead"), help="folder (results/ahead)")
    return parser.parse_args(options)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows in Markdown, after what they were compiled for and with."""
    if not rows:
        return "Nothing was compiled."
    versions = ", ".join(f"{name} {version}" for name, version in rows[-1]["versions"].items())
    sizes = ("memory, MB", "temporaries, MB", "bytes, MB", "grouped")
    head = ("net", "program", "seconds", *sizes, "precision", "collectives")
    lines = [f"For {rows[-1]['target']}, batch {rows[-1]['batch']}, float32; {versions}.", "", _BYTES, "", _line(head)]
    lines.append(_line("---" for _ in head))
    return "\n".join([*lines, *(_line(_cells(row)) for row in rows)])


def _cells(row: dict[str, Any]) -> list[str]:
    start = [row["net"], row["program"], f"{row['seconds']:.0f}"]
    if "error" in row:
        return [*start, row["error"], *[""] * 5]
    counts = [_counted(row[name]) for name in ("precision", "collectives")]
    sizes = [row.get(name) for name in _COLUMNS]  # rows of before have no memory
    return [*start, *("-" if size is None else f"{size:,.0f}" for size in sizes), *counts]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "-"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def main(options: Sequence[str] | None = None) -> None:
    """Compile what is not in the file of rows yet, and print the table."""
    arguments = parse(options)
    os.environ.update(_ENVIRONMENT)  # before jax is imported
    from experiments.benchmarks import _ahead

    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = Rows(arguments.output / f"rows-{arguments.target}.jsonl")
    try:
        _ahead.compile_all(arguments, rows)
    except ImportError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr, flush=True)
    finally:
        text = table(rows.read())
        (arguments.output / f"table-{arguments.target}.md").write_text(text + "\n")
        print(text, flush=True)


if __name__ == "__main__":
    main()

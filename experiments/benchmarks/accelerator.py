"""Everything that is measured when an accelerator is at hand, in one command of bounded length.

Command: TFDS_DATA_DIR=... python -m experiments.benchmarks.accelerator --output results/accelerator

It has three sections, each in processes of its own that are stopped when their time is over:

    rates        the device's matrix products and copies; whether it runs the convolutions of a VGG-A in bfloat16
    speed        scans, sweeps and trainings of VGG-As at full and a quarter of the width, in every way of batching
    experiments  training_curves, landscape and mameli at full width, first of few steps and then of all, and after that
                 training_curves and landscape as the paper has them

Rows are written to `rows.jsonl` as they are measured, so that nothing is lost where the command is killed. Whenever an
experiment ends, its figures are in `figures/` and its finished runs in `runs/`; one that was stopped is continued by the same
command from its checkpoints in `results/`. At the end a table in Markdown is printed, and written to `table.md`: it names
machine, net and batch. The command needs no more than the sum of its limits, and a minute for each process that is stopped.

Measured: on no accelerator so far. The tests run it on a CPU with nets of a few features.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments._command import catalogue
from experiments.benchmarks._arguments import positive

_GRACE = 60.0  # seconds in which a process that is stopped finishes its chunk and saves
# The flag of an experiment's number of steps.
_STEPS = {
    "training_curves": "--schedule.num-steps",
    "landscape": "--vgg.schedule.num-steps",
    "mameli": "--schedule.num-steps",
}


class Rows:
    """Rows of measurements in a file of JSON lines, each on disk before the next is measured."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, **row: Any) -> None:
        """Write a row."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Read all rows; half of one, whose process was killed, is left out."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found


def parse(options: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, which every process of it gets."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.accelerator", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("results/accelerator"), help="folder of all that is written"
    )
    parser.add_argument("--rates-seconds", type=float, default=60.0, help="limit of the first section (default: 60)")
    parser.add_argument("--speed-seconds", type=float, default=120.0, help="of the second (default: 120)")
    parser.add_argument("--experiments-seconds", type=float, default=600.0, help="of the third (default: 600)")
    parser.add_argument(
        "--widths", type=positive(float), nargs="+", default=[1.0, 0.25], help="of VGG-As (default: 1 0.25)"
    )
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], help="(default: float32 bfloat16)")
    parser.add_argument("--points", type=positive(int), default=64, help="of a scan (default: 64)")
    parser.add_argument("--runs", type=positive(int), default=8, help="of a sweep (default: 8)")
    parser.add_argument("--steps", type=positive(int), default=20, help="of sweeps and trainings (default: 20)")
    parser.add_argument("--rounds", type=positive(int), default=3, help="timed calls of a row (default: 3)")
    parser.add_argument(
        "--matrix-sizes", type=positive(int), nargs="*", default=[], help="of products (default: large ones)"
    )
    parser.add_argument("--experiments", nargs="*", choices=[*_STEPS], default=[*_STEPS], help="(default: all)")
    parser.add_argument("--presets", nargs="+", default=["full_width", "paper"], help="(default: full_width paper)")
    parser.add_argument(
        "--lengths", type=positive(int), nargs="*", default=[2000], help="of runs before whole ones (default: 2000)"
    )
    parser.add_argument("--data-dir", help="folder of prepared data sets (default: TFDS_DATA_DIR)")
    arguments = parser.parse_args(options)
    arguments.rows = Rows(arguments.output / "rows.jsonl")
    return arguments


def run_within(command: list[str], seconds: float, log: Path, grace: float = _GRACE) -> tuple[int | None, float]:
    """Run a command, and stop it when its time is over: by SIGTERM, on which experiments save, and then by SIGKILL.

    Args:
        command: to run.
        seconds: after which it is stopped.
        log: file to which its output is appended.
        grace: seconds between the two signals.

    Returns:
        (status, seconds): its exit status, None where it was stopped, and how long it took.
    """
    start = time.monotonic()
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            return process.wait(max(seconds, 0)), time.monotonic() - start
        except subprocess.TimeoutExpired:
            return None, time.monotonic() - start
        finally:
            _stop(process, grace)


def _stop(process: subprocess.Popen, grace: float) -> None:
    """Stop a process if it is at work."""
    for ask in (process.terminate, process.kill):
        if process.poll() is None:
            ask()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)


def measure_sections(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    """Measure rates and speed."""
    for section in ("rates", "speed"):
        command = [sys.executable, "-m", "experiments.benchmarks._accelerator", section, *options]
        _run(arguments, section, command, getattr(arguments, f"{section}_seconds") * 1.1)


def run_experiments(arguments: argparse.Namespace) -> None:
    """Run the experiments, first of few steps and then of all, and pack their runs whenever one ends."""
    deadline = time.monotonic() + arguments.experiments_seconds
    for name, preset, length in _stages(arguments):
        left = deadline - time.monotonic()
        what = f"{name}, preset {preset}, {f'{length:,}' if length else 'all'} steps"
        if left <= 0:
            arguments.rows.add(kind="command", what=what, error="no time was left", seconds=0.0)
            continue
        folders = {"--results": "results", "--figures": "figures"}
        command = [sys.executable, "-m", "experiments", name, "--preset", preset]
        command += [word for flag, folder in folders.items() for word in (flag, str(arguments.output / folder))]
        command += [_STEPS[name], str(length)] if length else []
        command += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
        _run(arguments, what, command, left)
        _pack(arguments.output)


def _stages(arguments: argparse.Namespace) -> Iterator[tuple[str, str, int | None]]:
    """List experiments, presets and lengths in the order in which they run; not each experiment has each preset."""
    for preset in arguments.presets:
        for length in (*arguments.lengths, None):
            for name in arguments.experiments:
                if preset in catalogue.module(name).PRESETS:
                    yield name, preset, length


def _pack(output: Path) -> None:
    """Pack the finished runs."""
    if (output / "results").is_dir():
        options = ["--results", str(output / "results"), "--packed", str(output / "runs")]
        run_within([sys.executable, "-m", "experiments", "pack", *options], _GRACE, output / "log.txt")


def _run(arguments: argparse.Namespace, what: str, command: list[str], seconds: float) -> None:
    """Run a command and write how it ended."""
    print(f"{what} ...", flush=True)
    log = arguments.output / "log.txt"
    status, taken = run_within(command, seconds, log)
    error = {0: "", None: "its time was over"}.get(status, f"it ended with status {status}: {_last_line(log)}")
    arguments.rows.add(kind="command", what=what, **({"error": error} if error else {}), seconds=round(taken, 1))
    print(f"{what}: {error or 'done'}, {taken:.0f} s", flush=True)


def _last_line(log: Path) -> str:
    """Return the last line of a log, which says what was wrong."""
    return (log.read_text(errors="replace").splitlines() or [""])[-1]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as Markdown, the latest of each kind."""
    latest = {json.dumps({name: row.get(name) for name in _NAMES}): row for row in rows if row["kind"] != "machine"}
    machine = next((row for row in reversed(rows) if row["kind"] == "machine"), None)
    found = [*latest.values()]
    lines = [_about(machine, found)] if machine else []
    lines += ["", "| device | rate |", "|---|---|"]
    lines += [f"| {_what(row)} | {_rate(row)} |" for row in found if row["kind"] == "rate"]
    shapes = [row for row in found if row["kind"] == "convolution"]
    failed = [row for row in shapes if "error" in row]
    lines += (
        [f"| convolutions in bfloat16 | {len(shapes) - len(failed)} of {len(shapes)} shapes run |"] if shapes else []
    )
    lines += [f"| convolution {row['what']} | {row['error']} |" for row in failed]
    lines += ["", "| net | batching | per second | images per second | share of matrix rate |", "|---|---|---|---|---|"]
    lines += [_speed(row) for row in found if row["kind"] in _UNITS]
    lines += ["", "| command | seconds | ended |", "|---|---|---|"]
    commands = [row for row in found if row["kind"] == "command"]
    lines += [f"| {row['what']} | {row['seconds']:.0f} | {row.get('error', 'done')} |" for row in commands]
    return "\n".join(lines)


_NAMES = ("kind", "what", "width", "dtype", "precision", "batching")
_UNITS = {"scan": "points", "sweep": "steps", "training": "steps"}


def _about(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Name machine, net and batch in a sentence."""
    batches = sorted({row["batch"] for row in rows if "batch" in row})
    batch = f", batches of {', '.join(map(str, batches))} images of 32x32" if batches else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"On {machine['device']} ({machine['platform']}, {versions}), {machine['date']}: VGG-A with batch norm{batch}."
    )


def _what(row: dict[str, Any]) -> str:
    """Describe a rate."""
    return ", ".join(filter(None, [row["what"], row.get("dtype"), row.get("precision")]))


def _rate(row: dict[str, Any]) -> str:
    """Write a rate, or why there is none."""
    if "error" in row:
        return row["error"]
    return (
        f"{row['bytes_per_second'] / 1e9:,.1f} GB/s"
        if "bytes_per_second" in row
        else f"{row['operations_per_second'] / 1e12:,.3f} TFLOP/s"
    )


def _speed(row: dict[str, Any]) -> str:
    """Write the speed of a scan, a sweep or a training."""
    net = f"{row['kind']}, width {row['width']:g}, {row['dtype']}, precision {row['precision']}"
    found = row.get("found")
    kernels = (found or {}).get("kernels", "grouped")
    form = "" if kernels == "grouped" else f" {kernels}"
    batching = row["batching"] + (f" ({found['batching']}{form})" if found else "")
    if "error" in row:
        return f"| {net} | {batching} | {row['error']} | | |"
    unit = _UNITS[row["kind"]]
    share = f"{row['share']:.0%}" if "share" in row else "-"
    return (
        f"| {net} | {batching} | {row[f'{unit}_per_second']:,.1f} {unit} | {row['images_per_second']:,.0f} | {share} |"
    )


def main(options: Sequence[str] | None = None) -> None:
    """Run all sections, and print the table also where they are interrupted."""
    options = sys.argv[1:] if options is None else options
    arguments = parse(options)
    arguments.output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        measure_sections(arguments, options)
        run_experiments(arguments)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        text = table(arguments.rows.read())
        (arguments.output / "table.md").write_text(text + "\n")
        print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()

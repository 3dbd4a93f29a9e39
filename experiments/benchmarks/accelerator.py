"""Everything that is measured when an accelerator is at hand, in one command of bounded length.

Command: TFDS_DATA_DIR=... python -m experiments.benchmarks.accelerator --output results/accelerator

It has three sections, each in processes of its own that are stopped when their time is over:

    rates        the device's matrix products and copies; whether it runs the convolutions of a VGG-A in bfloat16
    speed        scans, sweeps and trainings of VGG-As at full and a quarter of the width, in every way of batching
    experiments  training_curves, landscape and mameli at full width, first of few steps and then of all, and after that
                 training_curves and landscape as the paper has them

The command ends within `--total-seconds`, whatever its processes do. Sections get 84 % of this time, in `--shares`,
and what one of them leaves is for the next ones; the rest is for processes that are stopped, which save, and for packing.
First it checks that packages and data sets are there, that the device starts, and that it is no CPU.

Rows are written to `rows.jsonl` as they are measured, below those that are planned, so that nothing is lost where the command
is killed; its processes die with it. Whenever one of them ends, a table in Markdown, `table.md`, is written, which names
machine, net and batch, and an archive, `returned.tar.gz`, of all that is to be kept: table, rows, log, `figures/`, and finished
runs in `runs/`. The same command continues experiments that were stopped, from their checkpoints in `results/`. Rows of another
machine in the same folder have a table of their own. `--table` writes the table of the rows that are there, and measures
nothing.

Measured: on no accelerator so far. The tests run it on a CPU with nets of a few features.
"""

import argparse
import functools
import importlib.util
import os
import signal
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnjax._host.files import cache_dir
from bnjax.data.prepared import VERSIONS, DataError, check_prepared
from experiments.benchmarks import _plan
from experiments.benchmarks._arguments import positive
from experiments.benchmarks._rows import NO_TIME, NOT_MEASURED, Rows, table, unmeasured
from experiments.benchmarks._stopping import run_within

# Parts of the whole time: until the last section ends; for a process that saves; for packing; for an archive, at each time.
_WORK, _GRACE, _PACKING, _ARCHIVE = 0.84, 0.05, 0.04, 0.015
_START = 60.0  # seconds in which the device must start, or a ninth of the whole time
_HURRY = 5.0  # seconds of packing once the command is asked to stop
_RETURNED = ("table.md", "rows.jsonl", "log.txt", "figures", "runs")


def parse(options: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, which every process of it gets."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.accelerator", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--output", type=Path, default=Path("results/accelerator"), help="folder of all that is written"
    )
    parser.add_argument(
        "--total-seconds", type=positive(float), default=540.0, help="in which the command ends (default: 540)"
    )
    parser.add_argument(
        "--shares", type=positive(float), nargs=3, default=[1.0, 2.0, 10.0], help="of sections in it (default: 1 2 10)"
    )
    parser.add_argument("--cpu", action="store_true", help="measure a CPU, where JAX finds no accelerator")
    parser.add_argument("--table", action="store_true", help="write the table of the rows that are there, and end")
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
    names = [*_plan.STEPS]
    parser.add_argument("--experiments", nargs="*", choices=names, default=names, help="(default: all)")
    parser.add_argument("--presets", nargs="+", default=["full_width", "paper"], help="(default: full_width paper)")
    parser.add_argument(
        "--lengths", type=positive(int), nargs="*", default=[2000], help="of runs before whole ones (default: 2000)"
    )
    parser.add_argument("--data-dir", help="folder of prepared data sets (default: TFDS_DATA_DIR)")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)  # of a section: its end, in seconds since 1970
    arguments = parser.parse_args(options)
    arguments.rows = Rows(arguments.output / "rows.jsonl")
    arguments.start = time.time()
    return arguments


def _at(arguments: argparse.Namespace, share: float) -> float:
    """Return when a share of the whole time is over, in seconds since 1970."""
    return arguments.start + share * arguments.total_seconds


def check(arguments: argparse.Namespace) -> list[_plan.Stage]:
    """Check that experiments can run, and return them.

    Raises:
        SystemExit: in one line, if packages or prepared data sets are missing.
    """
    try:
        stages = [*_plan.stages(arguments)]
        data_sets = sorted(_plan.data_sets(stages) & {*VERSIONS})
        needed = ["matplotlib"] * bool(stages) + ["tensorflow_datasets", "array_record"] * bool(data_sets)
        for name in needed:
            if importlib.util.find_spec(name) is None:
                raise ImportError(name=name)
        for name in data_sets:
            check_prepared(name, arguments.data_dir)
    except ImportError as error:
        sys.exit(
            f"error: experiments need {error.name}, which is not installed: pip install 'bnjax[experiments]'; "
            "or run none of them: --experiments"
        )
    except (DataError, ValueError) as error:
        sys.exit(f"error: {error}")
    return stages


def start_device(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    """Start the device in a process of its own, which writes a row about the machine, and print its name.

    Raises:
        SystemExit: in one line, if it does not start, or is a CPU that was not asked for.
    """
    limit = min(_START, arguments.total_seconds / 9)
    status, _ = _execute(arguments, _section(arguments, "machine", options), limit, 0.0)
    if status != 0:
        said = _last_line(arguments.output / "log.txt")
        sys.exit(said if said.startswith("error: ") else f"error: {_reason(status, 'the device did not start', said)}")
    machine = next(row for row in reversed(arguments.rows.read()) if row["kind"] == "machine")
    print(f"backend {machine['platform']}, {machine['device']}", flush=True)


def plan(arguments: argparse.Namespace, stages: Sequence[_plan.Stage]) -> None:
    """Write all rows that are planned, as not measured."""
    rows = [row for listed in _plan.SECTIONS.values() for row in listed(arguments)]
    rows += [{**_command(stage), "seconds": 0.0} for stage in stages]
    arguments.rows.add_all([{**row, "error": NOT_MEASURED} for row in rows])


def measure_sections(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    """Measure rates and speed; a row that was not begun when its section ended is written as such."""
    end = time.time()
    work = max(0.0, _at(arguments, _WORK) - end)
    for (section, listed), share in zip(_plan.SECTIONS.items(), arguments.shares, strict=False):
        seconds = work * share / sum(arguments.shares)
        end += seconds
        until = end - 0.1 * seconds  # the last tenth is for the row that is at work when no more begins
        command = _section(arguments, section, options, until)
        error = _run(
            arguments, {"kind": "command", "what": section}, command, end, _HURRY * arguments.total_seconds / 540
        )
        reason = NO_TIME if error in ("", _OVER) else f"{NOT_MEASURED}: {error}"
        left = unmeasured(arguments.rows.read(), listed(arguments))
        arguments.rows.add_all([{**row, "error": reason} for row in left])
        save(arguments)


def run_experiments(arguments: argparse.Namespace, stages: Sequence[_plan.Stage]) -> None:
    """Run the experiments, first of few steps and then of all, and pack their runs whenever one ends."""
    end = _at(arguments, _WORK)
    for stage in stages:
        if time.time() >= end:
            arguments.rows.add(**_command(stage), error=NO_TIME, seconds=0.0)
            continue
        folders = {"--results": "results", "--figures": "figures"}
        command = [sys.executable, "-m", "experiments", stage.name, *stage.flags]
        command += [word for flag, folder in folders.items() for word in (flag, str(arguments.output / folder))]
        command += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
        _run(arguments, _command(stage), command, end, _GRACE * arguments.total_seconds)
        pack(arguments, _PACKING * arguments.total_seconds)
    save(arguments)


@functools.cache
def _command(stage: _plan.Stage) -> dict[str, Any]:
    """Describe an experiment in a row."""
    beside = stage.beside()
    return {"kind": "command", "what": stage.what, **({"beside": beside} if beside else {})}


def _section(
    arguments: argparse.Namespace, section: str, options: Sequence[str], until: float | None = None
) -> list[str]:
    """Return the command that measures a section until some time."""
    command = [sys.executable, "-m", "experiments.benchmarks._accelerator", section, *options]
    return [*command, "--until", repr(until)] if until is not None else command


def pack(arguments: argparse.Namespace, seconds: float) -> None:
    """Pack the finished runs, for so long at most, and save."""
    if (arguments.output / "results").is_dir():
        folders = ["--results", str(arguments.output / "results"), "--packed", str(arguments.output / "runs")]
        _execute(arguments, [sys.executable, "-m", "experiments", "pack", *folders], seconds, 0.0)
        save(arguments)


_OVER = "its time was over"


def _run(arguments: argparse.Namespace, about: dict[str, Any], command: list[str], end: float, grace: float) -> str:
    """Run a command until some time, write how it ended, and return what was wrong; save."""
    print(f"{about['what']} ...", flush=True)
    status, taken = _execute(arguments, command, end - time.time(), grace)
    error = _reason(status, _OVER, _last_line(arguments.output / "log.txt"))
    arguments.rows.add(**about, **({"error": error} if error else {}), seconds=round(taken, 1))
    print(f"{about['what']}: {error or 'done'}, {taken:.0f} s", flush=True)
    save(arguments)
    return error


def _reason(status: int | None, over: str, said: str) -> str:
    """Return the reason why a command failed or was stopped; empty if it is done."""
    return {0: "", None: over}.get(status, f"it ended with status {status}: {said}")


def _execute(
    arguments: argparse.Namespace, command: list[str], seconds: float, grace: float
) -> tuple[int | None, float]:
    """Run a command within a time; what JAX compiles is kept for the next process."""
    environment = dict(os.environ)
    if folder := cache_dir():
        environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
    return run_within(command, seconds, arguments.output / "log.txt", grace, environment)


def _last_line(log: Path) -> str:
    """Return the last line of a log, which says what was wrong."""
    return (log.read_text(errors="replace").splitlines() or [""])[-1]


def write_table(arguments: argparse.Namespace) -> str:
    """Write the table of the rows that are there, and return it."""
    text = table(arguments.rows.read())
    part = arguments.output / "table.md.part"
    part.write_text(text + "\n")
    part.replace(arguments.output / "table.md")
    return text


def save(arguments: argparse.Namespace) -> None:
    """Write the table, and the archive of all that is to be kept; print how many files did not fit into its time."""
    write_table(arguments)
    until = min(time.time(), _at(arguments, 1 - _ARCHIVE)) + _ARCHIVE * arguments.total_seconds
    found = [path for name in _RETURNED for path in _files(arguments.output / name)]
    part, lacking = arguments.output / "returned.tar.gz.part", 0
    with tarfile.open(part, "w:gz", compresslevel=1) as archive:
        for path in found:
            if time.time() < until:
                archive.add(path, path.relative_to(arguments.output))
            else:
                lacking += 1
    part.replace(arguments.output / "returned.tar.gz")
    if lacking:
        print(f"returned.tar.gz lacks {lacking} of {len(found)} files, for which no time was left", flush=True)


def _files(place: Path) -> list[Path]:
    """List a file, or all files of a folder."""
    return [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def main(options: Sequence[str] | None = None) -> None:
    """Run all sections, and print the table also where they are interrupted."""
    options = sys.argv[1:] if options is None else options
    arguments = parse(options)
    if arguments.table:
        if not arguments.rows.path.exists():
            sys.exit(f"error: output must be a folder with rows.jsonl, there is no {arguments.rows.path}.")
        print(write_table(arguments))
        return
    stages = check(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write_table(arguments)  # before all that takes time, since the next signal may be SIGKILL
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    # Kills this process, and with it all others, if it has not ended by then.
    signal.setitimer(signal.ITIMER_REAL, arguments.total_seconds)
    try:
        start_device(arguments, options)
        plan(arguments, stages)
        measure_sections(arguments, options)
        run_experiments(arguments, stages)
        print(f"\n{write_table(arguments)}", flush=True)
    except KeyboardInterrupt:
        save(arguments)
        pack(arguments, _HURRY)
        print(f"stopped\n\n{write_table(arguments)}", flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
